import Domain
import Foundation
import StoreTestSupport
import Synchronization
import Testing

@testable import Store

/// What only the PostgreSQL engine has to do: sessions, limits, servers that die.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresTests {
    /// How often a transaction's closure has run.
    private final class Counter: Sendable {
        private let value = Mutex(0)
        func next() -> Int {
            value.withLock { value in
                value += 1
                return value
            }
        }
        var count: Int { value.withLock { $0 } }
    }

    private static let suicide: SQL = "SELECT pg_terminate_backend(pg_backend_pid()) AS killed"

    private func accounts(_ database: any Database) async throws -> Int64? {
        try await database.read { connection in
            try connection.rows("SELECT COUNT(*) AS n FROM accounts").first?.integer("n")
        }
    }

    private static func insert(_ id: Int, on connection: any SQLConnection) throws {
        try connection.execute(
            """
            INSERT INTO accounts (id, name, created_at)
            VALUES (\(id), \("account \(id)"), \(Timestamp(milliseconds: 0)))
            """
        )
    }

    // MARK: Sessions

    @Test func `a write whose session is killed runs again and takes effect once`() async throws {
        let scratch = try await Engine.postgres.store()
        let counter = Counter()
        try await scratch.store.write { connection, _ in
            try Self.insert(7, on: connection)
            if counter.next() == 1 { _ = try connection.rows(Self.suicide) }
        }
        #expect(counter.count == 2)
        #expect(try await accounts(scratch.store.database) == 2)
    }

    /// A pooler that keeps statements knows nothing of `DEALLOCATE`: the name was unknown, and the
    /// whole program went on without names.
    @Test func `a connection of too many names is left for a new one`() async throws {
        let scratch = try Engine.postgres.database()
        var configuration = PostgresConfiguration(address: Secret(scratch.address))
        configuration.maximumConnections = 1
        let store = try await Store.open(PostgresDatabase(configuration))
        let counter = Counter()
        let session: @Sendable () async throws -> (names: Int64?, process: Int64?) = {
            try await store.read { connection, _ in
                _ = counter.next()
                let row = try connection.rows(
                    """
                    SELECT count(*) AS n, pg_backend_pid() AS pid FROM pg_prepared_statements
                    WHERE statement LIKE 'SELECT % AS many'
                    """
                ).first
                return (try row?.integer("n"), try row?.integer("pid"))
            }
        }
        let before = try await session()
        // The second time each gets a name.
        try await store.read { connection, _ in
            for number in Array(0...PostgresStatements.limit) + Array(0...PostgresStatements.limit)
            {
                _ = try connection.rows("SELECT \(number: number) AS many")
            }
        }
        let after = try await session()
        #expect(after.names == 0 && after.process != before.process)
        // Nothing was tried again on the way.
        #expect(counter.count == 2)
        try await store.database.close()
    }

    @Test func `a read whose session is killed runs again`() async throws {
        let scratch = try await Engine.postgres.store()
        let counter = Counter()
        let number = try await scratch.store.read { connection, _ in
            if counter.next() < 3 { _ = try connection.rows(Self.suicide) }
            return try connection.rows("SELECT 5 AS n").first?.integer("n")
        }
        #expect(number == 5)
        #expect(counter.count == 3)
    }

    /// The trigger fires within COMMIT, before anything is decided; only the first time, for a
    /// sequence is not rolled back.
    @Test func `a session killed within COMMIT leaves nothing or everything`() async throws {
        let scratch = try await Engine.postgres.store()
        try await scratch.store.database.write { connection in
            try connection.execute(batch: [
                "CREATE SEQUENCE kills",
                """
                CREATE FUNCTION kill_once() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF nextval('kills') = 1 THEN
                        PERFORM pg_terminate_backend(pg_backend_pid());
                    END IF;
                    RETURN NULL;
                END $$
                """,
                """
                CREATE CONSTRAINT TRIGGER killing AFTER INSERT ON accounts
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION kill_once()
                """,
            ])
        }
        let counter = Counter()
        try await scratch.store.write { connection, _ in
            _ = counter.next()
            try Self.insert(7, on: connection)
        }
        #expect(counter.count == 2)
        #expect(try await accounts(scratch.store.database) == 2)
    }

    /// The client cannot know whether the lost COMMIT took place; the server can.
    ///
    /// Without asking it the row would be inserted twice, and the second time refused.
    @Test(arguments: [false, true])
    func `a commit whose answer is lost is neither repeated nor given up`(
        isCommitted: Bool
    ) async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        let counter = Counter()
        _ = try await accounts(database)
        _ = try await proxy.silence()
        proxy.cut(isCommitted ? .answerToCommit : .commit)
        try await database.write { connection in
            _ = counter.next()
            try Self.insert(7, on: connection)
        }
        #expect(proxy.cutCount == 1)
        #expect(counter.count == (isCommitted ? 1 : 2))
        #expect(try await accounts(database) == 2)
    }

    /// A server or pooler that says nothing for long, and commits after all.
    ///
    /// Time that was up counted as a transaction that did not take place: it ran a second time.
    @Test func `a commit that comes when nobody waits any more is not repeated`() async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        var configuration = PostgresConfiguration(address: Secret(proxy.address))
        // The server is patient for ten seconds, the client for half of one.
        configuration.statementTimeout = .seconds(10)
        configuration.graceTime = .milliseconds(500) - configuration.statementTimeout
        let database = PostgresDatabase(configuration)
        let counter = Counter()
        // The first write finds the table for marks; the third would say COMMIT by a name.
        try await database.write { connection in try Self.insert(6, on: connection) }
        proxy.cut(.lateCommit(after: .milliseconds(1_500)))
        try await database.write { connection in
            _ = counter.next()
            try Self.insert(7, on: connection)
        }
        #expect(proxy.cutCount == 1)
        #expect(counter.count == 1)
        #expect(try await accounts(database) == 3)
    }

    @Test func `what a transaction has become is told by its mark`() async throws {
        let scratch = try await Engine.postgres.store()
        let configuration = PostgresConfiguration(address: Secret(scratch.database.address))
        func connect() throws -> PostgresConnection {
            try PostgresConnection(configuration, usesNames: true, interrupt: nil)
        }
        let (writer, asker, marks) = (try connect(), try connect(), PostgresMarks())
        var tokens: [PostgresConnection.Token] = []
        for number in 7..<10 {
            writer.begin(writing: true, interrupt: nil, marks: marks)
            try Self.insert(number, on: writer)
            tokens.append(try #require(writer.token))
            switch number {
            case 7: try writer.commit()
            case 8: writer.rollback()
            default:
                #expect(try asker.fate(of: tokens[2]) == .undecided)
                try writer.commit()
            }
        }
        // Before the first nobody has seen yet that there is a table; a program reads first.
        #expect(tokens.map { $0.mark?.number } == [nil, 1, 2])
        #expect(try asker.fate(of: tokens[0]) == .committed)
        #expect(try asker.fate(of: tokens[1]) == .aborted)
        #expect(try asker.fate(of: tokens[2]) == .committed)
        // As after a crash: neither number nor row is known.
        let lost = PostgresConnection.Token(number: "4000000000000", mark: nil)
        #expect(try asker.fate(of: lost) == .aborted)
        let other = TransactionMarkTable.Mark(session: "somebody's", number: 5)
        let token = PostgresConnection.Token(number: tokens[2].number, mark: other)
        #expect(try asker.fate(of: token) == .aborted)
    }

    @Test func `a table of marks that vanishes is done without`() async throws {
        let scratch = try await Engine.postgres.store()
        let database = scratch.store.database
        try await database.write { connection in
            _ = try connection.execute("DROP TABLE transaction_marks")
        }
        for number in 7..<10 {
            try await database.write { connection in try Self.insert(number, on: connection) }
        }
        #expect(try await accounts(database) == 4)
        // Whoever starts next makes it again.
        let again = try await Store.open(scratch.database.connect())
        let marks = try await again.write { connection, _ in
            try connection.rows("SELECT COUNT(*) AS n FROM transaction_marks").first?.integer("n")
        }
        #expect(marks == 1)
    }

    /// Installations of two roles in one database see each other's tables by way of `public`.
    @Test func `a table of marks in another schema is not ours`() async throws {
        let (scratch, other) = (try Engine.postgres.database(), try Engine.postgres.database())
        _ = try await Store.open(scratch.connect())
        let address = other.address
        func schemaName(_ address: String) throws -> Substring {
            try #require(address.split(separator: "search_path%3D").last?.prefix(33))
        }
        let (schema, first) = (try schemaName(address), try schemaName(scratch.address))
        let both = address.replacing(schema, with: "\(schema)%2C\(first)", maxReplacements: 1)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(both)))
        let isThere = try await database.read { connection in
            try TransactionMarkTable.exists(on: connection)
        }
        #expect(!isThere)
        let store = try await Store.open(database)
        for number in 7..<9 {
            try await store.database.write { connection in
                try Self.insert(number, on: connection)
            }
        }
        #expect(try await accounts(database) == 3)
        try await database.close()
    }

    /// A session keeps what it was begun with, and was lent out again and again.
    @Test func `a session that was begun read-only is not used any more`() async throws {
        let scratch = try await Engine.postgres.store()
        var configuration = PostgresConfiguration(address: Secret(scratch.database.address))
        configuration.maximumConnections = 1
        let database = PostgresDatabase(configuration)
        try await database.write { connection in
            _ = try connection.execute("SET default_transaction_read_only = on")
        }
        await #expect(throws: StoreError.readOnly) {
            try await database.write { connection in try Self.insert(7, on: connection) }
        }
        try await database.write { connection in try Self.insert(7, on: connection) }
        #expect(try await accounts(database) == 2)
        try await database.close()
    }

    @Test func `a transaction takes a round trip for its statement and one for its end`()
        async throws
    {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        try await database.write { _ in }
        var before = try await proxy.silence()
        _ = try await database.read { try $0.rows("SELECT 1 AS n") }
        // Whoever reads does not wait for the end.
        for _ in 0..<500 where proxy.sendingCount - before < 2 {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(proxy.sendingCount - before == 2)
        before = proxy.sendingCount
        try await database.write { connection in try Self.insert(7, on: connection) }
        #expect(proxy.sendingCount - before == 2)
        #expect(try await accounts(database) == 2)
    }

    /// What is wrong with the first statement is found before anything is sent, BEGIN included.
    @Test func `nothing is written by a body that goes on after its first failure`() async throws {
        let scratch = try await Engine.postgres.store()
        let many = (0...PostgresConnection.maximumBinds).map { SQL("\($0)") }
        await #expect(throws: StoreError.self) {
            try await scratch.store.database.write { connection in
                // Swallowed as no body should.
                _ = try? connection.rows("SELECT 1 AS n WHERE 1 IN (\(many))")
                try Self.insert(7, on: connection)
            }
        }
        #expect(try await accounts(scratch.store.database) == 1)
    }

    @Test func `connections cut at any moment lose and double nothing`() async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        _ = try await accounts(database)
        try await withThrowingTaskGroup { group in
            for writer in 0..<4 {
                group.addTask {
                    for number in 0..<25 {
                        try await database.write { connection in
                            try Self.insert(100 + writer * 25 + number, on: connection)
                        }
                        proxy.cutAll()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(proxy.cutCount >= 25)
        #expect(try await accounts(scratch.store.database) == 101)
    }

    /// As behind a pooler that gives every transaction another session.
    @Test func `statements whose names are gone run without names`() async throws {
        let scratch = try await Engine.postgres.store()
        let statement: SQL = "SELECT \(Int64(3)) AS n"
        for round in 0..<6 {
            let number = try await scratch.store.read { connection, _ in
                let number = try connection.rows(statement).first?.integer("n")
                if round == 3 { try connection.execute("DEALLOCATE ALL") }
                return number
            }
            #expect(number == 3)
        }
    }

    @Test func `no more connections are made than allowed`() async throws {
        let database = try Engine.postgres.database().connect { $0.maximumConnections = 2 }
        let processes = try await withThrowingTaskGroup { group in
            for _ in 0..<12 {
                group.addTask {
                    try await database.read { connection in
                        try connection.rows(
                            "SELECT pg_backend_pid() AS pid, pg_sleep(0.01) AS slept"
                        ).first?.integer("pid")
                    }
                }
            }
            return try await group.reduce(into: Set<Int64?>()) { $0.insert($1) }
        }
        #expect(processes.count == 2)
    }

    @Test func `after closing nothing is served and waiters are told`() async throws {
        let database = try Engine.postgres.database().connect()
        _ = try await database.read { try $0.rows("SELECT 1 AS n") }
        try await database.close()
        await #expect(throws: StoreError.unavailable(detail: "the store is closed")) {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
    }

    // MARK: Limits

    @Test func `a statement that takes too long is ended`() async throws {
        let database = try Engine.postgres.database().connect {
            $0.statementTimeout = .milliseconds(50)
        }
        await #expect(throws: StoreError.timedOut) {
            try await database.read { try $0.rows("SELECT pg_sleep(30) AS slept") }
        }
        #expect(StoreError.timedOut.isRetryable)
    }

    @Test func `a writer that waits too long for another one is told`() async throws {
        let scratch = try await Engine.postgres.store()
        let account = scratch.store.account
        let impatient = try scratch.database.connect { $0.lockTimeout = .milliseconds(50) }
        try await scratch.store.write { connection, account in
            _ = try AccountTable.nextRevisions(1, account: account, on: connection)
            let finished = DispatchSemaphore(value: 0)
            let outcome = Mutex<StoreError?>(nil)
            let task = Task {
                do {
                    try await impatient.write { connection in
                        try AccountTable.lockFeed(of: account, on: connection)
                    }
                } catch let error as StoreError {
                    outcome.withLock { $0 = error }
                }
                finished.signal()
            }
            // This closure has a thread of its own.
            finished.wait()
            task.cancel()
            #expect(outcome.withLock { $0 } == .busy)
        }
        _ = account
    }

    @Test func `a cancelled statement ends at once and spares the session`() async throws {
        let database = try Engine.postgres.database().connect { $0.maximumConnections = 1 }
        let before = try await database.read {
            try $0.rows("SELECT pg_backend_pid() AS pid").first?.integer("pid")
        }
        let task = Task {
            try await database.write { try $0.rows("SELECT pg_sleep(60) AS slept") }
        }
        // Only a statement that has begun can be cancelled.
        let other = try Engine.postgres.database().connect()
        while try await !isActive(before, to: other) { await Task.yield() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        let after = try await database.read {
            try $0.rows("SELECT pg_backend_pid() AS pid").first?.integer("pid")
        }
        #expect(before == after)
    }

    private func isActive(_ process: Int64?, to database: any Database) async throws -> Bool {
        try await database.read { connection in
            try !connection.rows(
                """
                SELECT pid FROM pg_stat_activity
                WHERE pid = \(process ?? 0) AND state = 'active'
                """
            ).isEmpty
        }
    }

    @Test func `a batch larger than every buffer passes`() async throws {
        let scratch = try await Engine.postgres.store()
        let filler = String(repeating: "x", count: 2_000)
        let statements = (0..<5_000).map { SQL("SELECT \($0) AS n, \(filler) AS filler") }
        try await scratch.store.write { connection, _ in
            try connection.execute(batch: statements)
        }
    }

    @Test func `a failure within a batch names its cause and undoes all of it`() async throws {
        let scratch = try await Engine.postgres.store()
        let error = await #expect(throws: StoreError.self) {
            try await scratch.store.write { connection, _ in
                try connection.execute(batch: [
                    "INSERT INTO accounts (id, name, created_at) VALUES (7, 'a', now())",
                    "INSERT INTO accounts (id, name, created_at) VALUES (7, 'b', now())",
                    "INSERT INTO accounts (id, name, created_at) VALUES (8, 'c', now())",
                ])
            }
        }
        guard case .constraint? = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(try await accounts(scratch.store.database) == 1)
    }

    // MARK: Values

    @Test func `texts and documents of trackers survive`() async throws {
        let scratch = try await Engine.postgres.store()
        let text = "a\0b\u{1F600}" + String(repeating: "\u{e9}", count: 1_000_000)
        let document: JSONValue = ["nul \0": ["x\0", 1.5, -7, true, nil], "empty": [:]]
        let row = try await scratch.store.read { connection, _ in
            try connection.rows("SELECT \(text) AS text, \(document) AS document").first
        }
        #expect(try row?.text("text") == sanitized(text))
        let stored = try row?.json("document")
        #expect(stored?["nul \u{FFFD}"] == ["x\u{FFFD}", 1.5, -7, true, nil])
    }

    @Test(arguments: [-62_135_596_800_000, -1, 0, 946_684_799_999, 253_402_300_799_999] as [Int64])
    func `instants keep their milliseconds`(milliseconds: Int64) async throws {
        let scratch = try Engine.postgres.database()
        let row = try await scratch.connect().read { connection in
            try connection.rows("SELECT \(Timestamp(milliseconds: milliseconds)) AS t").first
        }
        #expect(try row?.timestamp("t").milliseconds == milliseconds)
    }

    @Test func `the database's infinities are instants`() async throws {
        let scratch = try Engine.postgres.database()
        let row = try await scratch.connect().read { connection in
            try connection.rows(
                "SELECT '-infinity'::timestamptz AS first, 'infinity'::timestamptz AS last"
            ).first
        }
        let (first, last) = (try row?.timestamp("first"), try row?.timestamp("last"))
        #expect(try #require(first) < Timestamp(milliseconds: 0))
        #expect(try #require(last) > Timestamp(milliseconds: 0))
    }

    // MARK: Servers

    @Test func `an address that leads nowhere is reported at once, without its password`()
        async throws
    {
        for address in [
            "postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@[::1/x",
            "host=/nonexistent password=hunter2", "postgresql://u:hunter%2@localhost/x",
            "nonsense=hunter2", "host=127.0.0.1 port=1 password=a hunter2=b",
            "postgresql://u@company:hunter2@127.0.0.1:1/x", "postgresql://u:a@hunter2@127.0.0.1/x",
            "postgresql://u:a/hunter2@127.0.0.1/x", "postgresql://u:1/hunter2@127.0.0.1/x",
            "postgresql://u:hunter2@127.0.0.1:1/x?connect_timeout=9223372036854775807",
        ] {
            let database = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
            let error = await #expect(throws: StoreError.self) {
                try await database.read { try $0.rows("SELECT 1 AS n") }
            }
            #expect(!"\(String(describing: error))".contains("hunter"), "\(address)")
        }
    }

    @Test func `a read-only database says so`() async throws {
        let scratch = try Engine.postgres.database()
        let database = PostgresDatabase(
            PostgresConfiguration(
                address: Secret(
                    scratch.address.replacing(
                        "public",
                        with: "public%20-cdefault_transaction_read_only%3Don"
                    )
                )
            )
        )
        await #expect(throws: StoreError.readOnly) {
            try await database.write { try $0.execute("CREATE TABLE t (id BIGINT)") }
        }
    }

    @Test func `a listener that was cut listens again`() async throws {
        let scratch = try await Engine.postgres.store()
        let database = scratch.store.database
        var token = try await database.changeToken()
        _ = try await database.waitForChange(after: token, atMost: .seconds(10))
        token = try await database.changeToken()
        try await database.write { connection in
            _ = try connection.rows(
                """
                SELECT pg_terminate_backend(pid) AS killed FROM pg_stat_activity
                WHERE application_name = current_setting('application_name')
                    AND query LIKE 'LISTEN %' AND pid <> pg_backend_pid()
                """
            )
        }
        let watcher = ChangeWatcher(scratch.store, interval: .milliseconds(100))
        try await scratch.store.write { connection, account in
            _ = try AccountTable.nextRevisions(1, account: account, on: connection)
        }
        #expect(try await watcher.waitForChange(after: .zero) == Revision(1))
        // The loss and the new beginning count as signs.
        while try await database.changeToken() == token {
            _ = try await database.waitForChange(after: token, atMost: .milliseconds(100))
        }
    }
}
