import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// What the audit keeps of calls, on both engines.
struct AuditTests {
    /// Later than now: nothing of it is old enough to be removed.
    static let start = Timestamp(milliseconds: 2_000_000_000_000)

    static func call(_ id: String, _ arguments: JSONValue = [:]) -> ToolCallTable.Call {
        var call = ToolCallTable.Call(
            id: id,
            tool: "search",
            caller: "local:ann",
            channel: "stdio",
            argumentsDigest: [1, 2, 3],
            startedAt: start
        )
        call.decision = .allow
        call.arguments = arguments
        return call
    }

    static let end = ToolCallTable.End(
        endedAt: start.advanced(by: .seconds(1)),
        duration: .milliseconds(12),
        resultBytes: 3
    )

    private static func verify(_ store: Store) async throws -> AuditLog.Report {
        let keys = try AuditKeys.testing(store.account)
        return try await AuditLog(store: store, key: keys.publicKey).verify()
    }

    @Test(arguments: Engine.all)
    func `a call is two events, without the secrets in its arguments`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let journal = StoreJournal(store: store, keys: keys)
        let secret = "ghp_" + String(repeating: "a1", count: 18)
        var call = Self.call("a", ["text": .string("use \(secret) \u{0}"), "password": "hunter2"])
        call.reason = "for ann@example.org"
        call.tool = "search \(secret)"
        try await journal.begin(call)
        var end = Self.end
        end.resultDigest = [9]
        try await journal.complete("a", .succeeded, end)
        let log = AuditLog(store: store, key: keys.publicKey)
        let rows = try await log.events(after: 0, limit: 10)
        #expect(rows.map { $0.event?.kind } == ["call", "completed"])
        #expect(rows.map { $0.event?.caller } == ["local:ann", "local:ann"])
        let text = rows.map { $0.json.serializedText() }.joined()
        for leak in [secret, "hunter2", "ann@example.org", "01020309"] {
            #expect(!text.contains(leak), "\(leak)")
        }
        #expect(rows[0].event?.findings?.contains("/password") == true)
        #expect(rows[0].event?.argumentsDigest?.count == 32)
        #expect(rows[1].event?.resultDigest?.count == 32)
        let entry = try #require(try await log.calls(ToolCallTable.Filter()).first)
        #expect(entry.call.outcome == .succeeded && entry.call.end?.duration == .milliseconds(12))
        let json = entry.json(at: Self.start)
        #expect(json["redacted"]?.array?.count == 2 && json["duration_ms"]?.double == 12)
        #expect(try await log.verify().isSound)
    }

    @Test func `long arguments are kept in short`() {
        let long = String(repeating: "x", count: 100_000)
        let text = AuditArguments.text(of: ["a": .string(long), "b": 1])
        #expect(
            text.utf8.count < 1_000 && text.contains("[100000 bytes]") && text.contains("\"b\":1")
        )
        let many = AuditArguments.text(of: .array((0..<9_000).map { .string("item \($0)") }))
        #expect(many.hasPrefix(#"{"[cut]":"#))
    }

    /// A rule on what was cut away was counted as decided.
    @Test func `it is known of arguments on record whether they are all there was`() throws {
        let long = JSONValue.string(String(repeating: "x", count: 100_000))
        let many = JSONValue.array((0..<9_000).map { .string("item \($0)") })
        for cut in [["a": ["b": long]], ["a": many], ["a": "[redacted:email:0"]] as [JSONValue] {
            let kept = try JSONParser.parse(AuditArguments.text(of: cut))
            #expect(!RecordedArguments.areWhole(kept))
        }
        let plain: JSONValue = ["a": [1, nil, "… 5 bytes]"], "[cut]": 1, "b": "[5 bytes]"]
        #expect(RecordedArguments.areWhole(plain))
    }

    @Test(arguments: Engine.all)
    func `sixteen writers make one chain without gaps`(_ engine: Engine) async throws {
        let scratch = try await engine.store()
        let keys = try AuditKeys.testing(scratch.store.account)
        try await withThrowingTaskGroup { group in
            for writer in 0..<4 {
                // As four processes, each with four callers.
                let store = try await Store.open(scratch.database.connect())
                let journal = StoreJournal(store: store, keys: keys)
                for caller in 0..<4 {
                    group.addTask {
                        for number in 0..<20 {
                            let id = "\(writer)-\(caller)-\(number)"
                            try await journal.begin(Self.call(id))
                            try await journal.complete(id, .succeeded, Self.end)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let report = try await Self.verify(scratch.store)
        #expect(report.faults.isEmpty)
        #expect(report.count == 640 && report.range == 1...640)
    }

    @Test(arguments: Engine.all)
    func `a call that was killed between begin and end is running, then unknown`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let keys = try AuditKeys.testing(scratch.store.account)
        let journal = StoreJournal(store: scratch.store, keys: keys)
        for id in ["done", "lost"] { try await journal.begin(Self.call(id)) }
        try await journal.complete("done", .failed, Self.end)
        // Another process looks.
        let log = AuditLog(
            store: try await Store.open(scratch.database.connect()),
            key: keys.publicKey
        )
        func found(_ word: String, after seconds: Int) async throws -> [String] {
            var filter = ToolCallTable.Filter()
            let now = Self.start.advanced(by: .seconds(seconds))
            filter.outcome = AuditLog.ending(word, at: now)
            return try await log.calls(filter).map { "\($0.call.id) \($0.outcome(at: now))" }
        }
        #expect(try await found("running", after: 60) == ["lost running"])
        #expect(try await found("unknown", after: 60) == [])
        #expect(try await found("running", after: 3_600) == [])
        #expect(try await found("unknown", after: 3_600) == ["lost unknown"])
        #expect(try await found("failed", after: 3_600) == ["done failed"])
        #expect(AuditLog.ending("nonsense", at: Self.start) == nil)
    }

    @Test(arguments: Engine.all)
    func `what was too old is cut off behind a checkpoint, and not unseen`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let writer = AuditWriter(keys, markInterval: 5)
        func append(_ count: Int, days: Int) async throws {
            try await store.write { connection, account in
                var event = AuditTable.Event(
                    .call,
                    at: Self.start.advanced(by: .seconds(86_400 * days)),
                    caller: "ann"
                )
                event.callID = "x"
                let events = Array(repeating: event, count: count)
                try writer.append(events, at: Self.start, account: account, on: connection)
            }
        }
        func cut(days: Int, limit: Int) async throws -> Int {
            try await store.write { connection, account in
                try writer.cut(
                    before: Self.start.advanced(by: .seconds(86_400 * days)),
                    limit: limit,
                    at: Self.start,
                    account: account,
                    on: connection
                )
            }
        }
        try await append(12, days: 0)
        try await append(12, days: 10)
        #expect(try await cut(days: -1, limit: 100) == 0)
        #expect(try await cut(days: 5, limit: 7) == 7)
        #expect(try await cut(days: 5, limit: 7) == 5)
        #expect(try await cut(days: 5, limit: 7) == 0)
        let report = try await Self.verify(store)
        #expect(report.isSound && report.removedThrough == 12 && report.range == 13...24)
        // Of what is not sound there is a trace when it has gone.
        _ = try await store.write { connection, account in
            try connection.execute(
                """
                UPDATE audit_events SET caller = 'eve'
                WHERE account_id = \(account) AND sequence = 15
                """
            )
        }
        // The last event is never removed.
        #expect(try await cut(days: 20, limit: 100) == 11)
        let rows = try await AuditLog(store: store, key: keys.publicKey).events(after: 0, limit: 9)
        #expect(rows.map { $0.event?.kind } == ["call", "doubt"])
        #expect(rows[1].event?.reason?.contains("event 15") == true)
        #expect(try await Self.verify(store).faults.map(\.kind) == [.unproven])
    }

    @Test(arguments: Engine.all)
    func `an end that was tampered with is told of in the chain itself`(
        _ engine: Engine
    ) async throws {
        for tampering in [
            "DELETE FROM audit_events WHERE sequence > 3",
            "DELETE FROM audit_events",
            "DELETE FROM audit_chains",
            "UPDATE audit_chains SET sequence = 3",
            "UPDATE audit_chains SET sequence = 900",
            "UPDATE audit_chains SET key_id = 'other'",
            "UPDATE audit_events SET hash = arguments_digest WHERE sequence = 5",
        ] {
            let store = try await engine.store().store
            let keys = try AuditKeys.testing(store.account)
            func append(_ id: String) async throws {
                // As a process that has just begun.
                let journal = StoreJournal(store: store, keys: keys)
                try await journal.begin(Self.call(id))
            }
            for number in 0..<5 { try await append("\(number)") }
            _ = try await store.write { connection, _ in
                try connection.execute(SQL(stringLiteral: tampering))
            }
            #expect(try await !Self.verify(store).isSound, "\(tampering)")
            for number in 0..<2 { try await append("after \(number)") }
            let report = try await Self.verify(store)
            #expect(report.faults.contains { $0.kind == .unproven }, "\(tampering)")
            let told: [AuditFault.Kind] = [.unproven, .missing, .altered]
            #expect(report.faults.allSatisfy { told.contains($0.kind) })
        }
    }

    /// Somebody who removes all that tells of the end forgets the marks.
    @Test(arguments: Engine.all)
    func `where only marks are left, the chain goes on behind them with a doubt`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        func append(_ count: Int) async throws {
            try await store.write { connection, account in
                let event = AuditTable.Event(.call, at: Self.start, caller: "ann")
                try AuditWriter(keys, markInterval: 5).append(
                    Array(repeating: event, count: count),
                    at: Self.start,
                    account: account,
                    on: connection
                )
            }
        }
        try await append(12)
        _ = try await store.write { connection, _ in
            try connection.execute("DELETE FROM audit_events")
            try connection.execute("DELETE FROM audit_chains")
        }
        #expect(try await Self.verify(store).faults.map(\.kind) == [.missing])
        try await append(1)
        let report = try await Self.verify(store)
        // Numbers that were signed are not used again.
        #expect(report.range == 11...12)
        #expect(report.faults.map(\.kind) == [.missing, .unproven], "\(report.faults)")
    }

    @Test(arguments: Engine.all)
    func `what is removed for its age is compared with its marks`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let writer = AuditWriter(keys, markInterval: 5)
        let event = AuditTable.Event(.call, at: Self.start, caller: "ann")
        try await store.write { connection, account in
            let events = Array(repeating: event, count: 20)
            try writer.append(events, at: Self.start, account: account, on: connection)
        }
        // Everything is made anew from the third event on, but for the signatures.
        try await store.write { connection, account in
            let rows = try AuditTable.rows(after: 0, limit: 20, account: account, on: connection)
            var chain = AuditChain(account: account)
            for row in rows {
                var changed = event
                if row.sequence == 3 { changed.caller = "eve" }
                let hash = chain.append(changed.entry(account: account, sequence: row.sequence))
                try connection.execute(
                    """
                    UPDATE audit_events SET caller = \(changed.caller), hash = \(hash)
                    WHERE account_id = \(account) AND sequence = \(row.sequence)
                    """
                )
            }
        }
        let later = Self.start.advanced(by: .seconds(86_400))
        _ = try await store.write { connection, account in
            try writer.cut(
                before: later,
                limit: 10,
                at: later,
                account: account,
                on: connection
            )
        }
        let last = try await AuditLog(store: store, key: keys.publicKey)
            .events(after: 20, limit: 9)
        // Of the end, which is not what was signed either, and of what was removed.
        #expect(last.map { $0.event?.kind } == ["doubt", "doubt"])
        #expect(last.last?.event?.reason?.contains("event 1 to 5") == true, "\(last)")
    }

    @Test(arguments: Engine.all)
    func `another key goes on with the chain, and the chain says so`(
        _ engine: Engine
    ) async throws {
        let store = try await engine.store().store
        try await StoreJournal(store: store, keys: .testing(store.account)).begin(Self.call("a"))
        let other = try AuditKeys.testing(store.account, key: "8")
        let log = AuditLog(store: store, key: other.publicKey)
        #expect(try await log.verify().faults.map(\.kind) == [.endForged])
        try await StoreJournal(store: store, keys: other).begin(Self.call("b"))
        #expect(try await log.verify().faults.map(\.kind) == [.unproven])
    }

    @Test func `a copy is as good as what it was made of, on the other engine too`() async throws {
        for (source, target) in [
            (Engine.sqlite, Engine.all.last ?? .sqlite), (Engine.all.last ?? .sqlite, .sqlite),
        ] {
            let scratch = try await source.store()
            let store = scratch.store
            let keys = try AuditKeys.testing(store.account)
            let journal = StoreJournal(store: store, keys: keys)
            for number in 0..<20 {
                try await journal.begin(
                    Self.call("\(number)", ["ü": .string("é\u{301}\n\(number)"), "n": 1.5])
                )
                try await journal.complete("\(number)", .succeeded, Self.end)
            }
            let empty = try target.database()
            let database = try empty.connect()
            _ = try await DatabaseArchive.copy(
                scratch.database.connect(),
                into: database,
                replacing: false
            )
            let copy = try await Store.open(database)
            let report = try await AuditLog(store: copy, key: keys.publicKey).verify()
            #expect(report.isSound && report.count == 40)
            #expect(report == (try await Self.verify(store)))
            try await StoreJournal(store: copy, keys: keys).begin(Self.call("next"))
            #expect(try await AuditLog(store: copy, key: keys.publicKey).verify().isSound)
            // With what was noted before, an older copy in its place is found out.
            let now = try await AuditLog(store: copy, key: keys.publicKey).verify()
            let anchor = try #require(now.end?.checkpoint.point)
            #expect(AuditChain.Point(parsing: anchor.text) == anchor)
            let older = AuditLog(store: store, key: keys.publicKey)
            #expect(try await older.verify(anchor: anchor).faults.map(\.kind) == [.missing])
        }
    }

    @Test(arguments: Engine.all)
    func `an export ends with the signed end of what it has`(_ engine: Engine) async throws {
        let store = try await engine.store().store
        let keys = try AuditKeys.testing(store.account)
        let journal = StoreJournal(store: store, keys: keys)
        for number in 0..<3 { try await journal.begin(Self.call("\(number)")) }
        var documents: [JSONValue] = []
        try await AuditLog(store: store, key: keys.publicKey).export { documents.append($0) }
        #expect(documents.map { $0["type"] } == ["audit", "event", "event", "event", "checkpoint"])
        #expect(documents[0]["public_key"]?.string?.utf8.count == 64)
        #expect(documents[3]["hash"] == documents[4]["hash"] && documents[4]["kind"] == "head")
    }
}

