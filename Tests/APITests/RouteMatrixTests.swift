import Domain
import HTTPClient
import HTTPTypes
import Store
import StoreTestSupport
import Testing

@testable import API

/// Every route, for every role, with and without a credential, and with what belongs to others.
///
/// The routes come from the table that serves them, so that a new one is walked without being
/// named here.
@Suite struct RouteMatrixTests {
    /// Routes that serve their own protocol, or a person's browser.
    private static let others: Set<String> = [
        "/mcp/v1", "/setup", "/approval/{id}", "/approval/{id}/data", "/approval/{id}/decide",
    ]

    private func routes(_ server: RunningServer) -> [Route] {
        server.application.responder.table.routes.filter { !Self.others.contains($0.path) }
    }

    /// The path of a route with these identifiers; those of nobody where none are given.
    private func path(
        _ route: Route,
        _ world: World,
        user: String = "999999",
        key: String = "999999"
    ) -> String {
        let id =
            switch route.segments.dropFirst(2).first {
            case "trackers": "\(world.tracker)"
            case "organizations": "\(world.organization)"
            case "projects": "\(world.projects[0])"
            case "issues": "\(world.issues[0])"
            case "users": user
            case "auth": key
            default: "999999"
            }
        return route.path.replacing("{id}", with: id).replacing("{tool}", with: "echo")
    }

    /// A body that passes the route's checks.
    private func body(_ route: Route) -> JSONValue? {
        guard let schema = route.body else { return nil }
        var object = JSONObject()
        for name in (schema["required"]?.array ?? []).compactMap(\.string) {
            let property = schema["properties"]?[name]
            // The last role is the least.
            if let word = property?["enum"]?.array?.last {
                object[name] = word
            } else if property?["type"] == "integer" {
                object[name] = 999_999
            } else if property?["type"] == "array" {
                object[name] = ["something"]
            } else {
                object[name] = "something long enough"
            }
        }
        if route.path.hasSuffix("{tool}") { object["text"] = "hello" }
        if route.path.hasSuffix("/decisions") { object["issue2_id"] = 999_998 }
        return .object(object)
    }

    @Test func `a route asks for a credential, and for the permission it names`() async throws {
        let server = try await RunningServer()
        let world = try await World(in: server.scratch.store)
        var keys: [Role: String] = [:]
        for role in Role.allCases {
            _ = try await server.add(role.rawValue, role)
            keys[role] = try await server.key(role.rawValue)
        }
        var (walked, refused) = (0, 0)
        for route in routes(server) {
            guard case .permission(let permission) = route.access else { continue }
            let (path, body) = (path(route, world), body(route))
            let anonymous = try await server.send(route.method.rawValue, path, body)
            #expect(anonymous.status == 401, "\(route.method) \(path)")
            // Removing is tried last, by those who may not.
            for role in Role.allCases {
                let isAllowed = role.permissions.contains(permission)
                if isAllowed, route.method == .delete { continue }
                let answer = try await server.send(
                    route.method.rawValue,
                    path,
                    body,
                    token: keys[role]
                )
                walked += 1
                if isAllowed {
                    #expect(
                        answer.status != 401 && answer.status != 403 && answer.status < 500
                            || answer.status == 502 || answer.status == 503,
                        "\(role) \(route.method) \(path): \(answer.status) \(answer.text)"
                    )
                } else {
                    refused += 1
                    #expect(answer.status == 403, "\(role) \(route.method) \(path)")
                    #expect(try answer.json["code"] == "permission_denied")
                }
            }
        }
        #expect(walked > 100 && refused > 20)
        try await server.stop()
    }

    @Test func `what belongs to another account is not there`() async throws {
        let server = try await RunningServer()
        let store = server.scratch.store
        _ = try await World(in: store, named: "mine")
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let account = try await server.addAccount(owner: "eve")
        // Identifiers are drawn per account: those of the other one are made to differ.
        let foreign = store.viewed(by: account)
        _ = try await foreign.write { connection, account in
            let ids: [IssueID] = try AccountTable.nextIDs(500, account: account, on: connection)
            return ids.count
        }
        let theirs = try await World(in: foreign, named: "theirs")
        let user = try await server.add("mallory", .viewer, to: account)
        let desk = server.application.desk
        let made = try await desk.addKey(
            name: "theirs",
            scopes: [],
            expiresAt: nil,
            for: user.id,
            of: account
        )
        var walked = 0
        for route in routes(server) where route.path.contains("{id}") {
            let answer = try await server.send(
                route.method.rawValue,
                path(route, theirs, user: "\(user.id)", key: "\(made.row.id)"),
                body(route),
                token: key
            )
            walked += 1
            #expect(answer.status == 404, "\(route.method) \(route.path): \(answer.text)")
        }
        #expect(walked > 10)
        // Lists and searches show one's own alone.
        for path in ["/api/v1/trackers", "/api/v1/projects", "/api/v1/issues"] {
            let list = try await server.send("GET", path, token: key)
            #expect(!list.text.contains("theirs") && list.text.contains("mine"))
        }
        let eve = try await server.key("eve")
        let issues = try await server.send("GET", "/api/v1/issues", token: eve)
        #expect(issues.text.contains("theirs") && !issues.text.contains("mine"))
        // Users and keys are there as before; and a key is its user's alone.
        let users = try await server.send("GET", "/api/v1/users", token: eve)
        #expect(users.text.contains("mallory") && !users.text.contains("ann"))
        #expect(
            try await server.send("GET", "/api/v1/auth/users/me", token: made.key).status == 200
        )
        _ = try await server.add("bob", .admin)
        let own = try await server.send(
            "DELETE",
            "/api/v1/auth/api-keys/\(try await firstKey(key, server))",
            token: try await server.key("bob")
        )
        #expect(own.status == 404)
        #expect(try await server.send("GET", "/api/v1/issues", token: key).status == 200)
        // Nothing of theirs was removed or changed by the walk.
        #expect(try await server.send("GET", "/api/v1/trackers", token: eve).json[0] != nil)
        for id in theirs.issues {
            #expect(
                try await server.send("GET", "/api/v1/issues/\(id)", token: eve).status == 200
            )
        }
        try await server.stop()
    }

    /// The identifier of the first of the keys of whoever shows one.
    private func firstKey(_ key: String, _ server: RunningServer) async throws -> String {
        let keys = try await server.send("GET", "/api/v1/auth/api-keys", token: key).json
        return "\(try #require(keys[0]?["id"]?.integer))"
    }

    @Test func `the document has every route, and the pages load nothing`() async throws {
        let server = try await RunningServer()
        let document = try await server.send("GET", "/openapi.json").json
        #expect(document["openapi"] == "3.1.0")
        var identifiers: Set<String> = []
        for route in routes(server) where route.isDocumented {
            let operation = document["paths"]?[route.path]?[route.method.rawValue.lowercased()]
            let id = try #require(operation?["operationId"]?.string)
            #expect(identifiers.insert(id).inserted, "\(id)")
            #expect(operation?["responses"]?[String(route.status.code)] != nil)
        }
        #expect(identifiers.count > 40)
        let page = try await server.send("GET", "/docs")
        #expect(page.text.contains("/api/v1/issues/{id}"))
        #expect(!page.text.contains("<script") && !page.text.contains("src="))
        try await server.stop()
    }
}
