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
                let rows = Self.appendedRows(in: text)
                #expect(rows.found > 0, "\(name): nothing is appended")
                #expect(rows.problems.isEmpty, "\(name): rows without an account")
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
        // PostgreSQL and SQLite read small letters alike.
        "select id from issues where id = \\(id)",
        "update comments set body = '' where id = \\(id)",
        "insert into links (issue_id) values (\\(issue))",
        "select c.id from issues i, comments c where i.account_id = \\(account)",
        "delete from links l using issues i where l.account_id = \\(account)",
        "merge into links as l",
        "select id from issues where account_id = \\(account) or id = \\(id)",
    ])
    func `a statement without the account is found`(statement: String) {
        #expect(!Self.check(statement).problems.isEmpty)
    }

    @Test(arguments: [
        "SELECT id FROM issues WHERE account_id = \\(account)",
        "select id from issues where account_id = \\(account)",
        "select i.id from issues as i where i.account_id = \\(account)",
        "insert into links (account_id, issue_id) values (\\(account), \\(issue))",
    ])
    func `a statement with the account is found and passes`(statement: String) {
        let result = Self.check(statement)
        #expect(result.mentions == 1 && result.problems.isEmpty, "\(result.problems)")
    }

    /// The account anywhere in the file was enough.
    @Test(arguments: [
        "rows.append([SQLValue(id), SQLValue(account)])",
        "let other = [SQLValue(account)]\nrows.append([SQLValue(id)])",
        "rows.append(row(id, account))\n"
            + "func row(_ id: ID, _ account: AccountID) -> [SQLValue] {\n    [SQLValue(id)]\n}",
        "let row = row(id)\nrows.append(row)\n"
            + "func row(_ id: ID) -> [SQLValue] {\n    [SQLValue(account), SQLValue(id)]\n}",
        "rows.append(somebodysRow)",
    ])
    func `a row that does not begin with the account is found`(source: String) {
        let rows = Self.appendedRows(in: "var rows = SQLTable(kinds)\n" + source)
        #expect(rows.found == 1 && rows.problems.count == 1)
    }

    @Test(arguments: [
        "rows.append([\n    SQLValue(account), SQLValue(id),\n])",
        "rows.append([account.sqlValue])",
        "let row = row(id, account)\nrows.append(row)\n"
            + "func row(_ id: ID, _ account: AccountID) -> [SQLValue] {\n    let key = id.key\n"
            + "    return [\n        SQLValue(account), SQLValue(key),\n    ]\n}",
    ])
    func `a row that begins with the account passes`(source: String) {
        let rows = Self.appendedRows(in: "var (rows, more) = (SQLTable(a), SQLTable(a))\n" + source)
        #expect(rows.found == 1 && rows.problems.isEmpty)
    }

    @Test(arguments: [
        "DELETE FROM \\(table)", "LOCK TABLE \\(name) IN SHARE MODE",
        "SELECT name FROM accounts", "DELETE FROM login_names WHERE name = \\(name)",
        "delete from \\(table)", "select name from accounts",
        "delete from login_names where name = \\(name)",
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
        let anyTable = /\b(?:FROM|JOIN|UPDATE|INTO|TABLE)\s+\\\(/
        if statement.contains(anyTable) { return true }
        // In small letters it may be prose.
        let verb = /\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|LOCK|TRUNCATE)\b/.ignoresCase()
        if statement.prefixMatch(of: verb) != nil, statement.contains(anyTable.ignoresCase()) {
            return true
        }
        if statement.contains(/\b(?:FROM|JOIN|UPDATE|INTO)\s+accounts\b/.ignoresCase()) {
            let isGiven = statement.contains(/\(id, name, created_at\)\s+VALUES \(\\\(account\)/)
            return !isGiven && !statement.contains(/\bid = \\\(account\)/)
        }
        guard statement.contains(/\b(?:FROM|JOIN|UPDATE|INTO)\s+login_names\b/.ignoresCase())
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
        let unknown = /\b(?:MERGE\s+INTO|(?:FROM|JOIN|UPDATE)\s+ONLY)\b/.ignoresCase()
        if statement.contains(unknown), hasTable(statement) {
            problems.append("a form that the walk does not know")
        }
        for match in statement.matches(of: /\bUSING\s+(\w+)/.ignoresCase())
        where tables.contains(String(match.1)) {
            problems.append("USING \(match.1)")
        }
        if statement.contains(/\baccount_id\s*=\s*\\\(account\)\s+OR\b/.ignoresCase()) {
            problems.append("an account that may be another one's")
        }
        return (mentions.count, problems)
    }

    /// Whether a text names a table with accounts, in whatever way.
    private static func hasTable(_ statement: String) -> Bool {
        statement.matches(of: /\w+/).contains { tables.contains(String($0.output)) }
    }

    private static func mentions(in statement: String) -> [Mention] {
        var found: [Mention] = []
        let pattern =
            /\b(FROM|JOIN|UPDATE|INTO)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?/.ignoresCase()
        for match in statement.matches(of: pattern) {
            // "DO UPDATE SET" names no table, and "DELETE FROM x WHERE" no alias.
            guard tables.contains(String(match.2)),
                statement[..<match.range.lowerBound].last != "`"
            else { continue }
            found.append(
                Mention(
                    keyword: match.1.uppercased(),
                    table: String(match.2),
                    alias: match.3.map(String.init).flatMap { isKeyword($0) ? nil : $0 },
                    rest: statement[match.2.endIndex...]
                )
            )
        }
        let list =
            /\bFROM\s+\w+(?:\s+(?:AS\s+)?\w+)?((?:,\s*\w+(?:\s+(?:AS\s+)?\w+)?)+)/
            .ignoresCase()
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
        ].contains(word.uppercased())
    }

    /// Whether the first column is the account and the first value is it, too; what is selected is
    /// bound where it comes from.
    private static func isGiven(_ mention: Mention) -> Bool {
        guard mention.rest.prefixMatch(of: /\s*\(\s*account_id\b[^)]*\)/) != nil,
            let end = mention.rest.firstIndex(of: ")")
        else { return false }
        let values = mention.rest[end...].dropFirst()
        let given =
            /\s*(?:VALUES\s*\(\s*\\\(account\)|SELECT\s+\\\(account\)|\\\(rows: )/.ignoresCase()
        if values.prefixMatch(of: given) != nil { return true }
        let selected = /\s*SELECT\s+(?:DISTINCT\s+)?(?:\w+\.)?account_id\b/.ignoresCase()
        return values.prefixMatch(of: selected) != nil
    }

    // MARK: Rows

    /// How often a source appends a row that is given, and which do not begin with the account.
    private static func appendedRows(in source: String) -> (found: Int, problems: [String]) {
        var names: Set<String> = []
        for match in source.matches(of: /var (\w+|\([\w, ]+\)) = \(?SQLTable\(/) {
            for name in match.1.matches(of: /\w+/) { names.insert(String(name.output)) }
        }
        var found = 0
        var problems: [String] = []
        for match in source.matches(of: /(\w+)\.append\(\s*/)
        where names.contains(String(match.1)) {
            found += 1
            guard !beginsWithAccount(source[match.range.upperBound...], in: source)
            else { continue }
            problems.append(String(match.1))
        }
        return (found, problems)
    }

    /// A row that is written out, its first value the account.
    private static var rowOfAccount: Regex<Substring> {
        /\[\s*(?:SQLValue\(account\)|account\.sqlValue)\s*[,\]]/
    }

    /// Whether a row begins with the account that is written out, made by a function which is given
    /// the account, or made in one of these ways before.
    private static func beginsWithAccount(_ row: Substring, in source: String) -> Bool {
        if row.prefixMatch(of: rowOfAccount) != nil { return true }
        if let call = row.prefixMatch(of: /(\w+)\([^()]*\baccount\)/) {
            return makesRowOfAccount(String(call.1), in: source)
        }
        guard let value = row.prefixMatch(of: /(\w+)\)/),
            let place = source[..<row.startIndex].ranges(of: "let \(value.1) = ").last
        else { return false }
        return beginsWithAccount(source[place.upperBound...], in: source)
    }

    private static func makesRowOfAccount(_ function: String, in source: String) -> Bool {
        guard let start = source.firstRange(of: "func \(function)("),
            let body = source[start.upperBound...].firstRange(of: "-> [SQLValue] {")
        else { return false }
        let row = source[body.upperBound...]
            .trimmingPrefix(/\s*(?:let [^\n]*\n\s*)*(?:return\s+)?/)
        return row.prefixMatch(of: rowOfAccount) != nil
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
