import Glibc
import LinearAlgebra

// Measures one subject and prints one JSON line a measurement; each subject says what it needs.

/// What the program can measure: one line for each subject, in the order of the usage text.
struct Subcommand {
    let name: String
    /// Its arguments, as the usage text shows them.
    let synopsis: String
    /// Fewest arguments it takes.
    let minimumCount: Int
    let run: ([String]) async throws -> Void
}

let subcommands = [
    Subcommand(name: "encode", synopsis: TextOptions.synopsis, minimumCount: 2) {
        try await benchmarkEncoding(TextOptions($0))
    },
    Subcommand(name: "tokenize", synopsis: TextOptions.synopsis, minimumCount: 2) {
        try await benchmarkTokenizing(TextOptions($0))
    },
    Subcommand(name: "cel", synopsis: "", minimumCount: 0) { _ in try CELBenchmark.run() },
    Subcommand(name: "index", synopsis: VectorOptions.synopsis, minimumCount: 2) {
        try IndexBenchmark.run($0)
    },
    Subcommand(name: "filter", synopsis: VectorOptions.synopsis, minimumCount: 2) {
        try IndexBenchmark.runFilters($0)
    },
    Subcommand(name: "churn", synopsis: VectorOptions.synopsis, minimumCount: 2) {
        try IndexBenchmark.runChurn($0)
    },
    Subcommand(name: "beside", synopsis: VectorOptions.synopsis, minimumCount: 2) {
        try IndexBenchmark.runBeside($0)
    },
    Subcommand(name: "recall", synopsis: VectorOptions.synopsis, minimumCount: 2) {
        try IndexBenchmark.runRecall($0)
    },
    Subcommand(name: "join", synopsis: IndexBenchmark.joinSynopsis, minimumCount: 2) {
        try IndexBenchmark.runJoin($0)
    },
    Subcommand(name: "snapshot", synopsis: IndexBenchmark.snapshotSynopsis, minimumCount: 2) {
        try IndexBenchmark.runSnapshot($0)
    },
    Subcommand(name: "pipeline", synopsis: PipelineOptions.synopsis, minimumCount: 6) {
        try await PipelineBenchmark.run($0)
    },
    Subcommand(name: "backends", synopsis: BackendsBenchmark.synopsis, minimumCount: 5) {
        try await BackendsBenchmark.run($0)
    },
    Subcommand(name: "ladder", synopsis: LadderBenchmark.synopsis, minimumCount: 4) {
        try await LadderBenchmark.run($0)
    },
    Subcommand(name: "replica", synopsis: ReplicaBenchmark.synopsis, minimumCount: 4) {
        try await ReplicaBenchmark.run($0)
    },
    Subcommand(name: "followers", synopsis: FollowersBenchmark.synopsis, minimumCount: 6) {
        try await FollowersBenchmark.run($0)
    },
    Subcommand(name: "follower", synopsis: FollowersBenchmark.followerSynopsis, minimumCount: 3) {
        try await FollowersBenchmark.runFollower($0)
    },
    Subcommand(name: "store", synopsis: StoreBenchmark.synopsis, minimumCount: 2) {
        try await StoreBenchmark.run($0)
    },
    Subcommand(name: "wake", synopsis: WakeBenchmark.synopsis, minimumCount: 1) {
        try await WakeBenchmark.run($0)
    },
]

/// Ends the program with a message on standard error.
func leave(_ message: String, status: Int32) -> Never {
    var line = message + "\n"
    _ = line.withUTF8 { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(status)
}

if let name = unsafe getenv("PRELOOP_KERNELS").map({ unsafe String(cString: $0) }), !name.isEmpty,
    KernelLevel.named(name) == nil
{
    // What is measured would not be what was asked for.
    leave("preloop-bench: `PRELOOP_KERNELS` is `\(name)`", status: EX_USAGE)
}
// Writes into the environment, which nobody reads yet.
BLAS.prepare()
let arguments = Array(CommandLine.arguments.dropFirst())
guard let subcommand = subcommands.first(where: { $0.name == arguments.first }),
    arguments.count > subcommand.minimumCount
else {
    let lines = subcommands.map { "preloop-bench \($0.name) \($0.synopsis)" }
    leave("usage: " + lines.joined(separator: "\n       "), status: EX_USAGE)
}
do {
    try await subcommand.run(Array(arguments.dropFirst()))
} catch {
    leave("preloop-bench: \(error)", status: EXIT_FAILURE)
}
