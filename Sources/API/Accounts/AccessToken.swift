import Crypto
import Domain

/// What an access token says: a JSON web token signed with HMAC-SHA256 (RFC 7515, RFC 7519).
struct AccessToken: Sendable, Equatable {
    var account: AccountID
    var user: UserID
    var session: SessionID
    var expiresAt: Timestamp

    /// Tokens of ours have some 250 bytes.
    private static let maximumBytes = 2_048
    private static let issuer = "preloop"
    /// The only header that is taken: a token cannot choose how it is checked.
    private static let header = Base64URL.encode(#"{"alg":"HS256","typ":"JWT"}"#.utf8)

    init(account: AccountID, user: UserID, session: SessionID, expiresAt: Timestamp) {
        self.account = account
        self.user = user
        self.session = session
        self.expiresAt = expiresAt
    }

    /// The token, signed.
    func signed(with key: SymmetricKey, at now: Timestamp) -> String {
        let claims: JSONValue = [
            "iss": .string(Self.issuer), "sub": .string("\(user)"),
            "acc": .integer(account.rawValue), "sid": .integer(session.rawValue),
            "iat": .integer(now.milliseconds / 1_000),
            "exp": .integer(expiresAt.milliseconds / 1_000),
        ]
        let text = "\(Self.header).\(Base64URL.encode(claims.serialized()))"
        let code = HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
        return "\(text).\(Base64URL.encode(code))"
    }

    /// Reads a token; nil for one that we did not sign or that is over.
    init?(_ text: String, key: SymmetricKey, now: Timestamp) {
        guard text.utf8.count <= Self.maximumBytes else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == Self.header, let code = Base64URL.decode(parts[2]),
            HMAC<SHA256>.isValidAuthenticationCode(
                code,
                authenticating: Array("\(parts[0]).\(parts[1])".utf8),
                using: key
            ),
            let claims = Base64URL.decode(parts[1]).flatMap({ bytes in
                // Signed by us and no JSON: an older form, which is worth nothing any more.
                try? JSONParser.parse(bytes)
            }),
            claims["iss"]?.string == Self.issuer, let account = claims["acc"]?.integer,
            let user = claims["sub"]?.string.flatMap({ Int64($0) }),
            let session = claims["sid"]?.integer, let end = claims["exp"]?.integer
        else { return nil }
        let (milliseconds, overflow) = end.multipliedReportingOverflow(by: 1_000)
        guard !overflow, milliseconds > now.milliseconds else { return nil }
        self.init(
            account: AccountID(account),
            user: UserID(user),
            session: SessionID(session),
            expiresAt: Timestamp(milliseconds: milliseconds)
        )
    }
}
