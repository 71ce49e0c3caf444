extension Migration {
    /// Which of the workflows of a request a link answers.
    static let approvalPlaces = Migration(
        number: 14,
        name: "places of links to approvals",
        statements: [
            // The first one's is what links from before there were several lead to.
            "ALTER TABLE approval_tokens ADD COLUMN place BIGINT NOT NULL DEFAULT 0"
        ]
    )
}
