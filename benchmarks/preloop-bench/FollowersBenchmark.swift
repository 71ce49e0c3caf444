import Domain
import Embeddings
import Foundation
import Search
import Store

/// How soon every replica has every vector: one process writes vectors at a steady rate, each in a
/// transaction of its own, and others, as servers do, wait for the feed and take in what is new.
///
/// The time of a vector counts from the moment its commit has returned to the writer.
enum FollowersBenchmark {
    static let synopsis = "DATABASE RATE SECONDS FOLLOWERS " + VectorOptions.synopsis

    /// One line for all followers together; the database is empty before.
    static func run(_ arguments: [String]) async throws {
        guard let rate = Int(arguments[1]), let seconds = Int(arguments[2]),
            let count = Int(arguments[3]), rate > 0, seconds > 0, count > 0
        else { throw BenchmarkError.badArgument("RATE SECONDS FOLLOWERS") }
        let address = arguments[0]
        let options = try VectorOptions(Array(arguments.dropFirst(4)))
        let base = try VectorData(options).base
        let vectors = (0..<rate * seconds).map { base[$0 % base.count] }
        let store = try await store(address)
        let world = try await BackendsWorld(filling: store, with: vectors, leaving: vectors.count)
        let followers = try (0..<count).map { number in
            let directory = "\(options.scratchDirectory)/preloop-bench-follower-\(number)"
            return try Follower(["follower", address, "\(vectors.count)", directory])
        }
        for follower in followers { try follower.waitUntilReady() }
        let start = ContinuousClock.now
        var commits: [(revision: Revision, nanoseconds: UInt64)] = []
        for (place, vector) in vectors.enumerated() {
            let due = Duration.seconds(1) * place / rate
            try await Task.sleep(until: start.advanced(by: due))
            let revision = try await world.write([vector], from: place)
            commits.append((revision, now()))
        }
        let took = start.duration(to: .now) / .seconds(1)
        var line = MeasurementLine("followers", options, count: vectors.count)
        line.add("engine", PostgresConfiguration.isAddress(address) ? "postgres" : "sqlite")
        line.add("followers", count)
        line.add("writes_per_second", Double(vectors.count) / took)
        var all: [Double] = []
        var worst = 0.0
        for follower in followers {
            let latencies = try latencies(of: commits, in: follower.sightings())
            worst = max(worst, Measuring.percentile(latencies, 0.99))
            all += latencies
        }
        line.add("p50_ms", Measuring.percentile(all, 0.5))
        line.add("p99_ms", Measuring.percentile(all, 0.99))
        line.add("p99_ms_of_the_slowest", worst)
        line.add("maximum_ms", all.max() ?? 0)
        line.print()
        try await store.database.close()
    }

    /// Milliseconds until a follower had each vector.
    private static func latencies(
        of commits: [(revision: Revision, nanoseconds: UInt64)],
        in sightings: [(revision: Revision, nanoseconds: UInt64)]
    ) throws -> [Double] {
        var place = 0
        return try commits.map { commit in
            while place < sightings.count, sightings[place].revision < commit.revision {
                place += 1
            }
            guard place < sightings.count else {
                throw BenchmarkError.incomplete("a follower never had revision \(commit.revision)")
            }
            return (Double(sightings[place].nanoseconds) - Double(commit.nanoseconds)) / 1e6
        }
    }

    // MARK: - The other processes

    static let followerSynopsis = "DATABASE COUNT DIRECTORY   (started by `followers`)"

    /// Follows until the index has `COUNT` vectors, then prints what it had when.
    static func runFollower(_ arguments: [String]) async throws {
        guard let wanted = Int(arguments[1]) else { throw BenchmarkError.badArgument("COUNT") }
        let store = try await store(arguments[0])
        let models = try await store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
        }
        guard let model = models.first else { throw BenchmarkError.incomplete("no model") }
        try IndexDirectory.make(arguments[2])
        let index = try await SearchIndex(
            store: store,
            identity: ModelIdentity(model),
            model: model.id,
            directory: arguments[2],
            role: .writer
        )
        let watcher = ChangeWatcher(store)
        var revision = try await store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
        // Listens from now on, so that the first vector is not waited for longer than others.
        _ = try await store.database.waitForChange(
            after: store.database.changeToken(),
            atMost: .milliseconds(1)
        )
        print("ready")
        fflush(nil)
        var sightings: [String] = []
        while true {
            // Everything up to the revision is in the view that is taken after it.
            let count = try await index.view().count
            sightings.append("\(revision.rawValue) \(now())")
            guard count < wanted else { break }
            revision = try await watcher.waitForChange(after: revision)
        }
        // The view may have had more than the revision says; the last may be late by this read.
        revision = try await store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
        sightings.append("\(revision.rawValue) \(now())")
        print(sightings.joined(separator: "\n"))
        fflush(nil)
        try await store.database.close()
    }

    /// A process of this program.
    private final class Follower {
        private let process = Process()
        private let output = Pipe()
        private var text = Data()

        init(_ arguments: [String]) throws {
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = arguments
            process.standardOutput = output
            try process.run()
        }

        func waitUntilReady() throws {
            while !text.contains(UInt8(ascii: "\n")) {
                let more = output.fileHandleForReading.availableData
                guard !more.isEmpty else { throw BenchmarkError.incomplete("a follower ended") }
                text += more
            }
        }

        /// Up to which revision it had everything at which moment, in order.
        func sightings() throws -> [(revision: Revision, nanoseconds: UInt64)] {
            text += output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else {
                throw BenchmarkError.incomplete("a follower failed")
            }
            return text.split(separator: UInt8(ascii: "\n")).dropFirst().compactMap { line in
                let numbers = String(decoding: line, as: UTF8.self).split(separator: " ")
                guard numbers.count == 2, let revision = Int64(numbers[0]),
                    let moment = UInt64(numbers[1])
                else { return nil }
                return (Revision(revision), moment)
            }
        }
    }

    private static func store(_ address: String) async throws -> Store {
        try await Store.open(
            PostgresConfiguration.isAddress(address)
                ? PostgresDatabase(PostgresConfiguration(address: Secret(address)))
                : try SQLiteDatabase(path: address)
        )
    }

    /// The same clock in all processes of a machine.
    private static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
