import Domain
import Foundation
import StoreTestSupport
import Synchronization
import TestSupport
import Testing

@testable import Store

/// Writers that abort and are killed, followers that begin again from the place they stored: none
/// misses or repeats a change.
///
/// The number of changes is `PRELOOP_TEST_FEED_CHANGES`; `scripts/soak feed` takes 100,000.
struct FeedEnduranceTests {
    private static let changeCount =
        ProcessInfo.processInfo.environment["PRELOOP_TEST_FEED_CHANGES"].flatMap(Int.init) ?? 1_500
    private static let writers = 8
    private static let followers = 3

    /// What a row's newest change says.
    private struct Version: Equatable {
        var revision: Int64
        var isDeleted: Bool
    }

    private struct Abort: Error {}

    /// What writers, followers and the killer know of each other.
    private final class Stage: Sendable {
        private let end = Mutex<Int64?>(nil)

        /// The last revision; nil while writers write.
        var lastRevision: Int64? { end.withLock { $0 } }

        func finish(at revision: Revision) {
            end.withLock { $0 = revision.rawValue }
        }
    }

    /// Drawing a revision outside the feed lock makes this fail, on PostgreSQL within seconds.
    @Test(arguments: Engine.all)
    func `no follower misses or repeats a change`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let stage = Stage()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<Self.followers {
                group.addTask {
                    try await Self.follow(scratch, stage, seed: UInt64(number))
                }
            }
            group.addTask {
                switch engine {
                case .sqlite: try await Self.killWriters(scratch, stage)
                case .postgres: try await Self.killSessions(scratch, stage)
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { writing in
                for number in 0..<Self.writers {
                    writing.addTask { try await Self.write(scratch, seed: UInt64(100 + number)) }
                }
                try await writing.waitForAll()
            }
            let last = try await scratch.store.read { connection, account in
                try AccountTable.currentRevision(account: account, on: connection)
            }
            stage.finish(at: last)
            // Wakes those who have seen everything before they were told that it was all.
            try await Self.insert(1, into: scratch.store)
            try await group.waitForAll()
        }
    }

    // MARK: Writing

    private static func write(_ scratch: ScratchStore, seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        // Each as a process of its own.
        let store = try await Store.open(scratch.database.connect())
        var written = 0
        while written < changeCount / writers {
            let count = Int.random(in: 1...12, using: &random)
            let chance = Int.random(in: 0..<100, using: &random)
            do {
                switch chance {
                case 0..<15: try await insert(count, into: store, aborting: true)
                case 15..<20: try await insert(count, into: store, dying: true)
                case 20..<50: written += try await change(count, in: store, random.next())
                default: written += try await insert(count, into: store)
                }
            } catch is Abort {
                // Nothing of it may be seen.
            } catch StoreError.busy {
                // Nor of this: SQLite lets whoever asks at the right moment write first, and of
                // eight writers without a pause one may wait for longer than it has patience.
            }
        }
        try await store.database.close()
    }

    @discardableResult
    private static func insert(
        _ count: Int,
        into store: Store,
        aborting: Bool = false,
        dying: Bool = false
    ) async throws -> Int {
        let isFirst = Mutex(true)
        return try await store.write { connection, account in
            let ids: [IssueID] = try AccountTable.nextIDs(count, account: account, on: connection)
            let revisions = try AccountTable.nextRevisions(count, account: account, on: connection)
            var rows = SQLTable([.integer, .integer, .text, .integer, .timestamp, .blob, .integer])
            for (id, revision) in zip(ids, revisions) {
                rows.append([
                    SQLValue(account), SQLValue(id), .text("\(id)"), SQLValue(id),
                    .timestamp(Timestamp(milliseconds: 0)), .blob([]), SQLValue(revision),
                ])
            }
            try connection.execute(
                """
                WITH given (account_id, id, external_id, number, at, hash, revision)
                    AS (\(rows: rows))
                INSERT INTO issues (account_id, id, project_id, external_id, kind, number, key,
                    title, body, state, labels, assignees, created_at, updated_at, url,
                    content_hash, revision)
                SELECT account_id, id, 1, external_id, 'issue', number, 'k', 't', 'b', 'open',
                    '[]', '[]', at, at, '', hash, revision
                FROM given
                """
            )
            if aborting { throw Abort() }
            if dying, connection.dialect == .postgres, isFirst.withLock({ $0 }) {
                isFirst.withLock { $0 = false }
                _ = try connection.rows("SELECT pg_terminate_backend(pg_backend_pid()) AS dead")
            }
            return count
        }
    }

    /// Moves some rows forwards in the feed, every third as a tombstone.
    private static func change(
        _ count: Int,
        in store: Store,
        _ random: UInt64
    ) async throws -> Int {
        try await store.write { connection, account in
            let head = try AccountTable.currentRevision(account: account, on: connection)
            guard head.rawValue > 0 else { return 0 }
            let start = Int64(random % UInt64(head.rawValue))
            let found = try connection.rows(
                """
                SELECT id FROM issues WHERE account_id = \(account) AND revision > \(start)
                ORDER BY revision LIMIT \(count)
                """
            )
            let revisions = try AccountTable.nextRevisions(
                found.count,
                account: account,
                on: connection
            )
            var statements: [SQL] = []
            for (row, revision) in zip(found, revisions) {
                let id: IssueID = try row.identifier("id")
                let deletion: Timestamp? =
                    revision.rawValue % 3 == 0 ? Timestamp(milliseconds: 1) : nil
                statements.append(
                    """
                    UPDATE issues SET revision = \(revision), deleted_at = \(deletion)
                    WHERE account_id = \(account) AND id = \(id)
                    """
                )
            }
            try connection.execute(batch: statements)
            return found.count
        }
    }

