import Domain
import Store
import StoreTestSupport
import Testing

struct AuditTableTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    private static func event(
        _ kind: AuditTable.Event.Kind,
        _ call: String,
        after seconds: Int = 0
    ) -> AuditTable.Event {
        var event = AuditTable.Event(
            kind,
            at: start.advanced(by: .seconds(seconds)),
            caller: "local:ann"
        )
        event.callID = call
        event.channel = "stdio"
        event.tool = "search"
        event.decision = "allow"
        event.outcome = "running"
        event.argumentsDigest = [0, 1, 255]
        return event
    }

    /// An event with a value in every column.
    private static var full: AuditTable.Event {
        var event = event(.call, "full")
        (event.client, event.session, event.server) = ("client 1.0", "s", "hub")
        (event.rule, event.approvalID, event.reason) = ("r", "a", "wëil\n")
        (event.arguments, event.findings) = (#"{"b":1,"a":"[x]"}"#, "[]")
        (event.resultDigest, event.resultBytes) = ([], 9)
        (event.durationMicroseconds, event.policyVersion, event.traceParent) = (8, .max, "00-x")
        return event
    }

    private static func write(_ events: [AuditTable.Event], to store: Store) async throws {
        try await store.write { connection, account in
            let last = try AuditTable.lastSequence(account: account, on: connection)
            let rows = events.enumerated().map { place, event in
                AuditTable.Row(sequence: last + Int64(place) + 1, event: event, hash: [7])
            }
            try AuditTable.append(rows, account: account, on: connection)
        }
    }

    @Test(arguments: Engine.all)
    func `events are read as they were written, in their order`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        let events = [
            Self.full, Self.event(.completed, "a"),
            AuditTable.Event(.doubt, at: Self.start, caller: ""),
        ]
        try await Self.write(events, to: scratch.store)
        let (rows, rest, last) = try await scratch.store.read { connection, account in
            (
                try AuditTable.rows(after: 0, limit: 10, account: account, on: connection),
                try AuditTable.rows(after: 1, limit: 1, account: account, on: connection),
                try AuditTable.lastSequence(account: account, on: connection)
            )
        }
        #expect(rows.map(\.event) == events)
        #expect(rows.map(\.sequence) == [1, 2, 3] && rows.allSatisfy { $0.hash == [7] })
        #expect(rest == [rows[1]] && last == 3)
        await #expect(throws: StoreError.self) {
            try await scratch.store.write { connection, account in
                try AuditTable.append([rows[1]], account: account, on: connection)
            }
        }
        let removed = try await scratch.store.write { connection, account in
            try AuditTable.remove(through: 2, account: account, on: connection)
        }
        #expect(removed == 2)
    }

    @Test(arguments: Engine.all)
    func `the end of a chain is moved, and checkpoints are kept`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        func row(_ sequence: Int64) -> AuditCheckpointTable.Row {
            AuditCheckpointTable.Row(
                sequence: sequence,
                hash: [1],
                signedAt: Self.start,
                keyID: "k",
                signature: [2]
            )
        }
        let (rows, marks) = ([row(3)], [row(2), row(4)])
        let found = try await scratch.store.write { connection, account in
            let before = try AuditCheckpointTable.lockEnd(account: account, on: connection)
            try AuditCheckpointTable.setEnd(rows[0], account: account, on: connection)
            for mark in marks {
                try AuditCheckpointTable.add(.mark, mark, account: account, on: connection)
            }
            try AuditCheckpointTable.add(.cut, marks[0], account: account, on: connection)
            try AuditCheckpointTable.add(.cut, rows[0], account: account, on: connection)
            let after = try AuditCheckpointTable.lockEnd(account: account, on: connection)
            return (before, after.signed)
        }
        #expect(found.0 == AuditCheckpointTable.End(signed: nil, last: 0) && found.1 == rows[0])
        try await Self.write([Self.event(.call, "a")], to: scratch.store)
        let end = try await scratch.store.write { connection, account in
            try AuditCheckpointTable.lockEnd(account: account, on: connection)
        }
        #expect(end == AuditCheckpointTable.End(signed: rows[0], last: 1, lastHash: [7]))
        let read = try await scratch.store.write { connection, account in
            try AuditCheckpointTable.removeObsolete(cutAt: 3, account: account, on: connection)
            return (
                try AuditCheckpointTable.cut(account: account, on: connection),
                try AuditCheckpointTable.list(.mark, limit: 9, account: account, on: connection),
                try AuditCheckpointTable.list(.cut, limit: 9, account: account, on: connection),
                try AuditCheckpointTable.end(account: account, on: connection),
                try AuditCheckpointTable.last(.mark, account: account, on: connection)
            )
        }
        #expect(read.4 == marks[1])
        #expect(read.0 == rows[0] && read.1 == [marks[1]] && read.2 == rows && read.3 == rows[0])
    }

    @Test(arguments: Engine.all)
    func `calls are found by what is known of them, with their ends`(_ engine: Engine) async throws
    {
        let scratch = try await engine.store()
        var (denied, end) = (
            Self.event(.call, "b", after: 60), Self.event(.completed, "full", after: 2)
        )
        (denied.decision, denied.outcome, denied.tool) = ("deny", "denied", "create_issue")
        (denied.resultBytes, denied.durationMicroseconds, denied.reason) = (3, 0, "no")
        (end.outcome, end.durationMicroseconds, end.resultBytes) = ("succeeded", 1_234_567, 12)
        end.resultDigest = [5]
        let lost = Self.event(.call, "c", after: 120)
        try await Self.write([Self.full, end, denied, lost], to: scratch.store)
        func ids(_ change: (inout ToolCallTable.Filter) -> Void) async throws -> [String] {
            var filter = ToolCallTable.Filter()
            change(&filter)
            let wanted = filter
            return try await scratch.store.read { connection, account in
                try ToolCallTable.entries(wanted, account: account, on: connection)
            }.map(\.call.id)
        }
        let now = Self.start.advanced(by: .seconds(90))
        #expect(try await ids { _ in } == ["c", "b", "full"])
        #expect(try await ids { $0.limit = 1 } == ["c"])
        #expect(try await ids { $0.before = 4 } == ["b", "full"])
        #expect(try await ids { $0.tool = "create_issue" } == ["b"])
        #expect(try await ids { $0.server = "hub" } == ["full"])
        #expect(try await ids { $0.caller = "nobody" } == [])
        #expect(try await ids { $0.callID = "c" } == ["c"])
        #expect(try await ids { $0.decision = "deny" } == ["b"])
        #expect(
            try await ids { ($0.since, $0.until) = (now, now.advanced(by: .seconds(60))) } == ["c"]
        )
        #expect(try await ids { $0.until = now } == ["b", "full"])
        #expect(try await ids { $0.outcome = .outcome(.succeeded) } == ["full"])
        #expect(try await ids { $0.outcome = .outcome(.denied) } == ["b"])
        #expect(try await ids { $0.outcome = .running(since: now) } == ["c"])
        #expect(try await ids { $0.outcome = .unknown(before: now) } == [])
        let calls = try await scratch.store.read { connection, account in
            try ToolCallTable.list(limit: 10, account: account, on: connection)
        }
        #expect(calls[0].end == nil && calls[0].outcome == .running)
        #expect(calls[1].end?.resultBytes == 3 && calls[1].reason == "no")
        #expect(calls[2].outcome == .succeeded && calls[2].arguments == ["b": 1, "a": "[x]"])
        #expect(calls[2].end?.duration == .microseconds(1_234_567))
        #expect(calls[2].end?.resultBytes == 12 && calls[2].end?.resultDigest == [5])
        #expect(calls[2].policyVersion == .max && calls[2].approvalID == "a")
    }

    @Test(arguments: Engine.all)
    func `what was recorded before there was an audit can be read and grows old`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let start = Self.start
        try await scratch.store.write { connection, account in
            for (id, end) in [("a", start), ("b", nil)] as [(String, Timestamp?)] {
                try connection.execute(
                    """
                    INSERT INTO tool_calls (account_id, id, tool, caller, channel,
                        arguments_digest, decision, outcome, started_at, ended_at, duration_us,
                        result_bytes)
                    VALUES (\(account), \(id), 'search', 'local:ann', 'stdio', \([1] as [UInt8]),
                        'allow', 'succeeded', \(start), \(end), \(end.map { _ in 5 }), 2)
                    """
                )
            }
        }
        let (calls, removed) = try await scratch.store.write { connection, account in
            let calls = try ToolCallTable.unchained(limit: 9, account: account, on: connection)
            let removed = try ToolCallTable.pruneUnchained(
                before: start.advanced(by: .seconds(1)),
                limit: 1,
                account: account,
                on: connection
            )
            return (calls, removed)
        }
        #expect(calls.map(\.call.id) == ["b", "a"] && removed == 1)
        #expect(calls[1].call.end?.duration == .microseconds(5) && calls[0].call.end == nil)
        #expect(calls.allSatisfy { !$0.isUnreadable })
    }

    /// One such row made every list of calls fail.
    @Test(arguments: Engine.all)
    func `a row of a newer version, or an altered one, hides no other`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        var (newer, altered) = (Self.event(.call, "a"), Self.full)
        (newer.decision, newer.outcome) = ("escalate", "postponed")
        (altered.argumentsDigest, altered.decision, altered.arguments) = (nil, nil, "{")
        try await Self.write([newer, altered, Self.event(.call, "c")], to: scratch.store)
        let entries = try await scratch.store.read { connection, account in
            try ToolCallTable.entries(
                ToolCallTable.Filter(),
                account: account,
                on: connection
            )
        }
        #expect(entries.map(\.call.id) == ["c", "full", "a"])
        #expect(entries.map(\.isUnreadable) == [false, true, true])
        #expect(entries[2].call.decision == .undecided && entries[2].call.outcome == .running)
        #expect(entries[2].otherDecision == "escalate" && entries[2].otherOutcome == "postponed")
        #expect(entries[1].call.arguments == nil && entries[1].call.argumentsDigest == [])
        #expect(entries[1].call.reason == "wëil\n" && entries[1].findings == "[]")
    }
}
