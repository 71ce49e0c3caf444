import Crypto
import Domain
import Gateway
import HTTPTypes
import Store
import Synchronization

/// Says who a request comes from.
protocol Authenticator: Sendable {
    /// Who asks; nil when the request does not say.
    ///
    /// - Throws: A ``Problem`` when it says so and that is not true, or not true any more.
    func principal(of request: APIRequest) async throws -> Principal?
}

/// Knows users by their access tokens and API keys.
final class StoreAuthenticator: Authenticator {
    /// For how long an answer of the store is good: what somebody else's process revokes is
    /// honoured after that, what this one revokes at once.
    private static let cacheTime: Duration = .seconds(5)
    /// Uses of a key are noted this seldom.
    private static let noteTime: Duration = .seconds(60)
    /// More are forgotten together.
    private static let cacheLimit = 10_000

    private struct Entry {
        var principal: Principal
        var expires: ContinuousClock.Instant
        /// Of the key or session itself.
        var end: Timestamp?
    }

    private struct State {
        var entries: [[UInt8]: Entry] = [:]
        var noted: [APIKeyID: ContinuousClock.Instant] = [:]
        /// Grows with every change, so that what was read before it is not kept after it.
        var generation = 0
    }

    private let store: Store
    private let key: SymmetricKey
    private let state = Mutex(State())
    /// Something about users, sessions or keys has changed in this process; one may listen.
    let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    init(store: Store, signingKey: [UInt8]) {
        self.store = store
        key = SymmetricKey(data: signingKey)
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func principal(of request: APIRequest) async throws -> Principal? {
        guard let credential = try Self.credential(in: request.headers) else { return nil }
        if let token = OpaqueToken(.apiKey, credential) {
            guard let principal = try await principal(of: token) else { throw Self.refused }
            return principal
        }
        guard let token = AccessToken(credential, key: key, now: store.clock.now()) else {
            throw Self.refused
        }
        guard let principal = try await principal(of: token) else { throw Self.refused }
        return principal
    }

    /// What was read is read anew: something about users, sessions or keys has changed.
    func forget() {
        state.withLock { state in
            state.entries = [:]
            state.generation += 1
        }
        changed.yield()
    }

    /// Which of some principals are not let in as they are any more: the key or session is over, or
    /// the user is gone, inactive, or of another role.
    ///
    /// Asks the store once for each account, whatever is cached.
    ///
    /// - Throws: When the store does not answer.
    func outdated(among principals: Set<Principal>) async throws -> Set<Principal> {
        var outdated = principals
        for (account, members) in Dictionary(grouping: principals, by: \.account) {
            outdated.subtract(try await current(members, account))
        }
        return outdated
    }

    /// Whoever comes with the same keys and sessions now.
    private func current(
        _ principals: [Principal],
        _ account: AccountID
    ) async throws -> [Principal] {
        let now = store.clock.now()
        return try await store.viewed(by: account).read { connection, account in
            try Self.current(principals, account, at: now, on: connection)
        }
    }

    /// The same as a transaction finds it.
    static func current(
        _ principals: [Principal],
        _ account: AccountID,
        at now: Timestamp,
        on connection: any SQLConnection
    ) throws(StoreError) -> [Principal] {
        var (keyIDs, sessionIDs): ([APIKeyID], [SessionID]) = ([], [])
        for principal in principals {
            switch principal.credential {
            case .apiKey(let id, _): keyIDs.append(id)
            case .session(let id): sessionIDs.append(id)
            }
        }
        let found = try UserTable.list(
            Set(principals.map(\.user)),
            account: account,
            on: connection
        )
        let users = Dictionary(uniqueKeysWithValues: found.map { ($0.id, $0) })
        let keys =
            keyIDs.isEmpty
            ? [] : try APIKeyTable.list(keyIDs, account: account, on: connection)
        let sessions =
            sessionIDs.isEmpty
            ? [] : try SessionTable.list(sessionIDs, account: account, on: connection)
        return keys.compactMap { principal($0, users[$0.user], account, at: now) }
            + sessions.compactMap { principal($0, users[$0.user], account, at: now) }
    }

    /// What is told whoever comes with a credential that lets nobody in.
    static let refused: Problem = {
        var problem = Problem.unauthenticated("the token or key is not known, or is over")
        problem.headers[.wwwAuthenticate] = #"Bearer realm="preloop", error="invalid_token""#
        return problem
    }()

    /// The one place a credential may stand: never in an address, which is logged everywhere.
    private static func credential(in headers: HTTPFields) throws(Problem) -> String? {
        guard let value = headers[.authorization] else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw .unauthenticated("`Authorization` must be `Bearer` with a token or key")
        }
        return parts[1].trimmed
    }

