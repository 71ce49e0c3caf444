import Crypto
package import Domain

extension SecretBox {
    /// The seed of the key that signs checkpoints of the audit; says nothing about other keys.
    package var auditSeed: [UInt8] { derived("preloop audit signatures, format 1") }

    /// Makes digests of what is redacted in an account: of no use in another one.
    package func redactionKey(of account: AccountID) -> [UInt8] {
        derived("preloop redaction, format 1, account \(account)")
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
