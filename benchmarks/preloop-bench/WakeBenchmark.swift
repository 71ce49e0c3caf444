import Domain
import Store

/// How soon a follower knows that another process has committed: two connections of their own to
/// one database, as two processes have them.
///
/// The time counts from the moment the commit has returned to the writer, so it can be less than
/// nothing where the news overtakes the answer.
enum WakeBenchmark {
    static let synopsis = "DATABASE [COUNT]"

    /// One line: milliseconds until the follower has the new revision.
    static func run(_ arguments: [String]) async throws {
        let count = arguments.count > 1 ? Int(arguments[1]) ?? 500 : 500
        let writer = try await Store.open(database(arguments[0]))
        let follower = try await Store.open(database(arguments[0]))
        let watcher = ChangeWatcher(follower)
        var latencies: [Double] = []
        // The first ones start the listening connection.
        for round in 0..<count + 20 {
            let latency = try await latency(from: writer, to: watcher)
            if round >= 20 { latencies.append(latency) }
        }
        try await writer.database.close()
        try await follower.database.close()
        let line: JSONValue = [
            "subject": "wake",
            "engine": PostgresConfiguration.isAddress(arguments[0]) ? "postgres" : "sqlite",
            "commits": .integer(Int64(count)),
            "p50_ms": .double(Measuring.percentile(latencies, 0.5)),
            "p99_ms": .double(Measuring.percentile(latencies, 0.99)),
            "maximum_ms": .double(latencies.max() ?? 0),
            "machine": .string(Measuring.machine),
        ]
        print(line.serializedText())
    }

    private static func database(_ address: String) throws -> any Database {
        PostgresConfiguration.isAddress(address)
            ? PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            : try SQLiteDatabase(path: address)
    }

    private static func latency(
        from writer: Store,
        to watcher: ChangeWatcher
    ) async throws -> Double {
        let current = try await writer.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
        async let seen = { () async throws -> ContinuousClock.Instant in
            _ = try await watcher.waitForChange(after: current)
            return .now
        }()
        // The follower is waiting when the commit comes, at any point of its interval.
        try await Task.sleep(for: .milliseconds(Int.random(in: 20...120)))
        try await writer.write { connection, account in
            _ = try AccountTable.nextRevisions(1, account: account, on: connection)
        }
        let committed = ContinuousClock.now
        return try await (seen - committed) / .milliseconds(1)
    }
}
