import Domain
import StoreTestSupport
import Testing

@testable import Store

/// Statements that run once for every issue must not walk a table: a first index on the account
/// alone once made finding duplicates quadratic.
struct QueryPlanTests {
    @Test func `the partners of an issue come from indexes alone`() async throws {
        let scratch = try await Engine.sqlite.store()
        let plan = try await scratch.store.read { connection, account in
            let statement = DuplicateTable.partnersStatement(of: IssueID(1), account: account)
            return try connection.rows("EXPLAIN QUERY PLAN \(statement)").map {
                try $0.text("detail")
            }
        }
        let searches = plan.filter { $0.contains("duplicate_pairs") }
        #expect(searches.count == 2)
        #expect(searches.allSatisfy { $0.contains("_issue_id=?") }, "\(plan)")
        #expect(!plan.contains { $0.contains("SCAN") }, "\(plan)")
    }

    /// To spare sorting, SQLite once walked all issues of the account for each page of a scan, and
    /// all windows for each search.
    @Test func `lists of rows are looked up one by one`() async throws {
        let scratch = try await Engine.sqlite.store()
        let plans = try await scratch.store.read { connection, account in
            try [
                IssueTable.currentStatement(
                    of: ["a", "b"],
                    tracker: TrackerID(1),
                    account: account
                ),
                PassageTable.windowsStatement(
                    ofIssues: [IssueID(1), IssueID(2)],
                    model: EmbeddingModelID(1),
                    account: account
                ),
            ].map { statement in
                try connection.rows("EXPLAIN QUERY PLAN \(statement)").map {
                    try $0.text("detail")
                }
            }
        }
        #expect(plans[0].contains { $0.contains("external_id=?") }, "\(plans[0])")
        #expect(plans[1].contains { $0.contains("issue_id=?") }, "\(plans[1])")
    }
}
