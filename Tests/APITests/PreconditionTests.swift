import Domain
import HTTPClient
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import API

/// Of two who change at once what both have seen, one is told so.
@Suite struct PreconditionTests {
    private func server(
        _ setup: RunningServer.Setup = .init()
    ) async throws -> (server: RunningServer, key: String) {
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        return (server, try await server.key("ann"))
    }

    /// The statuses of two changes at once, in ascending order.
    private func statuses(
        _ server: RunningServer,
        _ key: String,
        _ path: String,
        _ bodies: (JSONValue, JSONValue)
    ) async throws -> [Int] {
        let shown = try await server.send("GET", path, token: key)
        let tag = try #require(shown.headers["ETag"])
        @Sendable func change(_ body: JSONValue) async throws -> Int {
            try await server.send(
                "PUT",
                path,
                body,
                token: key,
                headers: [("If-Match", tag)]
            ).status
        }
        async let first = change(bodies.0)
        async let second = change(bodies.1)
        return try await [first, second].sorted()
    }

    /// The tag was looked at in one transaction, and the change written in another.
    @Test func `two changes of a tracker pass the first look, and one is written`() async throws {
        let setup = RunningServer.Setup()
        let (server, key) = try await server(setup)
        let store = server.scratch.store
        let tracker = try await World(in: store).tracker
        let (arrived, both) = (Counter(), Gate())
        setup.operations.changing.withLock { changing in
            changing = { tracker, check in
                let number = arrived.add()
                // Both have been let through before either writes.
                if number == 1 { try await both.pass() } else { both.open() }
                try await store.write { connection, account in
                    try check(connection, account)
                    try ScopeRuleTable.replace(
                        with: Scope([ScopeRule(action: .include, pattern: "acme/\(number)")]),
                        of: tracker.id,
                        account: account,
                        on: connection
                    )
                }
            }
        }
        let found = try await statuses(
            server,
            key,
            "/api/v1/trackers/\(tracker)",
            (["include": ["acme/1"]], ["include": ["acme/2"]])
        )
        #expect(found == [200, 412] && arrived.value == 2)
        try await server.stop()
    }

    /// It was written beside the other address, and the next scan sent it there.
    @Test func `a token is not written for an address that somebody else has set meanwhile`()
        async throws
    {
        let setup = RunningServer.Setup()
        let (server, key) = try await server(setup)
        let store = server.scratch.store
        let tracker = try await World(in: store).tracker
        let count = Counter()
        setup.operations.changing.withLock { changing in
            changing = { tracker, check in
                let url = "https://elsewhere\(count.add()).example"
                // While the service is asked whose token it is.
                try await store.write { connection, account in
                    try TrackerTable.setAddress(
                        url: url,
                        userName: nil,
                        isVetted: true,
                        of: tracker.id,
                        account: account,
                        on: connection
                    )
                }
                try await store.write { connection, account in try check(connection, account) }
            }
        }
        let path = "/api/v1/trackers/\(tracker)"
        for name in ["api_key", "username", "url"] {
            let answer = try await server.send("PUT", path, [name: "x"], token: key)
            #expect(answer.status == 409, "\(name): \(answer.text)")
            #expect(try answer.json["code"] == "changed_meanwhile")
        }
        // A name is the same wherever the tracker is.
        #expect(try await server.send("PUT", path, ["name": "x"], token: key).status == 200)
        try await server.stop()
    }

    /// The same address is guarded where an administrator changes it.
    @Test func `two changes of one's own address at once are one`() async throws {
        let (server, key) = try await server()
        let path = "/api/v1/auth/users/me"
        for round in 0..<5 {
            let found = try await statuses(
                server,
                key,
                path,
                (
                    ["email": .string("a\(round)@example.com")],
                    ["email": .string("b\(round)@example.com")]
                )
            )
            #expect(found == [200, 412], "round \(round)")
        }
        // One tag for both ways to the same user, which a sign-in does not change.
        let before = try await server.send("GET", path, token: key)
        _ = try await server.signIn("ann")
        let after = try await server.send("GET", path, token: key)
        let id = try #require(try after.json["id"]?.integer)
        let user = try await server.send("GET", "/api/v1/users/\(id)", token: key)
        #expect(after.headers["ETag"] != nil && after.headers["ETag"] == before.headers["ETag"])
        #expect(after.headers["ETag"] == user.headers["ETag"])
        try await server.stop()
    }

