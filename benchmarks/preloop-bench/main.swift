import Glibc

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
    Subcommand(name: "encode", synopsis: "MODEL-DIRECTORY", minimumCount: 1) {
        try await benchmarkEncoding(modelPath: $0[0])
    },
    Subcommand(name: "index", synopsis: VectorIndexBenchmark.synopsis, minimumCount: 1) {
        try VectorIndexBenchmark.run(arguments: $0, part: "search")
    },
    Subcommand(name: "filter", synopsis: VectorIndexBenchmark.synopsis, minimumCount: 1) {
        try VectorIndexBenchmark.run(arguments: $0, part: "filter")
    },
    Subcommand(name: "churn", synopsis: VectorIndexBenchmark.synopsis, minimumCount: 1) {
        try VectorIndexBenchmark.run(arguments: $0, part: "delete")
    },
    Subcommand(name: "snapshot", synopsis: VectorIndexBenchmark.synopsis, minimumCount: 1) {
        try VectorIndexBenchmark.run(arguments: $0, part: "snapshot")
    },
]

/// Ends the program with a message on standard error.
func leave(_ message: String, status: Int32) -> Never {
    var line = message + "\n"
    _ = line.withUTF8 { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(status)
}

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
