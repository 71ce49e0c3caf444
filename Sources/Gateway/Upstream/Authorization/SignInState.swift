import Domain
import Store

/// A sign-in that was begun here, as the browser brings it back: the `state` of OAuth.
///
/// It travels sealed by the installation's key, for an account, with all that is needed to go on.
/// So nothing is kept while it waits, whichever process the browser comes to can go on, and nobody
/// else can make one. The code alone is of no use to whoever sees the address: the verifier that
/// goes with it (PKCE) is inside.
struct SignInState: Sendable {
    var server: UpstreamServerID
    /// The server's address when it was begun.
    var address: String
    /// Who has begun it.
    var user: UserID
    /// The sign-in that it takes the place of, by ``mark(of:)``.
    var before: String
    var expiresAt: Timestamp
    var consent: OAuthClient.Consent

    /// More bytes than any state has; browsers and authorization servers take addresses that long.
    private static let maximumBytes = 6_144

    /// What tells one sign-in of a server from the next, whatever its tokens are by then.
    static func mark(of grant: OAuthGrant?) -> String {
        grant.map { $0.signIn ?? "unmarked" } ?? "none"
    }

    // MARK: - Sealing

    /// The text that the authorization server sends back.
    ///
    /// - Parameters:
    ///   - box: Seals it.
    ///   - account: Whose it is, which stands before it in clear.
    /// - Returns: A text that addresses can hold as it is.
    /// - Throws: ``UpstreamError/misconfigured(reason:)`` when it would be too long for one, and
    ///   `StoreError`.
    func sealed(by box: SecretBox, account: AccountID) throws -> String {
        let authority = consent.authority
        let document: JSONValue = [
            "n": .integer(server.rawValue), "a": .string(address),
            "u": .integer(user.rawValue), "b": .string(before),
            "e": .integer(expiresAt.milliseconds), "r": .string(consent.redirect),
            "c": .string(consent.clientID), "v": .string(consent.verifier),
            "s": JSONValue(consent.scope), "t": .string(authority.resource.resource),
            "i": .string(authority.server.issuer), "p": .string(authority.server.tokenEndpoint),
            "m": .bool(authority.server.namesIssuer),
        ]
        let sealed = try box.seal(
            bytes: document.serialized(),
            for: .signInState(account: account)
        )
        let text = "\(account).\(Base64URL.encode(sealed.bytes))"
        guard text.utf8.count <= Self.maximumBytes else {
            throw UpstreamError.misconfigured(
                reason: "what it names is too long for an address; say which scope is asked for"
            )
        }
        return text
    }

    /// Opens what a browser brings back; nil when it is none of ours, for whatever reason.
    init?(_ text: String, box: SecretBox, account: AccountID) {
        guard Self.account(of: text) == account,
            let bytes = Base64URL.decode(text.drop { $0 != "." }.dropFirst()),
            // Why it does not open is nothing for whoever made it.
            let opened = try? box.openBytes(
                SealedSecret(bytes: bytes),
                for: .signInState(account: account)
            ),
            let document = try? JSONParser.parse(opened),
            let server = document["n"]?.integer, let address = document["a"]?.string,
            let user = document["u"]?.integer, let before = document["b"]?.string,
            let end = document["e"]?.integer,
            let consent = Self.consent(document, at: address, state: text)
        else { return nil }
        self.init(
            server: UpstreamServerID(server),
            address: address,
            user: UserID(user),
            before: before,
            expiresAt: Timestamp(milliseconds: end),
            consent: consent
        )
    }

    init(
        server: UpstreamServerID,
        address: String,
        user: UserID,
        before: String,
        expiresAt: Timestamp,
        consent: OAuthClient.Consent
    ) {
        self.server = server
        self.address = address
        self.user = user
        self.before = before
        self.expiresAt = expiresAt
        self.consent = consent
    }

    /// The request for consent, but for the page, which has been opened.
    private static func consent(
        _ document: JSONValue,
        at address: String,
        state: String
    ) -> OAuthClient.Consent? {
        guard let redirect = document["r"]?.string, let client = document["c"]?.string,
            let verifier = document["v"]?.string, let target = document["t"]?.string,
            let issuer = document["i"]?.string, let endpoint = document["p"]?.string,
            let namesIssuer = document["m"]?.bool,
            // As the documents were read that they come from.
            let resource = try? ProtectedResource(
                ["resource": .string(target), "authorization_servers": [.string(issuer)]],
                of: address
            ),
            let server = try? AuthorizationServer(
                [
                    "issuer": .string(issuer), "token_endpoint": .string(endpoint),
                    "authorization_response_iss_parameter_supported": .bool(namesIssuer),
                ],
                of: issuer
            )
        else { return nil }
        return OAuthClient.Consent(
            redirect: redirect,
            clientID: client,
            state: state,
            verifier: verifier,
            authority: OAuthClient.Authority(resource: resource, server: server),
            scope: document["s"]?.string
        )
    }

    /// Whose a state says it is; nil for what has not the form of one.
    static func account(of text: String) -> AccountID? {
        guard text.utf8.count <= maximumBytes, let number = text.split(separator: ".").first,
            let account = Int64(number), account > 0, String(account) == number
        else { return nil }
        return AccountID(account)
    }
}

/// Sign-ins that were begun in this process, and those that were answered here; a value, time
/// comes in.
struct SignInLedger: Sendable {
    /// How long somebody may take in the browser.
    static let lifetime: Duration = .seconds(600)
    /// So many wait at a time; each has asked the server and had a client registered.
    static let maximumOpen = 32

    /// When those end that were begun.
    private var ends: [Timestamp] = []
    /// The names of those that were answered, until they end.
    private var answered: [String: Timestamp] = [:]

    /// Begins one.
    ///
    /// - Returns: When it ends.
    /// - Throws: ``UpstreamDesk/SignInRefusal/tooMany(seconds:)`` when as many wait as may.
    mutating func begin(at now: Timestamp) throws(UpstreamDesk.SignInRefusal) -> Timestamp {
        tidy(now)
        if ends.count >= Self.maximumOpen, let first = ends.min() {
            throw .tooMany(seconds: Int(first.milliseconds(since: now) / 1_000) + 1)
        }
        let end = now.advanced(by: Self.lifetime)
        ends.append(end)
        return end
    }

    /// Notes that one is answered, whatever comes of it.
    ///
    /// - Parameters:
    ///   - name: Its challenge.
    ///   - end: When it ends.
    ///   - now: The time.
    /// - Returns: Whether nobody has answered it before.
    mutating func answer(_ name: String, until end: Timestamp, at now: Timestamp) -> Bool {
        tidy(now)
        return answered.updateValue(end, forKey: name) == nil
    }

    /// Whether nothing of it counts any more.
    func isEmpty(at now: Timestamp) -> Bool {
        ends.allSatisfy { $0 <= now } && answered.values.allSatisfy { $0 <= now }
    }

    private mutating func tidy(_ now: Timestamp) {
        ends.removeAll { $0 <= now }
        answered = answered.filter { $0.value > now }
    }
}
