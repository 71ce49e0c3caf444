import Dispatch
package import Domain
import Synchronization

/// Copies of a whole installation, all accounts and all tables: into a file, out of one, and from
/// one database into another.
///
/// What is read is one snapshot; what is written is one transaction, compared row by row before it
/// is committed. A bounded part of it is in memory at any time.
package enum DatabaseArchive {
    /// Writes an archive of a database.
    ///
    /// - Parameters:
    ///   - database: Its schema must be this program's; see ``Migrator``.
    ///   - path: Where the archive goes; what is there is replaced when the archive is complete.
    ///   - now: Told in the archive.
    /// - Returns: What is in it, table by table.
    /// - Throws: ``ArchiveError``, and what the store refuses.
    package static func backUp(
        _ database: any Database,
        to path: String,
        now: Timestamp
    ) async throws -> [TableDigest] {
        let catalog = try await catalog(of: database)
        return try await database.read { connection in
            // Made here: the closure may run again, on another snapshot.
            let writer = try ArchiveWriter(
                path: path,
                schema: catalog.number,
                engine: connection.dialect,
                now: now
            )
            let digests = try TableReader(tables: catalog.tables).read(on: connection) { item in
                try writer.write(item)
            }
            try writer.finish()
            return digests
        }
    }

    /// Fills an empty database from an archive.
    ///
    /// - Parameters:
    ///   - path: The archive.
    ///   - database: Its missing tables are made; a schema newer than the archive's stays.
    ///   - replacing: Whether what is there is removed.
    /// - Returns: What is there now, table by table.
    /// - Throws: ``ArchiveError``, and what the store refuses; nothing is changed then.
    package static func restore(
        _ path: String,
        into database: any Database,
        replacing: Bool
    ) async throws -> [TableDigest] {
        let header = try ArchiveReader(path: path).header
        let catalog = try await prepare(database, for: header.schema)
        return try await database.write { connection in
            // Opened here: the closure may run again, and reads from the beginning then.
            let reader = try ArchiveReader(path: path)
            return try TableLoader(catalog: catalog).load(
                on: connection,
                replacing: replacing,
                reader.next
            )
        }
    }

    /// Reads an archive to its end.
    ///
    /// - Returns: What is in it, table by table.
    /// - Throws: ``ArchiveError`` when it is not whole.
    package static func verify(_ path: String) throws(ArchiveError) -> [TableDigest] {
        let reader = try ArchiveReader(path: path)
        var digests: [TableDigest] = []
        while let item = try reader.next() {
            if case .end(let digest) = item { digests.append(digest) }
        }
        return digests
    }

    /// Fills an empty database from another one.
    ///
    /// One transaction reads while the other writes; between them are a few pages.
    package static func copy(
        _ source: any Database,
        into target: any Database,
        replacing: Bool
    ) async throws -> [TableDigest] {
        let from = try await catalog(of: source)
        let catalog = try await prepare(target, for: from.number)
        let pipe = ItemPipe()
        return try await withThrowingTaskGroup(of: [TableDigest]?.self) { group in
            group.addTask {
                defer { pipe.end() }
                try await source.read { connection in
                    try pipe.begin(.reading)
                    try TableReader(tables: from.tables).read(on: connection) { try pipe.put($0) }
                    try pipe.put(nil)
                }
                return nil
            }
            group.addTask {
                defer { pipe.end() }
                return try await target.write { connection in
                    try pipe.begin(.writing)
                    return try TableLoader(catalog: catalog).load(
                        on: connection,
                        replacing: replacing,
                        pipe.take
                    )
                }
            }
            return try await outcome(of: &group)
        }
    }

    /// The first failure that is not the other half's end.
    private static func outcome(
        of group: inout ThrowingTaskGroup<[TableDigest]?, any Error>
    ) async throws -> [TableDigest] {
        var digests: [TableDigest]?
        var failure: (any Error)?
        while let result = await group.nextResult() {
            switch result {
            case .success(let found): digests = found ?? digests
            case .failure(let error):
                let isEcho = error as? ArchiveError == .interrupted
                if failure == nil || failure as? ArchiveError == .interrupted && !isEcho {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
        guard let digests else { throw ArchiveError.interrupted }
        return digests
    }

    /// What stands in a database; its schema must be one this program knows.
    private static func catalog(of database: any Database) async throws -> SchemaCatalog {
        let found = try await database.read { connection in
            try SchemaTable.exists(on: connection) ? try SchemaTable.current(on: connection) : 0
        }
        guard found > 0 else {
            throw StoreError.unavailable(
                detail: "the database has none of an installation's tables"
            )
        }
        guard found <= Migration.all.count else {
            throw StoreError.newerSchema(found: found, supported: Migration.all.count)
        }
        return try SchemaCatalog(Array(Migration.all.prefix(found)))
    }

    /// Makes the tables of a schema where they are missing.
    private static func prepare(
        _ database: any Database,
        for schema: Int
    ) async throws -> SchemaCatalog {
        guard schema <= Migration.all.count, schema > 0 else {
            throw ArchiveError.newer(found: schema, supported: Migration.all.count)
        }
        // Steps that come later find the rows there, as they did where these come from.
        let found = try await database.read { connection in
            try SchemaTable.exists(on: connection) ? try SchemaTable.current(on: connection) : 0
        }
        if found < schema {
            try await Migrator(migrations: Array(Migration.all.prefix(schema))).migrate(database)
        }
        return try await catalog(of: database)
    }
}

/// Hands items from one thread to another, which both wait by blocking: transactions are
/// synchronous.
private final class ItemPipe: Sendable {
    enum Side: Int, Sendable {
        case reading
        case writing
    }

    /// A page is about four megabytes.
    private static let capacity = 2

    private struct State {
        var items: [ArchiveItem?] = []
        /// Who has given or taken an item.
        var moved: Set<Side> = []
        var isOver = false
    }

    private let state = Mutex(State())
    /// Begins at 0: Dispatch ends the process when a semaphore goes with less than it began with,
    /// and a copy that failed leaves items behind.
    private let free = DispatchSemaphore(value: 0)
    private let filled = DispatchSemaphore(value: 0)

    init() {
        for _ in 0..<Self.capacity { free.signal() }
    }

    /// A transaction begins, which may be one that runs a second time: where nothing has passed
    /// through its end of the pipe that does no harm, and what has passed is gone.
    func begin(_ side: Side) throws {
        let hasMoved = state.withLock { $0.moved.contains(side) }
        guard !hasMoved else { throw ArchiveError.interrupted }
    }

    /// Puts an item in, when there is room; nil after the last.
    func put(_ item: ArchiveItem?) throws {
        free.wait()
        let isOver = state.withLock { state in
            if !state.isOver {
                state.items.append(item)
                state.moved.insert(.reading)
            }
            return state.isOver
        }
        guard !isOver else {
            free.signal()
            throw ArchiveError.interrupted
        }
        filled.signal()
    }

    /// Takes an item out, when there is one.
    func take() throws -> ArchiveItem? {
        filled.wait()
        let item = state.withLock { state -> ArchiveItem?? in
            guard !state.items.isEmpty else { return nil }
            state.moved.insert(.writing)
            return .some(state.items.removeFirst())
        }
        guard let item else {
            filled.signal()
            throw ArchiveError.interrupted
        }
        free.signal()
        return item
    }

    /// One side is through with it: whoever waits, or comes later, is told; what is in it stays.
    func end() {
        state.withLock { $0.isOver = true }
        free.signal()
        filled.signal()
    }
}
