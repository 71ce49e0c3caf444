import Domain

/// The mirror of vectors in pgvector columns: whether there is one, and making it.
///
/// Its rows are written by whoever writes windows (``PassageTable``); here is what happens once, or
/// after somebody wrote without it.
package enum VectorMirror {
    /// Whether vectors are mirrored.
    package enum State: Sendable, Equatable {
        /// They are: roughly `rows` of them, if all are as long as those of the account's model;
        /// `indexed` are the dimensions that have an index.
        case ready(version: String, indexed: Set<Int>, rows: Int)
        /// The store is a SQLite file.
        case otherEngine
        /// The server does not have the extension.
        case absent(database: String)
        /// The server has the extension and this user may not make it.
        case refused(database: String, reason: String)
        /// The extension is too old for `halfvec`.
        case outdated(database: String, version: String)
        /// The extension is in a schema that this user's search path leaves out.
        case outOfSight(schema: String)
        /// The mirror was not made yet; nor was the extension where `isExtended` is false, and the
        /// server has it.
        case unmade(isExtended: Bool)
    }

    /// The first version with `halfvec`.
    private static let minimumVersion = [0, 7]
    /// The first version that goes on when a filter drops what the index found.
    private static let iterativeVersion = [0, 8]

    /// Windows mirrored in one transaction: half a second with an index, so that others who write
    /// need not wait for long.
    private static let batch = 500

    // MARK: - Making

    /// Looks, and changes nothing.
    package static func state(of store: Store) async throws -> State {
        guard store.database.dialect == .postgres else { return .otherEngine }
        return try await store.read { connection, account in
            try view(of: account, on: connection).state
        }
    }

    /// Makes what is missing, as far as this user may: the extension and the tables.
    ///
    /// - Parameter store: The store.
    /// - Returns: What there is now; anything but ready only means that vectors are not mirrored.
    /// - Throws: What the store refuses beyond making the extension.
    package static func prepare(_ store: Store) async throws -> State {
        guard store.database.dialect == .postgres else { return .otherEngine }
        let (look, before) = try await store.read { connection, account in
            try view(of: account, on: connection)
        }
        // The common case needs no lock.
        if before.isReady {
            if look.hasFormerIndex { try await renewIndexes(store) }
            return before
        }
        if look.version == nil {
            guard look.isAvailable else { return before }
            do {
                try await store.database.write { connection in
                    try VectorExtensionTable.lock(on: connection)
                    try VectorExtensionTable.create(inPublic: look.hasPublic, on: connection)
                }
            } catch StoreError.statement(let reason) {
                return .refused(database: look.database, reason: reason)
            }
        }
        let account = store.account
        return try await store.database.write { connection in
            try VectorExtensionTable.lock(on: connection)
            let state = try view(of: account, on: connection).state
            guard state == .unmade(isExtended: true) else { return state }
            try VectorExtensionTable.createTables(on: connection)
            return try view(of: account, on: connection).state
        }
    }

    /// Gives a mirror that an earlier program made the indexes of today, unless somebody is in the
    /// way or it may not be done: then it is left to whoever opens it next.
    private static func renewIndexes(_ store: Store) async throws {
        do {
            try await store.database.write { connection in
                try VectorExtensionTable.lock(on: connection)
                try VectorExtensionTable.renewIndexes(on: connection)
            }
        } catch let error as StoreError {
            // Searching goes by what is there, also for who may not change it.
            switch error {
            case .busy, .readOnly, .statement, .timedOut: break
            default: throw error
            }
        }
    }

    /// Rows from which an index is worth its upkeep: fewer are compared one by one in the time that
    /// walking it takes, three milliseconds.
    package static let indexedFrom = 5_000
    /// How long it waits for transactions that are older than it before it leaves the index to the
    /// next scan: longer than any of ours, while a session somebody forgot may be there for days.
    package static let indexingPatience = Duration.seconds(120)

    /// Makes the index for vectors of one length, when it is missing and worthwhile.
    ///
    /// After a long load, not before it: building takes a quarter of a millisecond for a row,
    /// keeping an index up to date a whole one. Those who write meanwhile do not wait. It waits for
    /// the transactions that were there before it, but not for ever. Of processes that find at once
    /// that it is missing one makes it.
    ///
    /// As long as the server is at work on it no time is too long: a limit would throw away the
    /// work of hours, and the next scan would begin it anew, in vain. What ends it is the task's
    /// cancellation, the loss of the connection, or whoever keeps it waiting.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - dimension: The length of the vectors.
    ///   - count: Rows from which it is worthwhile.
    ///   - patience: How long it may wait for others without a break.
    /// - Returns: Whether there is an index now.
    /// - Throws: What the store refuses.
    @discardableResult
    package static func makeIndex(
        _ store: Store,
        dimension: Int,
        from count: Int = indexedFrom,
        patience: Duration = indexingPatience
    ) async throws -> Bool {
        guard dimension <= PassageVectorTable.maximumIndexedDimension,
            let database = store.database as? PostgresDatabase
        else { return false }
        let (look, isIndexing) = try await database.read { connection in
            (
                try VectorExtensionTable.look(on: connection),
                try VectorExtensionTable.isIndexing(on: connection)
            )
        }
        guard case .ready(_, let indexed, let rows) = state(look, dimension: dimension)
        else { return false }
        if indexed.contains(dimension) { return true }
        guard rows >= count, !isIndexing else { return false }
        do {
            try await database.write { connection in
                try VectorExtensionTable.dropBroken(dimension: dimension, on: connection)
            }
        } catch StoreError.busy {
            // Somebody has begun meanwhile, or reads for long: the next scan looks again.
            return false
        }
        let isRun = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await database.maintain(
                    VectorExtensionTable.createIndex(dimension: dimension),
                    under: VectorExtensionTable.indexingLock
                )
            }
            group.addTask {
                try await waitUntilBlocked(database, for: patience)
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
        guard isRun else { return false }
        // One that was there already may be one that somebody has broken off.
        return try await database.read { connection in
            try VectorExtensionTable.look(on: connection).dimensions.contains(dimension)
        }
    }

    /// Ends when the making of an index has waited for others for so long without a break.
    ///
    /// `lock_timeout` would say the same, but for a statement outside a transaction it is a setting
    /// of the session, which a pooler gives to others.
    private static func waitUntilBlocked(
        _ database: PostgresDatabase,
        for patience: Duration
    ) async throws {
        var since: ContinuousClock.Instant?
        while since.map({ $0.duration(to: .now) < patience }) ?? true {
            try await Task.sleep(for: min(patience / 4, .seconds(5)))
            // A look that fails says nothing of the making, whose own connection tells what fails.
            let isBlocked = try? await database.read { connection in
                try VectorExtensionTable.isIndexingBlocked(on: connection)
            }
            since = isBlocked == true ? since ?? .now : nil
        }
    }

    /// The length of the usual model's vectors: rows are reckoned by it where there is no model.
    private static let usualDimension = 384

    /// A look at the catalogue and what it means for an account.
    private static func view(
        of account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> (look: VectorExtensionTable.Look, state: State) {
        let look = try VectorExtensionTable.look(on: connection)
        guard look.isMade else { return (look, state(look, dimension: usualDimension)) }
        let models = try EmbeddingModelTable.all(account: account, on: connection)
        let dimension = models.first(where: \.isCurrent)?.dimension ?? usualDimension
        return (look, state(look, dimension: dimension))
    }

    private static func state(_ look: VectorExtensionTable.Look, dimension: Int) -> State {
        guard let version = look.version else {
            return look.isAvailable
                ? .unmade(isExtended: false) : .absent(database: look.database)
        }
        guard isAtLeast(minimumVersion, version) else {
            return .outdated(database: look.database, version: version)
        }
        guard look.isVisible else { return .outOfSight(schema: look.schema ?? "") }
        guard look.isMade else { return .unmade(isExtended: true) }
        let rows = PassageVectorTable.roughCount(bytes: look.byteCount, dimension: dimension)
        return .ready(version: version, indexed: look.dimensions, rows: rows)
    }

    private static func isAtLeast(_ wanted: [Int], _ version: String) -> Bool {
        let parts = version.split(separator: ".").map { Int($0) ?? 0 }
        return !parts.lexicographicallyPrecedes(wanted)
    }

    // MARK: - Following

    /// Mirrors the windows that were written without the mirror.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - model: The model whose windows are mirrored.
    ///   - limit: Stop after so many windows although more are waiting; nil for all.
    /// - Returns: Whether the mirror has missed nothing now.
    /// - Throws: What the store refuses.
    @discardableResult
    package static func catchUp(
        _ store: Store,
        with model: EmbeddingModelTable.Row,
        limit: Int? = nil
    ) async throws -> Bool {
        guard model.dimension <= PassageVectorTable.maximumDimension else { return false }
        var seen = 0
        while seen < limit ?? .max {
            try Task.checkCancellation()
            let count = try await store.write { connection, account in
                try PassageVectorTable.catchUp(
                    with: model,
                    limit: batch,
                    account: account,
                    on: connection
                )
            }
            guard count == batch else { return true }
            seen += count
        }
        return false
    }
}

extension VectorMirror {
    /// What a comparison of the whole mirror with the store found.
    package struct Comparison: Sendable, Equatable {
        /// Live windows in the store.
        package var windows = 0
        /// Rows of the mirror.
        package var rows = 0
        /// Rows that are wrong, by how.
        package var faults: [PassageVectorTable.FaultKind: Int] = [:]
        /// Some windows whose rows are wrong, for a look at them.
        package var examples: [PassageVectorTable.Fault] = []
        /// Rows that were mended.
        package var mended = 0

        /// Rows that are wrong, in whatever way.
        package var faultCount: Int { faults.values.reduce(0, +) }
    }

    /// Windows compared in one transaction.
    private static let comparedAtOnce = 1_000
    /// Wrong rows that are named.
    private static let exampleLimit = 10

    /// Compares every window with its row, and mends what is wrong when asked to.
    ///
    /// What changes meanwhile is compared as it is when its turn comes. The mirror is there.
    package static func compare(
        _ store: Store,
        repairing isRepairing: Bool = false
    ) async throws -> Comparison {
        var total = Comparison()
        var last: PassageID? = PassageID(0)
        while let after = last {
            try Task.checkCancellation()
            let page = try await store.read { connection, account in
                try PassageVectorTable.compare(
                    after: after,
                    limit: comparedAtOnce,
                    account: account,
                    on: connection
                )
            }
            last = page.end
            total.windows += page.windows
            total.rows += page.rows
            for fault in page.faults { total.faults[fault.kind, default: 0] += 1 }
            total.examples += page.faults.prefix(exampleLimit - total.examples.count)
            guard isRepairing, !page.faults.isEmpty else { continue }
            total.mended += try await mend(page.faults.map(\.passage), in: store)
        }
        return total
    }

    private static func mend(_ passages: [PassageID], in store: Store) async throws -> Int {
        var count = 0
        for start in stride(from: 0, to: passages.count, by: batch) {
            let some = Array(passages[start..<min(start + batch, passages.count)])
            count += try await store.write { connection, account in
                try PassageVectorTable.mend(some, account: account, on: connection)
            }
        }
        return count
    }
}

extension VectorMirror.State {
    /// Whether vectors are mirrored.
    package var isReady: Bool { if case .ready = self { true } else { false } }

    /// Whether the extension goes on when a filter drops what its index found.
    package var canIterate: Bool {
        guard case .ready(let version, _, _) = self else { return false }
        return VectorMirror.iterates(version)
    }

    /// What there is, in a line.
    package var description: String {
        switch self {
        case .ready(let version, let indexed, _):
            "pgvector \(version), indexed dimensions: "
                + (indexed.isEmpty
                    ? "none" : indexed.sorted().map(String.init).joined(separator: ", "))
        case .otherEngine: "the store is a SQLite file, which has no pgvector"
        case .absent(let database):
            "the server of the database `\(database)` does not have the extension `vector`"
        case .refused(let database, let reason):
            "the extension `vector` cannot be made in the database `\(database)`: \(reason)"
        case .outdated(let database, let version):
            "the extension `vector` of the database `\(database)` is of version \(version); "
                + "0.7 is the oldest that will do"
        case .outOfSight(let schema):
            "the extension `vector` is in the schema `\(schema)`, which is not in the search path"
        case .unmade(isExtended: true): "the mirror of vectors has not been made yet"
        case .unmade(isExtended: false):
            "the server has the extension `vector`, and it has not been made in this database yet"
        }
    }

    /// What an operator can do; nil when there is nothing to do.
    package var advice: String? {
        switch self {
        case .ready: nil
        case .otherEngine: "set DATABASE_URL to a PostgreSQL database, or use the index in memory"
        case .absent(let database):
            "install pgvector on the server (on Debian the package postgresql-NN-pgvector), then "
                + "run as an administrator: \(Self.command(database, "CREATE EXTENSION vector"))"
        case .refused(let database, _):
            "run as an administrator: \(Self.command(database, "CREATE EXTENSION vector"))"
        case .outdated(let database, _):
            "install a newer pgvector on the server, then run as an administrator: "
                + Self.command(database, "ALTER EXTENSION vector UPDATE")
        case .outOfSight(let schema):
            "add the schema to the search path: ALTER ROLE … SET search_path = …, \(schema)"
        case .unmade:
            "make it with `preloop doctor --vectors --repair`; `preloop-sync scan all` does so too"
        }
    }

    private static func command(_ database: String, _ statement: String) -> String {
        "psql -d \(database) -c '\(statement)'"
    }
}

extension VectorMirror {
    fileprivate static func iterates(_ version: String) -> Bool {
        isAtLeast(iterativeVersion, version)
    }
}
