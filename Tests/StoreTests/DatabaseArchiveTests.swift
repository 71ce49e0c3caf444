import Domain
import Foundation
import StoreTestSupport
import Testing

@testable import Store

@Suite(.timeLimit(.minutes(10)))
struct DatabaseArchiveTests {
    private static let now = Timestamp(milliseconds: 1_700_000_000_123)

    /// A store with rows of every type, one of them strange.
    private func filled(_ engine: Engine, issues count: Int = 40) async throws -> ScratchStore {
        let scratch = try await engine.store(clock: WallClock { Self.now })
        let store = scratch.store
        try await store.write { connection, account in
            try TrackerTable.insert(
                Tracker(
                    id: TrackerID(900),
                    kind: .jira,
                    deployment: .server,
                    name: "t ü \u{1F600}",
                    url: "https://example",
                    createdAt: Self.now
                ),
                credential: SealedSecret(bytes: [0, 255, 10, 13]),
                account: account,
                on: connection
            )
            _ = try AccountTable.nextRevisions(3, account: account, on: connection)
            for number in 0..<count {
                try connection.execute(
                    """
                    INSERT INTO issues (account_id, id, project_id, external_id, kind, number, key,
                        title, body, state, labels, assignees, created_at, updated_at, url,
                        comments_due, content_hash, revision)
                    VALUES (\(account), \(number + 1), 7, \("e\(number)"), 'issue', \(number),
                        \("#\(number)"), \("line\nbreak \"\(number)\" \\ \u{7f}"),
                        \(String(repeating: "é", count: number * 100)), 'open',
                        \(JSONValue.array(["b", "a", .string("\(number)")])),
                        \(JSONValue.array([])), \(Self.now), \(Self.now), '',
                        \(number % 2 == 0), \([UInt8]([1, 2])), \(number + 1))
                    """
                )
            }
            try connection.execute(
                """
                INSERT INTO duplicate_pairs (account_id, first_issue_id, second_issue_id, score,
                    features, updated_at)
                VALUES (\(account), 1, 2, \(0.1 + 0.2), \(Self.features), \(Self.now))
                """
            )
        }
        try await store.enqueue(
            Job.Draft(
                JobKind("k"),
                payload: ["z": 1, "a": ["y": .double(1), "b": nil]],
                now: Self.now
            )
        )
        return scratch
    }

    private static let features: JSONValue = [
        "z": .double(1e-7), "a": .double(2.0), "nested": ["q": [1, 2.5, "x"], "b": .bool(true)],
    ]

    private func digests(_ database: any Database) async throws -> [TableDigest] {
        let catalog = try SchemaCatalog()
        return try await database.read { try TableReader(tables: catalog.tables).read(on: $0) }
    }

    private func identity(_ store: Store) async throws -> String {
        try await store.read { connection, account in
            try StoreIdentity.text(account: account, on: connection)
        }
    }

    /// But for accounts, which get an identity of their own where they are written.
    private func rows(_ digests: [TableDigest]) -> [TableDigest] {
        digests.filter { $0.name != "accounts" }
    }

    @Test func `the catalog has every table of the migrations, with its key`() throws {
        let catalog = try SchemaCatalog()
        let issues = try #require(catalog.tables.first { $0.name == "issues" })
        #expect(issues.key == ["account_id", "id"])
        #expect(issues.columns.contains(.init(name: "labels", kind: .json)))
        #expect(issues.columns.contains(.init(name: "comments_due", kind: .bool)))
        #expect(issues.columns.contains(.init(name: "deleted_at", kind: .timestamp)))
        #expect(catalog.tables.contains { $0.name == "passages" })
        #expect(!catalog.tables.contains { $0.name == "schema_migrations" })
        #expect(catalog.number == Migration.all.count)
    }

