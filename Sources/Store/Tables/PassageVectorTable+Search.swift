package import Domain

/// A window near a vector.
package struct NearWindow: Sendable, Equatable {
    package var passage: PassageID
    package var issue: IssueID
    /// The inner product with the vector that was asked for: of unit vectors the cosine.
    package var score: Float

    package init(passage: PassageID, issue: IssueID, score: Float) {
        self.passage = passage
        self.issue = issue
        self.score = score
    }
}

/// Searching the mirror: the database compares, and answers with the windows and their issues.
extension PassageVectorTable {
    /// What is asked, the same for all vectors of a question.
    package struct Query: Sendable {
        /// The unit vectors.
        package var vectors: [[Float]]
        /// At most so many windows for each.
        package var count: Int
        /// Which windows are compared.
        package var scope: Scope
        /// How long the index's list of candidates is (`hnsw.ef_search`), 1...1,000.
        package var effort: Int

        package init(vectors: [[Float]], count: Int, scope: Scope, effort: Int) {
            self.vectors = vectors
            self.count = count
            self.scope = scope
            self.effort = effort
        }
    }

    /// Which windows are compared, and how they are found.
    package enum Scope: Sendable {
        /// By the index, which goes on until enough windows are of the model and of issues that
        /// pass; may come back with fewer than there are.
        case index(IssueFilter)
        /// All, one by one.
        case everyRow
        /// Those of these issues, one by one.
        case rows(of: [IssueID])
    }

    /// What the mirror answers.
    package struct Answer: Sendable {
        /// For each vector the windows near it, nearest first, equal scores by identifier.
        package var near: [[NearWindow]]
        /// Windows that must not be found any more: those of issues that were deleted.
        package var orphans: Set<PassageID>
        /// Whether the mirror has missed nothing; what it answers otherwise means nothing.
        package var isComplete: Bool
        /// Whether there is an index for vectors of this length.
        package var isIndexed: Bool
        /// Where the indexer is.
        package var indexed: Revision
    }

