import Domain
import HTTPTypes
import Store

/// Those who sign in to an account, for its administrators.
struct UserRoutes: Sendable {
    let desk: AccountDesk
    /// What users do about themselves.
    let own: AuthRoutes

    static let tag = "Users"
    static let path = "/api/v1/users"

    /// The routes.
    var routes: [Route] { keyRoutes + userRoutes }

    private var userRoutes: [Route] {
        let access = Route.Access.permission(.manageUsers)
        let role = Shape.choice(Role.allCases.map(\.rawValue))
        let shape = AuthRoutes.userShape
        return [
            .on(.get, Self.path, access, tag: Self.tag, "The account's users, by name") { request in
                let page = try PageRequest(request)
                let slice = try page.slice(
                    of: try await desk.users(of: try request.user().account)
                )
                return page.answer(
                    slice.items.map { AuthRoutes.json($0) },
                    next: slice.next,
                    to: request
                )
            }.paged.answers(.ok, Shape.list(of: shape)),
            .on(.post, Self.path, access, tag: Self.tag, "Add a user", handler: add).body(
                Shape.object([
                    "username": Shape.text(128, minimum: 1),
                    "password": Shape.text(1_024, minimum: 1), "email?": Shape.text(254),
                    "role": role,
                ])
            ).answers(.created, shape).tagged.problems(.conflict),
            .on(.get, "\(Self.path)/{id}", access, tag: Self.tag, "A user") { request in
                let user = try await desk.user(
                    try request.identifier("id"),
                    of: try request.user().account
                )
                return AuthRoutes.answer(user, to: request)
            }.answers(.ok, shape).tagged,
            .on(.put, "\(Self.path)/{id}", access, tag: Self.tag, "Change a user", handler: change)
                .body(
                    Shape.object([
                        "email?": Shape.text(254, minimum: 3), "role?": role,
                        "is_active?": Shape.flag, "password?": Shape.text(1_024, minimum: 1),
                    ])
                ).answers(.ok, shape).tagged.guarded.problems(.conflict),
            .on(.delete, "\(Self.path)/{id}", access, tag: Self.tag, "Remove a user") { request in
                let principal = try request.user()
                try await desk.remove(
                    try request.identifier("id"),
                    of: principal.account,
                    by: .init(principal, .manageUsers)
                ) { user in
                    try Versioned.check(request, against: AuthRoutes.version(of: user))
                }
                return .noContent
            }.answers(.noContent).guarded.problems(.conflict),
        ]
    }

    @Sendable private func add(_ request: APIRequest) async throws -> APIResponse {
        let principal = try request.user()
        let draft = AccountDesk.Draft(
            name: request.content["username"]?.string ?? "",
            password: request.content["password"]?.string ?? "",
            email: request.content["email"]?.string,
            role: Role(rawValue: request.content["role"]?.string ?? "") ?? .viewer
        )
        let user = try await desk.add(
            draft,
            to: principal.account,
            by: .init(principal, .manageUsers)
        )
        return AuthRoutes.answer(user, to: request, status: .created)
    }

    @Sendable private func change(_ request: APIRequest) async throws -> APIResponse {
        let principal = try request.user()
        let user = try await desk.change(
            try request.identifier("id"),
            of: principal.account,
            .init(
                email: request.content["email"]?.string,
                role: (request.content["role"]?.string).flatMap(Role.init(rawValue:)),
                isActive: request.content["is_active"]?.bool,
                password: request.content["password"]?.string
            ),
            by: .init(principal, .manageUsers),
            check: { user in try Versioned.check(request, against: AuthRoutes.version(of: user)) }
        )
        return AuthRoutes.answer(user, to: request)
    }
}
