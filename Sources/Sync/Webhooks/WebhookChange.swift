package import Domain
package import Store

/// What has become of the secret by which an organisation's deliveries are verified.
package struct WebhookChange: Sendable, Equatable {
    /// What was done.
    package enum Deed: Sendable, Equatable {
        /// There is a secret; `isRenewed` when it takes the place of another one.
        case installed(isRenewed: Bool)
        /// The secret was taken away.
        case removed
        /// The first secret was taken back, for the tracker took it nowhere.
        case withdrawn
    }

    package var deed: Deed
    /// The path of the organisation.
    package var organization: String

    /// Writes a change down in the transaction that makes it; what it throws undoes the change.
    package typealias Recorder =
        @Sendable (WebhookChange, AccountID, any SQLConnection) throws -> Void

    package init(_ deed: Deed, at organization: String) {
        self.deed = deed
        self.organization = organization
    }
}