    /// Asks the mirror, on one snapshot with its state; all vectors in one round trip, and one more
    /// where something has changed that the indexer has not seen.
    ///
    /// `known` is where the indexer was at any time before, and spares another round trip.
    package static func search(
        _ query: Query,
        model: EmbeddingModelTable.Row,
        follower: String,
        known: Revision?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Answer {
        var indexed = known ?? .zero
        if known == nil {
            indexed = try FollowerTable.revision(of: follower, account: account, on: connection)
        }
        let searches = query.vectors.map { vector in
            statement(vector, query, model, account)
        }
        let results = try connection.rows(
            batch: [
                settings(query.scope, effort: query.effort),
                condition(model, account),
                FollowerTable.statement(follower, account),
            ] + searches
        )
        guard let condition = results[1].first else {
            throw .unexpectedValue(column: "is_behind")
        }
        var orphans: [PassageID] = []
        // Planning the statement takes longer than running it, and mostly nothing has changed.
        if try condition.integer("head") > indexed.rawValue {
            orphans = try PassageTable.orphans(
                after: indexed,
                model: model.id,
                account: account,
                on: connection
            )
        }
        return Answer(
            near: try results.dropFirst(3).map(near),
            orphans: Set(orphans),
            isComplete: try !condition.bool("is_behind"),
            isIndexed: try condition.bool("is_indexed"),
            indexed: try FollowerTable.revision(results[2])
        )
    }

    /// For each issue the window nearest to a vector; issues without windows are left out.
    package static func nearest(
        of issues: [IssueID],
        to vector: [Float],
        model: EmbeddingModelTable.Row,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [NearWindow] {
        guard !issues.isEmpty else { return [] }
        return try connection.rows(
            """
            SELECT DISTINCT ON (v.issue_id) v.passage_id, v.issue_id,
                v.vector <#> \(halfVector: vector)::halfvec AS distance
            FROM passage_vectors AS v
            WHERE v.account_id = \(account) AND v.model_id = \(model.id)
                AND v.issue_id = ANY(\(array: issues)::bigint[])
            ORDER BY v.issue_id, distance, v.passage_id
            """
        ).map(near)
    }

    /// Windows of an account's models and of others in the index, roughly: what a search by the
    /// index walks among.
    package static func roughCount(
        dimension: Int,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows("SELECT pg_relation_size(\(relation)) AS size")
        let bytes = Int(try rows.first?.optionalInteger("size") ?? 0)
        return roughCount(bytes: bytes, dimension: dimension)
    }

    /// How many rows a mirror of so many bytes has when its vectors are of one length, roughly.
    ///
    /// - Parameters:
    ///   - bytes: The size of the table, without indexes and without what it keeps elsewhere.
    ///   - dimension: The length of the vectors.
    /// - Returns: The number of rows; only its order of magnitude is certain.
    static func roughCount(bytes: Int, dimension: Int) -> Int {
        // A row of more than 2 kB keeps its vector elsewhere.
        let vectorBytes = dimension * 2 + 8
        let rowBytes = 100 + (vectorBytes < 1_900 ? vectorBytes : 0)
        return bytes / rowBytes
    }

    /// Rows of a model, counted up to a limit.
    package static func count(
        of model: EmbeddingModelID,
        atMost limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Int {
        let rows = try connection.rows(
            """
            SELECT count(*) AS count FROM (
                SELECT 1 FROM passage_vectors
                WHERE account_id = \(account) AND model_id = \(model) LIMIT \(limit)) AS counted
            """
        )
        return Int(try rows.first?.integer("count") ?? 0)
    }

    /// How many windows issues of a model have on average, by its oldest windows; 1 where there are
    /// none.
    package static func windowsOfIssue(
        of model: EmbeddingModelID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Double {
        let rows = try connection.rows(
            """
            SELECT count(*) AS windows, count(DISTINCT issue_id) AS issues FROM (
                SELECT issue_id FROM passage_vectors
                WHERE account_id = \(account) AND model_id = \(model)
                ORDER BY passage_id LIMIT 2000) AS oldest
            """
        )
        guard let row = rows.first else { return 1 }
        let windows = Double(try row.integer("windows"))
        return max(windows / Double(max(try row.integer("issues"), 1)), 1)
    }

    // MARK: - Statements

    /// Made for the transaction alone, so that a pooler may give the next one to another session.
    private static func settings(_ scope: Scope, effort: Int) -> SQL {
        // Older versions of the extension do not know all of them, and need none.
        guard case .index = scope else { return "SELECT set_config('enable_sort', 'on', true)" }
        // Not in the order of distances from one list of candidates to the next: rows are sorted
        // here anyway, and strict order drops what comes late. Without sorting only the index gives
        // an order, whatever the planner estimates.
        return """
            SELECT set_config('hnsw.ef_search', \("\(effort)"), true),
                set_config('hnsw.iterative_scan', 'relaxed_order', true),
                set_config('hnsw.max_scan_tuples', \(maximumScan), true),
                set_config('hnsw.scan_mem_multiplier', \(memoryMultiplier), true),
                set_config('enable_sort', 'off', true)
            """
    }

    /// Rows visited for one vector before the index gives up, and comparing one by one is cheaper.
    private static let maximumScan = "200000"
    /// Times `work_mem`, of which 4 MB hold the marks of some twenty thousand rows.
    private static let memoryMultiplier = "16"

    /// How the mirror and the feed are at this moment.
    private static func condition(_ model: EmbeddingModelTable.Row, _ account: AccountID) -> SQL {
        let mirrored: SQL = """
            COALESCE((SELECT revision FROM vector_mirrors
                WHERE account_id = \(account) AND model_id = \(model.id)), -1)
            """
        let index = "passage_vectors_hnsw_\(model.dimension)"
        let head: SQL = "(SELECT revision FROM accounts WHERE id = \(account))"
        return """
            SELECT \(head) AS head, \(mirrored) = \(PassageVectorTable.cleared)
                OR \(mirrored) > \(head) OR (
                SELECT p.revision FROM passages AS p
                WHERE p.account_id = \(account) AND p.revision > \(mirrored)
                    AND p.model_id = \(model.id)
                ORDER BY p.revision LIMIT 1) IS NOT NULL AS is_behind,
                EXISTS (SELECT 1 FROM pg_index
                    WHERE indexrelid = \(CurrentSchema.relation(index)) AND indisvalid)
                    AS is_indexed
            """
    }

    /// One search; the settings are made before it.
    static func statement(
        _ vector: [Float],
        _ query: Query,
        _ model: EmbeddingModelTable.Row,
        _ account: AccountID
    ) -> SQL {
        // The index is one of the expression with the length in it, and only that finds it.
        let length: SQL = "halfvec(\(number: model.dimension))"
        let distance: SQL = "v.vector::\(length) <#> \(halfVector: vector)::halfvec"
        switch query.scope {
        case .index(let filter):
            let issues: SQL =
                filter.isEmpty
                ? ""
                : "JOIN issues AS i ON i.account_id = \(account) AND i.id = v.issue_id"
            let passing: SQL =
                filter.isEmpty ? "TRUE" : PassageTable.condition(filter, account, .postgres)
            return """
                SELECT v.passage_id, v.issue_id, \(distance) AS distance
                FROM passage_vectors AS v \(issues)
                WHERE v.account_id = \(account) AND v.model_id = \(model.id)
                    AND v.dimension = \(number: model.dimension) AND \(passing)
                ORDER BY distance
                LIMIT \(query.count)
                """
        case .everyRow:
            return rows(vector, query.count, "TRUE", model.id, account)
        case .rows(of: let issues):
            return rows(
                vector,
                query.count,
                "v.issue_id = ANY(\(array: issues)::bigint[])",
                model.id,
                account
            )
        }
    }

    /// Compares row by row: the expression is none that has an index.
    private static func rows(
        _ vector: [Float],
        _ count: Int,
        _ condition: SQL,
        _ model: EmbeddingModelID,
        _ account: AccountID
    ) -> SQL {
        """
        SELECT v.passage_id, v.issue_id, v.vector <#> \(halfVector: vector)::halfvec AS distance
        FROM passage_vectors AS v
        WHERE v.account_id = \(account) AND v.model_id = \(model) AND \(condition)
        ORDER BY distance, v.passage_id
        LIMIT \(count)
        """
    }

    private static func near(_ rows: [SQLRow]) throws(StoreError) -> [NearWindow] {
        try rows.map(near).sorted { ($1.score, $0.passage) < ($0.score, $1.passage) }
    }

    private static func near(_ row: SQLRow) throws(StoreError) -> NearWindow {
        NearWindow(
            passage: try row.identifier("passage_id"),
            issue: try row.identifier("issue_id"),
            // pgvector's operator gives the negative, for indexes ascend.
            score: -Float(try row.double("distance"))
        )
    }
}
