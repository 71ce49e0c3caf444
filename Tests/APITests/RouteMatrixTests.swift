import Domain
import Firewall
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
    /// Routes that serve their own protocol, or a person's browser, or whoever has a link: these
    /// are asked for no credential, and other tests walk them.
    private static let others: Set<String> = [
        "/mcp/v1", "/setup", "/approval/{id}", "/approval/{id}/data", "/approval/{id}/decide",
    ]

    private func routes(_ server: RunningServer) -> [Route] {
        server.application.responder.table.routes.filter { !Self.others.contains($0.path) }
    }

    private func server() async throws -> RunningServer {
        var setup = RunningServer.Setup()
        setup.tools = RouteExamples.tools
        setup.workflow.isAsynchronous = true
        return try await RunningServer(setup)
    }

    /// Who asks, what they may, and the code they get for the rest.
    private struct Asker {
        var name: String
        var key: String
        var permissions: Set<Permission>
        var refusal: JSONValue
    }

    /// A user of each role, and keys of the owner that are restricted to one scope each.
    private func askers(_ server: RunningServer) async throws -> [Asker] {
        var askers: [Asker] = []
        for role in Role.allCases {
            _ = try await server.add(role.rawValue, role)
            askers.append(
                Asker(
                    name: role.rawValue,
                    key: try await server.key(role.rawValue),
                    permissions: role.permissions,
                    refusal: "permission_denied"
                )
            )
        }
        for scope in KeyScope.allCases {
            askers.append(
                Asker(
                    name: scope.rawValue,
                    key: try await server.key(Role.owner.rawValue, scopes: [scope]),
                    permissions: scope.permissions,
                    refusal: "api_key_scope_denied"
                )
            )
        }
        return askers
    }

    @Test func `a route asks for a credential, and for the permission it names`() async throws {
        let server = try await self.server()
        let askers = try await askers(server)
        let store = server.scratch.store
        let examples = try await RouteExamples(named: "mine", of: "owner", in: store, on: server)
        let document = try await InterfaceDocument(of: server)
        var (walked, refused) = (0, 0)
        for route in routes(server) {
            guard case .permission(let permission) = route.access else { continue }
            let place = "\(route.method.rawValue) \(route.path)"
            let first = try #require(try await examples.request(route), "no example for \(place)")
            let method = route.method.rawValue
            let anonymous = try await server.send(method, first.path, first.body)
            #expect(anonymous.status == 401, "\(place)")
            #expect(document.gaps(anonymous, to: route) == [], "\(place)")
            for asker in askers {
                let isAllowed = asker.permissions.contains(permission)
                // What is removed is removed below, when everything else has been done to it.
                if isAllowed, route.method == .delete { continue }
                var request = first
                if isAllowed, let own = try await examples.request(route, by: asker.name) {
                    request = own
                }
                let (path, body) = (request.path, request.body)
                let answer = try await server.send(method, path, body, token: asker.key)
                walked += 1
                let status = isAllowed ? request.status : 403
                #expect(answer.status == status, "\(asker.name) \(place): \(answer.text)")
                #expect(document.gaps(answer, to: route) == [], "\(asker.name) \(place)")
                guard !isAllowed else { continue }
                refused += 1
                #expect(try answer.json["code"] == asker.refusal, "\(asker.name) \(place)")
            }
        }
        #expect(walked > 500 && refused > 200)
        // Open to collectors on this machine, who show no key; one that is shown counts.
        for asker in askers {
            let metrics = try await server.send("GET", "/metrics", token: asker.key)
            let status = asker.permissions.contains(.viewMetrics) ? 200 : 403
            #expect(metrics.status == status, "\(asker.name)")
            // Who one is every credential may ask, whatever else it is for.
            let me = try await server.send("GET", "/api/v1/auth/users/me", token: asker.key)
            #expect(me.status == 200, "\(asker.name)")
        }
        for route in routes(server) where route.method == .delete {
            let request = try #require(try await examples.request(route))
            let isOwn = route.path == "/api/v1/auth/api-keys/{id}"
            let key = isOwn ? examples.userKey : askers[0].key
            let answer = try await server.send("DELETE", request.path, token: key)
            #expect(answer.status == request.status, "\(request.path): \(answer.text)")
            #expect(document.gaps(answer, to: route) == [], "\(request.path)")
        }
        try await server.stop()
    }

    @Test func `what belongs to another account is not there`() async throws {
        let server = try await self.server()
        let accounts = try await TwoAccounts(on: server)
        let (ann, eve, theirs) = (accounts.ann, accounts.eve, accounts.theirs)
        let askers = try await askers(server)
        var (walked, refused) = (0, 0)
        for route in routes(server) where route.path.contains("{id}") {
            let place = "\(route.method.rawValue) \(route.path)"
            guard case .permission(let permission) = route.access else {
                Issue.record("nobody is asked who they are at \(place)")
                continue
            }
            let request = try #require(
                try await theirs.request(route),
                "nobody has made what \(place) names in another account"
            )
            for asker in askers {
                let answer = try await server.send(
                    route.method.rawValue,
                    request.path,
                    request.body,
                    token: asker.key
                )
                // Who may not do it to one's own is told that, whosever it is.
                let isAllowed = asker.permissions.contains(permission)
                let status = isAllowed ? 404 : 403
                #expect(answer.status == status, "\(asker.name) \(place): \(answer.text)")
                walked += 1
                guard !isAllowed else { continue }
                refused += 1
                #expect(try answer.json["code"] == asker.refusal, "\(asker.name) \(place)")
            }
        }
        #expect(walked > 250 && refused > 100 && walked - refused > 100)
        try await checkUntouched(accounts, server)
        // A key is its user's alone, in one account too.
        _ = try await server.add("bob", .admin)
        let own = try await server.send(
            "DELETE",
            "/api/v1/auth/api-keys/\(try await firstKey(ann, server))",
            token: try await server.key("bob")
        )
        #expect(own.status == 404)
        #expect(try await server.send("GET", "/api/v1/issues", token: ann).status == 200)
        #expect(try await server.send("GET", "/api/v1/issues", token: eve).status == 200)
        try await server.stop()
    }

    /// Lists show one's own alone, and nothing of the other account was removed or changed.
    private func checkUntouched(_ accounts: TwoAccounts, _ server: RunningServer) async throws {
        func text(_ path: String, _ key: String) async throws -> String {
            try await server.send("GET", "/api/v1/\(path)", token: key).text
        }
        for path in ["trackers", "projects", "issues", "users", "tool-configurations"] {
            let (mine, theirs) = (
                try await text(path, accounts.ann), try await text(path, accounts.eve)
            )
            #expect(mine.contains("mine") && !mine.contains("theirs"), "\(path)")
            #expect(theirs.contains("theirs") && !theirs.contains("mine"), "\(path)")
        }
        let (eve, theirs) = (accounts.eve, accounts.theirs)
        for id in theirs.world.issues {
            #expect(
                try await server.send("GET", "/api/v1/issues/\(id)", token: eve).status == 200
            )
        }
        let me = try await server.send("GET", "/api/v1/auth/users/me", token: theirs.userKey)
        #expect(me.status == 200)
        let versions = try await server.send("GET", "/api/v1/policies/versions", token: eve)
        let list = try #require(try versions.json.array)
        #expect(list.count == 2 && list.allSatisfy { $0["tag"] == .null })
        let requests = try await server.send("GET", "/api/v1/approval-requests", token: eve)
        let open = try #require(try requests.json.array).filter { request in
            request["tool_name"] != .string(RouteExamples.rememberedTool)
        }
        #expect(open.count > 3 && open.allSatisfy { $0["status"] == "pending" })
        let path = "/api/v1/approvals/remembered"
        let remembered = try await server.send("GET", path, token: eve)
        #expect(try remembered.json.array?.isEmpty == false)
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
        for route in server.application.responder.table.routes where route.isDocumented {
            let operation = document["paths"]?[route.path]?[route.method.rawValue.lowercased()]
            let id = try #require(operation?["operationId"]?.string)
            #expect(identifiers.insert(id).inserted, "\(id)")
            #expect(operation?["responses"]?[String(route.status.code)] != nil)
        }
        #expect(identifiers.count > 40)
        let links = ["get_approval_id_data", "post_approval_id_decide"]
        #expect(identifiers.isSuperset(of: links))
        // Pages are for people.
        for path in ["/approval/{id}", "/setup", "/docs"] {
            #expect(document["paths"]?[path] == nil, "\(path)")
        }
        // Other clients go where they are led.
        let client = try RawClient(port: server.port)
        #expect(client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        let root = await client.read()
        #expect(root.hasPrefix("HTTP/1.1 303 ") && root.contains("ocation: /docs\r\n"), "\(root)")
        let page = try await server.send("GET", "/docs")
        #expect(page.text.contains("/api/v1/issues/{id}"))
        #expect(!page.text.contains("<script") && !page.text.contains("src="))
        try await server.stop()
    }
}
