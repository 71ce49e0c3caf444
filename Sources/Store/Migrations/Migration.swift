/// One numbered step of the schema; append-only, never edited after release.
///
/// Expand and contract: while a new version is rolled out, older programs go on working on the new
/// schema. So a step adds tables, columns with a default, and indexes, and loosens constraints; it
/// renames and removes nothing that the release before it reads or writes, and that release's
/// successor removes it in a step of its own. A program that is older than the schema refuses to
/// *start* (``StoreError/newerSchema(found:supported:)``), but a running one is not stopped.
package struct Migration: Sendable {
    package let number: Int
    package let name: String
    /// DDL in order, understood by both engines.
    package let statements: [String]

    /// Every step, oldest first.
    package static let all: [Migration] = [
        .initial, .pairsBySecond, .toolCalls, .jobs, .webhooks, .users, .audit, .approvals,
        .policies, .upstreams, .firstScans, .vettedTrackers, .approvalIdentities,
        .approvalPlaces,
    ]

    /// The statements as an engine takes them.
    ///
    /// SQLite compares and sorts texts by their bytes. On PostgreSQL the columns are told to, lest
    /// order and equality depend on how the database was made.
    package func statements(for dialect: SQLDialect) -> [SQL] {
        statements.map { statement in
            switch dialect {
            case .sqlite: SQL(stringLiteral: statement)
            case .postgres:
                SQL(stringLiteral: Self.collated(statement))
            }
        }
    }

    private static func collated(_ statement: String) -> String {
        statement.split(separator: " TEXT", omittingEmptySubsequences: false)
            .joined(separator: " TEXT COLLATE \"C\"")
    }
}