struct FailingAuditTests {
    @Test(arguments: Engine.all)
    func `without its record no call runs, and one that has run is not lost`(
        _ engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let database = FailingDatabase(try scratch.database.connect())
        let store = try await Store.open(database)
        let keys = try AuditKeys.testing(store.account)
        let ran = Atomic(0)
        let tool = FakeTool(body: { arguments, _ in
            ran.add(1, ordering: .relaxed)
            if arguments.text("text") == "break" {
                database.isFailing = true
            }
            return ["said": "so"]
        })
        let calls = GuardedCall(
            tools: ToolSet([tool]),
            policy: FakePolicy(),
            journal: StoreJournal(store: store, keys: keys)
        )
        func run(_ text: String) async throws -> ToolResult {
            var arguments = JSONObject()
            arguments.append(key: "text", value: .string(text))
            return try await calls.run(
                GuardedCall.Request(tool: "fake", arguments: arguments),
                by: caller
            )
        }
        database.isFailing = true
        let refused = try await run("a")
        #expect(refused.isError && refused.text.contains("did not run"))
        #expect(ran.load(ordering: .relaxed) == 0)
        database.isFailing = false
        // It has run when the record of its end fails: its caller gets what it gave.
        #expect(try await run("break").structured == ["said": "so"])
        database.isFailing = false
        #expect(try await run("b").structured == ["said": "so"])
        let log = AuditLog(store: store, key: keys.publicKey)
        #expect(
            try await log.calls(ToolCallTable.Filter()).map(\.call.outcome) == [
                .succeeded, .running,
            ]
        )
        #expect(try await log.verify().isSound)
    }
}
