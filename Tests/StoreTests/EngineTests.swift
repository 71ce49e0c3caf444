import Domain
import Glibc
import Store
import StoreTestSupport
import Testing

/// What every engine must do; a new engine adds a case to ``Engine``.
struct EngineTests {
    @Test(arguments: Engine.all)
    func `values come back as they were bound`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let row = try await scratch.store.read { connection, _ in
            try connection.rows(
                """
                SELECT \(Int64.min) AS low, \(1.5) AS fraction,
                    \("d\u{e9}\u{65e5}\u{1F600}") AS text,
                    \([0, 255, 10] as [UInt8]) AS bytes, \(true) AS flag, \(Int64?.none) AS absent,
                    \(Timestamp(milliseconds: -5)) AS instant,
                    \(["a": [1, nil, "x"]] as JSONValue) AS document
                """
            )
        }.first
        let values = try #require(row)
        #expect(try values.integer("low") == .min)
        #expect(try values.double("fraction") == 1.5)
        #expect(try values.text("text") == "d\u{e9}\u{65e5}\u{1F600}")
        #expect(try values.blob("bytes") == [0, 255, 10])
        #expect(try values.bool("flag"))
        #expect(try values.optionalInteger("absent") == nil)
        #expect(try values.timestamp("instant") == Timestamp(milliseconds: -5))
        #expect(try values.json("document") == ["a": [1, nil, "x"]])
        #expect(throws: StoreError.unexpectedValue(column: "missing")) {
            try values.text("missing")
        }
        #expect(throws: StoreError.unexpectedValue(column: "absent")) {
            try values.integer("absent")
        }
    }

    @Test(arguments: Engine.all)
    func `NUL in a text is replaced and cuts nothing off`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let rows = try await scratch.store.read { connection, _ in
            try connection.rows("SELECT \("a\0b") AS text")
        }
        #expect(try rows.first?.text("text") == "a\u{FFFD}b")
    }

    @Test(arguments: Engine.all)
    func `a throw undoes the whole transaction`(engine: Engine) async throws {
        let scratch = try await engine.store()
        struct Stop: Error {}
        await #expect(throws: Stop.self) {
            try await scratch.store.write { connection, account in
                _ = try AccountTable.nextRevisions(5, account: account, on: connection)
                throw Stop()
            }
        }
        let revision = try await scratch.store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
        #expect(revision == .zero)
    }

    @Test(arguments: Engine.all)
    func `an error names the rule that was broken but not the values`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let error = await #expect(throws: StoreError.self) {
            try await scratch.store.write { connection, _ in
                let statement: SQL = """
                    INSERT INTO accounts (id, name, created_at)
                    VALUES (\(7), \("hunter2"), \(Timestamp(milliseconds: 0)))
                    """
                try connection.execute(statement)
                try connection.execute(statement)
            }
        }
        guard case .constraint(let detail) = error else {
            Issue.record("not a constraint error: \(String(describing: error))")
            return
        }
        #expect(!detail.contains("hunter2"))
    }

    @Test(arguments: Engine.all)
    func `revisions and identifiers are drawn once, in order`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let drawn = try await scratch.store.write { connection, account in
            let first = try AccountTable.nextRevisions(3, account: account, on: connection)
            let second = try AccountTable.nextRevisions(1, account: account, on: connection)
            let none = try AccountTable.nextRevisions(0, account: account, on: connection)
            return (first + second + none).map(\.rawValue)
        }
        #expect(drawn == [1, 2, 3, 4])
        let ids: [IssueID] = try await scratch.store.write { connection, account in
            let first: [IssueID] = try AccountTable.nextIDs(2, account: account, on: connection)
            let other: [CommentID] = try AccountTable.nextIDs(2, account: account, on: connection)
            #expect(other.map(\.rawValue) == [3, 4])
            return first
        }
        #expect(ids.map(\.rawValue) == [1, 2])
    }

    @Test(arguments: Engine.all)
    func `the change token moves when another connection commits`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let database = scratch.store.database
        // A listener that has just begun to listen counts that as a sign.
        var before = try await database.changeToken()
        while try await database.waitForChange(after: before, atMost: .milliseconds(300)) {
            let token = try await database.changeToken()
            if token == before { break }
            before = token
        }
        try await scratch.store.write { connection, account in
            _ = try AccountTable.nextRevisions(1, account: account, on: connection)
        }
        for _ in 0..<20 where try await database.changeToken() == before {
            _ = try await database.waitForChange(after: before, atMost: .milliseconds(300))
        }
        #expect(try await database.changeToken() != before)
    }

    @Test func `a cancelled task hears that, not that the store refuses`() async throws {
        let scratch = try await Engine.sqlite.store()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await scratch.store.database.changeToken()
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test(arguments: Engine.all)
    func `more binds than the engine takes are refused, not trapped`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let many = (0..<40_000).map { SQL("\(Int64($0))") }
        await #expect(throws: StoreError.self) {
            try await scratch.store.read { connection, _ in
                try connection.rows("SELECT 1 AS one WHERE 1 IN (\(many))")
            }
        }
        let some = Array(many.prefix(30_000))
        let rows = try await scratch.store.read { connection, _ in
            try connection.rows("SELECT 1 AS one WHERE 1 IN (\(some))")
        }
        #expect(rows.count == 1)
    }
}
