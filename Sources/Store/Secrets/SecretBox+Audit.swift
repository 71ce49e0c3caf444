import Crypto
package import Domain

extension SecretBox {
    /// The seed of the key that signs checkpoints of the audit; says nothing about other keys.
    package var auditSeed: [UInt8] { derived("preloop audit signatures, format 1") }

    /// Makes digests of what is redacted in an account: of no use in another one.
    package func redactionKey(of account: AccountID) -> [UInt8] {
        derived("preloop redaction, format 1, account \(account)")
    }

    /// What is stored of the digest that an approval binds: HMAC-SHA256 of it, for an account.
    ///
    /// The digest alone would tell whoever reads the database whether a guess of the arguments,
    /// which are sealed or redacted beside it, is right.
    package func bindingDigest(of binding: [UInt8], account: AccountID) -> [UInt8] {
        let key = SymmetricKey(data: derived("preloop approval bindings, format 1, \(account)"))
        return Array(HMAC<SHA256>.authenticationCode(for: binding, using: key))
    }

    private func derived(_ purpose: String) -> [UInt8] {
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: material,
            salt: Array("preloop".utf8),
            info: Array(purpose.utf8),
            outputByteCount: 32
        )
        return unsafe key.withUnsafeBytes { unsafe Array($0) }
    }
}