    @Test(arguments: Engine.all, Engine.all)
    func `a copy holds the same rows, from either engine to either`(
        from: Engine,
        to: Engine
    ) async throws {
        let source = try await filled(from)
        defer { withExtendedLifetime(source) {} }
        let target = try to.database()
        defer { withExtendedLifetime(target) {} }
        let database = try target.connect()
        let copied = try await DatabaseArchive.copy(
            source.store.database,
            into: database,
            replacing: false
        )
        let expected = try await digests(source.store.database)
        #expect(copied == expected)
        #expect(try await rows(digests(database)) == rows(expected))
        #expect(expected.first { $0.name == "issues" }?.rows == 40)
        // The next identifier is none that is there.
        let store = try await Store.open(database)
        let next: [IssueID] = try await store.write { connection, account in
            try AccountTable.nextIDs(1, account: account, on: connection)
        }
        let left: [IssueID] = try await source.store.write { connection, account in
            try AccountTable.nextIDs(1, account: account, on: connection)
        }
        #expect(next == left)
        try await database.close()
    }

    /// Behind a pooler the first statement may fail and its transaction begin anew: the copy was
    /// given up as one that had lost its connection, and met the same the next time.
    @Test func `a copy begins anew as long as nothing has passed`() async throws {
        let source = try await filled(.sqlite, issues: 5)
        defer { withExtendedLifetime(source) {} }
        let target = try Engine.sqlite.database()
        defer { withExtendedLifetime(target) {} }
        let database = try target.connect()
        let copied = try await DatabaseArchive.copy(
            StumblingDatabase(source.store.database, at: ""),
            into: StumblingDatabase(database, at: ""),
            replacing: false
        )
        let expected = try await digests(source.store.database)
        #expect(copied == expected)
        #expect(try await rows(digests(database)) == rows(expected))
        try await database.close()
    }

