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
}
