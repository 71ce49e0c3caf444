import Domain
import HTTPTypes
import Store

/// Signing in, and what users do about themselves.
struct AuthRoutes: Sendable {
    let desk: AccountDesk
    /// Whether strangers may make accounts.
    let allowsRegistration: Bool

    private static let tag = "Accounts"
    private static let tokenShape = Shape.object([
        "access_token": Shape.text, "refresh_token": Shape.text,
        "token_type": Shape.choice(["bearer"]), "expires_in": Shape.count,
    ])
    static let userShape = Shape.object([
        "id": Shape.identifier, "username": Shape.text, "email": Shape.optionalText,
        "role": Shape.choice(Role.allCases.map(\.rawValue)), "is_active": Shape.flag,
        "created_at": Shape.instant, "last_login_at": Shape.optionalInstant,
    ])
    /// A key as answers show one.
    static let keyShape = Shape.object([
        "id": Shape.identifier, "name": Shape.text, "prefix": Shape.text,
        "scopes": Shape.list(of: Shape.text), "created_at": Shape.instant,
        "expires_at": Shape.optionalInstant, "last_used_at": Shape.optionalInstant,
        "key?": Shape.text(128, "The key itself; shown once, when it is made."),
    ])
    /// What a key is made of.
    static let keyDraftShape = Shape.object([
        "name": Shape.text(100, minimum: 1),
        "scopes?": Shape.list(
            of: Shape.choice(KeyScope.allCases.map(\.rawValue)),
            atMost: 10
        ),
        "expires_at?": Shape.optionalInstant,
    ])
    /// Longer names and passwords are refused before anything is computed.
    private static let nameShape = Shape.text(128, minimum: 1)
    private static let passwordShape = Shape.text(1_024, minimum: 1)

    /// The routes.
    var routes: [Route] {
        (sessionRoutes + selfRoutes + keyRoutes).map { $0.withoutKeeping.forSmallBodies }
    }

    // MARK: - Sessions

    private var sessionRoutes: [Route] {
        let credentials = Shape.object([
            "username": Self.nameShape, "password": Self.passwordShape,
            "grant_type?": Shape.choice(["password"]), "scope?": Shape.text(256),
            "client_id?": Shape.text(256), "client_secret?": Shape.text(256),
        ])
        let signIn: Route.Handler = { request in
            let tokens = try await desk.signIn(
                name: request.content["username"]?.string ?? "",
                password: request.content["password"]?.string ?? "",
                address: request.peer
            )
            return Self.answer(tokens)
        }
        return [
            .on(.post, "/api/v1/auth/token", .open, tag: Self.tag, "Sign in", handler: signIn)
                .body(credentials, orForm: true).answers(.ok, Self.tokenShape)
                .problems(.unauthorized, .tooManyRequests).endingWithClient,
            .on(.post, "/api/v1/auth/token/json", .open, tag: Self.tag, "Sign in", handler: signIn)
                .body(credentials).answers(.ok, Self.tokenShape)
                .problems(.unauthorized, .tooManyRequests).endingWithClient,
            .on(
                .post,
                "/api/v1/auth/refresh",
                .open,
                tag: Self.tag,
                "Get new tokens for a refresh token, which is then used up"
            ) { request in
                let text = request.content["refresh_token"]?.string ?? ""
                return Self.answer(try await desk.refresh(text))
            }
            .body(
                Shape.object([
                    "refresh_token": Shape.text(256, minimum: 1),
                    "grant_type?": Shape.choice(["refresh_token"]),
                ]),
                orForm: true
            ).answers(.ok, Self.tokenShape).problems(.unauthorized),
            .on(
                .post,
                "/api/v1/auth/logout",
                .permission(.manageSelf),
                tag: Self.tag,
                "End the session"
            ) { request in
                try await desk.signOut(try request.user())
                return .noContent
            }.answers(.noContent).problems(.conflict),
            .on(.post, "/api/v1/auth/register", .open, tag: Self.tag, "Make an account") {
                request in
                guard allowsRegistration else {
                    throw Problem(.forbidden, "this server takes no registrations")
                }
                let (user, _) = try await desk.register(
                    AccountDesk.Draft(
                        name: request.content["username"]?.string ?? "",
                        password: request.content["password"]?.string ?? "",
                        email: request.content["email"]?.string,
                        role: .owner
                    ),
                    from: request.peer
                )
                return .json(Self.json(user), status: .created)
            }
            .body(
                Shape.object([
                    "username": Self.nameShape, "password": Self.passwordShape,
                    "email?": Shape.text(254),
                ])
            ).answers(.created, Self.userShape)
            .problems(.forbidden, .conflict, .tooManyRequests).endingWithClient,
        ]
    }

    private static func answer(_ tokens: AccountDesk.Tokens) -> APIResponse {
        .json([
            "access_token": .string(tokens.access), "refresh_token": .string(tokens.refresh),
            "token_type": "bearer",
            "expires_in": .integer(Int64(tokens.expiresIn / .seconds(1))),
        ])
    }

    // MARK: - Oneself