    /// A writer that changes much and is killed before it commits.
    ///
    /// With so small a cache most of it is in the file's log by then, behind what others wrote.
    private static let doomedWriter = """
        import os, signal, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
        connection.execute("PRAGMA cache_size = 8")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE accounts SET revision = revision + 900, last_id = last_id + 900")
        connection.execute(
            "UPDATE issues SET title = 'never committed', revision = revision + 1000000000 "
            "WHERE id IN (SELECT id FROM issues ORDER BY id DESC LIMIT 500)")
        os.kill(os.getpid(), signal.SIGKILL)
        """

    /// Kills processes that write into the file, in the middle of their transactions.
    private static func killWriters(_ scratch: ScratchStore, _ stage: Stage) async throws {
        var killed = 0
        repeat {
            let path = scratch.database.address
            let isKilled: Result<Bool, any Error> = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    continuation.resume(returning: Result { try runDoomedWriter(path) })
                }
            }
            killed += try isKilled.get() ? 1 : 0
            try await Task.sleep(for: .milliseconds(60))
        } while stage.lastRevision == nil
        #expect(killed > 0, "no writer came as far as being killed")
    }

    /// Whether it was killed; otherwise it ended by itself, for others held the file too long.
    private static func runDoomedWriter(_ path: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", doomedWriter, path]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
    }

    /// Ends sessions of writers and followers, at any moment.
    private static func killSessions(
        _ scratch: ScratchStore,
        _ stage: Stage
    ) async throws {
        let database = try scratch.database.connect()
        while stage.lastRevision == nil {
            try await database.write { connection in
                _ = try connection.rows(
                    """
                    SELECT pg_terminate_backend(pid) AS dead FROM pg_stat_activity
                    WHERE application_name = current_setting('application_name')
                        AND pid <> pg_backend_pid() AND random() < 0.2
                    """
                )
            }
            try await Task.sleep(for: .milliseconds(60))
        }
    }

    // MARK: Following

    /// What a follower knows, and what of it is left when it is killed.
    private struct Follower {
        let name: String
        private(set) var store: Store
        private(set) var seen: [IssueID: Version] = [:]
        private(set) var position = Revision.zero
        /// What it knew when it stored its place; a real one keeps it on its disk.
        private var kept: [IssueID: Version] = [:]

        init(_ name: String, _ scratch: ScratchStore) async throws {
            self.name = name
            store = try await Store.open(scratch.database.connect())
        }

        mutating func take(_ page: FeedPage) {
            for change in page.changes {
                guard case .issue(let id) = change.subject else { continue }
                let isNew = change.revision > position
                #expect(isNew, "\(name)")
                position = change.revision
                seen[id] = Version(
                    revision: change.revision.rawValue,
                    isDeleted: change.isDeleted
                )
            }
            position = page.position
        }

        /// Stores its place in the feed.
        mutating func save() async throws {
            let (name, position) = (name, position)
            try await store.write { connection, account in
                try FollowerTable.advance(name, to: position, account: account, on: connection)
            }
            kept = seen
        }

        /// Begins again with nothing but what is stored.
        mutating func restart(_ scratch: ScratchStore) async throws {
            try await store.database.close()
            store = try await Store.open(scratch.database.connect())
            let name = name
            position = try await store.read { connection, account in
                try FollowerTable.revision(of: name, account: account, on: connection)
            }
            seen = kept
        }
    }

    /// Pages from one restart to the next; its place is stored after every fourth or so.
    private static let pagesOfALife = 12

    private static func follow(
        _ scratch: ScratchStore,
        _ stage: Stage,
        seed: UInt64
    ) async throws {
        var random = SeededGenerator(seed: seed)
        var follower = try await Follower("follower \(seed)", scratch)
        var watcher = ChangeWatcher(follower.store, interval: .milliseconds(20))
        var pages = 0
        while stage.lastRevision.map({ follower.position.rawValue < $0 }) ?? true {
            _ = try await watcher.waitForChange(after: follower.position)
            let limit = Int.random(in: 1...40, using: &random)
            let page = try await follower.store.feed(after: follower.position, limit: limit)
            follower.take(page)
            pages += 1
            if Int.random(in: 0..<4, using: &random) == 0 { try await follower.save() }
            guard pages % pagesOfALife == 0 else { continue }
            try await follower.restart(scratch)
            watcher = ChangeWatcher(follower.store, interval: .milliseconds(20))
        }
        #expect(pages >= pagesOfALife, "\(follower.name) was never begun again")
        let (store, seen) = (follower.store, follower.seen)
        let reached = follower.position
        let stored = try await store.read { connection, account in
            try connection.rows(
                """
                SELECT id, revision, deleted_at IS NOT NULL AS is_deleted FROM issues
                WHERE account_id = \(account) AND revision <= \(reached)
                """
            ).map { row -> (IssueID, Version) in
                (
                    try row.identifier("id"),
                    Version(
                        revision: try row.integer("revision"),
                        isDeleted: try row.bool("is_deleted")
                    )
                )
            }
        }
        let truth = Dictionary(uniqueKeysWithValues: stored)
        #expect(truth.count >= changeCount / 4)
        #expect(seen == truth, "seed \(seed)")
        try await store.database.close()
    }
}
