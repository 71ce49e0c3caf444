import Domain
import HTTPTypes
import Store

/// The API keys of others, for their administrators.
///
/// Whoever may set a user's password may make a key in the user's name. An administrator does
/// neither for an owner.
extension UserRoutes {
    private static let keyPath = "\(path)/{id}/api-keys"

    /// The routes; their answers have secrets, and are not kept.
    var keyRoutes: [Route] {
        let access = Route.Access.permission(.manageUsers)
        let routes: [Route] = [
            .on(.get, Self.keyPath, access, tag: Self.tag, "A user's API keys, newest first") {
                request in
                let id: UserID = try request.identifier("id")
                // A user of somebody else has no list, not even an empty one.
                let user = try await desk.user(id, of: try request.user().account)
                return try await own.keys(of: user.id, to: request)
            }.paged.answers(.ok, Shape.list(of: AuthRoutes.keyShape)),
            .on(
                .post,
                Self.keyPath,
                access,
                tag: Self.tag,
                "Make an API key for a user; its secret is shown once"
            ) { request in
                try await own.addKey(to: try request.identifier("id"), may: .manageUsers, request)
            }.body(AuthRoutes.keyDraftShape).answers(.created, AuthRoutes.keyShape)
                .problems(.conflict),
            .on(
                .delete,
                "\(Self.keyPath)/{key}",
                access,
                tag: Self.tag,
                "Remove a user's API key"
            ) { request in
                let principal = try request.user()
                try await desk.removeKey(
                    try request.identifier("key"),
                    of: try request.identifier("id"),
                    in: principal.account,
                    by: .init(principal, .manageUsers)
                )
                return .noContent
            }.answers(.noContent),
        ]
        return routes.map { $0.withoutKeeping.forSmallBodies }
    }
}
