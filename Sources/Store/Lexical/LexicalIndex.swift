package import Domain
import GRDB
import Glibc

/// The full-text index of one account: an SQLite file with an FTS5 table, one document an issue.
///
/// It is a cache of the store, on both engines: it follows the change feed with a cursor that is
/// written in the same transaction as the documents. A file that is missing, damaged, of another
/// store or ahead of its store is made anew; that costs time, never correctness.
package actor LexicalIndex {
    /// Changes whenever documents are built differently.
    private static let formatVersion = 2
    /// The terms are made by TextAnalyzer; unicode61 only splits them at the spaces again and takes
    /// off the accents, so that `café` and `cafe` meet.
    static let tokenizer = ["unicode61", "remove_diacritics", "2"]

    /// Where the file is.
    package let path: String
    private let identity: String
    private var pool: DatabasePool
    /// The file the pool was opened on: another process may have put a new one in its place.
    private var file: FileIdentity?
    /// Spares the walks over the lists of common words.
    let termCounts = LexicalTermCounts()
    /// The lists of the phrases asked lately; nil until there was a second question.
    var cache: LexicalCache?
    /// When the lists were last found to be of the file as it is.
    var lookedAt = ContinuousClock.now
    /// For how long they are believed to be.
    private static let trust = Duration.seconds(1)
    private var wasAsked = false

    /// Opens the index of a store, or makes an empty one.
    ///
    /// - Parameters:
    ///   - path: The file; its directory exists.
    ///   - store: Whose issues it holds.
    /// - Throws: ``StoreError`` when neither the file nor a new one can be opened.
    package init(path: String, of store: Store) async throws {
        let identity = try await store.read { connection, account in
            let store = try StoreIdentity.text(account: account, on: connection)
            return "\(Self.formatVersion):\(store)"
        }
        self.path = path
        self.identity = identity
        do {
            pool = try Self.open(path, identity: identity)
        } catch StoreError.corrupt {
            try Self.removeFiles(path)
            pool = try Self.open(path, identity: identity)
        }
        file = FileIdentity(path)
    }

    /// Closes the file.
    package func close() throws {
        do { try pool.close() } catch { throw StoreError(error) }
    }

    /// Empties the index; the next update builds it from the first revision.
    ///
    /// The file stays where it is, because other processes have it open; only a damaged one is
    /// replaced.
    package func reset() async throws {
        let identity = identity
        do {
            try reopenIfReplaced()
            cache = nil
            try await pool.write { try Self.makeTables($0, identity: identity) }
        } catch {
            guard case .corrupt = StoreError(error) else { throw StoreError(error) }
            try replaceDamaged()
        }
    }

    /// Puts an empty file in the place of a damaged one, unless another process has done so; the
    /// next update fills it.
    package func replaceDamaged() throws {
        if file == FileIdentity(path) {
            // A damaged file may refuse to close; it is removed all the same.
            try? pool.close()
            try Self.removeFiles(path)
        }
        try reopen()
    }

    /// Opens the file that is at the path now, an empty one when there is none.
    ///
    /// A pool opens its readers when they are needed: after a replacement they would read the new
    /// file while the writer still had the old one.
    func reopen() throws {
        cache = nil
        pool = try Self.open(path, identity: identity)
        file = FileIdentity(path)
    }

    /// Opens the file anew when another process has replaced it.
    func reopenIfReplaced() throws {
        if file == nil || file != FileIdentity(path) { try reopen() }
    }

    // MARK: - Asking

    /// Scores every document that has a term of the query.
    ///
    /// The first question is answered by FTS5, those behind it from lists in memory: a program that
    /// asks once would read them for nothing.
    ///
    /// - Throws: ``StoreError/corrupt(detail:)`` when the file turns out to be damaged; see
    ///   ``replaceDamaged()``.
    package func scores(
        of query: LexicalQuery,
        weights: LexicalWeights
    ) async throws -> LexicalScores {
        try await ask(query, weights, at: nil) ?? LexicalScores()
    }

    /// The scores of ``scores(of:weights:)``, if the index has followed the feed to a revision and
    /// not beyond.
    ///
    /// What was asked before is answered without reading the file, as long as one has looked at it
    /// within the last second: another process may have emptied it.
    ///
    /// - Returns: Nil when the index is elsewhere; see ``follow(_:maximumBatches:)``.
    /// - Throws: As there.
    package func scores(
        of query: LexicalQuery,
        weights: LexicalWeights,
        at revision: Revision
    ) async throws -> LexicalScores? {
        do { try reopenIfReplaced() } catch { throw StoreError(error) }
        if let cache, cache.revision == revision, lookedAt.duration(to: .now) < Self.trust {
            let known = await Self.rememberedScores(
                of: query,
                weights: weights,
                cache: cache,
                counts: termCounts
            )
            if let known { return known }
        }
        return try await ask(query, weights, at: revision)
    }

    /// Nil when the index has not followed the feed to the revision, or farther.
    private func ask(
        _ query: LexicalQuery,
        _ weights: LexicalWeights,
        at revision: Revision?
    ) async throws -> LexicalScores? {
        guard !query.isEmpty else { return LexicalScores() }
        do {
            try reopenIfReplaced()
            if wasAsked {
                switch try await cachedScores(of: query, weights: weights, at: revision) {
                case .elsewhere: return nil
                case .scores(let scores): return scores
                case .unfit: break
                }
            }
            if let revision, try await self.revision() != revision { return nil }
            wasAsked = true
            let query = try await selected([query])[0]
            guard !query.isEmpty else { return LexicalScores() }
            return try await walkedScores(of: query, weights: weights)
        } catch {
            throw StoreError(error)
        }
    }

    /// The scores as FTS5 computes them, walking the file.
    func walkedScores(
        of query: LexicalQuery,
        weights: LexicalWeights
    ) async throws -> LexicalScores {
        try await guarded { database in
            try Self.scan(database, query: query, weights: weights)
        }
    }

    /// Scores every document that has a term of a query in its title or body by how much the
    /// shared terms tell, without their number and without the document's length.
    ///
    /// For gathering candidates that are measured otherwise afterwards: FTS5's BM25 reads the
    /// length of every match, which is most of the time of a query.
    ///
    /// - Returns: What ``scores(of:weights:)`` does, for each query.
    /// - Throws: As there.
    package func sharing(_ queries: [LexicalQuery]) async throws -> [LexicalScores] {
        let nothing = queries.map { _ in LexicalScores() }
        guard !queries.allSatisfy(\.isEmpty) else { return nothing }
        do {
            try reopenIfReplaced()
            let selected = try await selected(queries)
            return try await guarded { database in
                try selected.map { try Self.scanShared(database, query: $0) }
            }
        } catch {
            throw StoreError(error)
        }
    }

    /// How many documents the index has and up to which revision it follows the feed.
    package func state() async throws -> (documents: Int, revision: Revision) {
        try await guarded { database in
            (try Self.documentCount(database), try Self.cursor(database))
        }
    }

    /// Up to which revision the index follows the feed.
    package func revision() async throws -> Revision {
        try await guarded { database in try Self.cursor(database) }
    }

    /// The documents whose stored text is not what `texts` says, or which are missing.
    package func differing(
        from documents: [LexicalDocument]
    ) async throws -> [IssueID] {
        try await guarded { database in
            let statement = try database.cachedStatement(
                sql: "SELECT title, body, comments FROM documents WHERE rowid = ?"
            )
            return try documents.filter { document in
                let row = try Row.fetchOne(statement, arguments: [document.issue.rawValue])
                guard let row else { return true }
                return row[0] != document.title || row[1] != document.body
                    || row[2] != document.comments
            }.map(\.issue)
        }
    }

    func guarded<Value: Sendable>(
        _ body: @escaping @Sendable (GRDB.Database) throws -> Value
    ) async throws -> Value {
        do { return try await pool.read(body) } catch { throw StoreError(error) }
    }

    /// The queries with the phrases that tell most.
    func selected(_ queries: [LexicalQuery]) async throws -> [LexicalQuery] {
        let terms = Array(Set(queries.lazy.flatMap(\.phrases).flatMap(\.terms)))
        let counts = try await counts(of: terms)
        let byTerm = Dictionary(uniqueKeysWithValues: zip(terms, counts.terms))
        return queries.map { query in
            var query = query
            query.select(documentCount: counts.documents) { term in
                LexicalQuery.frequency(of: term, counted: byTerm[term] ?? 0)
            }
            return query
        }
    }

    private static func scan(
        _ database: GRDB.Database,
        query: LexicalQuery,
        weights: LexicalWeights
    ) throws -> LexicalScores {
        var scores = LexicalScores()
        let statement = try database.cachedStatement(
            sql: """
                SELECT rowid, bm25(documents, ?, ?, ?) FROM documents
                WHERE documents MATCH ? ORDER BY rowid
                """
        )
        let arguments: StatementArguments = [
            weights.title, weights.body, weights.comments, query.matchExpression,
        ]
        let rows = try Row.fetchCursor(statement, arguments: arguments)
        while let row = try rows.next() {
            // FTS5 gives better matches smaller values.
            scores.append(document: row[0], score: -(row[1] as Double))
        }
        return scores
    }

    private static func scanShared(
        _ database: GRDB.Database,
        query: LexicalQuery
    ) throws -> LexicalScores {
        let statement = try database.cachedStatement(
            sql: "SELECT rowid FROM documents WHERE documents MATCH ?"
        )
        var found: [Int64: Double] = [:]
        for phrase in query.phrases {
            let expression = "{title body} : \(phrase.quoted)"
            let rows = try Int64.fetchCursor(statement, arguments: [expression])
            while let document = try rows.next() { found[document, default: 0] += phrase.weight }
        }
        var scores = LexicalScores()
        for (document, score) in found.sorted(by: { $0.key < $1.key }) {
            scores.append(document: document, score: score)
        }
        return scores
    }

    // MARK: - Writing

    /// Replaces documents and moves the cursor, unless another process moved it meanwhile.
    ///
    /// - Returns: False when the cursor was not where the caller read it; nothing is written then.
    func apply(
        _ documents: [LexicalDocument],
        removing removed: [IssueID],
        from expected: Revision,
        to revision: Revision
    ) async throws -> Bool {
        do {
            return try await pool.write { database in
                guard try Self.cursor(database) == expected else { return false }
                let delete = try database.cachedStatement(
                    sql: "DELETE FROM documents WHERE rowid = ?"
                )
                let insert = try database.cachedStatement(
                    sql: "INSERT INTO documents (rowid, title, body, comments) VALUES (?, ?, ?, ?)"
                )
                let note = try database.cachedStatement(
                    sql: "INSERT OR REPLACE INTO changes (document, revision) VALUES (?, ?)"
                )
                for issue in removed + documents.map(\.issue) {
                    try delete.execute(arguments: [issue.rawValue])
                    try note.execute(arguments: [issue.rawValue, revision.rawValue])
                }
                for document in documents {
                    try insert.execute(arguments: [
                        document.issue.rawValue, document.title, document.body, document.comments,
                    ])
                }
                try database.execute(
                    sql: "UPDATE follower SET revision = ?",
                    arguments: [revision.rawValue]
                )
                return true
            }
        } catch {
            throw StoreError(error)
        }
    }

    // MARK: - File

    private static func open(_ path: String, identity: String) throws -> DatabasePool {
        var settings = GRDB.Configuration()
        // Longer than one batch of documents takes to write.
        settings.busyMode = .timeout(5)
        settings.maximumReaderCount = 4
        settings.label = "lexical"
        do {
            try createFile(path)
            let pool = try DatabasePool(path: path, configuration: settings)
            try pool.write { database in
                let found =
                    try database.tableExists("follower")
                    ? String.fetchOne(database, sql: "SELECT identity FROM follower") : nil
                guard found != identity else { return }
                try makeTables(database, identity: identity)
            }
            return pool
        } catch {
            throw StoreError(error)
        }
    }

    private static func makeTables(_ database: GRDB.Database, identity: String) throws {
        // `changes` says which documents a list in memory has to look at again, `generation` that
        // it knows nothing of this file.
        try database.execute(
            sql: """
                DROP TABLE IF EXISTS vocabulary;
                DROP TABLE IF EXISTS instances;
                DROP TABLE IF EXISTS documents;
                DROP TABLE IF EXISTS changes;
                DROP TABLE IF EXISTS follower;
                CREATE VIRTUAL TABLE documents USING fts5(
                    title, body, comments, tokenize = '\(tokenizer.joined(separator: " "))'
                );
                CREATE VIRTUAL TABLE vocabulary USING fts5vocab(documents, row);
                CREATE VIRTUAL TABLE instances USING fts5vocab(documents, instance);
                CREATE TABLE changes (document INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
                CREATE INDEX changes_by_revision ON changes (revision);
                CREATE TABLE follower (
                    identity TEXT NOT NULL, revision INTEGER NOT NULL, generation INTEGER NOT NULL
                );
                """
        )
        try database.execute(
            sql: "INSERT INTO follower (identity, revision, generation) VALUES (?, 0, random())",
            arguments: [identity]
        )
    }

    private static func cursor(_ database: GRDB.Database) throws -> Revision {
        Revision(try Int64.fetchOne(database, sql: "SELECT revision FROM follower") ?? 0)
    }

    static func documentCount(_ database: GRDB.Database) throws -> Int {
        // FTS5's own table of lengths is a small B-tree; counting the virtual table reads every
        // text.
        try Int.fetchOne(database, sql: "SELECT count(*) FROM documents_docsize") ?? 0
    }

    /// Makes an empty file only its owner can read.
    private static func createFile(_ path: String) throws(StoreError) {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw .unavailable(detail: "cannot open `\(path)` (errno \(errno))")
        }
        _ = Glibc.close(descriptor)
    }

    /// Which file is at a path.
    private struct FileIdentity: Equatable {
        private let device: UInt
        private let inode: UInt

        /// Nil when there is none.
        init?(_ path: String) {
            var status = stat()
            guard unsafe stat(path, &status) == 0 else { return nil }
            device = UInt(status.st_dev)
            inode = UInt(status.st_ino)
        }
    }

    private static func removeFiles(_ path: String) throws(StoreError) {
        for suffix in ["", "-wal", "-shm"] {
            guard unsafe unlink(path + suffix) == 0 || errno == ENOENT else {
                throw .unavailable(detail: "cannot remove `\(path + suffix)` (errno \(errno))")
            }
        }
    }
}
