import Crypto
package import Domain

extension Secret {
    /// Keeps the key apart from whatever else is ever made of a webhook's secret.
    ///
    /// INVARIANT: with another text every webhook that is registered is refused until it is
    /// installed again.
    private static let signingPurpose = Array("preloop GitLab signing token, format 1".utf8)

    /// The 32 bytes that GitLab signs with when this is the secret of its webhook.
    ///
    /// HMAC-SHA256 of a fixed text under the secret, so that nothing more has to be stored, and
    /// webhooks that were registered with the secret alone go on. Whoever knows the secret knows
    /// the key; that gives nothing away, for GitLab shows the secret itself in every delivery, and
    /// where nothing is signed it is all that is asked for.
    var gitLabSigningKey: [UInt8] {
        let key = SymmetricKey(data: Array(reveal().utf8))
        return Array(HMAC<SHA256>.authenticationCode(for: Self.signingPurpose, using: key))
    }

    /// The same as GitLab takes it (`signing_token`): `whsec_` and the bytes in Base64.
    package var gitLabSigningToken: Secret { Secret("whsec_" + base64(gitLabSigningKey)) }
}
