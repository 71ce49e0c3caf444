import Domain
import HTTPClient

/// What GitHub is shown: a token as it is stored, or one made from an App's private key.
///
/// The stored credential is read anew each time, so that a token or key that the operator changed
/// is taken up by a scan under way.
struct GitHubAccess: Sendable {
    private let stored: TrackerSession.CredentialSource
    /// Speaks as the App itself, which may do nothing but ask for tokens.
    private let appSession: TrackerSession
    private let now: @Sendable () -> Timestamp

    init(_ parameters: TrackerClients.Parameters, _ configuration: TrackerSession.Configuration) {
        let (stored, now) = (parameters.credential, parameters.now)
        self.stored = stored
        self.now = now
        var parameters = parameters
        // The App's own calls count against another limit than its tokens'.
        parameters.budget = nil
        appSession = parameters.session(configuration) { () async throws(TrackerError) in
            guard let app = try Self.app(in: try await stored()) else {
                throw .unauthenticated(detail: "the stored credential is no App any more")
            }
            return try app.statement(at: now())
        }
    }

    /// The App whose key is stored; nil when it is a token.
    func app() async throws(TrackerError) -> GitHubApp? {
        try Self.app(in: try await stored())
    }

    private static func app(in secret: Secret) throws(TrackerError) -> GitHubApp? {
        do {
            return try GitHubApp(stored: secret)
        } catch {
            throw .unauthenticated(detail: "the stored credential is damaged: \(error)")
        }
    }

    /// The credential for all ordinary calls.
    func credential() async throws(TrackerError) -> TrackerSession.Credential {
        let secret = try await stored()
        guard let app = try Self.app(in: secret) else { return TrackerSession.Credential(secret) }
        return try await token(of: app).credential
    }

    // MARK: - Apps

    /// A token of an installation, and what it may do.
    private struct InstallationToken {
        var credential: TrackerSession.Credential
        var permissions: JSONValue
        var installation: Int64
    }

    /// Makes a token; asked once an hour, and when the last one is refused.
    private func token(of app: GitHubApp) async throws(TrackerError) -> InstallationToken {
        do throws(TrackerError) {
            let installation: Int64
            if let chosen = app.installation {
                installation = chosen
            } else {
                installation = try await onlyInstallation(of: app)
            }
            let (answer, response) = try await appSession.document(
                TrackerRequest(
                    method: "POST",
                    path: "/app/installations/\(installation)/access_tokens",
                    headers: [HTTPField("Content-Type", "application/json")],
                    body: Array("{}".utf8)
                )
            )
            guard let token = answer["token"]?.string, !token.isEmpty else {
                throw TrackerError.invalidResponse(detail: "an access token is missing")
            }
            return InstallationToken(
                credential: TrackerSession.Credential(
                    Secret(token),
                    renewAt: renewal(answer["expires_at"]?.string, response)
                ),
                permissions: answer["permissions"] ?? .null,
                installation: installation
            )
        } catch {
            throw Self.refusal(error, of: app)
        }
    }

    /// A twelfth before its end: five minutes of the hour that tokens live.
    ///
    /// The life is measured by the service's own clock, which may differ from ours; nil when it
    /// seems to be over already, and only a refusal can tell.
    private func renewal(_ end: String?, _ response: HTTPResponse) -> Timestamp? {
        let now = now()
        guard let end = end.flatMap({ Timestamp(parsing: $0) }) else { return nil }
        let start = response.servedAt ?? now
        guard end > start else { return nil }
        let life = end.milliseconds - start.milliseconds
        return now.advanced(by: .milliseconds(life - life / 12))
    }

    /// No refusal of the App may pass for the absence of what a scan asked for.
    private static func refusal(_ error: TrackerError, of app: GitHubApp) -> TrackerError {
        switch error {
        case .notFound(let detail):
            let which = app.installation.map { "has no installation \($0)" } ?? "is not known"
            return .unauthenticated(detail: "\(app) \(which): \(detail)")
        case .forbidden(let detail, _), .invalidResponse(let detail):
            return .unauthenticated(detail: "\(app) gets no token: \(detail)")
        case .unauthenticated(let detail, let cure):
            return .unauthenticated(detail: "\(app): \(detail)", cure: cure)
        case .refused(let refusal):
            return .unauthenticated(detail: "\(app) gets no token: \(refusal)")
        case .rateLimited, .unavailable, .pageTokenExpired, .outcomeUnknown, .cancelled:
            return error
        }
    }

    /// The App's installation when there is one only.
    private func onlyInstallation(of app: GitHubApp) async throws(TrackerError) -> Int64 {
        let (list, _) = try await appSession.document(
            TrackerRequest(path: "/app/installations", query: QueryString(["per_page": "100"]))
        )
        let found = (list.array ?? []).compactMap { entry -> (id: Int64, name: String)? in
            guard let id = entry["id"]?.integer else { return nil }
            return (id, sanitized(entry["account"]?["login"]?.string ?? "?"))
        }
        guard let first = found.first else {
            throw .unauthenticated(detail: "it is not installed anywhere")
        }
        guard found.count == 1 else {
            let names = found.prefix(20).map { "\($0.id) of \($0.name)" }.joined(separator: ", ")
            throw .unauthenticated(
                detail: "it has several installations, choose one with --installation-id: \(names)"
            )
        }
        return first.id
    }

    /// What a scan reads, and what is missed without it.
    private static let wanted = [
        ("issues", "issues and their comments"), ("pull_requests", "pull requests"),
    ]

    /// The App behind the key, with a warning for each permission that is missing.
    func identity(of app: GitHubApp) async throws(TrackerError) -> TrackerIdentity {
        let token = try await token(of: app)
        let shown: JSONValue
        do {
            shown = try await appSession.document(TrackerRequest(path: "/app")).value
        } catch {
            throw Self.refusal(error, of: app)
        }
        let granted = token.permissions.object?.members ?? []
        let warnings = Self.wanted.compactMap { name, what -> String? in
            guard !granted.contains(where: { haveEqualBytes($0.key, name) }) else { return nil }
            return "the App lacks the permission `\(name)`: \(what) may not be seen"
        }
        let name = sanitized(shown["slug"]?.string ?? app.identifier)
        return TrackerIdentity(
            userName: "GitHub App \(name), installation \(token.installation)",
            scopes: granted.map { member in
                sanitized("\(member.key): \(member.value.string ?? "?")")
            },
            warnings: warnings
        )
    }
}
