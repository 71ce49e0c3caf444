import Domain
import HTTPClient

/// The access token of a server: renewed when it ends or is refused, once for all who wait.
actor OAuthTokens {
    /// What renewing needs.
    struct Means: Sendable {
        var client: OAuthClient
        /// The client's secret with its variables in place; nil for a public client.
        var secret: @Sendable () throws -> String?
        /// What is kept now: another process may have renewed it.
        var load: @Sendable () async throws -> OAuthGrant?
        /// Keeps new tokens; nothing when somebody has signed in anew meanwhile.
        var keep: @Sendable (OAuthGrant) async throws -> Void
        var now: @Sendable () -> Timestamp
    }

    private let means: Means
    private var grant: OAuthGrant
    private var renewal: Task<Result<OAuthGrant, UpstreamError>, Never>?

    init(_ grant: OAuthGrant, _ means: Means) {
        self.grant = grant
        self.means = means
    }

    /// Whose tokens these are; tokens themselves are left out.
    var identity: OAuthGrant { grant.withoutTokens }

    /// A token that can be sent.
    ///
    /// - Throws: ``UpstreamError/unauthorized(status:)`` when somebody has to sign in again.
    func token() async throws(UpstreamError) -> String {
        if grant.isUsable(at: means.now()), let token = grant.accessToken { return token }
        return try await renewed(insteadOf: grant.accessToken)
    }

    /// Another token than one that the server has refused.
    func token(insteadOf refused: String) async throws(UpstreamError) -> String {
        if grant.isUsable(at: means.now()), let token = grant.accessToken,
            !haveEqualBytes(token, refused)
        {
            return token
        }
        return try await renewed(insteadOf: refused)
    }

    private func renewed(insteadOf old: String?) async throws(UpstreamError) -> String {
        let found = await (renewal ?? begin(insteadOf: old)).value
        guard let token = try found.get().accessToken else { throw .unauthorized(status: 401) }
        return token
    }

    private func begin(insteadOf old: String?) -> Task<Result<OAuthGrant, UpstreamError>, Never> {
        let (grant, means) = (grant, means)
        // Not a child of the caller: the others' requests must not die with its cancellation.
        let task = Task { () -> Result<OAuthGrant, UpstreamError> in
            let result = await Self.renew(grant, insteadOf: old, means)
            self.end(result)
            return result
        }
        renewal = task
        return task
    }

    private func end(_ result: Result<OAuthGrant, UpstreamError>) {
        renewal = nil
        if case .success(let renewed) = result { grant = renewed }
    }

    private static func renew(
        _ grant: OAuthGrant,
        insteadOf old: String?,
        _ means: Means
    ) async -> Result<OAuthGrant, UpstreamError> {
        do {
            var current = grant
            if let kept = try await means.load() {
                if isAnother(kept, than: old, at: means.now()) { return .success(kept) }
                current = kept
            }
            do {
                let renewed = try await means.client.renewed(current, secret: means.secret())
                // Tokens that could not be kept are good all the same, until this process ends.
                try? await means.keep(renewed)
                return .success(renewed)
            } catch UpstreamError.unauthorized(let status) {
                // A refresh token is good once: another process may have been faster.
                if let kept = try await means.load(),
                    isAnother(kept, than: current.accessToken, at: means.now())
                {
                    return .success(kept)
                }
                return .failure(.unauthorized(status: status))
            }
        } catch let error as UpstreamError {
            return .failure(error)
        } catch {
            return .failure(.misconfigured(reason: "its tokens cannot be read"))
        }
    }

    private static func isAnother(
        _ grant: OAuthGrant,
        than old: String?,
        at now: Timestamp
    ) -> Bool {
        guard grant.isUsable(at: now), let token = grant.accessToken else { return false }
        return old.map { !haveEqualBytes($0, token) } ?? true
    }
}

/// How requests to a server show who sends them.
enum UpstreamCredential: Sendable {
    case none
    case field(HTTPField)
    case tokens(OAuthTokens)
}
