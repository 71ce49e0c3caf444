import Domain
import GRDB
import Glibc

/// The embedded engine: one SQLite file in WAL mode, many readers beside one writer.
///
/// - `synchronous = FULL`: with NORMAL a power cut may take back the last commits. The tables would
///   stay sound, but snapshot and lexical index remember a revision of the feed, and the revisions
///   taken back would be given to other rows, which those followers would then never see. One fsync
///   a page of a hundred issues is not worth that.
/// - Write transactions begin IMMEDIATE: the write lock is the feed lock, taken before the first
///   read, so a transaction cannot fail half-way because another one was quicker.
/// - The writer keeps 16 MB of pages, the tops of all indexes of a large table; with SQLite's 2 MB
///   a fifth of a bulk write went into reading them again.
/// - The log is copied into the file every 16 MB instead of 4: a page that all transactions write
///   is copied once instead of four times, and the disk is waited for less often.
/// - The log is cut back to 64 MiB after the one transaction in a year that is larger.
/// - File mode 0600, made before SQLite opens it; the write-ahead log inherits it.
package struct SQLiteDatabase: Database {
    package let dialect = SQLDialect.sqlite
    /// Where the file is.
    package let path: String

    private let pool: DatabasePool
    private let changes: ChangeConnection

    /// How an installation's database is opened.
    package struct Configuration: Sendable {
        /// How long a writer waits for another process: longer than the largest transaction, which
        /// is the removal of a tracker, shorter than an operator's patience.
        package var busyTimeout: Duration = .seconds(20)
        /// Connections for concurrent reads; the programs read from few places at a time.
        package var maximumReaders = 4

        /// The defaults.
        package init() {}
    }

    /// Opens the file, creating it with mode 0600 when there is none.
    ///
    /// No table is made or looked at; see ``Migrator``.
    ///
    /// - Throws: ``StoreError/corrupt(detail:)`` when the file is not a database,
    ///   ``StoreError/readOnly`` or ``StoreError/unavailable(detail:)`` when it cannot be opened.
    package init(path: String, configuration: Configuration = Configuration()) throws(StoreError) {
        try Self.create(path)
        var settings = GRDB.Configuration()
        settings.busyMode = .callback(Self.patience(configuration.busyTimeout))
        settings.maximumReaderCount = configuration.maximumReaders
        settings.label = "store"
        pool = try Self.open(path, settings, within: configuration.busyTimeout)
        self.path = path
        changes = ChangeConnection(path: path)
    }

    /// Runs `body` on one of the reading connections.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        do {
            return try await pool.read { database in
                try body(SQLiteConnection(database: database))
            }
        } catch {
            throw Self.failure(error)
        }
    }

    /// Runs `body` on the one writing connection; other processes wait for it.
    ///
    /// - Throws: What `body` throws, and what SQLite refuses: ``StoreError/readOnly`` also where a
    ///   file that was writable when it was opened is not any longer.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection) throws -> Value
    ) async throws -> Value {
        do {
            return try await pool.write { database in
                try body(SQLiteConnection(database: database))
            }
        } catch {
            throw isUnwritable(after: error) ? StoreError.readOnly : Self.failure(error)
        }
    }

    /// Whether a write failed since the file, its log or their directory cannot be written.
    ///
    /// SQLite calls it an I/O error when the files were writable when it opened them: a file system
    /// that the system has made read-only after a fault, or files that somebody has locked.
    private func isUnwritable(after error: any Error) -> Bool {
        let isOfFiles: Bool
        switch error {
        case let error as DatabaseError:
            isOfFiles = [.SQLITE_IOERR, .SQLITE_CANTOPEN].contains(error.resultCode)
        case StoreError.unavailable: isOfFiles = true
        default: isOfFiles = false
        }
        guard isOfFiles else { return false }
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        // Not by opening them: to close one would take away the locks of this process.
        let names: [String] = [path, path + "-wal", directory]
        return names.contains { name in
            unsafe access(name, W_OK) != 0 && [EROFS, EPERM, EACCES].contains(errno)
        }
    }

    /// What an access threw, in our terms; a cancelled task hears that it was cancelled, and what
    /// `body` throws of its own passes as it is.
    private static func failure(_ error: any Error) -> any Error {
        let failure = (error as? StoreError) ?? (error as? DatabaseError).map { StoreError($0) }
        return failure == .cancelled ? CancellationError() : failure ?? error
    }

    /// SQLite's `data_version`, as a connection sees it that does nothing else.
    package func changeToken() async throws -> Int64 {
        do {
            return try await changes.dataVersion()
        } catch {
            throw Self.failure(error)
        }
    }

    /// Nobody tells of commits of other processes: sleeps and looks.
    package func waitForChange(after token: Int64, atMost duration: Duration) async throws -> Bool {
        try await Task.sleep(for: duration)
        return try await changeToken() != token
    }

    /// Copies the write-ahead log into the file, as far as readers allow, and ends all connections.
    ///
    /// The log is not cut: a process that opens the database while this one is at work finds one
    /// that is not empty, and need not take the write lock to begin one.
    package func close() async throws {
        let (changes, pool) = (changes, pool)
        // In a task of its own: whoever closes because he was cancelled has to end it, too.
        let closing = Task {
            try await changes.close()
            try await pool.writeWithoutTransaction(Self.checkpoint)
            try pool.close()
        }
        do {
            try await closing.value
        } catch {
            throw StoreError(error)
        }
    }

    /// Copies the write-ahead log into the file, as far as readers allow.
    @Sendable private static func checkpoint(_ database: GRDB.Database) throws {
        for isLast in [false, true] {
            do {
                _ = try database.checkpoint(.passive)
                return
            } catch DatabaseError.SQLITE_BUSY {
                // Another process is copying the log at this moment.
                return
            } catch DatabaseError.SQLITE_INTERRUPT where !isLast {
                // An access that was cancelled just before has left the mark, and this took it off:
                // statements do so when they begin, a checkpoint when it ends.
            }
        }
    }

    /// Waits for the lock of another process in short pauses of uneven length.
    ///
    /// SQLite's own pauses grow to a tenth of a second: whoever waits for long asks seldom, others
    /// take the lock between, and among several processes that write without a pause one gives up
    /// in the end.
    private static func patience(_ timeout: Duration) -> GRDB.Database.BusyCallback {
        let pauses: ClosedRange<UInt32> = 500...7_500
        let mean = Duration.microseconds((pauses.lowerBound + pauses.upperBound) / 2)
        let attempts = Int((timeout / mean).rounded(.up))
        return { attempt in
            guard attempt < attempts else { return false }
            // The first is short: most transactions are over in a moment.
            usleep(attempt == 0 ? pauses.lowerBound : UInt32.random(in: pauses))
            return true
        }
    }

    /// Opens the pool, again and again while another process opens or closes the same file.
    ///
    /// SQLite's own waiting does not cover the switch to the write-ahead log, nor the moment in
    /// which the last connection of another process removes it.
    private static func open(
        _ path: String,
        _ settings: GRDB.Configuration,
        within timeout: Duration
    ) throws(StoreError) -> DatabasePool {
        let end = ContinuousClock.now.advanced(by: timeout)
        while true {
            do {
                let pool = try DatabasePool(path: path, configuration: settings)
                // The pool sets NORMAL while it opens, so this comes after.
                try pool.writeWithoutTransaction { database in
                    try database.execute(sql: "PRAGMA synchronous = FULL")
                    try database.execute(sql: "PRAGMA journal_size_limit = 67108864")
                    try database.execute(sql: "PRAGMA cache_size = -16000")
                    try database.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
                }
                return pool
            } catch {
                let failure = StoreError(error)
                guard failure == .busy, ContinuousClock.now < end else { throw failure }
                // A moment's work for the other; programs open their database once.
                usleep(5_000)
            }
        }
    }

    /// Makes an empty file only its owner can read; an existing one is only looked at.
    ///
    /// SQLite takes a file shorter than its smallest page for an empty database and writes over it,
    /// so such a file is refused here. An existing file is not opened: closing it would take away
    /// the locks that another connection of this process holds on it.
    private static func create(_ path: String) throws(StoreError) {
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_size > 0 {
            guard status.st_mode & S_IFMT != S_IFDIR else {
                throw .unavailable(detail: "`\(path)` is a directory, not a database's file")
            }
            guard status.st_size >= 512 else {
                throw .corrupt(detail: "file is not a database")
            }
            return
        }
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let code = errno
            switch code {
            case EROFS, EACCES, EPERM: throw .readOnly
            case ENOSPC, EDQUOT: throw .diskFull
            default:
                throw unsafe .unavailable(
                    detail: "cannot open `\(path)`: \(String(cString: strerror(code)))"
                )
            }
        }
        _ = Glibc.close(descriptor)
    }
}

/// One connection that only asks whether others have committed.
///
/// `PRAGMA data_version` compares against what the asking connection saw last, so it means
/// something only on a connection of its own that never writes.
private actor ChangeConnection {
    private let path: String
    private var queue: DatabaseQueue?
    private var isClosed = false

    init(path: String) {
        self.path = path
    }

    func dataVersion() async throws(StoreError) -> Int64 {
        do {
            let queue = try open()
            return try await queue.read { database in
                try Int64.fetchOne(database, sql: "PRAGMA data_version") ?? 0
            }
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError(error)
        }
    }

    private func open() throws -> DatabaseQueue {
        guard !isClosed else { throw StoreError.unavailable(detail: "the store is closed") }
        if let queue { return queue }
        var settings = GRDB.Configuration()
        settings.readonly = true
        settings.label = "store.changes"
        let opened = try DatabaseQueue(path: path, configuration: settings)
        queue = opened
        return opened
    }

    func close() throws {
        isClosed = true
        try queue?.close()
        queue = nil
    }
}
