extension Migration {
    /// Which server's tool a request for an approval is about.
    static let approvalIdentities = Migration(
        number: 13,
        name: "identities of approvals",
        statements: [
            // Of those that are there nobody knows.
            "ALTER TABLE approval_requests ADD COLUMN identity TEXT"
        ]
    )
}
