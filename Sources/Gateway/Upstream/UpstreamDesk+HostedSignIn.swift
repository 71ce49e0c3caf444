package import Domain
import Store

/// Signing in by a browser that is sent back to this installation's own address, wherever the
/// browser is.
extension UpstreamDesk {
    /// Why such a sign-in does not go on.
    package enum SignInRefusal: Error, Sendable, Equatable {
        /// None waits: it was never begun, is over, was answered, or another one came before it.
        case unknown
        /// As many wait as may.
        case tooMany(seconds: Int)
    }

    /// A sign-in that waits for the browser.
    package struct HostedSignIn: Sendable {
        /// The page that a person opens.
        package var url: String
        package var expiresAt: Timestamp
    }

    /// A sign-in that a browser has come back from; nothing has been done with its answer.
    package struct AnsweredSignIn: Sendable {
        /// Who has begun it.
        package var user: UserID { state.user }
        let state: SignInState
    }

    /// The account that an answer says it is for; nil for what is no answer to a sign-in of ours.
    ///
    /// Anybody may say so: ``answered(by:)`` finds out.
    package static func account(of query: [(name: String, value: String)]) -> AccountID? {
        stateText(of: query).flatMap(SignInState.account)
    }

    private static func stateText(of query: [(name: String, value: String)]) -> String? {
        let states = query.filter { haveEqualBytes($0.name, "state") }
        return states.count == 1 ? states[0].value : nil
    }

    /// Finds out who authorizes clients of a server, and makes the page that a person opens.
    ///
    /// Nothing is kept until the browser comes back: what is needed then is sealed in the state.
    ///
    /// - Parameters:
    ///   - id: The server.
    ///   - redirect: Where the browser is sent back to.
    ///   - user: Who begins it.
    ///   - clientID: As the authorization server knows us; nil to be registered there.
    ///   - scope: What is asked for; nil for all that the server names.
    ///   - issuer: Who is to be signed in at; nil for the one of the sign-in before, else for the
    ///     server's first.
    /// - Returns: The page, and until when its answer is taken.
    /// - Throws: ``SignInRefusal/tooMany(seconds:)``, and ``UpstreamError`` when nobody authorizes
    ///   clients, or not in a way that is known.
    package func beginHostedSignIn(
        to id: UpstreamServerID,
        redirect: String,
        for user: UserID,
        clientID: String? = nil,
        scope: String? = nil,
        issuer: String? = nil
    ) async throws -> HostedSignIn {
        let expiresAt = try signIns.begin(at: means.store.clock.now())
        let before = SignInState.mark(of: try await Self.kept(id, means)?.oauth)
        let begun = try await beginSignIn(
            to: id,
            redirect: redirect,
            clientID: clientID,
            scope: scope,
            issuer: issuer
        )
        let state = SignInState(
            server: id,
            address: begun.address,
            user: user,
            before: before,
            expiresAt: expiresAt,
            consent: begun.consent
        )
        var consent = begun.consent
        consent.state = try state.sealed(by: means.box(), account: means.store.account)
        return HostedSignIn(url: consent.url, expiresAt: expiresAt)
    }

    /// Opens what a browser has come back with.
    ///
    /// - Parameter query: Of the address to which the authorization server has sent it.
    /// - Returns: What ``finish(_:query:redirect:by:)`` takes.
    /// - Throws: ``SignInRefusal/unknown``, whatever is wrong with the state.
    package nonisolated func answered(
        by query: [(name: String, value: String)]
    ) throws -> AnsweredSignIn {
        let box = try means.box()
        guard let text = Self.stateText(of: query),
            let state = SignInState(text, box: box, account: means.store.account),
            means.store.clock.now() < state.expiresAt
        else { throw SignInRefusal.unknown }
        return AnsweredSignIn(state: state)
    }

    /// Keeps what a person's consent gives.
    ///
    /// An answer is good once: here by its name, in every other process because what is kept then
    /// is another sign-in than the one that it was to take the place of.
    ///
    /// - Parameters:
    ///   - answered: What was opened.
    ///   - query: Of the address to which the authorization server has sent the browser.
    ///   - redirect: That address, as this process has it.
    ///   - author: Who signs in, for the record.
    /// - Returns: The server's name.
    /// - Throws: ``SignInRefusal/unknown`` for a sign-in that is over, and ``UpstreamError`` when
    ///   the answer is a refusal, or another issuer's.
    package func finish(
        _ answered: AnsweredSignIn,
        query: [(name: String, value: String)],
        redirect: String,
        by author: String
    ) async throws -> String {
        let state = answered.state
        guard haveEqualBytes(state.consent.redirect, redirect),
            signIns.answer(
                state.consent.challenge,
                until: state.expiresAt,
                at: means.store.clock.now()
            )
        else { throw SignInRefusal.unknown }
        let code = try OAuthClient.code(in: query, of: state.consent)
        let box = try means.box()
        let condition: Condition = { connection, account in
            try Self.require(state, box, account: account, on: connection)
        }
        // Before the code is used up, and once more in the transaction that keeps the tokens.
        try await means.store.read(condition)
        let grant = try await client.redeem(code, state.consent)
        try await keep(grant, for: state.server, by: author, under: condition)
        return try await signable(state.server).name
    }

    /// Makes sure that a server is where it was, and that nobody has signed in meanwhile.
    private static func require(
        _ state: SignInState,
        _ box: SecretBox,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        let server = try UpstreamServerTable.find(state.server, account: account, on: connection)
        let sealed = try UpstreamServerTable.credential(
            of: state.server,
            account: account,
            on: connection
        )
        var grant: OAuthGrant?
        if let sealed {
            let opened = try box.open(sealed, for: .upstream(state.server, account: account))
            grant = UpstreamSecret(opened: opened)?.oauth
        }
        guard let server, haveEqualBytes(server.url, state.address),
            haveEqualBytes(SignInState.mark(of: grant), state.before)
        else { throw SignInRefusal.unknown }
    }
}
