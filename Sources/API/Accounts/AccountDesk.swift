import Crypto
package import Domain
package import Gateway
import HTTPTypes
package import Store
import Synchronization

/// What is done about users, sessions and keys: by the routes, and by commands.
package final class AccountDesk: Sendable {
    /// How long what is given out is good.
    package struct Lifetimes: Sendable, Equatable {
        /// An access token: what a stolen one is good for, once its session is ended elsewhere.
        package var access: Duration = .seconds(900)
        /// A refresh token: how long somebody may stay away.
        package var refresh: Duration = .seconds(7 * 86_400)
        /// A session: after that the password is asked for again.
        package var session: Duration = .seconds(30 * 86_400)
        /// A set-up link, which is printed where the server was started.
        package var setup: Duration = .seconds(86_400)

        package init() {}
    }

    /// What signing in gives.
    package struct Tokens: Sendable {
        package var access: String
        package var refresh: String
        package var expiresIn: Duration
    }

    /// A key with its secret, which nobody sees again.
    package struct NewKey: Sendable {
        package var row: APIKeyTable.Row
        package var key: String
    }

    /// Gives what writes the audit of an account.
    package typealias Audit = @Sendable (AccountID) throws -> AuditWriter

    let store: Store
    let authenticator: StoreAuthenticator
    let hasher: PasswordHasher
    /// What cannot be recorded is not done.
    let audit: Audit
    /// Who does what nobody has signed in for.
    let author: String
    private let signingKey: SymmetricKey
    private let lifetimes: Lifetimes
    var setupLifetime: Duration { lifetimes.setup }
    private let throttle = Mutex(LoginThrottle())

    /// The desk of all accounts of a database.
    ///
    /// - Parameters:
    ///   - store: A view of the database.
    ///   - signingKey: Signs access tokens.
    ///   - audit: Gives what writes an account's audit, in which everything is that is done here.
    ///   - author: Whom the audit names for what nobody has signed in for; nil for the program.
    ///   - lifetimes: How long what is given out is good.
    ///   - hasher: Hashes passwords.
    package init(
        store: Store,
        signingKey: [UInt8],
        audit: @escaping Audit,
        author: String? = nil,
        lifetimes: Lifetimes = Lifetimes(),
        hasher: PasswordHasher = PasswordHasher()
    ) {
        self.store = store
        self.hasher = hasher
        self.audit = audit
        self.author = author ?? AuditTable.Event.ownName
        self.lifetimes = lifetimes
        self.signingKey = SymmetricKey(data: signingKey)
        authenticator = StoreAuthenticator(store: store, signingKey: signingKey)
    }

    // MARK: - Sessions

    /// Signs somebody in.
    ///
    /// - Throws: ``Problem``: 401 for a wrong name or password, which is not told apart; 429 when
    ///   there were too many.
    package func signIn(
        name: String,
        password: String,
        address: String
    ) async throws -> Tokens {
        let login = try await identify(name: name, password: password, address: address)
        guard let login, let tokens = try await begin(login, at: store.clock.now()) else {
            throw Problem.unauthenticated("the name or the password is wrong")
        }
        return tokens
    }

    /// Who has this name and password, without a session; nil for nobody.
    ///
    /// Counts against guessing.
    /// Whatever is written for it asks ``UserTable/Login/isCurrent(on:)`` in its transaction.
    ///
    /// - Throws: ``Problem``: 429 when there were too many attempts.
    func identify(
        name: String,
        password: String,
        address: String
    ) async throws -> UserTable.Login? {
        let name = Self.normalized(name)
        let now = store.clock.now()
        let delay = throttle.withLock { $0.delay(name: name, address: address, now: now) }
        if let delay { throw Self.tooMany("too many failed attempts", delay) }
        let login = try await login(name)
        let isPassword = try await hasher.verify(password, against: login?.passwordHash)
        let isRight = isPassword && login?.user.isActive == true
        let late = throttle.withLock {
            $0.end(isRight: isRight, name: name, address: address, now: now)
        }
        if let late { throw Self.tooMany("too many failed attempts", late) }
        return isRight ? login : nil
    }

    /// Counts an account that a stranger asks for.
    ///
    /// - Parameter address: Where the stranger is.
    /// - Throws: ``Problem``: 429 when there were too many from there.
    func noteRegistration(from address: String) throws(Problem) {
        let now = store.clock.now()
        let delay = throttle.withLock { $0.register(address: address, now: now) }
        if let delay { throw Self.tooMany("too many accounts were asked for from here", delay) }
    }

    private static func tooMany(_ detail: String, _ delay: Duration) -> Problem {
        Problem.overloaded(
            detail,
            status: .tooManyRequests,
            after: max(1, Int((delay / .seconds(1)).rounded(.up)))
        )
    }

    private func login(_ name: String) async throws -> UserTable.Login? {
        try await store.database.read { connection in
            guard let account = try UserTable.account(ofName: name, on: connection) else {
                return nil
            }
            return try UserTable.login(name: name, account: account, on: connection)
        }
    }

    /// Begins a session; nil when what somebody has signed in with is good no more.
    private func begin(_ login: UserTable.Login, at now: Timestamp) async throws -> Tokens? {
        let lifetimes = lifetimes
        let refresh = OpaqueToken(.refresh, account: login.account)
        let digest = refresh.digest
        let session = try await store.viewed(by: login.account).write {
            connection,
            account -> SessionID? in
            // One that was changed meanwhile has ended every session of the user, and this one
            // would have outlived that.
            guard try login.isCurrent(on: connection) else { return nil }
            let ids: [SessionID] = try AccountTable.nextIDs(1, account: account, on: connection)
            let row = SessionTable.Row(
                id: ids[0],
                user: login.user.id,
                expiresAt: now.advanced(by: lifetimes.session)
            )
            try SessionTable.purge(before: now, account: account, on: connection)
            try SessionTable.insert(row, at: now, account: account, on: connection)
            try SessionTable.insertToken(
                digest,
                of: row.id,
                issuedAt: now,
                expiresAt: now.advanced(by: lifetimes.refresh),
                account: account,
                on: connection
            )
            try UserTable.noteLogin(of: login.user.id, at: now, account: account, on: connection)
            let begun = AuditedChange(
                .sessionBegun,
                of: login.user.auditSubject,
                [("session", .integer(row.id.rawValue))],
                by: login.user.author
            )
            try self.record([begun], at: now, account: account, on: connection)
            return row.id
        }
        return session.map { tokens(login.account, login.user.id, $0, refresh, now) }
    }

    private func tokens(
        _ account: AccountID,
        _ user: UserID,
        _ session: SessionID,
        _ refresh: OpaqueToken,
        _ now: Timestamp
    ) -> Tokens {
        let access = AccessToken(
            account: account,
            user: user,
            session: session,
            expiresAt: now.advanced(by: lifetimes.access)
        )
        return Tokens(
            access: access.signed(with: signingKey, at: now),
            refresh: refresh.text,
            expiresIn: lifetimes.access
        )
    }

    /// What a refresh token is found to be.
    private enum Refreshed: Sendable {
        case renewed(UserID, SessionID)
        case reused
        case refused
    }

    /// Gives new tokens for a refresh token, which is then used up.
    ///
    /// One that comes a second time has been stolen by one of the two who came: its session ends
    /// for both.
    package func refresh(_ text: String) async throws -> Tokens {
        let refused = Problem.unauthenticated("the refresh token is not good; sign in again")
        guard let token = OpaqueToken(.refresh, text) else { throw refused }
        let (now, digest) = (store.clock.now(), token.digest)
        // Anybody can make one up, and the store has one writer: for a token that there is not
        // nobody waits. What becomes of one that there is, the transaction says that uses it up.
        let isKnown = try await store.viewed(by: token.account).read { connection, account in
            try SessionTable.token(digest, account: account, on: connection) != nil
        }
        guard isKnown else { throw refused }
        let next = OpaqueToken(.refresh, account: token.account)
        let nextDigest = next.digest
        let result = try await store.viewed(by: token.account).write { connection, account in
            try self.renew(digest, by: nextDigest, at: now, account, on: connection)
        }
        switch result {
        case .renewed(let user, let session):
            return tokens(token.account, user, session, next, now)
        case .reused:
            authenticator.forget()
            throw refused
        case .refused: throw refused
        }
    }

    /// Puts a refresh token in the place of another one, which is used up.
    private func renew(
        _ digest: [UInt8],
        by next: [UInt8],
        at now: Timestamp,
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws -> Refreshed {
        guard let found = try SessionTable.token(digest, account: account, on: connection),
            let session = try SessionTable.find(found.session, account: account, on: connection),
            let user = try UserTable.find(session.user, account: account, on: connection)
        else { return .refused }
        guard found.usedAt == nil else {
            // Whoever goes on coming with it ends nothing any more, and writes nothing.
            guard session.revokedAt == nil else { return .reused }
            try SessionTable.revoke(
                session.id,
                of: session.user,
                because: .reuse,
                at: now,
                account: account,
                on: connection
            )
            let reused = AuditedChange(
                .tokenReused,
                of: user.auditSubject,
                [("session", .integer(session.id.rawValue))],
                by: user.author
            )
            try record([reused], at: now, account: account, on: connection)
            return .reused
        }
        guard session.revokedAt == nil, session.expiresAt > now, found.expiresAt > now,
            user.isActive
        else { return .refused }
        try SessionTable.useToken(digest, at: now, account: account, on: connection)
        try SessionTable.insertToken(
            next,
            of: session.id,
            issuedAt: now,
            expiresAt: min(now.advanced(by: lifetimes.refresh), session.expiresAt),
            account: account,
            on: connection
        )
        return .renewed(user.id, session.id)
    }

    /// Ends the session that a request comes from.
    package func signOut(_ principal: Principal) async throws {
        guard case .session(let session) = principal.credential else {
            throw Problem(.conflict, "an API key has no session; remove the key instead")
        }
        let now = store.clock.now()
        try await store.viewed(by: principal.account).write { connection, account in
            let row = try SessionTable.find(session, account: account, on: connection)
            let user = try UserTable.find(principal.user, account: account, on: connection)
            // One that has ended since the request was let in does not end again.
            guard let row, let user, row.user == user.id, row.revokedAt == nil else { return }
            try SessionTable.revoke(
                session,
                of: user.id,
                because: .signedOut,
                at: now,
                account: account,
                on: connection
            )
            let ended = Self.ended(1, of: user, .signedOut, by: user.author)
            try self.record(ended, at: now, account: account, on: connection)
        }
        authenticator.forget()
    }

    /// The hash of a password that is good enough.
    func hash(_ password: String, field: String = "password") async throws -> String {
        try Self.checkStrength(of: password, field: field)
        return try await hasher.hash(password)
    }

    /// Refuses a password that is too short, or none.
    static func checkStrength(of password: String, field: String = "password") throws(Problem) {
        guard let weakness = PasswordHasher.weakness(of: password) else { return }
        throw .invalid(field, weakness)
    }

    /// Names are the same whatever their case.
    static func normalized(_ name: String) -> String { Substring(name.lowercased()).trimmed }
}
