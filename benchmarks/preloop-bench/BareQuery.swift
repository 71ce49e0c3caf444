import Domain
import Store

/// The query of somebody who has pgvector alone: the nearest rows, in a session that is set up and
/// a transaction that has begun.
///
/// What a search asks besides is not in it: whether the mirror is up to date, what was deleted
/// meanwhile, what the issues are called.
struct BareQuery {
    let world: BackendsWorld
    /// A label that the rows' issues must have.
    let label: String?
    /// `hnsw.ef_search`.
    let effort: Int

    /// How the database finds the rows; which is faster depends on how many pass.
    enum Way: Sendable {
        /// Along the HNSW index, until enough pass.
        case index
        /// Those that pass, one by one.
        case rows
    }

    /// Seconds of one query, from asking to having the rows.
    func seconds(_ vector: [Float], _ count: Int, by way: Way) async throws -> Double {
        let query = self
        return try await world.store.read { connection, account in
            _ = try connection.rows(query.settings(way))
            let statement = query.statement(vector, count, way, account)
            let start = ContinuousClock.now
            let rows = try connection.rows(statement)
            let seconds = start.duration(to: .now) / .seconds(1)
            // The shares of the labels are of thousands of issues: there are enough of each.
            precondition(!rows.isEmpty, "the bare query found nothing")
            return seconds
        }
    }

    /// Whatever the planner estimates, the query goes the way that is measured.
    private func settings(_ way: Way) -> SQL {
        switch way {
        case .index:
            """
            SELECT set_config('hnsw.ef_search', \("\(effort)"), true),
                set_config('hnsw.iterative_scan', 'relaxed_order', true),
                set_config('enable_sort', 'off', true)
            """
        case .rows: "SELECT set_config('enable_sort', 'on', true)"
        }
    }

    private func statement(
        _ vector: [Float],
        _ count: Int,
        _ way: Way,
        _ account: AccountID
    ) -> SQL {
        let model = world.model
        // Only the expression with the length in it has an index.
        let length: SQL = way == .index ? "::halfvec(\(number: model.dimension))" : ""
        let distance: SQL = "v.vector\(length) <#> \(halfVector: vector)::halfvec"
        let issues: SQL =
            label == nil
            ? "" : "JOIN issues AS i ON i.account_id = \(account) AND i.id = v.issue_id"
        let passing: SQL =
            label.map { label -> SQL in "i.labels @> \(JSONValue([label]))" } ?? "TRUE"
        return """
            SELECT v.passage_id, \(distance) AS distance
            FROM passage_vectors AS v \(issues)
            WHERE v.account_id = \(account) AND v.model_id = \(model.id)
                AND v.dimension = \(number: model.dimension) AND \(passing)
            ORDER BY distance
            LIMIT \(count)
            """
    }
}
