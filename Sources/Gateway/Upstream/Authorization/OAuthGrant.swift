package import Domain

/// What an authorization server has given for a server, and what renews it: kept sealed.
///
/// RFC 6749 (grants and tokens), RFC 7636 (PKCE), RFC 8707 (the resource that tokens are for).
package struct OAuthGrant: Sendable, Equatable {
    /// Who gives the tokens; nil for what was kept before issuers were.
    package var issuer: String?
    /// Where tokens come from.
    package var tokenEndpoint: String
    package var clientID: String
    /// nil for a public client; `${NAME}` stands for a variable of this process.
    package var clientSecret: String?
    /// The server that tokens are for.
    package var resource: String
    package var scope: String?
    /// Which sign-in it comes from; nil where nobody has opened a page, and for what was kept
    /// before sign-ins were told apart.
    var signIn: String?
    /// nil for `client_credentials`, which asks for a new token without one.
    package var refreshToken: String?
    package var accessToken: String?
    /// When the access token ends; nil when nobody has said.
    package var expiresAt: Timestamp?

    package init(tokenEndpoint: String, clientID: String, resource: String) {
        self.tokenEndpoint = tokenEndpoint
        self.clientID = clientID
        self.resource = resource
    }

    /// The same without tokens: what stays when they are renewed.
    var withoutTokens: OAuthGrant {
        var copy = self
        (copy.refreshToken, copy.accessToken, copy.expiresAt) = (nil, nil, nil)
        return copy
    }

    /// A token that ends within this time counts as ended: it has to arrive first.
    private static let margin: Duration = .seconds(60)

    /// Whether the access token can be sent at an instant.
    func isUsable(at now: Timestamp) -> Bool {
        guard accessToken != nil else { return false }
        guard let expiresAt else { return true }
        return now.advanced(by: Self.margin) < expiresAt
    }

    /// As it is sealed.
    var json: JSONValue {
        [
            "issuer": JSONValue(issuer), "token_endpoint": .string(tokenEndpoint),
            "client_id": .string(clientID),
            "client_secret": JSONValue(clientSecret), "resource": .string(resource),
            "scope": JSONValue(scope), "sign_in": JSONValue(signIn),
            "refresh_token": JSONValue(refreshToken), "access_token": JSONValue(accessToken),
            "expires_at": expiresAt.map { .integer($0.milliseconds) } ?? .null,
        ]
    }

    /// Reads what was sealed; nil for what is none.
    init?(_ json: JSONValue) {
        guard let tokenEndpoint = json["token_endpoint"]?.string,
            let clientID = json["client_id"]?.string, let resource = json["resource"]?.string
        else { return nil }
        self.init(tokenEndpoint: tokenEndpoint, clientID: clientID, resource: resource)
        issuer = json["issuer"]?.string
        clientSecret = json["client_secret"]?.string
        scope = json["scope"]?.string
        signIn = json["sign_in"]?.string
        refreshToken = json["refresh_token"]?.string
        accessToken = json["access_token"]?.string
        expiresAt = json["expires_at"]?.integer.map { Timestamp(milliseconds: $0) }
    }
}