    /// What has passed is gone: a transaction that begins anew would lack it.
    @Test func `a copy whose connection is lost on the way writes nothing`() async throws {
        let source = try await filled(.sqlite, issues: 5)
        defer { withExtendedLifetime(source) {} }
        let target = try Engine.sqlite.database()
        defer { withExtendedLifetime(target) {} }
        let database = try target.connect()
        await #expect(throws: ArchiveError.interrupted) {
            try await DatabaseArchive.copy(
                source.store.database,
                into: StumblingDatabase(database, at: "INSERT"),
                replacing: false
            )
        }
        #expect(try await digests(database).first { $0.name == "issues" }?.rows == 0)
        try await database.close()
    }

    @Test(arguments: Engine.all, Engine.all)
    func `an archive is restored by either engine, and only into an empty database`(
        from: Engine,
        to: Engine
    ) async throws {
        let source = try await filled(from)
        defer { withExtendedLifetime(source) {} }
        let path = source.directory.path("archive")
        let written = try await DatabaseArchive.backUp(
            source.store.database,
            to: path,
            now: Self.now
        )
        #expect(try DatabaseArchive.verify(path) == written)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect(mode as? Int == 0o600)
        #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
        // One that was opened has an account, and is as good as empty.
        let target = try await to.store()
        defer { withExtendedLifetime(target) {} }
        let database = target.store.database
        let restored = try await DatabaseArchive.restore(path, into: database, replacing: false)
        #expect(restored == written)
        #expect(try await rows(digests(database)) == rows(written))
        await #expect(throws: ArchiveError.self) {
            try await DatabaseArchive.restore(path, into: database, replacing: false)
        }
        let before = try await identity(target.store)
        #expect(try await identity(source.store) != before)
        // A lease and a job that were under way in what is replaced are nobody's any more.
        let lease = try await target.store.write { connection, account in
            try LeaseTable.acquire(
                "scan",
                holder: .current(),
                duration: .seconds(60),
                now: WallClock.system.now(),
                account: account,
                on: connection
            )
        }
        _ = try await target.store.enqueue(Job.Draft(JobKind("more"), now: Self.now))
        #expect(try await rows(digests(database)) != rows(written))
        _ = try await DatabaseArchive.restore(path, into: database, replacing: true)
        await #expect(throws: StoreError.self) {
            try await target.store.write { connection, account in
                try LeaseTable.verify(lease, account: account, on: connection)
            }
        }
        #expect(try await rows(digests(database)) == rows(written))
    }

    @Test func `what is not what was given is not kept, and what was there stays`() async throws {
        let source = try await filled(.sqlite)
        let before = try await digests(source.store.database)
        let catalog = try SchemaCatalog()
        let table = try #require(catalog.tables.first { $0.name == "trackers" })
        let none = String(repeating: "0", count: 64)
        let wrong = TableDigest(name: "trackers", rows: 0, sha256: none)
        let items: [ArchiveItem] = [.table(name: "trackers", columns: table.columns), .end(wrong)]
        await #expect(throws: ArchiveError.differs(table: "trackers")) {
            try await source.store.database.write { connection in
                var rest = items[...]
                return try TableLoader(catalog: catalog).load(on: connection, replacing: true) {
                    rest.popFirst()
                }
            }
        }
        #expect(try await digests(source.store.database) == before)
    }

    @Test func `two backups to one place do not meet`() async throws {
        let source = try await filled(.sqlite)
        let path = source.directory.path("archive")
        let writer = try ArchiveWriter(path: path, schema: 1, engine: .sqlite, now: Self.now)
        await #expect(throws: ArchiveError.beingWritten(path: path)) {
            try await DatabaseArchive.backUp(source.store.database, to: path, now: Self.now)
        }
        try writer.finish()
        _ = try await DatabaseArchive.backUp(source.store.database, to: path, now: Self.now)
    }

    @Test func `an archive that was cut or changed is refused, and nothing is written`()
        async throws
    {
        let source = try await filled(.sqlite, issues: 5)
        defer { withExtendedLifetime(source) {} }
        let path = source.directory.path("archive")
        _ = try await DatabaseArchive.backUp(source.store.database, to: path, now: Self.now)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let target = try Engine.sqlite.database()
        defer { withExtendedLifetime(target) {} }
        let database = try target.connect()
        var random = SystemRandomNumberGenerator()
        var changes = (0..<20).map { _ in Int.random(in: 0..<whole.count, using: &random) }
        changes.append(whole.count - 2)
        for place in changes {
            var changed = whole
            changed[place] = changed[place] == 0x31 ? 0x32 : 0x31
            let broken = source.directory.path("broken")
            try changed.write(to: URL(fileURLWithPath: broken))
            #expect(throws: ArchiveError.self, "byte \(place)") {
                try DatabaseArchive.verify(broken)
            }
            try whole.prefix(place).write(to: URL(fileURLWithPath: broken))
            await #expect(throws: ArchiveError.self, "cut at \(place)") {
                _ = try await DatabaseArchive.restore(broken, into: database, replacing: false)
            }
        }
        // Still empty.
        _ = try await DatabaseArchive.restore(path, into: database, replacing: false)
    }

    @Test func `an archive of a newer schema is refused`() async throws {
        let source = try await filled(.sqlite, issues: 1)
        defer { withExtendedLifetime(source) {} }
        let path = source.directory.path("archive")
        _ = try await DatabaseArchive.backUp(source.store.database, to: path, now: Self.now)
        var text = try String(contentsOfFile: path, encoding: .utf8)
        let supported = Migration.all.count
        text = text.replacing("\"schema\":\(supported)", with: "\"schema\":\(supported + 1)")
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let empty = try Engine.sqlite.database()
        defer { withExtendedLifetime(empty) {} }
        let database = try empty.connect()
        await #expect(throws: ArchiveError.newer(found: supported + 1, supported: supported)) {
            try await DatabaseArchive.restore(path, into: database, replacing: false)
        }
    }

    @Test(arguments: Engine.all)
    func `the archive of an older schema is restored and then migrated`(
        engine: Engine
    ) async throws {
        let old = try Engine.sqlite.database()
        let before = Migrator(migrations: Array(Migration.all.prefix(3)))
        let store = try await Store.open(old.connect(), migrator: before)
        let path = old.directory.path("archive")
        let written = try await DatabaseArchive.backUp(store.database, to: path, now: Self.now)
        let empty = try engine.database()
        defer { withExtendedLifetime(empty) {} }
        let database = try empty.connect()
        let restored = try await DatabaseArchive.restore(path, into: database, replacing: false)
        #expect(restored == written)
        try await Migrator().migrate(database)
        let status = try await DatabaseStatus.read(database)
        #expect(status.schema == Migration.all.count)
        #expect(status.pending.isEmpty)
    }

    @Test(arguments: Engine.all)
    func `the status tells engine, schema, size and rows`(engine: Engine) async throws {
        let scratch = try await filled(engine, issues: 3)
        defer { withExtendedLifetime(scratch) {} }
        let status = try await DatabaseStatus.read(scratch.store.database)
        #expect(status.engine == (engine == .sqlite ? "SQLite" : "PostgreSQL"))
        #expect(status.version.contains("."))
        #expect(status.bytes > 0)
        #expect(status.rows.first { $0.table == "issues" }?.count == 3)
        let none = try engine.database()
        let empty = try await DatabaseStatus.read(none.connect())
        withExtendedLifetime(none) {}
        #expect(empty.schema == 0)
        #expect(empty.pending.count == Migration.all.count)
        #expect(empty.rows.isEmpty)
    }

    @Test(arguments: Engine.all)
    func `a backup taken while others write shows one moment`(engine: Engine) async throws {
        let scratch = try await filled(engine, issues: 200)
        defer { withExtendedLifetime(scratch) {} }
        let store = scratch.store
        let path = scratch.directory.path("archive")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // Each transaction leaves as many waiting jobs as the account's revision says.
                while !Task.isCancelled {
                    let draft = Job.Draft(JobKind("w"), now: Self.now)
                    try await store.write { connection, account in
                        try JobTable.enqueue(draft, account: account, on: connection)
                        _ = try AccountTable.nextRevisions(1, account: account, on: connection)
                    }
                }
            }
            for _ in 0..<3 {
                let database = try scratch.database.connect()
                _ = try await DatabaseArchive.backUp(database, to: path, now: Self.now)
                let scratchTarget = try Engine.sqlite.database()
                defer { withExtendedLifetime(scratchTarget) {} }
                let target = try scratchTarget.connect()
                _ = try await DatabaseArchive.restore(path, into: target, replacing: false)
                let (revision, jobs) = try await target.read { connection in
                    (
                        try AccountTable.currentRevision(
                            account: AccountTable.defaultID,
                            on: connection
                        ),
                        try JobTable.counts(account: AccountTable.defaultID, on: connection)
                            .first { $0.kind == JobKind("w") }?.count ?? 0
                    )
                }
                #expect(revision == Revision(3 + Int64(jobs)))
                try await database.close()
            }
            group.cancelAll()
        }
    }
}

