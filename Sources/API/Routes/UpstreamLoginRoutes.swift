import Domain
import Gateway
import HTTPTypes
import Store

/// Signing in to MCP servers that want tokens of OAuth, by a browser that comes back here.
///
/// The page it comes back to asks for no credential: a browser brings none. The state in its
/// address says by itself whose sign-in it is, and is sealed; whatever is wrong with one, the
/// answer is the same. It sends nobody on, and runs and loads nothing.
struct UpstreamLoginRoutes: Sendable {
    let servers: @Sendable (AccountID) async throws -> UpstreamDesk
    let store: Store
    /// Where browsers reach this server, without a final slash; nil where nobody has said.
    let publicURL: String?

    private static let tag = "MCP servers"
    private static let callback = "/api/v1/private/mcp-oauth/callback"
    /// Of what an authorization server says, on the page.
    private static let reasonCharacters = 300

    private static let shape = Shape.object([
        "authorization_url": Shape.described("The page that a person opens in a browser."),
        "expires_at": Shape.instant,
    ])
    private static let settings = Shape.object([
        "client_id?": Shape.text(
            2_048,
            "How the authorization server knows us; else we are registered there.",
            minimum: 1
        ),
        "scope?": Shape.text(2_048, "What is asked for; else all that it names.", minimum: 1),
        "issuer?": Shape.text(
            2_048,
            "Who is signed in at; else the one before, else the server's first.",
            minimum: 1
        ),
    ])

    /// The routes.
    var routes: [Route] {
        [
            .on(
                .post,
                "/api/v1/mcp-servers/{id}/login",
                .permission(.manageServers),
                tag: Self.tag,
                "Begin to sign in to an MCP server that wants tokens of OAuth"
            ) { request in
                try await begin(request)
            }.body(Self.settings).withoutKeeping.answers(.ok, Self.shape)
                .problems(.conflict, .tooManyRequests, .badGateway, .serviceUnavailable),
            .on(
                .get,
                Self.callback,
                .open,
                tag: Self.tag,
                "Where a browser is sent that has signed in"
            ) { request in
                try await answer(request)
            }.undocumented,
        ]
    }

    /// Where authorization servers send browsers.
    private func redirect() throws(Problem) -> String {
        guard let publicURL else {
            throw .conflict(
                "no browser can be sent back here while `PRELOOP_URL` is not set: set it, or use "
                    + "`preloop servers login` on the server's machine",
                code: "no_public_url"
            )
        }
        return publicURL + Self.callback
    }

    // MARK: - Beginning

    private func begin(_ request: APIRequest) async throws -> APIResponse {
        let principal = try request.user()
        let id: UpstreamServerID = try request.identifier("id")
        let desk = try await servers(principal.account)
        let entries = try await desk.entries()
        guard entries.contains(where: { $0.server.id == id }) else { throw Problem.notFound() }
        do {
            let begun = try await desk.beginHostedSignIn(
                to: id,
                redirect: try redirect(),
                for: principal.user,
                clientID: request.content["client_id"]?.string,
                scope: request.content["scope"]?.string,
                issuer: request.content["issuer"]?.string
            )
            return .json([
                "authorization_url": .string(begun.url),
                "expires_at": .string(begun.expiresAt.iso8601),
            ])
        } catch UpstreamDesk.SignInRefusal.tooMany(let seconds) {
            throw Problem.overloaded(
                "as many sign-ins wait for a browser as may",
                status: .tooManyRequests,
                after: seconds
            )
        }
    }

    // MARK: - Coming back

    private func answer(_ request: APIRequest) async throws -> APIResponse {
        // Whoever only looks whether an address is there uses no sign-in up.
        guard request.method == .get else { return Self.page("Sign-in", nil, .ok) }
        do {
            let name = try await finish(request)
            return Self.page("Signed in", "Preloop is signed in to \(name). Close this page.", .ok)
        } catch is UpstreamDesk.SignInRefusal {
            return Self.page(
                "Not signed in",
                "No sign-in waits for this answer. It may be over, or have been answered: begin "
                    + "again.",
                .badRequest
            )
        } catch let error as UpstreamError {
            // What the page of the authorization server has led to is for whoever has opened it.
            let status = Problem(cause: error).status
            return Self.page("Not signed in", "\(error).", status)
        } catch let problem as Problem where problem.status == .conflict {
            return Self.page("Not signed in", "\(problem.detail).", .conflict)
        }
    }

    /// Keeps what the browser has come back with; gives the server's name.
    private func finish(_ request: APIRequest) async throws -> String {
        let (address, query) = (try redirect(), request.query.items)
        guard let account = UpstreamDesk.account(of: query), try await exists(account) else {
            throw UpstreamDesk.SignInRefusal.unknown
        }
        let desk = try await servers(account)
        let answered = try desk.answered(by: query)
        guard let user = try await author(answered.user, of: account) else {
            throw UpstreamDesk.SignInRefusal.unknown
        }
        return try await desk.finish(
            answered,
            query: query,
            redirect: address,
            by: user.author
        )
    }

    /// A state may name an account that there is not.
    private func exists(_ account: AccountID) async throws -> Bool {
        try await store.database.read { connection in
            try AccountTable.exists(account, on: connection)
        }
    }

    /// Who has begun a sign-in; nil when they may not do so any more.
    private func author(_ id: UserID, of account: AccountID) async throws -> User? {
        let user = try await store.viewed(by: account).read { connection, account in
            try UserTable.find(id, account: account, on: connection)
        }
        guard let user, user.isActive, user.role.permissions.contains(.manageServers) else {
            return nil
        }
        return user
    }

    /// A page that says what happened.
    private static func page(
        _ title: String,
        _ text: String?,
        _ status: HTTPResponse.Status
    ) -> APIResponse {
        let shown = visible(String((text ?? "").prefix(reasonCharacters)))
        var response = APIResponse.html(
            """
            <!doctype html><html lang="en"><meta charset="utf-8"><title>Preloop</title>
            <meta name="viewport" content="width=device-width"><meta name="robots" \
            content="noindex"><h1>\(escapedHTML(title))</h1><p>\(escapedHTML(shown))</p></html>
            """,
            status: status
        )
        // The address holds the code.
        response.headers[.referrerPolicy] = "no-referrer"
        return response
    }
}
