import Domain
import Foundation
import StoreTestSupport
import Synchronization
import TestSupport
import Testing

@testable import Store

/// How the PostgreSQL engine gets over what poolers, networks and busy servers do to it.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresRecoveryTests {
    private static let suicide: SQL = "SELECT pg_terminate_backend(pg_backend_pid()) AS killed"

    /// Whoever waited for the answer would read a second time.
    @Test func `a read is over before its COMMIT is answered`() async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        let one: SQL = "SELECT 1 AS n"
        _ = try await database.read { connection in try connection.rows(one) }
        _ = try await proxy.silence()
        proxy.cut(.answerToCommit)
        let rounds = Mutex(0)
        _ = try await database.read { connection in
            rounds.withLock { $0 += 1 }
            return try connection.rows(one)
        }
        #expect(rounds.withLock { $0 } == 1)
        // Whoever comes next finds the connection gone, and makes another one.
        #expect(try await database.read { connection in try connection.rows(one).count } == 1)
        #expect(proxy.cutCount == 1)
    }

    // MARK: Names

    /// As behind a pooler whose other session knows BEGIN and not the statement that follows.
    ///
    /// The connection kept its names: the statement failed twelve times on it, and then for good.
    @Test func `a statement whose name is gone runs although BEGIN is known`() async throws {
        let scratch = try await Engine.postgres.store()
        let statement: SQL = "SELECT \(Int64(3)) AS forgotten"
        for round in 0..<6 {
            let number = try await scratch.store.read { connection, _ in
                let number = try connection.rows(statement).first?.integer("forgotten")
                if round == 3 {
                    try connection.execute(
                        """
                        DO $$
                        DECLARE forgotten_name TEXT;
                        BEGIN
                            FOR forgotten_name IN SELECT name FROM pg_prepared_statements
                                WHERE statement LIKE 'SELECT $1 AS forgotten'
                            LOOP
                                EXECUTE 'DEALLOCATE ' || quote_ident(forgotten_name);
                            END LOOP;
                        END $$
                        """
                    )
                }
                return number
            }
            #expect(number == 3)
        }
    }

    @Test func `texts that come once are forgotten, and no name is`() {
        var statements = PostgresStatements()
        let known = PostgresStatements.Key(text: "SELECT 1 AS n", kinds: [])
        #expect(statements.plan(known) == .unnamed)
        statements.didPrepare(known, name: "preloop_known")
        for number in 0..<PostgresStatements.limit * 4 {
            _ = statements.plan(PostgresStatements.Key(text: "SELECT \(number)", kinds: []))
            statements.forget()
        }
        #expect(statements.count <= PostgresStatements.limit + 1)
        #expect(statements.plan(known) == .prepared(name: "preloop_known"))
        #expect(!statements.areMany)
    }

    /// As behind a pooler whose session was another process's, whose names are the same.
    ///
    /// The connection counted as lost: the next one gave the same names, and met the same.
    @Test func `a read whose COMMIT is refused for its name leaves names alone`() async throws {
        let scratch = try await Engine.postgres.store()
        var configuration = PostgresConfiguration(address: Secret(scratch.database.address))
        configuration.maximumConnections = 1
        let database = PostgresDatabase(configuration)
        let name = try Self.name(of: "COMMIT")
        _ = try await database.read { connection in
            try connection.execute(SQL(stringLiteral: "PREPARE \"\(name)\" AS SELECT 1"))
        }
        let rounds = Mutex(0)
        // The COMMIT of the first is sent by the name, and the second hears of it.
        for _ in 0..<2 {
            _ = try await database.read { connection in
                rounds.withLock { $0 += 1 }
                return try connection.rows("SELECT 1 AS n")
            }
        }
        #expect(rounds.withLock { $0 } == 3)
        for _ in 0..<3 {
            _ = try await database.read { connection in try connection.rows("SELECT 2 AS n") }
        }
        #expect(try await database.read { connection in try Self.nameCount(on: connection) } == 0)
        try await database.close()
    }

    /// The name under which a statement without binds is prepared when it comes a second time.
    private static func name(of text: String) throws -> String {
        var statements = PostgresStatements()
        let key = PostgresStatements.Key(text: text, kinds: [])
        _ = statements.plan(key)
        guard case .prepare(let name) = statements.plan(key) else {
            throw PostgresFailure.lost("no name is given")
        }
        return name
    }

    private static func nameCount(on connection: any SQLConnection) throws -> Int64? {
        try connection.rows(
            "SELECT count(*) AS n FROM pg_prepared_statements WHERE name LIKE 'preloop%'"
        ).first?.integer("n")
    }

    /// A copy that met a name which a pooler's session had already could not begin anew.
    @Test func `a transaction that takes its time has no names`() async throws {
        let scratch = try await Engine.postgres.store()
        let database = try scratch.database.connect { $0.maximumConnections = 1 }
        let count: @Sendable (Bool) async throws -> Int64? = { isLong in
            try await database.read { connection in
                if isLong { try connection.liftLimits() }
                for _ in 0..<3 { _ = try connection.rows("SELECT 7 AS seven") }
                return try Self.nameCount(on: connection)
            }
        }
        #expect(try await count(true) == 0)
        #expect(try await count(true) == 0)
        // The next one on the same connection has them.
        #expect(try await count(false) ?? 0 > 0)
        try await database.close()
    }

    // MARK: Patience

    @Test func `the time to reconnect begins with the loss`() {
        var patience = PostgresPatience(reconnectTimeout: .seconds(60))
        let start = ContinuousClock.now
        func pause(after seconds: Int) -> Duration? {
            patience.pause(
                after: .reconnect,
                wasReached: true,
                now: start.advanced(by: .seconds(seconds))
            )
        }
        // The transaction had run for five minutes.
        #expect(pause(after: 300) == .zero)
        #expect(pause(after: 359) != nil)
        #expect(pause(after: 360) == nil)
    }

    @Test func `a transaction that ran for longer than a server is waited for runs again`()
        async throws
    {
        let scratch = try await Engine.postgres.store()
        let database = try scratch.database.connect { $0.reconnectTimeout = .milliseconds(300) }
        let rounds = Mutex(0)
        let number = try await database.read { connection in
            let round = rounds.withLock { rounds in
                rounds += 1
                return rounds
            }
            if round == 1 {
                _ = try connection.rows("SELECT pg_sleep(0.6) AS slept")
                _ = try connection.rows(Self.suicide)
            }
            return try connection.rows("SELECT 5 AS n").first?.integer("n")
        }
        #expect(number == 5)
        #expect(rounds.withLock { $0 } == 2)
    }

    // MARK: Connecting

    /// Nobody had reached it before: after three attempts, within 40 milliseconds, it was given up.
    @Test(arguments: [
        "the database system is starting up",
        "the database system is not yet accepting connections",
        "the database system is in recovery mode", "the database system is shutting down",
    ])
    func `a server that lets nobody in yet is waited for`(words: String) async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        let count = PostgresPatience.firstConnections + 3
        proxy.refuse(count, saying: words)
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        let number = try await database.read { connection in
            try connection.rows("SELECT 5 AS n").first?.integer("n")
        }
        #expect(number == 5)
        #expect(proxy.refusedCount == count)
        try await database.close()
    }

    @Test func `a server that never lets anybody in is given up in the end, with its words`()
        async throws
    {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        proxy.refuse(.max, saying: "the database system is starting up")
        var configuration = PostgresConfiguration(address: Secret(proxy.address))
        #expect(configuration.reconnectTimeout >= .seconds(30))
        configuration.reconnectTimeout = .milliseconds(300)
        let database = PostgresDatabase(configuration)
        let error = await #expect(throws: StoreError.self) {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
        guard case .disconnected(let detail)? = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(detail.contains("the database system is starting up"), "\(detail)")
        try await database.close()
    }

    @Test func `whoever waits for a server that is starting up can be cancelled`() async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        proxy.refuse(.max, saying: "the database system is starting up")
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(proxy.address)))
        let task = Task {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
        // It has to wait before it can be disturbed.
        for _ in 0..<5_000 where proxy.refusedCount <= PostgresPatience.firstConnections {
            try await Task.sleep(for: .milliseconds(5))
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await database.close()
    }

    /// A server that agrees to TLS and is gone in the middle of the handshake, as one that is being
    /// restarted behind a proxy.
    @Test func `a handshake that is cut is tried again`() async throws {
        let (listener, port) = try LoopbackSocket.listen(backlog: 8)
        let count = Mutex(0)
        Thread.detachNewThread {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                count.withLock { $0 += 1 }
                var request = [UInt8](repeating: 0, count: 8)
                _ = recv(client, &request, request.count, 0)
                _ = LoopbackSocket.send([UInt8(ascii: "S")], to: client)
                // The beginning of the handshake; then the end.
                var hello = [UInt8](repeating: 0, count: 1)
                _ = recv(client, &hello, hello.count, 0)
                close(client)
            }
        }
        defer {
            shutdown(listener, Int32(SHUT_RDWR))
            close(listener)
        }
        let address = "postgresql://u@127.0.0.1:\(port)/x?sslmode=require&gssencmode=disable"
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(address)))
        let error = await #expect(throws: StoreError.self) {
            try await database.read { try $0.rows("SELECT 1 AS n") }
        }
        guard case .disconnected? = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(count.withLock { $0 } == PostgresPatience.firstConnections)
    }

    /// The first host takes the connection and says nothing: with one deadline for all hosts the
    /// second was never asked.
    @Test func `a host that is silent is left out`() async throws {
        let scratch = try await Engine.postgres.store()
        let (silent, port) = try LoopbackSocket.listen(backlog: 8)
        defer { close(silent) }
        let items = scratch.database.address.split(separator: "?").last?.split(separator: "&") ?? []
        let host = try #require(items.first(where: { $0.hasPrefix("host=/") }))
        let address = scratch.database.address.replacing(
            host,
            with: "host=127.0.0.1,\(host.dropFirst(5))&port=\(port),5432&gssencmode=disable"
        )
        var configuration = PostgresConfiguration(address: Secret(address))
        configuration.connectTimeout = .seconds(1)
        let database = PostgresDatabase(configuration)
        let number = try await database.read { connection in
            try connection.rows("SELECT 5 AS n").first?.integer("n")
        }
        #expect(number == 5)
        try await database.close()
    }

    /// As the README says: the host is that of `PGHOST`, which may name several.
    @Test func `an address may say nothing`() {
        let configuration = PostgresConfiguration(address: Secret("postgresql://"))
        #expect(PostgresConfiguration.isAddress("postgresql://"))
        #expect(configuration.parameters.contains { $0 == ("dbname", "postgresql://") })
    }

    /// A service file's settings count for less than what libpq is told: ours took their place.
    @Test func `nothing is told that a service file may say`() {
        let configuration = PostgresConfiguration(address: Secret("service=preloop"))
        let keywords = configuration.parameters.map { $0.keyword }
        #expect(keywords == ["fallback_application_name", "dbname", "client_encoding"])
    }

    @Test func `the operator's time to connect counts, none included`() throws {
        let configuration = PostgresConfiguration(address: Secret("postgresql://"))
        #expect(try configuration.connectTime(saying: nil) == configuration.connectTimeout)
        #expect(try configuration.connectTime(saying: " 3") == .seconds(3))
        #expect(try configuration.connectTime(saying: "0") > .seconds(86_400))
        #expect(throws: PostgresFailure.self) { try configuration.connectTime(saying: "soon") }
    }

    @Test(arguments: [
        ("a", "5432", true), ("", "", true), ("@socket,b", "1,", true), ("::1", "5432", true),
        ("part@a", "5432", false), ("a", "part@b", false), ("a,b@c", "1", false),
        ("a", "99999", false),
    ])
    func `a part of a password is no host and no port`(
        hosts: String,
        ports: String,
        isClear: Bool
    ) {
        #expect(PostgresHosts.areClear(hosts: hosts, ports: ports) == isClear)
    }

    @Test func `hosts are told apart by name and port`() {
        let hosts = PostgresHosts(hosts: "a,b,a", addresses: "", ports: "1,,3")
        let rest = hosts.without(.init(name: "a", port: "1"))
        #expect(rest == PostgresHosts(hosts: "b,a", addresses: "", ports: ",3"))
        #expect(rest?.without(.init(name: "c", port: "1")) == nil)
        let last = rest?.without(.init(name: "b", port: "5432"))
        #expect(last?.parameters.map { $0.keyword } == ["host", "port"])
        #expect(last?.parameters.map { $0.value } == ["a", "3"])
        #expect(last?.without(.init(name: "a", port: "3")) == nil)
    }

    // MARK: Notifications

    /// Behind a pooler that gives the session away LISTEN succeeds and nothing comes.
    ///
    /// It counted as listening, and followers looked only once a second.
    @Test func `a listener that hears nothing leaves looking to whoever waits`() async throws {
        let scratch = try await Engine.postgres.store()
        let proxy = try CuttingProxy(to: scratch.database)
        proxy.muffle()
        let listener = PostgresListener(PostgresConfiguration(address: Secret(proxy.address)))
        defer { listener.close() }
        // The first sign is that LISTEN has succeeded.
        try await listener.wait(after: 0, atMost: .seconds(30))
        let token = await listener.token()
        #expect(token > 0)
        try await listener.wait(after: token, atMost: .milliseconds(300))
        #expect(!listener.isListening)
    }

    @Test func `a listener that is heard by itself listens`() async throws {
        let scratch = try await Engine.postgres.store()
        let configuration = PostgresConfiguration(address: Secret(scratch.database.address))
        let listener = PostgresListener(configuration)
        defer { listener.close() }
        var token: Int64 = 0
        for _ in 0..<100 where !listener.isListening {
            try await listener.wait(after: token, atMost: .milliseconds(300))
            token = await listener.token()
        }
        #expect(listener.isListening)
    }

    /// They stayed in libpq's memory for ever.
    @Test func `notifications that come with an answer are taken and counted`() throws {
        let scratch = try Engine.postgres.database()
        let connection = try PostgresConnection(
            PostgresConfiguration(address: Secret(scratch.address)),
            usesNames: false,
            interrupt: nil
        )
        try connection.command("LISTEN preloop_recovery_test")
        for _ in 0..<3 {
            try connection.command("SELECT pg_notify('preloop_recovery_test', '') AS notified")
        }
        #expect(connection.takeNotified() == 3)
        #expect(connection.takeNotified() == 0)
    }

    // MARK: The end

    /// A program that left meanwhile took with it the request to stop what was under way, over
    /// which PgBouncer 1.18 falls.
    @Test func `closing waits for the end of a look at statistics`() async throws {
        let scratch = try await Engine.postgres.store()
        let configuration = PostgresConfiguration(address: Secret(scratch.database.address))
        let database = PostgresDatabase(configuration)
        let statistics = PostgresStatistics()
        // It has to connect first.
        statistics.noteCommit(in: database)
        await statistics.stop()
        #expect(!statistics.isLooking)
        try await database.close()
    }

    // MARK: Limits

    @Test func `whoever finds all connections taken waits for a bounded time`() async throws {
        let database = try Engine.postgres.database().connect {
            $0.maximumConnections = 1
            $0.turnTimeout = .milliseconds(200)
        }
        let (isTaken, isOver) = (AsyncStream<Void>.makeStream(), DispatchSemaphore(value: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await database.read { connection in
                    _ = try connection.rows("SELECT 1 AS n")
                    isTaken.continuation.finish()
                    // This closure has a thread of its own.
                    isOver.wait()
                }
            }
            for await _ in isTaken.stream {}
            await #expect(throws: StoreError.timedOut) {
                try await database.read { try $0.rows("SELECT 1 AS n") }
            }
            isOver.signal()
            try await group.waitForAll()
        }
        // Nothing was lost on the way.
        _ = try await database.read { try $0.rows("SELECT 1 AS n") }
    }

    /// One time for the whole pipeline gave up what the server was still at work on.
    @Test func `each statement of a pipeline has its own time`() async throws {
        let database = try Engine.postgres.database().connect {
            // Far more than one takes on a busy machine, and less than all of them.
            $0.statementTimeout = .seconds(4)
            $0.graceTime = .milliseconds(500)
            $0.reconnectTimeout = .zero
        }
        let statements = [SQL](repeating: "SELECT pg_sleep(1.6) AS slept", count: 4)
        let answers = try await database.read { try $0.rows(batch: statements) }
        #expect(answers.count == 4)
    }

    @Test func `a batch too long for one pipeline is answered in order`() async throws {
        let database = try Engine.postgres.database().connect()
        let filler = String(repeating: "x", count: 3_000_000)
        let statements = (0..<25).map { SQL("SELECT \($0) AS n, length(\(filler)) AS length") }
        let answers = try await database.read { try $0.rows(batch: statements) }
        let numbers = try answers.map { try $0.first?.integer("n") }
        #expect(numbers == (0..<25).map { Optional(Int64($0)) })
        // What fails in the first part is not followed by the second.
        await #expect(throws: StoreError.self) {
            try await database.write { connection in
                try connection.execute(batch: ["SELECT 1 / 0 AS n"] + statements)
            }
        }
    }

    @Test func `maintenance is not ended by the limit of the role, and one does it at a time`()
        async throws
    {
        let scratch = try Engine.postgres.database()
        let limited = scratch.address.replacing(
            "public",
            with: "public%20-cstatement_timeout%3D250"
        )
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(limited)))
        let lock: SQL = "1886351999, hashtext(current_schema())"
        let slow: SQL = "SELECT pg_sleep(0.8) AS slept"
        #expect(try await database.maintain(slow, under: lock, atMost: .seconds(30)))
        let other = try PostgresConnection(
            PostgresConfiguration(address: Secret(scratch.address)),
            usesNames: false,
            interrupt: nil
        )
        try other.command("SELECT pg_advisory_lock(\(lock)) AS locked")
        #expect(try await !database.maintain(slow, under: lock, atMost: .seconds(30)))
        try other.command("SELECT pg_advisory_unlock(\(lock)) AS unlocked")
        #expect(try await database.maintain(slow, under: lock, atMost: .seconds(30)))
    }

    /// What docs/scaling.md says of the memory for making the HNSW index.
    @Test func `maintenance has the memory that the session's settings give it`() async throws {
        let scratch = try Engine.postgres.database()
        let roomy = scratch.address.replacing(
            "public",
            with: "public%20-cmaintenance_work_mem%3D77MB"
        )
        let lock: SQL = "1886351998, hashtext(current_schema())"
        let look: SQL = """
            SELECT 1 / (current_setting('maintenance_work_mem') = '77MB')::int AS is_ours
            """
        let database = PostgresDatabase(PostgresConfiguration(address: Secret(roomy)))
        #expect(try await database.maintain(look, under: lock))
        let plain = PostgresDatabase(PostgresConfiguration(address: Secret(scratch.address)))
        await #expect(throws: StoreError.self) { try await plain.maintain(look, under: lock) }
    }

    /// It was six hours, and the documents reckon with fourteen for 100 million vectors, more where
    /// the memory is short.
    @Test func `maintenance may take days`() {
        #expect(PostgresConnection.longestAnswer >= .seconds(5 * 14 * 3_600))
    }
}

/// What is the same on both engines.
struct StatementContractTests {
    @Test func `a statement with rows of its own has no rows to answer with`() async {
        await #expect(processExitsWith: .failure) {
            var table = SQLTable([.integer])
            table.append([.integer(1)])
            let statement: SQL = "SELECT * FROM (\(rows: table)) AS given"
            // Only the precondition ends the process.
            let scratch = try? await Engine.sqlite.store()
            _ = try? await scratch?.store.read { connection, _ in try connection.rows(statement) }
        }
    }
}