/// A database whose every transaction loses its connection at a statement, and then runs again.
private struct StumblingDatabase: Database {
    let base: any Database
    /// How the statement begins; empty for the first of all.
    let place: String

    init(_ base: any Database, at place: String) {
        (self.base, self.place) = (base, place)
    }

    var dialect: SQLDialect { base.dialect }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        do {
            return try await base.read { [place] connection in
                try body(StumblingConnection(base: connection, place: place))
            }
        } catch StoreError.disconnected {
            return try await base.read(body)
        }
    }

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        do {
            return try await base.write { [place] connection in
                try body(StumblingConnection(base: connection, place: place))
            }
        } catch StoreError.disconnected {
            return try await base.write(body)
        }
    }

    func changeToken() async throws -> Int64 { try await base.changeToken() }

    func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await base.waitForChange(after: token, atMost: duration)
    }

    func close() async throws { try await base.close() }
}

private struct StumblingConnection: SQLConnection {
    let base: any SQLConnection
    let place: String

    var dialect: SQLDialect { base.dialect }

    private func pass(_ statements: [SQL]) throws(StoreError) {
        let isLost = statements.contains { $0.segments[0].hasPrefix(place) }
        if isLost || place.isEmpty { throw .disconnected(detail: "stumbled") }
    }

    func rows(_ statement: SQL) throws(StoreError) -> [SQLRow] {
        try pass([statement])
        return try base.rows(statement)
    }

    func rows(batch statements: [SQL]) throws(StoreError) -> [[SQLRow]] {
        try pass(statements)
        return try base.rows(batch: statements)
    }

    func execute(_ statement: SQL) throws(StoreError) -> Int {
        try pass([statement])
        return try base.execute(statement)
    }

    func execute(batch statements: [SQL]) throws(StoreError) {
        try pass(statements)
        try base.execute(batch: statements)
    }

    func liftLimits() throws(StoreError) {
        try pass([])
        try base.liftLimits()
    }
}
