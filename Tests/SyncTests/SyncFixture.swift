import Domain
import Store
import StoreTestSupport
import Synchronization
import Testing
import Trackers

@testable import Sync

/// A store with one tracker, whose client is a ``TrackerWorld``.
final class SyncFixture: Sendable {
    private let scratch: ScratchDatabase
    let database: FaultyDatabase
    let store: Store
    let world: TrackerWorld
    /// What the scans believe the time to be, ahead of the world's.
    let offset = Mutex<Int64>(0)

    init(_ world: TrackerWorld) async throws {
        self.world = world
        scratch = try Engine.current.database()
        database = FaultyDatabase(try scratch.connect())
        let shift = SharedShift()
        self.shift = shift
        store = try await Store.open(
            database,
            clock: WallClock { [world] in
                world.now.advanced(by: .milliseconds(shift.value.withLock { $0 }))
            }
        )
        let tracker = Tracker(
            id: TrackerID(1000),
            kind: .github,
            deployment: .cloud,
            name: "t",
            url: "https://example",
            createdAt: world.now
        )
        try await store.write { connection, account in
            try TrackerTable.insert(
                tracker,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
        }
    }

    final class SharedShift: Sendable {
        let value = Mutex<Int64>(0)
    }
    private let shift: SharedShift

    /// Moves the scans' clock on without the world changing.
    func wait(_ duration: Duration) {
        shift.value.withLock { $0 += Int64(duration / .milliseconds(1)) }
    }

    func runner(_ configuration: ScanConfiguration = ScanConfiguration()) -> ScanRunner {
        // One process, which may take again what an earlier scan could not give back.
        ScanRunner(
            store: store,
            clients: { [world] _ in world },
            configuration: configuration,
            holder: .current()
        )
    }

    @discardableResult
    func scan(
        _ selection: ScanSelection = .all,
        full: Bool = false,
        configuration: ScanConfiguration = ScanConfiguration()
    ) async throws -> ScanReport {
        try await runner(configuration).run(ScanRequest(selection, isFull: full))
    }

    /// The live content of the store in the form of ``TrackerWorld/truth``.
    func content(withDeleted: Bool = false) async throws -> [String] {
        try await store.read { connection, account in
            var lines: [String] = []
            for project in try ProjectTable.list(account: account, on: connection) {
                for kind in IssueKind.allCases {
                    for row in try ExportTable.issues(
                        of: project.id,
                        kind: kind,
                        after: nil,
                        withDeleted: withDeleted,
                        limit: 100_000,
                        account: account,
                        on: connection
                    ) {
                        let comments = try ExportTable.comments(
                            of: row.id,
                            account: account,
                            on: connection
                        )
                        lines.append(describe(project.path, row.issue, comments))
                    }
                }
            }
            return lines.sorted()
        }
    }

    func revision() async throws -> Revision {
        try await store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
    }

    func project(_ path: String) async throws -> StoredProject? {
        try await store.read { connection, account in
            try ProjectTable.list(account: account, on: connection).first { $0.path == path }
        }
    }

    func integer(_ statement: SQL) async throws -> Int {
        try await store.read { connection, _ in
            try connection.rows(statement).first.map { Int(try $0.integer("n")) } ?? 0
        }
    }
}

/// A database that dies at a chosen write, before or after the commit.
final class FaultyDatabase: Database {
    struct Plan: Sendable {
        var writesLeft: Int?
        var afterCommit = false
        var count = 0
        var readCount = 0
    }

    let base: any Database
    let plan = Mutex(Plan())

    init(_ base: any Database) {
        self.base = base
    }

    var dialect: SQLDialect { base.dialect }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        plan.withLock { $0.readCount += 1 }
        return try await base.read(body)
    }

    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        let (dies, afterCommit) = plan.withLock { plan in
            plan.count += 1
            guard let left = plan.writesLeft else { return (false, false) }
            plan.writesLeft = left - 1
            return (left <= 0, plan.afterCommit && left == 0)
        }
        if dies, !afterCommit { throw StoreError.unavailable(detail: "killed") }
        let value = try await base.write(body)
        if dies { throw StoreError.unavailable(detail: "killed") }
        return value
    }

    func changeToken() async throws -> Int64 { try await base.changeToken() }

    func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await base.waitForChange(after: token, atMost: duration)
    }

    func close() async throws { try await base.close() }

    /// Lets `count` writes pass and refuses all later ones; the one after them takes effect unseen
    /// when `afterCommit` is set.
    func dieAfter(_ count: Int?, afterCommit: Bool = false) {
        plan.withLock { plan in
            plan.writesLeft = count
            plan.afterCommit = afterCommit
        }
    }

    var writeCount: Int { plan.withLock { $0.count } }
}