    /// The last word counted, and the one before was nobody's any more.
    @Test func `of two reviewers of a pair the second is told of the first one's word`()
        async throws
    {
        let (server, key) = try await server()
        let issues = try await World(in: server.scratch.store).issues
        let path = "/api/v1/issue-duplicates"
        func shown(_ one: IssueID, _ other: IssueID) async throws -> RunningServer.Answer {
            let query = "issue1_id=\(one)&issue2_id=\(other)"
            return try await server.send("GET", "\(path)/check?\(query)", token: key)
        }
        @Sendable func decide(
            _ word: String,
            _ headers: [(String, String)]
        ) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                "\(path)/decisions",
                [
                    "issue1_id": .integer(issues[0].rawValue),
                    "issue2_id": .integer(issues[1].rawValue), "decision": .string(word),
                ],
                token: key,
                headers: headers
            )
        }
        let seen = try #require(try await shown(issues[0], issues[1]).headers["ETag"])
        #expect(try await shown(issues[1], issues[0]).headers["ETag"] == seen)
        #expect(try await shown(issues[0], issues[2]).headers["ETag"] != seen)
        let match = [("If-Match", seen)]
        async let first = decide("duplicate", match)
        async let second = decide("not_duplicate", match)
        let answers = try await [first, second]
        #expect(answers.map(\.status).sorted() == [201, 412])
        let made = try #require(answers.first { $0.status == 201 })
        let now = try await shown(issues[0], issues[1])
        #expect(try now.json["decision"] == made.json["decision"])
        #expect(now.headers["ETag"] != seen && now.headers["ETag"] == made.headers["ETag"])
        // Who has seen it may, and who does not say what was seen, as ever.
        let again = [("If-Match", try #require(now.headers["ETag"]))]
        #expect(try await decide("related", again).status == 201)
        #expect(try await decide("duplicate", []).status == 201)
        try await server.stop()
    }

    @Test func `another token of a tracker is a change, and is not shown`() async throws {
        let (server, key) = try await server()
        let tracker = try await World(in: server.scratch.store).tracker
        let path = "/api/v1/trackers/\(tracker)"
        let before = try await server.send("GET", path, token: key)
        try await server.scratch.store.write { connection, account in
            try TrackerTable.setCredential(
                SealedSecret(bytes: [2]),
                of: tracker,
                account: account,
                on: connection
            )
        }
        let after = try await server.send("GET", path, token: key)
        #expect(before.headers["ETag"] != after.headers["ETag"])
        #expect(before.text == after.text)
        try await server.stop()
    }

    @Test func `two changes of an MCP server at once are one`() async throws {
        let (server, key) = try await server()
        let draft: JSONValue = ["name": "docs", "url": "https://mcp.example.com/mcp"]
        let added = try await server.send("POST", "/api/v1/mcp-servers", draft, token: key)
        let path = "/api/v1/mcp-servers/\(try added.json["id"]?.integer ?? 0)"
        for round in 0..<20 {
            let found = try await statuses(
                server,
                key,
                path,
                (["name": .string("a\(round)")], ["name": .string("b\(round)")])
            )
            #expect(found == [200, 412], "round \(round)")
        }
        let stale = [("If-Match", "\"old\"")]
        let refused = try await server.send("DELETE", path, token: key, headers: stale)
        #expect(refused.status == 412)
        let any = [("If-Match", "*")]
        #expect(try await server.send("DELETE", path, token: key, headers: any).status == 204)
        try await server.stop()
    }
}
