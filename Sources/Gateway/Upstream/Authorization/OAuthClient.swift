import Crypto
import Domain
import HTTPClient

/// A client of OAuth 2.1 for servers that want tokens: finds out who gives them, asks, renews.
///
/// Every address goes through the guard of upstream addresses: what a server names must not lead
/// into the operator's network.
package struct OAuthClient: Sendable {
    /// Documents and answers with tokens are some kilobytes.
    private static let bodyBytes = 256 << 10
    private static let patience: Duration = .seconds(20)
    /// A refused request's words, for the operator.
    private static let reasonCharacters = 200

    private let transport: any HTTPStreamTransport
    private let egress: EgressGuard
    private let now: @Sendable () -> Timestamp

    init(
        transport: any HTTPStreamTransport,
        egress: EgressGuard,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.transport = transport
        self.egress = egress
        self.now = now
    }

    /// Who authorizes clients of a server, and for what.
    struct Authority: Sendable {
        var resource: ProtectedResource
        var server: AuthorizationServer
    }

    // MARK: - Discovery

    /// Finds out who authorizes clients of a server.
    ///
    /// - Parameters:
    ///   - url: The server's.
    ///   - wanted: The issuer that it must name; nil for its first.
    /// - Returns: The issuer's endpoints, which nobody can listen to on the way.
    /// - Throws: ``UpstreamError`` when the server names nobody, or another one than `wanted`, or
    ///   what it names cannot be used.
    func authority(
        of url: String,
        issuer wanted: String? = nil
    ) async throws(UpstreamError) -> Authority {
        let resource = try await resource(of: url)
        let named = resource.issuers.first { issuer in
            wanted.map { haveEqualBytes($0, issuer) } ?? true
        }
        guard let issuer = named else {
            throw .misconfigured(
                reason: "it names the issuer `\(resource.issuers.first ?? "")`, and not "
                    + "`\(wanted ?? "")`; name the right one with --issuer"
            )
        }
        try requireSecrecy(of: issuer)
        for place in AuthorizationServer.places(for: issuer) {
            guard let document = try await document(at: place) else { continue }
            let server = try AuthorizationServer(document, of: issuer)
            try requireSecrecy(of: server.tokenEndpoint)
            if let page = server.authorizationEndpoint { try requireSecrecy(of: page) }
            if let endpoint = server.registrationEndpoint { try requireSecrecy(of: endpoint) }
            return Authority(resource: resource, server: server)
        }
        throw .invalid(reason: "there is no metadata of its authorization server")
    }

    /// This machine, where nobody listens on the way.
    private static let loopback = ["127.0.0.0/8", "::1/128"].compactMap { AddressRange($0) }

    /// Makes sure that codes, secrets and tokens are not sent in clear, but on this machine and to
    /// hosts and networks that the operator has named.
    private func requireSecrecy(of url: String) throws(UpstreamError) {
        guard let origin = HTTPOrigin(of: url) else {
            throw .invalid(reason: "an address of its authorization server is none")
        }
        guard origin.scheme != "https" else { return }
        let host = origin.host.filter { $0 != "[" && $0 != "]" }
        if host == "localhost" || egress.hosts.contains(host) { return }
        if let address = IPAddress(host),
            (Self.loopback + egress.networks).contains(where: { $0.contains(address) })
        {
            return
        }
        throw .invalid(reason: "`\(host)`, of its authorization server, is not asked by https")
    }

    private func resource(of url: String) async throws(UpstreamError) -> ProtectedResource {
        // What a refusal names comes first; a server may also name nothing there.
        let probe = HTTPRequest(method: "GET", url: url, headers: [], body: nil, limits: limits)
        let refusal = try await send(probe)
        let challenge = refusal.headers["WWW-Authenticate"] ?? ""
        let named = refusal.status == 401 ? ProtectedResource.place(in: challenge) : nil
        // Whoever can change the document on the way names the issuer. Of a server that is not
        // asked by https they could change everything else, too.
        if let named, HTTPOrigin(of: url)?.scheme == "https" { try requireSecrecy(of: named) }
        for place in (named.map { [$0] } ?? []) + ProtectedResource.places(for: url) {
            guard let document = try await document(at: place) else { continue }
            return try ProtectedResource(document, of: url)
        }
        throw .invalid(reason: "it does not say who authorizes its clients (RFC 9728)")
    }

    /// A document; nil where there is none.
    private func document(at url: String) async throws(UpstreamError) -> JSONValue? {
        let answer = try await send(
            HTTPRequest(
                method: "GET",
                url: url,
                headers: [HTTPField("Accept", "application/json")],
                body: nil,
                limits: limits
            )
        )
        guard answer.status == 200 else { return nil }
        // A page in place of a document is none; the next place may have one.
        return try? JSONParser.parse(answer.body)
    }

    // MARK: - Registration

    /// Registers a public client by RFC 7591; gives its identifier.
    func register(
        at server: AuthorizationServer,
        redirect: String
    ) async throws(UpstreamError) -> String {
        guard let endpoint = server.registrationEndpoint else {
            throw .misconfigured(
                reason: "its authorization server registers no clients; give --client-id"
            )
        }
        let body: JSONValue = [
            "client_name": "Preloop", "redirect_uris": [.string(redirect)],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        ]
        let answer = try await send(
            HTTPRequest(
                method: "POST",
                url: endpoint,
                headers: [
                    HTTPField("Content-Type", "application/json"),
                    HTTPField("Accept", "application/json"),
                ],
                body: body.serialized(),
                limits: limits
            )
        )
        // What it answers besides a refusal is read below.
        let document = try? JSONParser.parse(answer.body)
        guard [200, 201].contains(answer.status), let id = document?["client_id"]?.string else {
            throw .invalid(reason: "the client was not registered: \(Self.reason(answer))")
        }
        return id
    }

    // MARK: - Asking a person

    /// One request for a person's consent.
    struct Consent: Sendable {
        var redirect: String
        var clientID: String
        var state: String
        var verifier: String
        var authority: Authority
        var scope: String?

        /// What the authorization server is told of the verifier; it is the request's name, too,
        /// for no two requests have the same.
        var challenge: String {
            Base64URL.encode(SHA256.hash(data: Array(verifier.utf8)))
        }

        /// The page that the person opens.
        var url: String {
            let endpoint = authority.server.authorizationEndpoint ?? ""
            var parts = [
                ("response_type", "code"), ("client_id", clientID), ("redirect_uri", redirect),
                ("state", state), ("code_challenge", challenge), ("code_challenge_method", "S256"),
                ("resource", authority.resource.resource),
            ]
            if let scope { parts.append(("scope", scope)) }
            let separator = endpoint.contains("?") ? "&" : "?"
            return endpoint + separator + OAuthClient.form(parts)
        }
    }

    /// Makes a request for consent, with PKCE and a state that nobody can guess.
    static func consent(
        _ authority: Authority,
        clientID: String,
        redirect: String,
        scope: String?
    ) throws(UpstreamError) -> Consent {
        guard let endpoint = authority.server.authorizationEndpoint,
            WebAddress(endpoint) != nil
        else { throw .misconfigured(reason: "its authorization server has no page to sign in") }
        let scope = scope ?? authority.resource.scopes.joined(separator: " ")
        return Consent(
            redirect: redirect,
            clientID: clientID,
            state: randomText(),
            verifier: randomText(),
            authority: authority,
            scope: scope.isEmpty ? nil : scope
        )
    }

    /// Takes the code of an answer out, when it is the answer to this request.
    ///
    /// - Throws: ``UpstreamError/invalid(reason:)`` for another one's, and for a refusal.
    static func code(
        in query: [(name: String, value: String)],
        of consent: Consent
    ) throws(UpstreamError) -> String {
        func value(_ name: String) -> String? {
            query.first { haveEqualBytes($0.name, name) }?.value
        }
        guard isAnswer(query, to: consent) else {
            throw .invalid(reason: "the answer belongs to another request")
        }
        if consent.authority.server.namesIssuer || value("iss") != nil {
            guard let issuer = value("iss"),
                haveEqualBytes(issuer, consent.authority.server.issuer)
            else { throw .invalid(reason: "the answer is of another authorization server") }
        }
        if let error = value("error") {
            throw .invalid(reason: "the request was refused: \(sanitized(error).prefix(100))")
        }
        guard let code = value("code"), !code.isEmpty else {
            throw .invalid(reason: "the answer has no code")
        }
        return code
    }

    /// Whether an answer has the state of this request, which nobody else knows.
    static func isAnswer(_ query: [(name: String, value: String)], to consent: Consent) -> Bool {
        let state = query.first { haveEqualBytes($0.name, "state") }?.value
        return state.map { areEqual($0, consent.state) } ?? false
    }

    /// Changes a code into tokens.
    func redeem(_ code: String, _ consent: Consent) async throws(UpstreamError) -> OAuthGrant {
        var grant = OAuthGrant(
            tokenEndpoint: consent.authority.server.tokenEndpoint,
            clientID: consent.clientID,
            resource: consent.authority.resource.resource
        )
        grant.issuer = consent.authority.server.issuer
        grant.scope = consent.scope
        grant.signIn = consent.challenge
        return try await tokens(
            for: grant,
            secret: nil,
            [
                ("grant_type", "authorization_code"), ("code", code),
                ("redirect_uri", consent.redirect), ("code_verifier", consent.verifier),
            ]
        )
    }

    // MARK: - Tokens

    /// New tokens in place of those that have ended.
    ///
    /// - Parameters:
    ///   - grant: What there is.
    ///   - secret: The client's secret with its variables in place; nil for a public client.
    /// - Returns: The grant with them.
    /// - Throws: ``UpstreamError/unauthorized(status:)`` when a person has to sign in again.
    func renewed(
        _ grant: OAuthGrant,
        secret: String?
    ) async throws(UpstreamError) -> OAuthGrant {
        if let refresh = grant.refreshToken {
            do throws(UpstreamError) {
                return try await tokens(
                    for: grant,
                    secret: secret,
                    [("grant_type", "refresh_token"), ("refresh_token", refresh)]
                )
            } catch {
                // A client of its own right needs nobody to sign in again.
                guard case .unauthorized = error, secret != nil else { throw error }
            }
        }
        guard secret != nil else { throw .unauthorized(status: 401) }
        var fresh = grant
        fresh.refreshToken = nil
        return try await tokens(for: fresh, secret: secret, [("grant_type", "client_credentials")])
    }

    private func tokens(
        for grant: OAuthGrant,
        secret: String?,
        _ parts: [(String, String)]
    ) async throws(UpstreamError) -> OAuthGrant {
        var parts = parts + [("resource", grant.resource)]
        if let scope = grant.scope { parts.append(("scope", scope)) }
        var headers = [
            HTTPField("Content-Type", "application/x-www-form-urlencoded"),
            HTTPField("Accept", "application/json"),
        ]
        if let secret {
            // RFC 6749, section 2.3.1: both are encoded as in a form first.
            let pair = Self.encoded(grant.clientID) + ":" + Self.encoded(secret)
            headers.append(HTTPField("Authorization", "Basic " + Self.base64(Array(pair.utf8))))
        } else {
            parts.append(("client_id", grant.clientID))
        }
        try requireSecrecy(of: grant.tokenEndpoint)
        let answer = try await send(
            HTTPRequest(
                method: "POST",
                url: grant.tokenEndpoint,
                headers: headers,
                body: Array(Self.form(parts).utf8),
                limits: limits
            )
        )
        guard answer.status == 200 else {
            // What the body says may be shown to nobody but by its standard word.
            guard [400, 401].contains(answer.status) else {
                throw .unreachable(reason: "the token endpoint answers \(answer.status)")
            }
            throw .unauthorized(status: answer.status)
        }
        // Everything but a token of the right kind is no answer.
        guard let document = try? JSONParser.parse(answer.body),
            let token = document["access_token"]?.string, Self.isToken(token),
            document["token_type"]?.string?.lowercased() == "bearer"
        else { throw .invalid(reason: "the token endpoint gives no bearer token") }
        var renewed = grant
        renewed.accessToken = token
        renewed.refreshToken = document["refresh_token"]?.string ?? grant.refreshToken
        renewed.scope = document["scope"]?.string ?? grant.scope
        let seconds = document["expires_in"]?.integer.map { min(max(0, $0), 31_536_000) }
        renewed.expiresAt = seconds.map { now().advanced(by: .seconds($0)) }
        return renewed
    }

    /// RFC 6750, section 2.1; anything else could end a header's line.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 16_384
            && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    // MARK: - Exchanges

    private var limits: HTTPLimits {
        var limits = HTTPLimits()
        limits.totalTimeout = Self.patience
        limits.maximumResponseByteCount = Self.bodyBytes
        return limits
    }

    private struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]
    }

    private func send(_ request: HTTPRequest) async throws(UpstreamError) -> Answer {
        let endpoint = HTTPEndpoint(
            url: request.url,
            credential: .none,
            transport: transport,
            egress: egress
        )
        var body: [UInt8] = []
        let head = try await endpoint.exchange(request) { _, piece throws(UpstreamError) in
            guard body.count + piece.count <= Self.bodyBytes else {
                throw .tooLarge(limit: Self.bodyBytes)
            }
            body += piece
            return true
        }
        return Answer(status: head.status, headers: head.headers, body: body)
    }

    private static func reason(_ answer: Answer) -> String {
        // RFC 7591, section 3.2.2: a word and a sentence.
        let document = try? JSONParser.parse(answer.body)
        let word = document?["error"]?.string ?? "status \(answer.status)"
        let more = document?["error_description"]?.string.map { ": \($0)" } ?? ""
        return String(sanitized(word + more).prefix(reasonCharacters))
    }

    // MARK: - Texts

    private static func randomText() -> String {
        var generator = SystemRandomNumberGenerator()
        return Base64URL.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// RFC 4648, section 4.
    private static func base64(_ bytes: [UInt8]) -> String {
        let digits = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
        )
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let padded = Array(group) + Array(repeating: 0, count: 3 - group.count)
            let number = Int(padded[0]) << 16 | Int(padded[1]) << 8 | Int(padded[2])
            for place in 0..<4 {
                let isPadding = place > group.count
                text.append(
                    isPadding ? UInt8(ascii: "=") : digits[number >> (18 - 6 * place) & 63]
                )
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func form(_ parts: [(String, String)]) -> String {
        parts.map { "\(encoded($0.0))=\(encoded($0.1))" }.joined(separator: "&")
    }

    private static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default: result += "%" + hexadecimal([byte]).uppercased()
            }
        }
        return result
    }

    /// Compares in constant time.
    private static func areEqual(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
