import Foundation
import Testing

/// Every statement in the sources binds the account of every table it touches.
///
/// The test reads the texts of the sources, so that a statement no test runs is seen too: each
/// mention of a table with accounts behind FROM, JOIN, UPDATE or INTO must come, in the same text,
/// with an `account_id` that is bound or compared with one that is.
struct TenancyTests {
    private static let tables: Set<String> = [
        "trackers", "scope_rules", "organizations", "projects", "issues", "comments", "links",
        "quarantine", "census_marks", "embedding_models", "passages", "duplicate_pairs",
        "duplicate_verdicts", "followers", "leases", "tool_calls", "jobs", "scan_schedules",
        "passage_vectors", "vector_mirrors", "webhooks", "webhook_deliveries",
        "users", "sessions", "refresh_tokens", "api_keys", "setup_links", "idempotent_requests",
        "audit_events", "audit_chains", "audit_checkpoints",
        "approval_requests", "approval_events", "approval_tokens",
        "policy_versions",
        "upstream_servers", "upstream_tools",
    ]
    /// What is asked before anybody knows the account, or what accounts themselves are.
    private static let tablesWithoutAccount: Set<String> = [
        "accounts", "login_names", "schema_migrations",
    ]

    private static let sources = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources")

    @Test func `every statement binds the account`() throws {
        var (statements, mentions) = (0, 0)
        for file in try Self.files() {
            let text = try String(contentsOf: file, encoding: .utf8)
            for statement in Self.literals(in: text) {
                let result = Self.check(statement)
                statements += result.mentions > 0 ? 1 : 0
                mentions += result.mentions
                for problem in result.problems {
                    Issue.record("\(file.lastPathComponent): \(problem) in\n\(statement)")
                }
            }
        }
        // The walk has found what there is; see that it does not pass by looking at nothing.
        #expect(statements > 90)
        #expect(mentions > 120)
    }

    @Test func `all tables with accounts are known`() throws {
        let schema = try Self.files().map { try String(contentsOf: $0, encoding: .utf8) }.joined()
        let made = schema.matches(of: /CREATE TABLE (?:IF NOT EXISTS )?(\w+)/).map { String($0.1) }
        // The steps of the schema belong to nobody.
        #expect(Set(made) == Self.tables.union(Self.tablesWithoutAccount))
    }

    /// What a database that is spread over machines by accounts asks of a schema.
    @Test func `every key begins with the account`() throws {
        let schema = try Self.files().map { try String(contentsOf: $0, encoding: .utf8) }.joined()
        var keys = 0
        let tables = schema.matches(
            of: /CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((?s:(.*?))\n\s*\)\n/
        )
        for table in tables where Self.tables.contains(String(table.1)) {
            for key in table.2.matches(of: /(?:PRIMARY KEY|UNIQUE)(?: \((\w+))?/) {
                keys += 1
                #expect(key.1 == "account_id", "\(table.1)")
            }
        }
        let index = /CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(\w+)\s+ON \w+ \((\w+)/
        for match in schema.matches(of: index) {
            keys += 1
            #expect(match.2 == "account_id", "\(match.1)")
        }
        #expect(keys > 40)
    }

    @Test(arguments: [
        "SELECT id FROM issues WHERE id = \\(id)",
        "SELECT id FROM issues i WHERE i.account_id = 1",
        "UPDATE comments SET body = '' WHERE id = \\(id)",
        "SELECT i.id FROM issues i JOIN projects p ON p.id = i.project_id "
            + "WHERE i.account_id = \\(account)",
        "INSERT INTO links (issue_id) VALUES (\\(issue))",
        "DELETE FROM passages",
    ])
    func `a statement without the account is found`(statement: String) {
        #expect(!Self.check(statement).problems.isEmpty)
    }

    // MARK: The walk

    private static func files() throws -> [URL] {
        let found = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
        return (found?.allObjects ?? []).compactMap { $0 as? URL }
            .filter { $0.pathExtension == "swift" }
            // The word index has a file for each account.
            .filter { !$0.path.contains("/Lexical/") }
    }

    /// The string literals of a source, joined where they are interpolated into each other.
    private static func literals(in source: String) -> [String] {
        let blocks = source.matches(of: /"""\n(?s:(.*?))"""/).map { String($0.1) }
        let rest = source.replacing(/"""\n(?s:.*?)"""/, with: "")
        let lines = rest.matches(of: /"((?:[^"\\\n]|\\.)*)"/).map { String($0.1) }
        return blocks + lines
    }

    private static func check(_ statement: String) -> (mentions: Int, problems: [String]) {
        var problems: [String] = []
        var mentions = 0
        let pattern = /\b(FROM|JOIN|UPDATE|INTO)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?/
        for match in statement.matches(of: pattern) {
            let table = String(match.2)
            guard tables.contains(table), statement[..<match.range.lowerBound].last != "`"
            else { continue }
            // "DO UPDATE SET" names no table, and "DELETE FROM x WHERE" no alias.
            mentions += 1
            let name = match.3.map(String.init).flatMap { isKeyword($0) ? nil : $0 }
            if match.1 == "INTO" {
                let columns = statement[match.range.upperBound...].prefix { $0 != ")" }
                if !columns.contains("account_id") { problems.append("INTO \(table)") }
            } else if !isBound(name ?? table, isAlone: name == nil, in: statement) {
                problems.append("\(match.1) \(table)")
            }
        }
        return (mentions, problems)
    }

    private static func isKeyword(_ word: String) -> Bool {
        [
            "WHERE", "SET", "ON", "ORDER", "GROUP", "JOIN", "LEFT", "LIMIT", "UNION", "AS",
            "VALUES", "SELECT", "FROM", "AND",
        ].contains(word)
    }

    /// Whether the table's account is a bind, or that of another row which is checked in its turn.
    private static func isBound(_ name: String, isAlone: Bool, in statement: String) -> Bool {
        var forms = [
            "\(name).account_id = \\(account)", "\(name).account_id = given.account_id",
        ]
        if isAlone { forms.append(" account_id = \\(account)") }
        if forms.contains(where: { (" " + statement).contains($0) }) { return true }
        // Rows that are given come with the account that `SQLValue(account)` puts first.
        let isRooted =
            statement.contains("account_id = \\(account)")
            || statement.contains("account_id = given.account_id")
        return isRooted
            && statement.matches(of: /(\w+)\.account_id = (\w+)\.account_id/).contains { join in
                join.1 != join.2 && (join.1 == name || join.2 == name)
            }
    }
}
