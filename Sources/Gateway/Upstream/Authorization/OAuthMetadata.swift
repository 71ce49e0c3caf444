import Domain

/// What a server says of who authorizes its clients (RFC 9728), checked.
struct ProtectedResource: Sendable, Equatable {
    /// The server, as tokens name it.
    var resource: String
    /// Issuers, the preferred first.
    var issuers: [String]
    var scopes: [String]

    /// Reads a document about the server at `url`.
    ///
    /// - Throws: ``UpstreamError/invalid(reason:)`` for a document about another server: tokens
    ///   for that one must not be asked for here (RFC 9728, section 3.3).
    init(_ document: JSONValue, of url: String) throws(UpstreamError) {
        guard let resource = document["resource"]?.string,
            let issuers = document["authorization_servers"]?.array?.compactMap(\.string),
            !issuers.isEmpty
        else { throw .invalid(reason: "its protected resource metadata names no issuer") }
        guard let named = WebAddress(resource), let own = WebAddress(url),
            named.origin == own.origin, own.path.hasPathPrefix(named.path)
        else { throw .invalid(reason: "its protected resource metadata is of another server") }
        self.resource = resource
        self.issuers = issuers
        scopes = document["scopes_supported"]?.array?.compactMap(\.string) ?? []
    }

    /// Where the document may be: at the server's path, then at its root.
    static func places(for url: String) -> [String] {
        guard let address = WebAddress(url) else { return [] }
        let name = "/.well-known/oauth-protected-resource"
        let path = address.path == "/" ? "" : address.path
        return path.isEmpty
            ? [address.origin + name] : [address.origin + name + path, address.origin + name]
    }

    /// What `WWW-Authenticate` names of it: `Bearer resource_metadata="…"`.
    static func place(in challenge: String) -> String? {
        let name = "resource_metadata=\""
        guard let start = challenge.utf8.firstRange(of: name.utf8) else { return nil }
        let rest = challenge[start.upperBound...]
        guard let end = rest.firstIndex(of: "\"") else { return nil }
        return String(rest[..<end])
    }
}

/// What an authorization server says of itself (RFC 8414, OpenID Connect Discovery), checked.
struct AuthorizationServer: Sendable, Equatable {
    var issuer: String
    var tokenEndpoint: String
    var authorizationEndpoint: String?
    var registrationEndpoint: String?
    /// Whether it answers with `iss` (RFC 9207).
    var namesIssuer: Bool

    /// Reads a document of the issuer that was asked.
    ///
    /// - Throws: ``UpstreamError/invalid(reason:)`` for one of another issuer, or without PKCE by
    ///   SHA-256, which MCP demands.
    init(_ document: JSONValue, of issuer: String) throws(UpstreamError) {
        guard let named = document["issuer"]?.string, haveEqualBytes(named, issuer) else {
            throw .invalid(reason: "the authorization server's metadata is of another issuer")
        }
        guard let token = document["token_endpoint"]?.string, WebAddress(token) != nil else {
            throw .invalid(reason: "the authorization server has no token endpoint")
        }
        self.issuer = issuer
        tokenEndpoint = token
        authorizationEndpoint = document["authorization_endpoint"]?.string
        registrationEndpoint = document["registration_endpoint"]?.string
        namesIssuer = document["authorization_response_iss_parameter_supported"]?.bool == true
        let methods = document["code_challenge_methods_supported"]?.array?.compactMap(\.string)
        guard authorizationEndpoint == nil || methods?.contains("S256") == true else {
            throw .invalid(reason: "the authorization server does not do PKCE with SHA-256")
        }
    }

    /// Where the document of an issuer may be, in the order in which clients of MCP look.
    static func places(for issuer: String) -> [String] {
        guard let address = WebAddress(issuer) else { return [] }
        let (oauth, openID) = (
            "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
        )
        guard address.path != "/" else {
            return [address.origin + oauth, address.origin + openID]
        }
        return [
            address.origin + oauth + address.path, address.origin + openID + address.path,
            address.origin + address.path + openID,
        ]
    }
}

/// An address in its parts; what is beyond the path is not looked at.
struct WebAddress: Sendable, Equatable {
    /// `https://host:port`, in lower case.
    var origin: String
    /// Begins with a slash and does not end with one, but for the root.
    var path: String

    /// nil for what is no http or https address.
    init?(_ text: String) {
        let lower = text.lowercased()
        guard let scheme = ["https://", "http://"].first(where: lower.hasPrefix) else { return nil }
        let rest = text.dropFirst(scheme.count)
        let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        let host = rest[..<end]
        guard !host.isEmpty, !host.contains("@"), !host.contains(where: \.isWhitespace) else {
            return nil
        }
        origin = scheme + host.lowercased()
        var path = rest[end...].prefix { $0 != "?" && $0 != "#" }
        while path.hasSuffix("/") { path = path.dropLast() }
        self.path = path.isEmpty ? "/" : String(path)
    }
}

extension String {
    /// Whether another path is this one, or above it.
    fileprivate func hasPathPrefix(_ prefix: String) -> Bool {
        prefix == "/" || haveEqualBytes(self, prefix) || hasPrefix(prefix + "/")
    }
}
