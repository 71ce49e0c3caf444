import Domain
import Foundation
import Glibc
import Store
import StoreTestSupport
import Testing

/// What the SQLite engine does about its file.
struct SQLiteFileTests {
    @Test func `the file and its log are for the owner alone`() async throws {
        let directory = try ScratchDirectory()
        let path = directory.path("preloop.db")
        let store = try await Store.open(SQLiteDatabase(path: path))
        for name in ["", "-wal"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: path + name)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
        try await store.database.close()
    }

    @Test func `commits reach the disk and foreign keys hold`() async throws {
        let scratch = try await Engine.sqlite.store()
        let rows = try await scratch.store.write { connection, _ in
            try connection.rows("PRAGMA synchronous") + connection.rows("PRAGMA foreign_keys")
        }
        #expect(try rows[0].integer("synchronous") == 2)
        #expect(try rows[1].integer("foreign_keys") == 1)
        let mode = try await scratch.store.read { connection, _ in
            try connection.rows("PRAGMA journal_mode")
        }
        #expect(try mode.first?.text("journal_mode") == "wal")
    }

    @Test func `a task that is cancelled inside an access hears just that`() async throws {
        let store = try await Engine.sqlite.store().store
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let cancelled = DispatchSemaphore(value: 0)
        let task = Task {
            try await store.read { connection, _ in
                begin.yield()
                cancelled.wait()
                return try connection.rows("SELECT 1").count
            }
        }
        for await _ in begun { break }
        task.cancel()
        cancelled.signal()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test(arguments: [0, 1, 100, 5000])
    func `a file that is no database is refused and left as it was`(size: Int) async throws {
        let directory = try ScratchDirectory()
        let path = directory.path("preloop.db")
        var bytes = Data("this is not a database, but someone's notes. ".utf8)
        while bytes.count < size { bytes.append(bytes) }
        bytes = bytes.prefix(size)
        try bytes.write(to: URL(fileURLWithPath: path))
        do {
            let store = try await Store.open(SQLiteDatabase(path: path))
            try await store.database.close()
            #expect(size == 0, "an empty file is an empty database")
        } catch let error as StoreError {
            guard case .corrupt = error else {
                Issue.record("unexpected \(error)")
                return
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
        }
    }

    @Test func `a truncated database is called damaged`() async throws {
        let directory = try ScratchDirectory()
        let path = directory.path("preloop.db")
        let store = try await Store.open(SQLiteDatabase(path: path))
        try await store.database.close()
        for suffix in ["-wal", "-shm"] {
            try FileManager.default.removeItem(atPath: path + suffix)
        }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(whole.count > 8192, "closing brings everything into the one file")
        #expect(truncate(path, 8192) == 0)
        let error = await #expect(throws: StoreError.self) {
            let store = try await Store.open(SQLiteDatabase(path: path))
            _ = try await store.read { connection, account in
                try TrackerTable.list(account: account, on: connection)
            }
        }
        guard case .corrupt = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
    }

    @Test func `a full disk is said to be full and undoes the transaction`() async throws {
        let scratch = try await Engine.sqlite.store()
        let database = scratch.store.database
        let error = await #expect(throws: StoreError.self) {
            try await database.write { connection in
                // The engine's own limit on pages gives the same error as a full disk.
                _ = try connection.rows("PRAGMA max_page_count = 60")
                for number in 2..<500 {
                    try connection.execute(
                        """
                        INSERT INTO accounts (id, name, created_at)
                        VALUES (\(number), \(String(repeating: "x", count: 5000) + "\(number)"), 0)
                        """
                    )
                }
            }
        }
        #expect(error == .diskFull)
        let rows = try await database.read { connection in
            try connection.rows("SELECT COUNT(*) AS total FROM accounts")
        }
        #expect(try rows.first?.integer("total") == 1)
    }

    @Test func `a read-only database says so`() async throws {
        let scratch = try await Engine.sqlite.store()
        await #expect(throws: StoreError.readOnly) {
            try await scratch.store.write { connection, account in
                _ = try connection.rows("PRAGMA query_only = 1")
                _ = try AccountTable.nextRevisions(1, account: account, on: connection)
            }
        }
    }

    /// Sets a file's attributes as `chattr` does; false where it or the file system cannot.
    private func setAttribute(_ attribute: String, of path: String) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["chattr", attribute, path]
        (process.standardOutput, process.standardError) = (nil, nil)
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    /// SQLite says that there was an I/O error where it could write when it opened the file.
    @Test func `a file that cannot be written any longer says so, and takes writes again`()
        async throws
    {
        let directory = try ScratchDirectory()
        let path = directory.path("preloop.db")
        let store = try await Store.open(SQLiteDatabase(path: path))
        let files = [path, path + "-wal"]
        // As root on a file system that knows the attribute; others cannot make it so.
        guard try setAttribute("+i", of: path) else { return }
        defer { for file in files { _ = try? setAttribute("-i", of: file) } }
        try #require(try setAttribute("+i", of: files[1]))
        @Sendable func write() async throws {
            try await store.write { connection, account in
                _ = try AccountTable.nextRevisions(1, account: account, on: connection)
            }
        }
        await #expect(throws: StoreError.readOnly) { try await write() }
        for file in files { #expect(try setAttribute("-i", of: file)) }
        try await write()
        try await store.database.close()
    }

    @Test func `a task that was cancelled closes all the same`() async throws {
        let directory = try ScratchDirectory()
        let store = try await Store.open(SQLiteDatabase(path: directory.path("preloop.db")))
        let closing = Task {
            while !Task.isCancelled { await Task.yield() }
            try await store.database.close()
        }
        closing.cancel()
        try await closing.value
        await #expect(throws: StoreError.self) {
            try await store.read { connection, _ in try connection.rows("SELECT 1").count }
        }
    }

    @Test func `a writer that waits too long for another process is told`() async throws {
        let directory = try ScratchDirectory()
        let path = directory.path("preloop.db")
        var configuration = SQLiteDatabase.Configuration()
        configuration.busyTimeout = .milliseconds(20)
        let first = try await Store.open(SQLiteDatabase(path: path))
        // Two engines on one file lock each other out as two processes do.
        let second = try await Store.open(
            SQLiteDatabase(path: path, configuration: configuration)
        )
        let gate = Gate()
        let holding = Task {
            try await first.write { connection, account in
                _ = try AccountTable.nextRevisions(1, account: account, on: connection)
                gate.open()
                gate.waitUntilReleased()
            }
        }
        gate.waitUntilOpen()
        await #expect(throws: StoreError.busy) {
            try await second.write { connection, account in
                _ = try AccountTable.nextRevisions(1, account: account, on: connection)
            }
        }
        gate.release()
        try await holding.value
    }

    @Test func `a directory that is not there is reported with its path`() throws {
        let error = #expect(throws: StoreError.self) {
            _ = try SQLiteDatabase(path: "/nonexistent/preloop.db")
        }
        guard case .unavailable(let detail) = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(detail.contains("/nonexistent/preloop.db"))
    }
}

/// Holds a transaction open until the test has seen what it wants.
private final class Gate: Sendable {
    private let opened = DispatchSemaphore(value: 0)
    private let released = DispatchSemaphore(value: 0)

    func open() { opened.signal() }
    func waitUntilOpen() { opened.wait() }
    func release() { released.signal() }
    func waitUntilReleased() { released.wait() }
}