    private func principal(of token: OpaqueToken) async throws -> Principal? {
        let digest = token.digest
        let now = store.clock.now()
        let (known, generation) = cached(digest)
        if let known {
            if let end = known.end, end <= now { return nil }
            await note(known.principal)
            return known.principal
        }
        let found = try await store.viewed(by: token.account).read { connection, account in
            let row = try APIKeyTable.find(digest: digest, account: account, on: connection)
            guard let row else { return (Principal, Timestamp?)?.none }
            let user = try UserTable.find(row.user, account: account, on: connection)
            return Self.principal(row, user, account, at: now).map { ($0, row.expiresAt) }
        }
        guard let (principal, end) = found else { return nil }
        keep(principal, end, under: digest, generation)
        await note(principal)
        return principal
    }

    private func principal(of token: AccessToken) async throws -> Principal? {
        let digest = Array("\(token.account)/\(token.session)/\(token.user)".utf8)
        let (known, generation) = cached(digest)
        let now = store.clock.now()
        if let known {
            if let end = known.end, end <= now { return nil }
            return known.principal
        }
        let found = try await store.viewed(by: token.account).read { connection, account in
            let session = try SessionTable.find(token.session, account: account, on: connection)
            guard let session, session.user == token.user else {
                return (Principal, Timestamp)?.none
            }
            let user = try UserTable.find(token.user, account: account, on: connection)
            return Self.principal(session, user, account, at: now).map { ($0, session.expiresAt) }
        }
        guard let (principal, end) = found else { return nil }
        keep(principal, end, under: digest, generation)
        return principal
    }

    /// Who comes with a key; nil where that lets nobody in.
    private static func principal(
        _ row: APIKeyTable.Row,
        _ user: User?,
        _ account: AccountID,
        at now: Timestamp
    ) -> Principal? {
        let scopes = row.scopes.compactMap(KeyScope.init(rawValue:))
        // A scope that this version does not know allows nothing; dropping it would allow all.
        guard let user, user.isActive, row.expiresAt.map({ $0 > now }) ?? true,
            scopes.count == row.scopes.count
        else { return nil }
        return principal(user, account, .apiKey(row.id, scopes: Set(scopes)))
    }

    /// Who comes with a session; nil where that lets nobody in.
    private static func principal(
        _ row: SessionTable.Row,
        _ user: User?,
        _ account: AccountID,
        at now: Timestamp
    ) -> Principal? {
        guard let user, user.isActive, row.revokedAt == nil, row.expiresAt > now else {
            return nil
        }
        return principal(user, account, .session(row.id))
    }

    private static func principal(
        _ user: User,
        _ account: AccountID,
        _ credential: Principal.Credential
    ) -> Principal {
        Principal(
            account: account,
            user: user.id,
            name: user.name,
            role: user.role,
            credential: credential
        )
    }

    // MARK: - Cache

    private func cached(_ digest: [UInt8]) -> (Entry?, Int) {
        let now = ContinuousClock.now
        return state.withLock { state in
            let entry = state.entries[digest].flatMap { $0.expires > now ? $0 : nil }
            return (entry, state.generation)
        }
    }

    private func keep(
        _ principal: Principal,
        _ end: Timestamp?,
        under digest: [UInt8],
        _ generation: Int
    ) {
        let expires = ContinuousClock.now + Self.cacheTime
        state.withLock { state in
            guard state.generation == generation else { return }
            if state.entries.count >= Self.cacheLimit { state.entries = [:] }
            state.entries[digest] = Entry(principal: principal, expires: expires, end: end)
        }
    }

    /// Notes now and then that a key is used.
    private func note(_ principal: Principal) async {
        guard case .apiKey(let id, _) = principal.credential else { return }
        let now = ContinuousClock.now
        let isDue = state.withLock { state in
            if let last = state.noted[id], last + Self.noteTime > now { return false }
            if state.noted.count >= Self.cacheLimit { state.noted = [:] }
            state.noted[id] = now
            return true
        }
        guard isDue else { return }
        let instant = store.clock.now()
        // Only when a key was last seen is lost with this, and the next use tells it again.
        try? await store.viewed(by: principal.account).writeOutsideFeed { connection, account in
            try APIKeyTable.noteUse(of: id, at: instant, account: account, on: connection)
        }
    }
}

extension Substring {
    /// Without spaces and tabs at its ends.
    var trimmed: String {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
