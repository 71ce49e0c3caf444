package import Domain
package import Firewall
package import Store

/// What the audit of an account is written and read with.
package struct AuditKeys: Sendable {
    /// Signs where the chain ends.
    package let signer: AuditSigner
    /// Takes secrets out of what is written, with digests under the account's key.
    package let redactor: Redactor

    /// Knows the signatures again.
    package var publicKey: AuditKey { signer.publicKey }

    /// The keys of an account, derived from the installation's.
    ///
    /// - Throws: ``StoreError/unavailable(detail:)`` when the seed makes no key, which none does.
    package init(_ box: SecretBox, account: AccountID) throws(StoreError) {
        guard let signer = AuditSigner(seed: box.auditSeed) else {
            throw .unavailable(detail: "the secret key makes no key for signatures")
        }
        self.signer = signer
        redactor = Redactor(key: box.redactionKey(of: account))
    }
}
