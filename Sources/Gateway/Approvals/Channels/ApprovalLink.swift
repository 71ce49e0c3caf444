package import Domain

/// The tokens of links to approval pages.
package enum ApprovalLink {
    /// A new token of an account: its text for the link, its digest for the store.
    package static func makeToken(of account: AccountID) -> (text: String, digest: [UInt8]) {
        let token = OpaqueToken(.approval, account: account)
        return (token.text, token.digest)
    }
}
