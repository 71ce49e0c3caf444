package import Domain
import HTTPClient
import Store

/// Signing in to servers that want tokens of OAuth.
extension UpstreamDesk {
    /// A person's consent that is waited for.
    package struct SignIn: Sendable {
        /// The page that the person opens.
        package var url: String { consent.url }
        /// Who is signed in at.
        package var issuer: String { consent.authority.server.issuer }
        let server: UpstreamServerID
        /// The server's address, for which it is.
        let address: String
        let consent: OAuthClient.Consent

        /// Whether a browser that comes back with this query was sent by this request.
        package func isAnswered(by query: [(name: String, value: String)]) -> Bool {
            OAuthClient.isAnswer(query, to: consent)
        }
    }

    /// What a client is known by.
    package struct ClientCredential: Sendable {
        package var id: String
        /// nil for a public client; `${NAME}` stands for a variable of this process.
        package var secret: String?
        package var scope: String?
        /// Whose client it is; nil for the issuer that was signed in at before.
        package var issuer: String?

        package init(
            id: String,
            secret: String? = nil,
            scope: String? = nil,
            issuer: String? = nil
        ) {
            self.id = id
            self.secret = secret
            self.scope = scope
            self.issuer = issuer
        }
    }

    nonisolated var client: OAuthClient {
        let clock = means.store.clock
        return OAuthClient(
            transport: means.transport,
            egress: means.settings.egress,
            now: { clock.now() }
        )
    }

    /// Finds out who authorizes clients of a server, and makes the page that a person opens.
    ///
    /// - Parameters:
    ///   - id: The server.
    ///   - redirect: Where the answer is waited for.
    ///   - clientID: As the authorization server knows us; nil to be registered there.
    ///   - scope: What is asked for; nil for all that the server names.
    ///   - issuer: Who is to be signed in at; nil for the one of the sign-in before, else for the
    ///     server's first.
    /// - Returns: What ``finish(_:query:)`` takes.
    /// - Throws: ``UpstreamError`` when nobody authorizes clients, or not in a way that is known.
    package func beginSignIn(
        to id: UpstreamServerID,
        redirect: String,
        clientID: String? = nil,
        scope: String? = nil,
        issuer: String? = nil
    ) async throws -> SignIn {
        let server = try await signable(id)
        let before = try await Self.kept(id, means)?.oauth?.issuer
        let authority = try await client.authority(of: server.url, issuer: issuer ?? before)
        var known = clientID
        if known == nil {
            known = try await client.register(at: authority.server, redirect: redirect)
        }
        let consent = try OAuthClient.consent(
            authority,
            clientID: known ?? "",
            redirect: redirect,
            scope: scope
        )
        return SignIn(server: id, address: server.url, consent: consent)
    }

    /// Keeps what a person's consent gives.
    ///
    /// - Parameters:
    ///   - signIn: What was begun.
    ///   - query: Of the address to which the authorization server has sent the person.
    ///   - author: Who signs in, for the record.
    /// - Throws: ``UpstreamError`` when the answer is another one's, or is a refusal.
    package func finish(
        _ signIn: SignIn,
        query: [(name: String, value: String)],
        by author: String
    ) async throws {
        let code = try OAuthClient.code(in: query, of: signIn.consent)
        let grant = try await client.redeem(code, signIn.consent)
        try await keep(grant, for: signIn.server, by: author)
    }

    /// Signs in as a client of its own right, without a person (`client_credentials`).
    ///
    /// The server names who gives tokens, and may name anybody: the secret goes to the issuer that
    /// somebody has named as its own.
    package func signIn(
        to id: UpstreamServerID,
        as credential: ClientCredential,
        by author: String
    ) async throws {
        let server = try await signable(id)
        let before = try await Self.kept(id, means)?.oauth?.issuer
        let wanted = credential.issuer ?? before
        let authority = try await client.authority(of: server.url, issuer: wanted)
        guard credential.secret == nil || wanted != nil else {
            throw UpstreamError.misconfigured(
                reason: "it names the issuer `\(authority.server.issuer)`; say with --issuer that "
                    + "the secret belongs there"
            )
        }
        var grant = OAuthGrant(
            tokenEndpoint: authority.server.tokenEndpoint,
            clientID: credential.id,
            resource: authority.resource.resource
        )
        grant.issuer = authority.server.issuer
        grant.clientSecret = credential.secret
        grant.scope = credential.scope
        let secret = try credential.secret.map { text throws(UpstreamError) in
            try means.settings.expanded(text)
        }
        try await keep(try await client.renewed(grant, secret: secret), for: id, by: author)
    }

    func signable(_ id: UpstreamServerID) async throws -> UpstreamServer {
        guard let server = try await catalogue(refreshed: true).server(id) else {
            throw UpstreamError.misconfigured(reason: "it was removed")
        }
        guard server.transport != .stdio else {
            throw UpstreamError.misconfigured(reason: "one signs in to addresses, not to programs")
        }
        return server
    }

    /// Keeps a new sign-in, whatever there was before; only under a condition where one is given.
    func keep(
        _ grant: OAuthGrant,
        for id: UpstreamServerID,
        by author: String,
        under condition: Condition? = nil
    ) async throws {
        let server = try await signable(id)
        var secret = UpstreamSecret()
        secret.oauth = grant
        var changed = server
        changed.authentication = .oauth
        tokens[id] = nil
        try await change(changed, secret: secret, by: author, under: condition)
    }

    // MARK: - Renewing

    /// What renews the tokens of a server; nil where nobody has signed in.
    func tokens(of id: UpstreamServerID, _ grant: OAuthGrant?) async -> OAuthTokens? {
        guard let grant else { return nil }
        if let known = tokens[id], await known.identity == grant.withoutTokens { return known }
        let (means, settings) = (means, means.settings)
        let made = OAuthTokens(
            grant,
            OAuthTokens.Means(
                client: client,
                secret: {
                    try grant.clientSecret.map { text throws(UpstreamError) in
                        try settings.expanded(text)
                    }
                },
                load: { try await Self.kept(id, means)?.oauth },
                keep: { renewed in try await Self.keep(renewed, id, means) },
                now: { means.store.clock.now() }
            )
        )
        tokens[id] = made
        return made
    }

    static func kept(
        _ id: UpstreamServerID,
        _ means: Means
    ) async throws -> UpstreamSecret? {
        let sealed = try await means.store.read { connection, account in
            try UpstreamServerTable.credential(of: id, account: account, on: connection)
        }
        guard let sealed else { return nil }
        let opened = try means.box().open(
            sealed,
            for: .upstream(id, account: means.store.account)
        )
        return UpstreamSecret(opened: opened)
    }

    /// Keeps renewed tokens, unless somebody has signed in anew or taken the credential away.
    private static func keep(
        _ renewed: OAuthGrant,
        _ id: UpstreamServerID,
        _ means: Means
    ) async throws {
        let box = try means.box()
        try await means.store.writeOutsideFeed { connection, account in
            let owner = SecretOwner.upstream(id, account: account)
            let sealed = try UpstreamServerTable.credential(
                of: id,
                account: account,
                on: connection
            )
            guard let sealed,
                var secret = UpstreamSecret(opened: try box.open(sealed, for: owner)),
                secret.oauth?.withoutTokens == renewed.withoutTokens
            else { return }
            secret.oauth = renewed
            try UpstreamServerTable.setCredential(
                try box.seal(secret.sealable, for: owner),
                of: id,
                account: account,
                on: connection
            )
        }
    }
}
