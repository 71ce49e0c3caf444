import HTTPTypes

/// Who may talk to this server at all: names it answers to, pages that may call it.
///
/// A page of a stranger can make a browser send requests to a server on the user's own machine or
/// network. Its `Origin` gives it away; where it has its own name resolve to our address, the
/// `Host` does.
package struct RequestGuard: Sendable {
    /// Names without port, lower case, that a request may give as `Host`; besides, the names of
    /// the loopback interface are always ours.
    private let hosts: Set<String>
    /// Whether any address (not name) may stand in `Host`: where the server listens on all
    /// interfaces, it has addresses that it does not know.
    private let takesAnyAddress: Bool
    /// `https://console.example.com`, lower case.
    package let origins: Set<String>

    private static let loopback: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

    /// - Parameters:
    ///   - listening: What the server is bound to.
    ///   - publicURL: Where users reach it, such as `https://preloop.example.com`; nil when that is
    ///     where it listens.
    ///   - hosts: Further names.
    ///   - origins: Pages that may call besides those of the server's own names.
    package init(
        listening: String,
        publicURL: String? = nil,
        hosts: [String] = [],
        origins: [String] = []
    ) {
        var names = Set(hosts.map { $0.lowercased() })
        var pages = Set(origins.map { $0.lowercased() })
        takesAnyAddress = listening == "0.0.0.0" || listening == "::"
        if !takesAnyAddress {
            names.insert(listening.contains(":") ? "[\(listening)]" : listening.lowercased())
        }
        if let publicURL = publicURL?.lowercased(), let scheme = publicURL.firstRange(of: "://") {
            let authority = publicURL[scheme.upperBound...].prefix { $0 != "/" }
            names.insert(Self.name(of: authority))
            pages.insert(String(publicURL[..<scheme.upperBound]) + authority)
        }
        self.hosts = names.union(Self.loopback)
        self.origins = pages
    }

    /// Refuses a request that should not have come here.
    func check(_ head: HTTPRequest) throws(Problem) {
        guard let authority = head.authority?.lowercased(), !authority.isEmpty else {
            throw Problem(.badRequest, "the header `Host` is missing")
        }
        let name = Self.name(of: authority)
        guard hosts.contains(name) || takesAnyAddress && Self.isAddress(name) else {
            throw Problem(
                .misdirectedRequest,
                "this server does not answer to that `Host`; PRELOOP_URL and "
                    + "PRELOOP_ALLOWED_HOSTS say which names it has"
            )
        }
        guard allows(head) else {
            throw Problem(
                .forbidden,
                "pages of this origin may not call; ALLOWED_ORIGINS lists those that may",
                code: "origin_denied"
            )
        }
    }

    /// Whether a request comes from no page, or from one that may call.
    func allows(_ head: HTTPRequest) -> Bool {
        guard let origin = head.headerFields[.origin]?.lowercased() else { return true }
        return origins.contains(origin) || isOwn(origin, head)
    }

    /// Whether a page is one of this server's, seen by the name the request gives it.
    private func isOwn(_ origin: String, _ head: HTTPRequest) -> Bool {
        guard let authority = head.authority?.lowercased() else { return false }
        return origin == "http://\(authority)" || origin == "https://\(authority)"
    }

    /// The answer to a browser that asks before it calls; nil for what is no such question.
    func preflight(_ head: HTTPRequest) -> APIResponse? {
        guard head.method == .options, head.headerFields[.accessControlRequestMethod] != nil else {
            return nil
        }
        let known = """
            Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, \
            Last-Event-ID, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, \
            traceparent, tracestate, X-Request-ID
            """
        return APIResponse(
            .noContent,
            headers: [
                .accessControlAllowMethods: "GET, POST, PUT, PATCH, DELETE",
                .accessControlAllowHeaders: ([known] + Self.mirrored(head)).joined(separator: ", "),
                .accessControlMaxAge: "600",
            ]
        )
    }

    /// The headers in which a client of MCP mirrors arguments, which have names of their tools.
    private static func mirrored(_ head: HTTPRequest) -> [String] {
        (head.headerFields[.accessControlRequestHeaders] ?? "").split(separator: ",")
            .map { $0.lowercased().filter { $0 != " " } }
            .filter { $0.hasPrefix("mcp-param-") && HTTPField.Name($0) != nil }
    }

    /// Tells a browser that a page of another address may read the answer.
    func allow(_ origin: String, in head: inout HTTPResponse) {
        guard origins.contains(origin.lowercased()) else { return }
        head.headerFields[.accessControlAllowOrigin] = origin
        head.headerFields[.accessControlExposeHeaders] =
            "ETag, Idempotent-Replayed, Link, Mcp-Session-Id, Retry-After, WWW-Authenticate, "
            + "X-Next-Cursor, X-Request-ID"
        head.headerFields[.vary] = "Origin"
    }

    /// The authority without its port.
    private static func name(of authority: some StringProtocol) -> String {
        guard authority.hasPrefix("[") else {
            return String(authority.prefix { $0 != ":" })
        }
        return String(authority.prefix { $0 != "]" }) + "]"
    }

    private static func isAddress(_ name: String) -> Bool {
        if name.hasPrefix("[") { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
