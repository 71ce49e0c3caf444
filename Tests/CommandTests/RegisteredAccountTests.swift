import Domain
import Store
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
        try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: .github,
                    deployment: .cloud,
                    name: "hub",
                    url: "https://hub.example",
                    createdAt: now
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            let project = try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: ids[0],
                    organizationID: try OrganizationTable.upsert(
                        externalID: "acme",
                        path: "acme",
                        name: "acme",
                        tracker: ids[0],
                        account: account,
                        on: connection
                    ),
                    externalID: "acme/app",
                    path: "acme/app",
                    name: "app",
                    url: "https://hub.example/acme/app"
                ),
                account: account,
                on: connection
            ).now.id
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
            let batch = IssueBatch(
                project: project,
                tracker: ids[0],
                items: [IncomingIssue(issue, comments: .complete([]))],
                present: now,
                trust: .confirmed
            )
            _ = try IssueTable.upsert(batch, account: account, on: connection)
        }
    }
}