    private var selfRoutes: [Route] {
        let path = "/api/v1/auth/users/me"
        return [
            .on(.get, path, .permission(.viewSelf), tag: Self.tag, "Who you are") { request in
                let principal = try request.user()
                let user = try await desk.user(principal.user, of: principal.account)
                return Self.answer(user, to: request)
            }.answers(.ok, Self.userShape).tagged,
            .on(.put, path, .permission(.manageSelf), tag: Self.tag, "Change your address") {
                request in
                let principal = try request.user()
                let user = try await desk.change(
                    principal.user,
                    of: principal.account,
                    .init(email: request.content["email"]?.string),
                    by: .init(principal, .manageSelf),
                    check: { user in
                        try Versioned.check(request, against: Self.version(of: user))
                    }
                )
                return Self.answer(user, to: request)
            }.body(Shape.object(["email": Shape.text(254, minimum: 3)]))
                .answers(.ok, Self.userShape).tagged.guarded,
            .on(
                .put,
                "\(path)/password",
                .permission(.manageSelf),
                tag: Self.tag,
                "Change your password; every session ends"
            ) { request in
                let principal = try request.user()
                let login = try await desk.identify(
                    name: principal.name,
                    password: request.content["current_password"]?.string ?? "",
                    address: request.peer
                )
                guard let login else { throw AccountDesk.wrongPassword }
                _ = try await desk.change(
                    principal.user,
                    of: principal.account,
                    .init(password: request.content["new_password"]?.string ?? ""),
                    by: .init(principal, .manageSelf),
                    knowing: login
                )
                return .noContent
            }.body(
                Shape.object([
                    "current_password": Self.passwordShape, "new_password": Self.passwordShape,
                ])
            ).answers(.noContent).problems(.tooManyRequests),
        ]
    }

    // MARK: - Keys

    private var keyRoutes: [Route] {
        let path = "/api/v1/auth/api-keys"
        let access = Route.Access.permission(.manageSelf)
        return [
            .on(.get, path, access, tag: Self.tag, "Your API keys, newest first") { request in
                let principal = try request.user()
                return try await keys(of: principal.user, to: request)
            }.paged.answers(.ok, Shape.list(of: Self.keyShape)),
            .on(.post, path, access, tag: Self.tag, "Make an API key; its secret is shown once") {
                request in
                let principal = try request.user()
                return try await addKey(to: principal.user, may: .manageSelf, request)
            }.body(Self.keyDraftShape).answers(.created, Self.keyShape).problems(.conflict),
            .on(.delete, "\(path)/{id}", access, tag: Self.tag, "Remove an API key") { request in
                let principal = try request.user()
                try await desk.removeKey(
                    try request.identifier("id"),
                    of: principal.user,
                    in: principal.account,
                    by: .init(principal, .manageSelf)
                )
                return .noContent
            }.answers(.noContent),
        ]
    }

    /// A page of the keys of a user of whoever asks.
    func keys(of user: UserID, to request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let slice = try page.slice(
            of: try await desk.keys(of: user, in: try request.user().account)
        )
        return page.answer(slice.items.map { Self.json($0) }, next: slice.next, to: request)
    }

    /// Makes a key of ``keyDraftShape`` for a user of whoever asks, by a permission of theirs.
    func addKey(
        to user: UserID,
        may permission: Permission,
        _ request: APIRequest
    ) async throws -> APIResponse {
        let principal = try request.user()
        let scopes = request.content["scopes"]?.array?.compactMap(\.string) ?? []
        let made = try await desk.addKey(
            name: request.content["name"]?.string ?? "",
            scopes: Set(scopes.compactMap(KeyScope.init(rawValue:))),
            expiresAt: try Self.end(request.content["expires_at"]?.string),
            for: user,
            of: principal.account,
            by: .init(principal, permission)
        )
        return .json(Self.json(made.row, key: made.key), status: .created)
    }

    private static func end(_ text: String?) throws(Problem) -> Timestamp? {
        guard let text else { return nil }
        guard let instant = Timestamp(parsing: text) else {
            throw .invalid("expires_at", "must be an instant such as 2027-01-31T12:00:00Z")
        }
        return instant
    }

    /// A user as answers show one.
    static func json(_ user: User) -> JSONValue {
        [
            "id": .integer(user.id.rawValue), "username": .string(user.name),
            "email": JSONValue(user.email), "role": .string(user.role.rawValue),
            "is_active": .bool(user.isActive), "created_at": .string(user.createdAt.iso8601),
            "last_login_at": JSONValue(user.lastLoginAt?.iso8601),
        ]
    }

    /// A user, under the tag of what people edit.
    static func answer(
        _ user: User,
        to request: APIRequest,
        status: HTTPResponse.Status = .ok
    ) -> APIResponse {
        Versioned.answer(
            json(user),
            version: version(of: user),
            to: request,
            status: status
        )
    }

    /// A user without the last sign-in, which changes by itself.
    static func version(of user: User) -> JSONValue {
        var user = user
        user.lastLoginAt = nil
        return json(user)
    }

    private static func json(_ row: APIKeyTable.Row, key: String? = nil) -> JSONValue {
        var object = JSONObject()
        object.append(key: "id", value: .integer(row.id.rawValue))
        object.append(key: "name", value: .string(row.name))
        object.append(key: "prefix", value: .string(row.prefix))
        object.append(key: "scopes", value: JSONValue(row.scopes))
        object.append(key: "created_at", value: .string(row.createdAt.iso8601))
        object.append(key: "expires_at", value: JSONValue(row.expiresAt?.iso8601))
        object.append(key: "last_used_at", value: JSONValue(row.lastUsedAt?.iso8601))
        if let key { object.append(key: "key", value: .string(key)) }
        return .object(object)
    }
}
