package import Domain
package import Firewall
package import Store

/// Reads the audit of an account.
package struct AuditLog: Sendable {
    /// What verifying a chain has found.
    package struct Report: Sendable, Equatable {
        /// Events that were read.
        package var count: Int
        /// The numbers of the first and the last; nil when there is none.
        package var range: ClosedRange<Int64>?
        /// Older events were removed up to here; 0 when none were.
        package var removedThrough: Int64
        /// What is wrong, the first place first.
        package var faults: [AuditFault]
        /// Whether there may be more faults.
        package var isFull: Bool
        /// Checkpoints that another key has signed: they say nothing.
        package var foreignMarks: Int
        /// The end as it was signed; nil when there is none.
        package var end: SignedCheckpoint?
        /// Whose signatures count.
        package var key: AuditKey

        /// Whether nothing is wrong.
        package var isSound: Bool { faults.isEmpty }
    }

    /// Events were removed for their age before an export had reached them; another one succeeds.
    package struct ExportOvertaken: Error, Equatable, CustomStringConvertible {
        package var description: String {
            "events were removed for their age while they were exported: export again"
        }
    }

    /// A call without an end is under way so long: longer than calls may run and be waited for.
    package static let lostAfter: Duration = .seconds(600)

    /// Rows that are in memory at a time.
    private static let pageRows = 1_000
    /// More marks than a chain of a hundred million events has.
    private static let maximumMarks = 100_000

    private let store: Store
    private let key: AuditKey

    package init(store: Store, key: AuditKey) {
        self.store = store
        self.key = key
    }

    /// The calls that are asked for, latest first.
    package func calls(
        _ filter: ToolCallTable.Filter
    ) async throws -> [ToolCallTable.Entry] {
        try await store.read { connection, account in
            try ToolCallTable.entries(filter, account: account, on: connection)
        }
    }

    /// Changes that are asked for, of policies, servers, users and the like, latest first.
    package func changes(_ filter: ToolCallTable.Filter) async throws -> [AuditTable.Row] {
        try await store.read { connection, account in
            try AuditTable.changes(filter, account: account, on: connection)
        }
    }

    /// Calls of before there was an audit, latest first.
    package func unchained(limit: Int) async throws -> [ToolCallTable.Entry] {
        try await store.read { connection, account in
            try ToolCallTable.unchained(limit: limit, account: account, on: connection)
        }
    }

    /// How calls have ended, by a word: an outcome, or `unknown` for those nobody will tell of.
    package static func ending(_ word: String, at now: Timestamp) -> ToolCallTable.Ending? {
        let instant = now.advanced(by: .zero - lostAfter)
        switch word {
        case "unknown": return .unknown(before: instant)
        case "running": return .running(since: instant)
        default: return ToolCallTable.Outcome(rawValue: word).map { .outcome($0) }
        }
    }

    /// The words of ``ending(_:at:)``.
    package static let endings =
        ToolCallTable.Outcome.allCases.map(\.rawValue) + ["unknown"]

    /// Events behind a number, in their order, without the first `skip` of them.
    package func events(
        after sequence: Int64,
        skip: Int = 0,
        limit: Int
    ) async throws -> [AuditTable.Row] {
        try await store.read { connection, account in
            try AuditTable.rows(
                after: sequence,
                skip: skip,
                limit: limit,
                account: account,
                on: connection
            )
        }
    }

    /// The number of the last event; 0 when there is none.
    package func lastSequence() async throws -> Int64 {
        try await store.read { connection, account in
            try AuditTable.lastSequence(account: account, on: connection)
        }
    }

    /// Waits until there may be new events.
    package func waitForEvents(after token: Int64, atMost duration: Duration) async throws {
        _ = try await store.database.waitForChange(after: token, atMost: duration)
    }

    /// What ``waitForEvents(after:atMost:)`` takes.
    package func changeToken() async throws -> Int64 { try await store.database.changeToken() }

    /// Reads the whole chain on one snapshot and finds what is wrong with it.
    ///
    /// With an anchor, a place that was noted elsewhere such as the end of an earlier export, an
    /// older state of the whole database that was put back is found out too.
    package func verify(anchor: AuditChain.Point? = nil) async throws -> Report {
        let key = key
        return try await store.read { connection, account in
            try Self.verify(anchor: anchor, key: key, account: account, on: connection)
        }
    }

    /// The same on what a transaction sees.
    static func verify(
        anchor: AuditChain.Point? = nil,
        key: AuditKey,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> Report {
        let cut = try AuditCheckpointTable.cut(account: account, on: connection)
        let marks = try AuditCheckpointTable.list(
            .mark,
            limit: Self.maximumMarks,
            account: account,
            on: connection
        )
        let end = try AuditCheckpointTable.end(account: account, on: connection)?
            .signed(.head, of: account)
        var verifier = AuditVerifier(
            account: account,
            cut: cut?.signed(.cut, of: account),
            marks: marks.map { $0.signed(.mark, of: account) },
            key: key,
            anchor: anchor
        )
        var (first, last): (Int64?, Int64) = (nil, .min)
        while !verifier.isFull {
            try Task.checkCancellation()
            let rows = try AuditTable.rows(
                after: last,
                limit: Self.pageRows,
                account: account,
                on: connection
            )
            for row in rows { verifier.read(row, of: account) }
            if first == nil { first = rows.first?.sequence }
            last = rows.last?.sequence ?? last
            guard rows.count == Self.pageRows else { break }
        }
        verifier.finish(head: end)
        return Report(
            count: verifier.count,
            range: first.map { $0...max($0, last) },
            removedThrough: cut?.sequence ?? 0,
            faults: verifier.faults,
            isFull: verifier.isFull,
            foreignMarks: verifier.foreignMarks,
            end: end,
            key: key
        )
    }

    /// Gives everything that proves the audit to `sink`, one document after the other: who signs,
    /// checkpoints, events with their hashes, and the signed end, behind which nothing comes.
    ///
    /// - Throws: ``ExportOvertaken``, what the store refuses and what `sink` throws.
    package func export(_ sink: (JSONValue) throws -> Void) async throws {
        let key = key
        let (documents, end, start) = try await store.read { connection, account in
            let beginning = AuditChain.beginning(of: account).hash
            var documents: [JSONValue] = [
                [
                    "type": "audit", "v": 1, "account": .integer(account.rawValue),
                    "public_key": .string(hexadecimal(key.bytes)),
                    "key_id": .string(key.id), "beginning": .string(hexadecimal(beginning)),
                ]
            ]
            let cut = try AuditCheckpointTable.cut(account: account, on: connection)
            if let cut { documents.append(cut.signed(.cut, of: account).json) }
            documents += try AuditCheckpointTable.list(
                .mark,
                limit: Self.maximumMarks,
                account: account,
                on: connection
            ).map { $0.signed(.mark, of: account).json }
            let end = try AuditCheckpointTable.end(account: account, on: connection)
            return (documents, end?.signed(.head, of: account), cut?.sequence ?? 0)
        }
        for document in documents { try sink(document) }
        let stop = end?.checkpoint.point.sequence ?? 0
        var last = start
        while last < stop {
            let rows = try await eventsStillThere(after: last)
            for row in rows where row.sequence <= stop { try sink(row.json) }
            guard let next = rows.last?.sequence else { break }
            last = next
        }
        if let end { try sink(end.json) }
    }

    /// The next events of an export.
    private func eventsStillThere(after last: Int64) async throws -> [AuditTable.Row] {
        try await store.read { connection, account in
            let cut = try AuditCheckpointTable.cut(account: account, on: connection)
            if let cut, cut.sequence > last { throw ExportOvertaken() }
            return try AuditTable.rows(
                after: last,
                limit: Self.pageRows,
                account: account,
                on: connection
            )
        }
    }
}
