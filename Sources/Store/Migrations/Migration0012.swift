extension Migration {
    /// Which trackers' addresses came over the server, and are vetted before each request.
    static let vettedTrackers = Migration(
        number: 12,
        name: "vetted trackers",
        statements: [
            // Of those that are there nobody knows: they stay as they are until they are changed.
            "ALTER TABLE trackers ADD COLUMN is_vetted BOOLEAN NOT NULL DEFAULT FALSE"
        ]
    )
}
