import Bootstrap
import Domain
import Search
import Store
import StoreTestSupport
import TestSupport
import Testing

/// Accounts that strangers made, and what of the operator's they are not given.
struct RegisteredAccountTests {
    /// Whoever registered could spend the operator's key, call by call.
    @Test func `the operator's model answers the operator's account alone`() async throws {
        let service = try ScriptedHTTPServer { _ in [.answer(400, text: "{}")] }
        defer { service.stop() }
        let server = try ServeProcess(
            try Sandbox(),
            environment: [
                "REGISTRATION_ENABLED": "true", "PRELOOP_AI_PROVIDER": "openai",
                "PRELOOP_AI_MODEL": "m", "PRELOOP_AI_URL": service.origin + "/v1",
                "PRELOOP_AI_API_KEY": "secret",
            ]
        )
        let stranger = try register("bob", at: server)
        let store = try await server.sandbox.store()
        let account = try await store.database.read { connection in
            try UserTable.account(ofName: "bob", on: connection)
        }
        try await addIssue(to: store.viewed(by: try #require(account)))
        try await addIssue(to: store)
        for token in [stranger, server.key] { try judgeByModel(at: server, token) }
        let theirs = try estimate(at: server, stranger)
        #expect(theirs.contains("no model is configured"), "\(theirs)")
        let improved = try call("improve_compliance", Self.issues, at: server, stranger)
        #expect(improved.contains(#""rewritten_by""#), "\(improved)")
        let held = try call("list_projects", "{}", at: server, stranger)
        #expect(held.contains("pending_approval"), "\(held)")
        #expect(service.requests.isEmpty)
        let own = try estimate(at: server, server.key)
        #expect(own.contains("answered with status 400"), "\(own)")
        let count = service.requests.count
        #expect(count > 0)
        _ = try call("list_projects", "{}", at: server, server.key)
        #expect(service.requests.count > count)
        #expect(try server.stop().status == 0)
    }

    /// Whoever registered could have texts embedded at the operator's expense, search by search.
    @Test(arguments: [false, true])
    func `the operator's embedding service answers strangers only where that is allowed`(
        isAllowed: Bool
    ) async throws {
        let service = try ScriptedHTTPServer { _ in [.answer(400, text: "{}")] }
        defer { service.stop() }
        let server = try ServeProcess(
            try Sandbox(),
            environment: [
                "REGISTRATION_ENABLED": "true", "PRELOOP_EMBEDDING_PROVIDER": "openai",
                "PRELOOP_EMBEDDING_URL": service.origin + "/v1",
                "PRELOOP_EMBEDDING_API_KEY": "secret",
                "PRELOOP_EMBEDDING_REGISTERED": isAllowed ? "allow" : "deny",
            ]
        )
        let stranger = try register("bob", at: server)
        let store = try await server.sandbox.store()
        let account = try await store.database.read { connection in
            try UserTable.account(ofName: "bob", on: connection)
        }
        try await addIssue(to: store.viewed(by: try #require(account)))
        let found = try call("search", #"{"query": "what happened"}"#, at: server, stranger)
        #expect(found.contains("acme/app#1"), "\(found)")
        // Where it is allowed the service refuses, and is named.
        #expect(found.contains("searched by words alone"), "\(found)")
        #expect(found.contains("PRELOOP_EMBEDDING_REGISTERED") == !isAllowed, "\(found)")
        let search = "api/v1/search?query=happened&search_type="
        let hybrid = try get(search + "hybrid", at: server, stranger)
        #expect(hybrid.status == 200 && hybrid.body.contains("searched by words alone"))
        let similar = try get(search + "similarity", at: server, stranger)
        #expect(similar.status == (isAllowed ? 503 : 409), "\(similar.body)")
        #expect(service.requests.isEmpty == !isAllowed)
        let count = service.requests.count
        _ = try call("search", #"{"query": "what happened"}"#, at: server, server.key)
        #expect(service.requests.count > count)
        #expect(try server.stop().status == 0)
    }

    @Test func `what strangers read is indexed by its words, and sent to no service`()
        async throws
    {
        let service = try ScriptedHTTPServer { Self.vectors(for: $0) }
        defer { service.stop() }
        let sandbox = try Self.sandbox(at: service)
        let installation = try await Self.installation(sandbox)
        let theirs = installation.viewed(by: try await addAccount(to: installation))
        let report = try await index(theirs)
        #expect(report.texts > 0 && report.embedded == 0, "\(report)")
        var question = SearchRequest(text: "what happened")
        question.mode = .text
        let search = try await theirs.search(mode: .text)
        #expect(try await search.search(question).map(\.issue.key) == ["acme/app#1"])
        try await search.close()
        let refusal = await #expect(throws: CommandFailure.self) {
            _ = try await theirs.search(mode: .hybrid)
        }
        #expect(refusal?.hint?.contains("PRELOOP_EMBEDDING_REGISTERED") == true)
        try await installation.close()
        // What is done for all accounts at once goes by the same rule.
        for word in ["rebuild", "verify"] {
            let result = try sandbox.preloop("index", word)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("account 2"), "\(result.output)")
        }
        #expect(service.requests.isEmpty)
    }

    @Test func `a service that strangers are given embeds what they read, until it is taken away`()
        async throws
    {
        let service = try ScriptedHTTPServer { Self.vectors(for: $0) }
        defer { service.stop() }
        let sandbox = try Self.sandbox(at: service)
        let giving = try await Self.installation(
            sandbox,
            ["PRELOOP_EMBEDDING_REGISTERED": "allow"]
        )
        let account = try await addAccount(to: giving)
        let embedded = try await index(giving.viewed(by: account)).embedded
        #expect(embedded > 0)
        let search = try await giving.viewed(by: account).search(mode: .hybrid)
        let hits = try await search.search(SearchRequest(text: "what happened"))
        #expect(hits.first?.vectorScore != nil)
        try await search.close()
        try await giving.close()
        let count = service.requests.count
        let taking = try await Self.installation(sandbox)
        #expect(try await index(taking.viewed(by: account)).dropped == embedded)
        #expect(service.requests.count == count)
        try await taking.close()
    }

    /// One whose vectors come from a service.
    private static func sandbox(at service: ScriptedHTTPServer) throws -> Sandbox {
        let sandbox = try Sandbox([
            "PRELOOP_EMBEDDING_PROVIDER": "openai", "PRELOOP_EMBEDDING_DIMENSION": "3",
            "PRELOOP_EMBEDDING_URL": service.origin + "/v1", "PRELOOP_EMBEDDING_API_KEY": "secret",
        ])
        #expect(try sandbox.preloop("init").status == 0)
        return sandbox
    }

    private static func installation(
        _ sandbox: Sandbox,
        _ environment: [String: String] = [:]
    ) async throws -> Installation {
        let all = sandbox.environment.merging(environment) { $1 }
        return try await Installation.open(try Settings(environment: all))
    }

    /// The same vector for every text.
    private static func vectors(
        for request: ScriptedHTTPServer.Request
    ) -> [ScriptedHTTPServer.Step] {
        let texts = (try? JSONParser.parse(request.body))?["input"]?.array ?? []
        let rows = texts.indices.map { index -> JSONValue in
            [
                "index": .integer(Int64(index)),
                "embedding": .array([.double(1), .double(0), .double(0)]),
            ]
        }
        let body: JSONValue = ["data": .array(rows)]
        return [.answer(text: body.serializedText())]
    }

    /// A stranger's account with an issue.
    private func addAccount(to installation: Installation) async throws -> AccountID {
        let account = try await installation.store.database.write { connection in
            try AccountTable.create(
                name: "bob's organization",
                createdAt: Timestamp(milliseconds: 1_700_000_000_000),
                on: connection
            )
        }
        try await addIssue(to: installation.viewed(by: account).store)
        return account
    }

    private func index(_ installation: Installation) async throws -> IndexReport {
        let pipeline = try await installation.pipeline()
        let report = try await pipeline.drain()
        try await pipeline.close()
        return report
    }

    private func get(
        _ path: String,
        at server: ServeProcess,
        _ token: String
    ) throws -> (status: Int, body: String) {
        try server.curl("-H", "Authorization: Bearer \(token)", "\(server.origin)/\(path)")
    }

    private static let issues = #"{"issues": ["acme/app#1"]}"#

    private func estimate(at server: ServeProcess, _ token: String) throws -> String {
        try call("estimate_compliance", Self.issues, at: server, token)
    }

    /// What a tool answers over REST.
    private func call(
        _ tool: String,
        _ arguments: String,
        at server: ServeProcess,
        _ token: String
    ) throws -> String {
        try server.curl(
            "-H",
            "Authorization: Bearer \(token)",
            "-H",
            "Content-Type: application/json",
            "-d",
            arguments,
            "\(server.origin)/api/v1/mcp/\(tool)"
        ).body
    }

    /// Makes an account, and signs in to it.
    private func register(_ name: String, at server: ServeProcess) throws -> String {
        let made = try server.curl(
            "-H",
            "Content-Type: application/json",
            "-d",
            #"{"username": "\#(name)", "password": "a good password"}"#,
            "\(server.origin)/api/v1/auth/register"
        )
        #expect(made.status == 201, "\(made.body)")
        let signedIn = try server.curl(
            "-d",
            "username=\(name)&password=a good password",
            "\(server.origin)/api/v1/auth/token"
        )
        return try #require(try JSONParser.parse(signedIn.body)["access_token"]?.string)
    }

    /// Puts a policy in force by which a model decides about the tool `list_projects`.
    private func judgeByModel(at server: ServeProcess, _ token: String) throws {
        let policy = """
            metadata: {name: judged}
            approval_workflows:
            - {name: judged, approval_type: ai_driven, ai_model: m, async_approval: true}
            tools:
            - name: list_projects
              approval_workflow: judged
              conditions: [{action: require_approval}]

            """
        let applied = try server.sandbox.preloop(
            "policy",
            "apply",
            "-",
            "--url",
            server.origin,
            environment: ["PRELOOP_TOKEN": token],
            input: policy
        )
        #expect(applied.status == 0, "\(applied.errors)")
    }

    /// One issue of a tracker that nobody asks.
    private func addIssue(to store: Store) async throws {
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        let issue = Domain.Issue(
            externalID: "1",
            number: 1,
            key: "acme/app#1",
            title: "it does not work",
            body: "what happened",
            createdAt: now,
            updatedAt: now,
            url: "https://hub.example/acme/app/issues/1"
        )
        try await store.addTracker(
            at: "https://hub.example",
            projects: [(path: "acme/app", issues: [IncomingIssue(issue, comments: .complete([]))])]
        )
    }
}
