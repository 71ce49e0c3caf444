extension Migration {
    /// The partners of an issue from one index alone: with the first one, which has the second
    /// issue only, SQLite walked all pairs of the account by the primary key instead.
    static let pairsBySecond = Migration(
        number: 2,
        name: "pairs by second issue",
        statements: [
            "DROP INDEX duplicate_pairs_by_second",
            """
            CREATE INDEX duplicate_pairs_by_second
            ON duplicate_pairs (account_id, second_issue_id, first_issue_id)
            """,
        ]
    )
}
