import Domain
import StoreTestSupport
import Testing

@testable import Store

/// What runs for every page or every issue looks at few rows, however many there are.
///
/// The server itself counts the rows and the entries of indexes that a transaction looked at, so
/// plans are judged by what they did and not by how they read.
@Suite(.enabled(if: Engine.all.contains(.postgres), "set PRELOOP_TEST_DATABASE_URL"))
struct PostgresPlanTests {
    /// Of issues, comments, windows, pairs and links each; a walk over one of them stands out.
    private static let rowCount = 40_000
    /// What a page has.
    private static let itemCount = 50
    /// Rows and entries of a table that may be looked at: some of each item, in several statements.
    private static let bound = Int64(itemCount * 20 + 100)

    /// A filled store.
    private struct Filled: Sendable {
        let scratch: ScratchStore
        let project: ProjectID
        /// The last revision.
        let head: Revision

        /// Some in the middle.
        var issues: [IssueID] {
            (0..<PostgresPlanTests.itemCount).map { IssueID(Int64(9_000 + $0 * 7)) }
        }
        var passages: [PassageID] { issues.map { PassageID(200_000 + $0.rawValue) } }
    }

    private static func filled() async throws -> Filled {
        let scratch = try await Engine.postgres.store()
        let count = Int64(rowCount)
        let project = try await scratch.store.write { connection, account in
            try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: TrackerID(1),
                    organizationID: OrganizationID(1),
                    externalID: "1",
                    path: "o/p",
                    name: "p",
                    url: "u"
                ),
                account: account,
                on: connection
            ).now.id
        }
        let head = Revision(3 * count)
        try await scratch.store.write { connection, account in
            for statement in fillings(count, project, account) {
                try connection.execute(statement)
            }
            try connection.execute(
                """
                UPDATE accounts SET revision = \(head), last_id = 1000000 WHERE id = \(account)
                """
            )
            try connection.execute(
                "ANALYZE issues, comments, passages, duplicate_pairs, links"
            )
        }
        return Filled(scratch: scratch, project: project, head: head)
    }

    /// Issue n has comment 100,000 + n and window 200,000 + n.
    private static func fillings(
        _ count: Int64,
        _ project: ProjectID,
        _ account: AccountID
    ) -> [SQL] {
        [
            """
            INSERT INTO issues (account_id, id, project_id, external_id, kind, number, key, title,
                body, state, labels, assignees, created_at, updated_at, url, content_hash, revision)
            SELECT \(account), n, \(project), n::text, 'issue', n, 'o/p#' || n::text, 'title',
                'body', 'open', '[]', '[]', now(), now(), 'u', decode('01', 'hex'), n
            FROM generate_series(1, \(count)) AS n
            """,
            """
            INSERT INTO comments (account_id, id, project_id, issue_id, external_id, body,
                created_at, updated_at, content_hash, revision)
            SELECT \(account), 100000 + n, \(project), n, n::text, 'comment', now(), now(),
                decode('01', 'hex'), \(count) + n
            FROM generate_series(1, \(count)) AS n
            """,
            """
            INSERT INTO passages (account_id, id, model_id, issue_id, part, position, text_start,
                text_end, text_hash, vector, revision)
            SELECT \(account), 200000 + n, 1, n, 'title', 0, 0, 1, decode('01', 'hex'),
                decode('00000000', 'hex'), 2 * \(count) + n
            FROM generate_series(1, \(count)) AS n
            """,
            """
            INSERT INTO duplicate_pairs (account_id, first_issue_id, second_issue_id, score,
                features, updated_at)
            SELECT \(account), n, n + 1, 0.5, '{}', now() FROM generate_series(1, \(count)) AS n
            """,
            """
            INSERT INTO links (account_id, issue_id, relation, target_key)
            SELECT \(account), n, 'mentions', 'o/p#' || (n + 500000)::text
            FROM generate_series(1, \(count)) AS n
            """,
        ]
    }

    /// Rows and entries of indexes that this transaction has looked at so far, by table.
    private static func looked(on connection: any SQLConnection) throws -> [String: Int64] {
        let rows = try connection.rows(
            """
            SELECT c.relname::text AS name,
                (pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid)
                + COALESCE((
                    SELECT sum(pg_stat_get_xact_tuples_returned(i.indexrelid))
                    FROM pg_index AS i WHERE i.indrelid = c.oid
                ), 0))::bigint AS looked
            FROM pg_class AS c
            WHERE c.relnamespace = to_regnamespace(current_schema()::text) AND c.relkind = 'r'
            """
        )
        var found: [String: Int64] = [:]
        for row in rows { found[try row.text("name")] = try row.integer("looked") }
        return found
    }

    /// The greatest number for any table while `body` ran, with the table's name.
    private static func most(
        on connection: any SQLConnection,
        _ body: () throws -> Void
    ) throws -> (table: String, looked: Int64) {
        let before = try looked(on: connection)
        try body()
        let after = try looked(on: connection)
        let grown = after.map { (table: $0.key, looked: $0.value - (before[$0.key] ?? 0)) }
        return grown.max { $0.looked < $1.looked } ?? (table: "none", looked: 0)
    }

    /// Otherwise the tests below would pass whatever is done.
    @Test func `a walk over a table is counted`() async throws {
        let filled = try await Self.filled()
        let most = try await filled.scratch.store.read { connection, account in
            try Self.most(on: connection) {
                _ = try connection.rows(
                    """
                    SELECT count(*) AS count FROM issues
                    WHERE account_id = \(account) AND body = 'another'
                    """
                )
            }
        }
        #expect(most.table == "issues")
        #expect(most.looked >= Int64(Self.rowCount))
    }

    private static let fillDeliveries: SQL = """
        INSERT INTO webhook_deliveries (account_id, organization_id, id, action, received_at)
        SELECT 1, 1, 'delivery-' || n::text, 'applied', now() FROM generate_series(1, 40000) AS n
        """
    private static let deliveries = (1...itemCount).map { "delivery-\($0 * 700)" }

    @Test func `deliveries are looked up by their keys where nothing was ever analysed`()
        async throws
    {
        let scratch = try await Engine.postgres.store()
        try await scratch.store.write { connection, _ in
            _ = try connection.execute(Self.fillDeliveries)
        }
        // Before the statement has a name, when it gets one, and when the server knows it well.
        for _ in 0..<8 {
            let most = try await scratch.store.read { connection, account in
                try Self.most(on: connection) {
                    let known = try WebhookDeliveryTable.known(
                        Self.deliveries + ["another"],
                        of: OrganizationID(1),
                        account: account,
                        on: connection
                    )
                    #expect(known == Set(Self.deliveries))
                }
            }
            #expect(most.looked <= Self.bound, "\(most)")
        }
    }

    @Test func `a table that has grown is analysed before the daemon comes`() async throws {
        let scratch = try await Engine.postgres.store()
        let database = try #require(scratch.store.database as? PostgresDatabase)
        let unknown: @Sendable () async throws -> [String] = {
            try await database.read { connection in
                try PlannerStatisticsTable.unknown(on: connection).map { "\($0)" }
            }
        }
        #expect(try await unknown() == [])
        try await scratch.store.write { connection, _ in
            _ = try connection.execute(Self.fillDeliveries)
        }
        // The store may be looking at the same moment, and is left to it; the daemon comes later.
        for _ in 0..<50 where try await !unknown().isEmpty {
            try await PostgresStatistics().look(at: database)
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(try await unknown() == [])
        let known = try await database.read { connection in
            try connection.rows(
                """
                SELECT n_distinct::float8 AS accounts FROM pg_stats
                WHERE schemaname = current_schema() AND tablename = 'webhook_deliveries'
                    AND attname = 'account_id'
                """
            ).first?.double("accounts")
        }
        #expect(known == 1)
    }

    /// What is planned badly as long as nothing is known of a table: by the account alone.
    private static func anyDelivery(_ account: AccountID) -> SQL {
        """
        SELECT id FROM webhook_deliveries
        WHERE account_id = \(account) AND organization_id = 1 AND id \(among: deliveries)
        """
    }

    @Test func `a plan from before anything was known is not kept for long`() async throws {
        let scratch = try Engine.postgres.database()
        var configuration = PostgresConfiguration(address: Secret(scratch.address))
        configuration.planLifetime = .zero
        configuration.maximumConnections = 1
        let database = PostgresDatabase(configuration)
        let store = try await Store.open(database)
        let ask: @Sendable () async throws -> (table: String, looked: Int64) = {
            try await store.read { connection, account in
                try Self.most(on: connection) {
                    _ = try connection.rows(Self.anyDelivery(account))
                }
            }
        }
        try await store.write { connection, _ in
            _ = try connection.execute(Self.fillDeliveries)
        }
        // Then the server knows the number of rows, and nothing of what they hold.
        let isRun = try await database.maintain(
            "VACUUM webhook_deliveries",
            // Not the one of the store, which may be looking at the same moment.
            under: "hashtext(current_schema()), 7",
            atMost: .seconds(60)
        )
        #expect(isRun)
        // As often as it takes for the server to keep the plan.
        for _ in 0..<10 { _ = try await ask() }
        try await store.write { connection, _ in
            _ = try connection.execute("ANALYZE webhook_deliveries")
        }
        // With the same number of rows as before the server sees no reason for another plan.
        let looked = try await ask().looked
        #expect(looked <= Self.bound, "\(looked)")
        try await database.close()
    }

    @Test func `what followers and searches read comes from indexes`() async throws {
        let filled = try await Self.filled()
        let reads = Self.reads(filled)
        // Twice: statements that come again are prepared, and planned once more.
        for read in reads + reads {
            let most = try await filled.scratch.store.read { connection, account in
                try Self.most(on: connection) { try read.run(connection, account) }
            }
            #expect(most.looked <= Self.bound, "\(read.name): \(most)")
        }
    }

    /// Something that is read again and again.
    private struct Read: Sendable {
        let name: String
        let run: @Sendable (any SQLConnection, AccountID) throws -> Void

        init(
            _ name: String,
            _ run: @escaping @Sendable (any SQLConnection, AccountID) throws -> Void
        ) {
            self.name = name
            self.run = run
        }
    }

    private static func reads(_ filled: Filled) -> [Read] {
        let (issues, passages) = (filled.issues, filled.passages)
        let model = EmbeddingModelID(1)
        let end = Revision(filled.head.rawValue - 20)
        return [
            Read("a page of the feed") { connection, account in
                for revision in [Revision(5), Revision(Int64(rowCount) + 5), end] {
                    _ = try FeedTable.changes(
                        after: revision,
                        limit: itemCount,
                        account: account,
                        on: connection
                    )
                }
            },
            Read("what the words index follows") { connection, account in
                _ = try PassageTable.changedTexts(
                    after: Revision(5),
                    limit: itemCount,
                    account: account,
                    on: connection
                )
                _ = try LexicalIndex.documents(of: issues, account: account, on: connection)
            },
            Read("what a scan compares with") { connection, account in
                let statement = IssueTable.currentStatement(
                    of: issues.map(\.description),
                    tracker: TrackerID(1),
                    account: account
                )
                _ = try connection.rows(statement)
            },
            Read("partners of an issue") { connection, account in
                _ = try DuplicateTable.partners(of: issues[0], account: account, on: connection)
            },
            Read("windows of issues, and those of the deleted") { connection, account in
                _ = try PassageTable.windows(
                    ofIssues: issues,
                    model: model,
                    account: account,
                    on: connection
                )
                _ = try PassageTable.orphans(
                    after: end,
                    model: model,
                    account: account,
                    on: connection
                )
            },
            Read("what a page of hits shows") { connection, account in
                _ = try PassageTable.liveIssues(among: issues, account: account, on: connection)
                _ = try PassageTable.summaries(of: issues, account: account, on: connection)
                _ = try PassageTable.texts(of: passages, account: account, on: connection)
            },
        ]
    }

    /// The search for links that waited for new issues once looked at all issues for each page.
    @Test func `a page of a scan writes what it has and looks at little else`() async throws {
        let filled = try await Self.filled()
        let half = Self.itemCount / 2
        // Changed ones, and new ones for which a link waits.
        var numbers = Array(10_001...10_000 + half)
        numbers += Array(500_001...500_000 + half)
        let now = Timestamp(milliseconds: 4_000_000_000_000)
        let items = numbers.map { number in
            let issue = Domain.Issue(
                externalID: "\(number)",
                number: number,
                key: "o/p#\(number)",
                title: "another title",
                body: "body",
                createdAt: now,
                updatedAt: now,
                url: "u"
            )
            return IncomingIssue(issue, comments: .listedByProject)
        }
        let batch = IssueBatch(
            project: filled.project,
            tracker: TrackerID(1),
            items: items,
            present: now
        )
        let (written, most) = try await filled.scratch.store.write { connection, account in
            var written = 0
            let most = try Self.most(on: connection) {
                written = try IssueTable.upsert(batch, account: account, on: connection).written
            }
            return (written, most)
        }
        #expect(written == Self.itemCount)
        #expect(most.looked <= Self.bound, "\(most)")
    }

    /// Every worker looks twice a second.
    @Test func `a worker that looks for work looks at few of the jobs`() async throws {
        let scratch = try await Engine.postgres.store()
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        let count = Int64(Self.rowCount)
        // Half is done; of the rest a few are due and many come later.
        try await scratch.store.write { connection, account in
            try connection.execute(
                """
                INSERT INTO jobs (account_id, id, kind, payload, state, due_at, maximum_attempts,
                    created_at, ended_at)
                SELECT \(account), 'job ' || n::text, 'plan', '{}',
                    CASE WHEN n % 2 = 0 THEN 'done' ELSE 'waiting' END,
                    \(now) + (n - 100) * interval '1 second', 5, \(now), \(now)
                FROM generate_series(1, \(count)) AS n
                """
            )
            try connection.execute("ANALYZE jobs")
        }
        let request = JobTable.ClaimRequest(
            [JobKind("plan")],
            limit: 2,
            holder: .task(),
            lease: .seconds(60),
            now: now
        )
        for _ in 0..<3 {
            let (claimed, most) = try await scratch.store.writeOutsideFeed { connection, account in
                var claimed = 0
                let most = try Self.most(on: connection) {
                    claimed = try JobTable.claim(request, account: account, on: connection).count
                    _ = try JobTable.nextDue(of: request.kinds, account: account, on: connection)
                }
                return (claimed, most)
            }
            #expect(claimed == 2)
            #expect(most.looked <= Self.bound, "\(most)")
        }
    }
}
