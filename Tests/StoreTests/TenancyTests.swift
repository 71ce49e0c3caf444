import Foundation
import Testing

/// Every statement in the sources binds the account of every table it touches.
///
/// The test reads the texts of the sources, so that a statement no test runs is seen too: each
/// mention of a table with accounts behind FROM, JOIN, UPDATE, INTO or a comma must come, in the
/// same text, with an `account_id` of its own that is bound or compared with one that is. What is
/// given for INTO comes with the account in the first place.
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
        "accounts", "login_names", "schema_migrations", "transaction_marks",
    ]
    /// Statements about accounts that do not say which, each with its reason.
    private static let statementsAboutAllAccounts: [String: String] = [
        "SELECT id FROM accounts ORDER BY id LIMIT 100000": "programs that work for every account",
        "INSERT INTO accounts (id, name, created_at) SELECT COALESCE(MAX(id), 0) + 1, \\(name), "
            + "\\(createdAt) FROM accounts RETURNING id": "the next number",
        "SELECT id FROM accounts WHERE revision > 0 OR last_id > 0 LIMIT 1":
            "whether an archive's target is empty",
        "SELECT account_id FROM login_names WHERE name = \\(name)":
            "whoever logs in says a name, and the account follows from it",
    ]
    /// Statements whose table is not in their text, each with its reason.
    ///
    /// All are those of archives, which hold whole installations and are for operators alone.
    private static let statementsOfAnyTable: [String: String] = [
        "SELECT \\(columns) FROM \\(table) \\(condition) ORDER BY \\(key) LIMIT \\(limit)":
            "an archive reads all rows",
        "INSERT INTO \\(SQL(stringLiteral: name)) (\\(names)) \\(rows: rows)":
            "an archive's rows come with their accounts",
        "SELECT COUNT(*) AS total FROM \\(SQL(stringLiteral: name))":
            "what a database holds, in `db status`",
        "DELETE FROM \\(SQL(stringLiteral: name))": "an archive takes the place of everything",
        "LOCK TABLE \\(SQL(stringLiteral: names)) IN SHARE ROW EXCLUSIVE MODE":
            "nobody writes while an archive takes the place of everything",
        "SELECT 1 AS one FROM \\(SQL(stringLiteral: table.name)) LIMIT 1":
            "whether an archive's target is empty",
    ]

    private static let sources = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources")

    @Test func `every statement binds the account`() throws {
        var (statements, mentions) = (0, 0)
        for file in try Self.files(withWordsIndex: true) {
            let text = try String(contentsOf: file, encoding: .utf8)
            let name = file.lastPathComponent
            for statement in Self.literals(in: text) {
                let result = Self.check(statement)
                statements += result.mentions > 0 ? 1 : 0
                mentions += result.mentions
                for problem in result.problems {
                    Issue.record("\(name): \(problem) in\n\(statement)")
                }
                // Rows that are given come with the account in the first column.
                guard result.mentions > 0, statement.contains("\\(rows: ") else { continue }
                let hasAccount =
                    text.contains("SQLValue(account)") || text.contains("account.sqlValue")
                #expect(hasAccount, "\(name): rows without an account")
            }
        }
        // The walk has found what there is; see that it does not pass by looking at nothing.
        #expect(statements > 260)
        #expect(mentions > 320)
    }

    @Test func `statements that name no table or no account are known by name`() throws {
        var found: Set<String> = []
        for file in try Self.files(withWordsIndex: true) {
            let text = try String(contentsOf: file, encoding: .utf8)
            for statement in Self.literals(in: text) {
                let words = statement.split(whereSeparator: \.isWhitespace).joined(separator: " ")
                let isKnown =
                    Self.statementsOfAnyTable[words] != nil
                    || Self.statementsAboutAllAccounts[words] != nil
                if isKnown { found.insert(words) }
                guard !isKnown, Self.isOpen(statement) else { continue }
                Issue.record("\(file.lastPathComponent): no account in\n\(statement)")
            }
        }
        // None is kept that is not there any more.
        let all = Set(Self.statementsOfAnyTable.keys)
            .union(Self.statementsAboutAllAccounts.keys)
        #expect(found == all)
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
        // Once for two tables.
        "SELECT id FROM issues WHERE account_id = \\(account) UNION SELECT id FROM comments",
        "SELECT i.id FROM links i WHERE i.account_id = \\(account) UNION SELECT i.id FROM links i",
        "SELECT i.id FROM issues i, comments c WHERE i.account_id = \\(account)",
        // The column is named and something else is given.
        "INSERT INTO links (account_id, issue_id) VALUES (\\(issue), \\(account))",
        "INSERT INTO links (issue_id, account_id) VALUES (\\(account), \\(issue))",
        "DELETE FROM links l USING issues i WHERE l.account_id = \\(account)",
        "MERGE INTO links AS l",
        "UPDATE ONLY links SET kind = '' WHERE account_id = \\(account)",
        "SELECT id FROM issues WHERE account_id = \\(account) OR id = \\(id)",
    ])
    func `a statement without the account is found`(statement: String) {
        #expect(!Self.check(statement).problems.isEmpty)
    }

    @Test(arguments: [
        "DELETE FROM \\(table)", "LOCK TABLE \\(name) IN SHARE MODE",
        "SELECT name FROM accounts", "DELETE FROM login_names WHERE name = \\(name)",
    ])
    func `a statement of any table or of all accounts is found`(statement: String) {
        #expect(Self.isOpen(statement))
    }

    // MARK: The walk

    /// The sources, those of the words index only when asked for: its file, of which each account
    /// has one, has tables of its own.
    private static func files(withWordsIndex: Bool = false) throws -> [URL] {
        let found = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
        return (found?.allObjects ?? []).compactMap { $0 as? URL }
            .filter { $0.pathExtension == "swift" }
            .filter { withWordsIndex || !$0.path.contains("/Lexical/") }
    }

    /// The string literals of a source, joined where they are interpolated into each other.
    private static func literals(in source: String) -> [String] {
        let blocks = source.matches(of: /"""\n(?s:(.*?))"""/).map { String($0.1) }
        let rest = source.replacing(/"""\n(?s:.*?)"""/, with: "")
        let lines = rest.matches(of: /"((?:[^"\\\n]|\\.)*)"/).map { String($0.1) }
        return blocks + lines
    }

    /// Whether a statement's table is not in its text, or it is one about accounts and does not say
    /// which.
    private static func isOpen(_ statement: String) -> Bool {
        if statement.contains(/\b(?:FROM|JOIN|UPDATE|INTO|TABLE)\s+\\\(/) { return true }
        if statement.contains(/\b(?:FROM|JOIN|UPDATE|INTO)\s+accounts\b/) {
            let isGiven = statement.contains(/\(id, name, created_at\)\s+VALUES \(\\\(account\)/)
            return !isGiven && !statement.contains(/\bid = \\\(account\)/)
        }
        guard statement.contains(/\b(?:FROM|JOIN|UPDATE|INTO)\s+login_names\b/)
        else { return false }
        return !statement.contains("account_id = \\(account)")
            && !statement.contains(/VALUES \(\\\(user\.name\), \\\(account\)/)
    }

    /// A table with accounts, as a statement names it.
    private struct Mention {
        var keyword: String
        var table: String
        var alias: String?
        /// The statement behind it.
        var rest: Substring

        var name: String { alias ?? table }
    }

    private static func check(_ statement: String) -> (mentions: Int, problems: [String]) {
        let mentions = mentions(in: statement)
        var binds = Binds(of: statement)
        var problems: [String] = []
        for mention in mentions {
            let isBound = mention.keyword == "INTO" ? isGiven(mention) : binds.take(for: mention)
            if !isBound { problems.append("\(mention.keyword) \(mention.table)") }
        }
        // What would get past the walk is not written here.
        if statement.contains(/\b(?:MERGE\s+INTO|(?:FROM|JOIN|UPDATE)\s+ONLY)\b/) {
            problems.append("a form that the walk does not know")
        }
        for match in statement.matches(of: /\bUSING\s+(\w+)/)
        where tables.contains(String(match.1)) {
            problems.append("USING \(match.1)")
        }
        if statement.contains(/\baccount_id\s*=\s*\\\(account\)\s+OR\b/) {
            problems.append("an account that may be another one's")
        }
        return (mentions.count, problems)
    }

    private static func mentions(in statement: String) -> [Mention] {
        var found: [Mention] = []
        let pattern = /\b(FROM|JOIN|UPDATE|INTO)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?/
        for match in statement.matches(of: pattern) {
            // "DO UPDATE SET" names no table, and "DELETE FROM x WHERE" no alias.
            guard tables.contains(String(match.2)),
                statement[..<match.range.lowerBound].last != "`"
            else { continue }
            found.append(
                Mention(
                    keyword: String(match.1),
                    table: String(match.2),
                    alias: match.3.map(String.init).flatMap { isKeyword($0) ? nil : $0 },
                    rest: statement[match.2.endIndex...]
                )
            )
        }
        let list = /\bFROM\s+\w+(?:\s+(?:AS\s+)?\w+)?((?:,\s*\w+(?:\s+(?:AS\s+)?\w+)?)+)/
        for match in statement.matches(of: list) {
            for item in match.1.split(separator: ",") {
                let words = item.split(whereSeparator: \.isWhitespace).map(String.init)
                guard let table = words.first, tables.contains(table) else { continue }
                let last = words.count > 1 ? words.last : nil
                found.append(
                    Mention(
                        keyword: "a comma and",
                        table: table,
                        alias: last.flatMap { isKeyword($0) ? nil : $0 },
                        rest: statement[match.range.upperBound...]
                    )
                )
            }
        }
        return found
    }

    private static func isKeyword(_ word: String) -> Bool {
        [
            "WHERE", "SET", "ON", "ORDER", "GROUP", "JOIN", "LEFT", "LIMIT", "UNION", "AS",
            "VALUES", "SELECT", "FROM", "AND", "DO", "USING", "CROSS", "INNER", "HAVING",
            "RETURNING", "FOR",
        ].contains(word)
    }

    /// Whether the first column is the account and the first value is it, too; what is selected is
    /// bound where it comes from.
    private static func isGiven(_ mention: Mention) -> Bool {
        guard mention.rest.prefixMatch(of: /\s*\(\s*account_id\b[^)]*\)/) != nil,
            let end = mention.rest.firstIndex(of: ")")
        else { return false }
        let values = mention.rest[end...].dropFirst()
        let given = /\s*(?:VALUES\s*\(\s*\\\(account\)|SELECT\s+\\\(account\)|\\\(rows: )/
        if values.prefixMatch(of: given) != nil { return true }
        return values.prefixMatch(of: /\s*SELECT\s+(?:DISTINCT\s+)?(?:\w+\.)?account_id\b/) != nil
    }

    /// The conditions of a statement on accounts; each serves one mention of a table.
    private struct Binds {
        /// `name.account_id = \(account)`, or that of rows that are given.
        private var named: [String: Int] = [:]
        /// `account_id = \(account)`.
        private var unnamed: Int
        /// `one.account_id = other.account_id`.
        private var joins: [(one: String, other: String)] = []
        private let isRooted: Bool

        init(of statement: String) {
            let direct = /(\w+)\.account_id = (?:\\\(account\)|given\.account_id)/
            for match in statement.matches(of: direct) { named[String(match.1), default: 0] += 1 }
            unnamed = statement.matches(of: /(?:^|[^\w.])account_id = \\\(account\)/).count
            for match in statement.matches(of: /(\w+)\.account_id = (\w+)\.account_id/)
            where match.1 != match.2 && match.1 != "given" && match.2 != "given" {
                joins.append((String(match.1), String(match.2)))
            }
            isRooted = unnamed > 0 || !named.isEmpty
        }

        /// Whether there was one for it, which is used up.
        mutating func take(for mention: Mention) -> Bool {
            let name = mention.name
            if let count = named[name], count > 0 {
                named[name] = count - 1
                return true
            }
            if mention.alias == nil, unnamed > 0 {
                unnamed -= 1
                return true
            }
            // That of another row, which is checked in its turn.
            let place =
                joins.firstIndex { $0.one == name } ?? joins.firstIndex { $0.other == name }
            guard isRooted, let place else { return false }
            joins.remove(at: place)
            return true
        }
    }
}
