package import Domain

/// Pairs of issues that may be the same report, and what people decided about them.
package enum DuplicateTable {
    /// What a person said about a pair.
    package enum Verdict: String, Sendable, CaseIterable {
        case duplicate
        case related
        case notDuplicate = "not_duplicate"
    }

    /// Two issues in the order the tables keep.
    package struct Pair: Sendable, Hashable, Comparable {
        /// The older row.
        package let first: IssueID
        package let second: IssueID

        /// Orders the two; nil when they are the same issue.
        package init?(_ one: IssueID, _ other: IssueID) {
            guard one != other else { return nil }
            first = min(one, other)
            second = max(one, other)
        }

        /// How far apart the two rows were made.
        package var distance: Int64 { second.rawValue - first.rawValue }

        /// The other one of the two.
        func partner(of issue: IssueID) -> IssueID { issue == first ? second : first }

        /// Orders pairs by their first, then their second issue.
        package static func < (left: Pair, right: Pair) -> Bool {
            (left.first, left.second) < (right.first, right.second)
        }
    }

    /// A pair with its probability and the measurements behind it.
    package struct Scored: Sendable, Equatable {
        package var pair: Pair
        package var score: Double
        package var features: JSONValue
        /// What was decided about it; nil when nothing was, or when nobody asked.
        package var verdict: Verdict?

        package init(pair: Pair, score: Double, features: JSONValue) {
            self.pair = pair
            self.score = score
            self.features = features
        }
    }

    /// Which pairs are listed.
    package struct Listing: Sendable {
        package var minimumScore = 0.5
        /// At least one of the two is in one of these; empty for all.
        package var projects: [ProjectID] = []
        /// `open`: at least one of the two is open; `closed`: both are closed; nil: all.
        package var state: IssueState?
        package var resolution = Resolution.undecided
        /// Only pairs that are among so many best ones of either issue; nil for all.
        package var pairsPerIssue: Int?
        package var limit = 50
        package var offset = 0

        package init() {}
    }

    /// Whether pairs are listed about which somebody has decided.
    package enum Resolution: Sendable {
        case undecided
        case decided
        case any
    }

    // MARK: - Pairs

    /// Replaces all pairs an issue is part of.
    ///
    /// A pair is kept while it is among the best of either of its issues, so which pairs are kept
    /// does not depend on which issue came first. A pair that was dropped does not come back when
    /// a better one vanishes; that takes looking at its issues again.
    ///
    /// - Parameters:
    ///   - issue: Whose pairs are replaced.
    ///   - pairs: All its pairs, best first as ``isBetter(_:_:)`` says.
    ///   - limit: How many pairs are the best of an issue.
    ///   - now: When the pairs were found.
    ///   - account: Whose issues they are.
    ///   - connection: In a transaction.
    /// - Throws: What the engine refuses.
    package static func replace(
        of issue: IssueID,
        with pairs: [Scored],
        keeping limit: Int,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        // Two statements: an OR over both columns would use neither index in every engine.
        try connection.execute(batch: [
            """
            DELETE FROM duplicate_pairs
            WHERE account_id = \(account) AND first_issue_id = \(issue)
            """,
            """
            DELETE FROM duplicate_pairs
            WHERE account_id = \(account) AND second_issue_id = \(issue)
            """,
        ])
        var kept = Array(pairs.prefix(limit))
        let others = pairs.dropFirst(limit)
        let ranks = try connection.rows(
            batch: others.map { rank(of: $0, in: $0.pair.partner(of: issue), account: account) }
        )
        for (scored, rows) in zip(others, ranks) where try better(rows) < limit {
            kept.append(scored)
        }
        try insert(kept, at: now, account: account, on: connection)
        let partners = kept.map { $0.pair.partner(of: issue) }
        let pushedOut = try connection.rows(
            batch: partners.map { displaced(from: $0, keeping: limit, account: account) }
        )
        // Few have one; what is dropped for one of them may have made room for the next.
        for (partner, rows) in zip(partners, pushedOut) where !rows.isEmpty {
            try dropDisplaced(from: partner, keeping: limit, account: account, on: connection)
        }
    }

    /// The order of pairs: likelier first, of equals the one whose issues came closer together,
    /// lest every one of a thousand equal reports be paired with the same few.
    package static func isBetter(_ one: Scored, _ other: Scored) -> Bool {
        (-one.score, one.pair.distance, one.pair.first)
            < (-other.score, other.pair.distance, other.pair.first)
    }

    private static func insert(
        _ pairs: [Scored],
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        var statements: [SQL] = []
        for scored in pairs {
            statements.append(
                """
                INSERT INTO duplicate_pairs (
                    account_id, first_issue_id, second_issue_id, score, features, updated_at
                ) VALUES (
                    \(account), \(scored.pair.first), \(scored.pair.second), \(scored.score),
                    \(scored.features), \(now)
                )
                ON CONFLICT (account_id, first_issue_id, second_issue_id) DO UPDATE
                SET score = excluded.score, features = excluded.features,
                    updated_at = excluded.updated_at
                """
            )
        }
        try connection.execute(batch: statements)
    }

    /// How many stored pairs of an issue are better than one of its pairs.
    private static func rank(of scored: Scored, in issue: IssueID, account: AccountID) -> SQL {
        let (score, pair) = (scored.score, scored.pair)
        let better: SQL =
            """
            (score > \(score) OR (score = \(score) AND (
                second_issue_id - first_issue_id < \(pair.distance)
                OR (second_issue_id - first_issue_id = \(pair.distance)
                    AND first_issue_id < \(pair.first)))))
            """
        return """
            SELECT (
                SELECT COUNT(*) FROM duplicate_pairs
                WHERE account_id = \(account) AND first_issue_id = \(issue) AND \(better)
            ) + (
                SELECT COUNT(*) FROM duplicate_pairs
                WHERE account_id = \(account) AND second_issue_id = \(issue) AND \(better)
            ) AS better
            """
    }

    private static func better(_ rows: [SQLRow]) throws(StoreError) -> Int {
        Int(try rows.first?.integer("better") ?? 0)
    }

    /// The first pair of an issue that is not among its best.
    private static func displaced(
        from issue: IssueID,
        keeping limit: Int,
        account: AccountID
    ) -> SQL {
        """
        SELECT first_issue_id, second_issue_id, score, features FROM (
            SELECT * FROM duplicate_pairs
            WHERE account_id = \(account) AND first_issue_id = \(issue)
            UNION ALL
            SELECT * FROM duplicate_pairs
            WHERE account_id = \(account) AND second_issue_id = \(issue)
        ) AS pairs
        ORDER BY score DESC, second_issue_id - first_issue_id, first_issue_id
        LIMIT 1 OFFSET \(limit)
        """
    }

    /// Drops the pair that a new one has pushed out of the best of an issue, unless it is among
    /// the best of the other.
    private static func dropDisplaced(
        from issue: IssueID,
        keeping limit: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let rows = try connection.rows(displaced(from: issue, keeping: limit, account: account))
        guard let displaced = try rows.first.map(scored) else { return }
        let partner = displaced.pair.partner(of: issue)
        let ranked = try connection.rows(rank(of: displaced, in: partner, account: account))
        guard try better(ranked) >= limit else { return }
        try connection.execute(
            """
            DELETE FROM duplicate_pairs
            WHERE account_id = \(account) AND first_issue_id = \(displaced.pair.first)
                AND second_issue_id = \(displaced.pair.second)
            """
        )
    }

    /// The issues that form a pair with this one, by age.
    ///
    /// Not ordered by the statement: SQLite would walk all pairs in the order of the key rather
    /// than sort the few it finds.
    package static func partners(
        of issue: IssueID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [IssueID] {
        try connection.rows(partnersStatement(of: issue, account: account))
            .map { row throws(StoreError) -> IssueID in try row.identifier("id") }.sorted()
    }

    /// Apart so that its query plan can be tested: it runs once for every issue.
    static func partnersStatement(of issue: IssueID, account: AccountID) -> SQL {
        """
        SELECT second_issue_id AS id FROM duplicate_pairs
        WHERE account_id = \(account) AND first_issue_id = \(issue)
        UNION ALL
        SELECT first_issue_id AS id FROM duplicate_pairs
        WHERE account_id = \(account) AND second_issue_id = \(issue)
        """
    }

    /// The pairs of live issues that a listing is about, with what was decided about them, best
    /// first; equal scores by age.
    package static func list(
        _ listing: Listing,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Scored] {
        let pairs = pairs(listing, account)
        var best: SQL = ""
        if let limit = listing.pairsPerIssue { best = bestOfIssues(among: pairs, limit) }
        let rows = try connection.rows(
            """
            SELECT p.first_issue_id, p.second_issue_id, p.score, p.features, p.verdict
            FROM (\(pairs)) AS p \(best)
            ORDER BY p.score DESC, p.first_issue_id, p.second_issue_id
            LIMIT \(listing.limit) OFFSET \(listing.offset)
            """
        )
        return try rows.map { row throws(StoreError) in
            var pair = try scored(row)
            pair.verdict = try row.optionalText("verdict").flatMap(Verdict.init(rawValue:))
            return pair
        }
    }

    /// How many issues of each project are in a pair that a listing is about.
    ///
    /// Counted by the database, however many pairs there are; its limit and offset count nothing.
    package static func involved(
        _ listing: Listing,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: Int] {
        let pairs = pairs(listing, account)
        let rows = try connection.rows(
            """
            SELECT i.project_id, COUNT(*) AS involved FROM (
                SELECT p.first_issue_id AS issue_id, p.first_project_id AS project_id
                FROM (\(pairs)) AS p
                UNION
                SELECT p.second_issue_id AS issue_id, p.second_project_id AS project_id
                FROM (\(pairs)) AS p
            ) AS i
            GROUP BY i.project_id
            ORDER BY i.project_id
            """
        )
        var counts: [ProjectID: Int] = [:]
        for row in rows {
            let project: ProjectID = try row.identifier("project_id")
            counts[project] = Int(try row.integer("involved"))
        }
        return counts
    }

    /// The pairs of a listing in no order, with their verdicts and projects.
    private static func pairs(_ listing: Listing, _ account: AccountID) -> SQL {
        var conditions: [SQL] = [
            "d.score >= \(listing.minimumScore)", "a.deleted_at IS NULL", "b.deleted_at IS NULL",
        ]
        if !listing.projects.isEmpty {
            let projects = listing.projects
            conditions.append(
                "(a.project_id \(among: projects) OR b.project_id \(among: projects))"
            )
        }
        switch listing.state {
        case .open: conditions.append("(a.state = 'open' OR b.state = 'open')")
        case .closed: conditions.append("a.state = 'closed' AND b.state = 'closed'")
        case nil: break
        }
        switch listing.resolution {
        case .undecided: conditions.append("v.verdict IS NULL")
        case .decided: conditions.append("v.verdict IS NOT NULL")
        case .any: break
        }
        return """
            SELECT d.first_issue_id, d.second_issue_id, d.score, d.features, v.verdict,
                a.project_id AS first_project_id, b.project_id AS second_project_id
            FROM duplicate_pairs AS d
            JOIN issues AS a ON a.account_id = d.account_id AND a.id = d.first_issue_id
            JOIN issues AS b ON b.account_id = d.account_id AND b.id = d.second_issue_id
            LEFT JOIN duplicate_verdicts AS v ON v.account_id = d.account_id
                AND v.first_issue_id = d.first_issue_id AND v.second_issue_id = d.second_issue_id
            WHERE d.account_id = \(account) AND \(conditions, separator: " AND ")
            """
    }

    /// What keeps of pairs `p` those that are among the best of either issue, in the order of
    /// ``isBetter(_:_:)``.
    private static func bestOfIssues(among pairs: SQL, _ limit: Int) -> SQL {
        """
        JOIN (
            SELECT first_issue_id, second_issue_id, MIN(place) AS place FROM (
                SELECT first_issue_id, second_issue_id, ROW_NUMBER() OVER (
                    PARTITION BY issue_id
                    ORDER BY score DESC, second_issue_id - first_issue_id, first_issue_id
                ) AS place
                FROM (
                    SELECT q.first_issue_id AS issue_id, q.first_issue_id, q.second_issue_id,
                        q.score
                    FROM (\(pairs)) AS q
                    UNION ALL
                    SELECT q.second_issue_id AS issue_id, q.first_issue_id, q.second_issue_id,
                        q.score
                    FROM (\(pairs)) AS q
                ) AS sides
            ) AS ranked
            GROUP BY first_issue_id, second_issue_id
        ) AS best ON best.first_issue_id = p.first_issue_id
            AND best.second_issue_id = p.second_issue_id AND best.place <= \(limit)
        """
    }

    /// Every stored pair, decided or not, by age; for verification.
    package static func all(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Scored] {
        try connection.rows(
            """
            SELECT first_issue_id, second_issue_id, score, features FROM duplicate_pairs
            WHERE account_id = \(account)
            ORDER BY first_issue_id, second_issue_id
            """
        ).map(scored)
    }

    private static func scored(_ row: SQLRow) throws(StoreError) -> Scored {
        guard
            let pair = Pair(
                try row.identifier("first_issue_id"),
                try row.identifier("second_issue_id")
            )
        else { throw .unexpectedValue(column: "duplicate_pairs.second_issue_id") }
        return Scored(
            pair: pair,
            score: try row.double("score"),
            features: try row.json("features")
        )
    }

    // MARK: - Verdicts

    /// Remembers what was decided; a later decision replaces an earlier one.
    package static func decide(
        _ pair: Pair,
        verdict: Verdict,
        by person: String?,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO duplicate_verdicts (
                account_id, first_issue_id, second_issue_id, verdict, decided_by, decided_at
            ) VALUES (
                \(account), \(pair.first), \(pair.second), \(verdict.rawValue), \(person), \(now)
            )
            ON CONFLICT (account_id, first_issue_id, second_issue_id) DO UPDATE
            SET verdict = excluded.verdict, decided_by = excluded.decided_by,
                decided_at = excluded.decided_at
            """
        )
    }

    /// A decision.
    package struct Decided: Sendable, Equatable {
        package var pair: Pair
        package var verdict: Verdict
        package var person: String?
        package var decidedAt: Timestamp
    }

    /// Decisions of one kind, latest first.
    package static func decided(
        _ verdict: Verdict,
        limit: Int,
        offset: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Decided] {
        let rows = try connection.rows(
            """
            SELECT first_issue_id, second_issue_id, decided_by, decided_at
            FROM duplicate_verdicts
            WHERE account_id = \(account) AND verdict = \(verdict.rawValue)
            ORDER BY decided_at DESC, first_issue_id, second_issue_id
            LIMIT \(limit) OFFSET \(offset)
            """
        )
        return try rows.map { row throws(StoreError) in
            guard
                let pair = Pair(
                    try row.identifier("first_issue_id"),
                    try row.identifier("second_issue_id")
                )
            else { throw .unexpectedValue(column: "duplicate_verdicts.second_issue_id") }
            return Decided(
                pair: pair,
                verdict: verdict,
                person: try row.optionalText("decided_by"),
                decidedAt: try row.timestamp("decided_at")
            )
        }
    }

    /// The score of a pair; nil when it is none of the probable ones.
    package static func score(
        of pair: Pair,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Scored? {
        try connection.rows(
            """
            SELECT first_issue_id, second_issue_id, score, features FROM duplicate_pairs
            WHERE account_id = \(account) AND first_issue_id = \(pair.first)
                AND second_issue_id = \(pair.second)
            """
        ).first.map(scored)
    }

    /// What was decided about a pair; nil when nobody has.
    package static func verdict(
        on pair: Pair,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Verdict? {
        let rows = try connection.rows(
            """
            SELECT verdict FROM duplicate_verdicts
            WHERE account_id = \(account) AND first_issue_id = \(pair.first)
                AND second_issue_id = \(pair.second)
            """
        )
        return try rows.first.flatMap { row throws(StoreError) -> Verdict? in
            Verdict(rawValue: try row.text("verdict"))
        }
    }
}
