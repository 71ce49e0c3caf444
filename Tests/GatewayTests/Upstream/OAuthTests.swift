import Domain
import Foundation
import HTTPClient
import MCP
import Store
import StoreTestSupport
import TestSupport
import Testing

@testable import Gateway

/// Servers that want tokens of OAuth, over real connections.
@Suite struct OAuthTests {
    /// A server that wants tokens, and a desk that knows it.
    private struct World {
        let script: UpstreamScript
        let scratch: ScratchStore
        let desk: UpstreamDesk
        let server: UpstreamServer
        let http: CurlClient

        init(_ options: [String] = []) async throws {
            script = try UpstreamScript(arguments: ["oauth_server.py"] + options)
            scratch = try await Engine.current.store()
            http = try CurlClient(configuration: .init(version: "test"))
            desk = try Self.desk(scratch.store, http)
            var made = UpstreamServer(
                id: UpstreamServerID(0),
                name: "guarded",
                transport: .streamableHTTP,
                url: script.url,
                createdAt: Timestamp(milliseconds: 0)
            )
            made.authentication = .oauth
            server = try await desk.add(made, secret: UpstreamSecret(), by: "user:ann")
        }

        /// Who gives its tokens.
        var issuer: String { script.url.replacing("/mcp", with: "/as") }

        /// As another process has it.
        func reopened() throws -> UpstreamDesk { try Self.desk(scratch.store, http) }

        private static func desk(_ store: Store, _ http: CurlClient) throws -> UpstreamDesk {
            let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
            return UpstreamDesk(
                UpstreamDesk.Means(
                    store: store,
                    settings: UpstreamSettings(
                        environment: ["ROBOT": "s+cret"],
                        allowed: ["127.0.0.0/8"],
                        variables: ["ROBOT"],
                        version: "1"
                    ),
                    transport: http,
                    reserved: [],
                    box: { box }
                )
            )
        }

        private static let redirect = "http://127.0.0.1:9/callback"

        /// Signs in as a person does whose browser follows the page.
        func signIn() async throws {
            let begun = try await desk.beginSignIn(to: server.id, redirect: Self.redirect)
            try await desk.finish(begun, query: try await consent(begun.url), by: "user:ann")
        }

        /// Where a browser is sent that comes back to the installation's own address.
        static let hosted = "https://preloop.example/api/v1/private/mcp-oauth/callback"

        /// Begins to sign in by that address.
        func beginHosted(_ scope: String? = nil) async throws -> UpstreamDesk.HostedSignIn {
            try await desk.beginHostedSignIn(
                to: server.id,
                redirect: Self.hosted,
                for: UserID(7),
                scope: scope
            )
        }

        /// Ends it in a process.
        func finish(
            _ query: [(name: String, value: String)],
            in process: UpstreamDesk,
            redirect: String = World.hosted
        ) async throws -> String {
            try await process.finish(
                process.answered(by: query),
                query: query,
                redirect: redirect,
                by: "user:ann"
            )
        }

        /// What the authorization server sends the browser back with.
        func consent(_ url: String) async throws -> [(name: String, value: String)] {
            let answer = try await http.stream(
                HTTPRequest(url: url),
                to: HTTPReceiver(head: { _, _ in }, body: { _ in true })
            )
            let location = try #require(answer.headers["Location"])
            let query = location.split(separator: "?", maxSplits: 1)[1]
            return query.split(separator: "&").map { part in
                let pieces = part.split(separator: "=", maxSplits: 1).map(String.init)
                return (pieces[0], pieces[1].removingPercentEncoding ?? "")
            }
        }

        func counts() async throws -> JSONValue {
            let url = script.url.replacing("/mcp", with: "/test/counts")
            return try JSONParser.parse(try await http.send(HTTPRequest(url: url)).body)
        }

        func expire() async throws {
            let url = script.url.replacing("/mcp", with: "/test/expire")
            _ = try await http.send(HTTPRequest(method: "POST", url: url, body: []))
        }

        func call(_ desk: UpstreamDesk? = nil) async throws -> JSONObject {
            try await (desk ?? self.desk).pool(of: server.id).perform(
                for: "ann",
                capabilities: JSONObject(),
                isRepeatable: false
            ) { connection in
                try await connection.call("tools/call", JSONObject([("name", "open")]))
            }
        }
    }

    @Test func `somebody signs in, and tokens are renewed when they are refused`() async throws {
        let world = try await World()
        await #expect(throws: UpstreamError.self) { try await world.call() }
        try await world.signIn()
        #expect(try await world.desk.scan(world.server.id, by: "user:ann").unusable.isEmpty)
        #expect(try await world.call()["isError"] == false)
        try await world.expire()
        #expect(try await world.call()["isError"] == false)
        let counts = try await world.counts()
        #expect(counts["tokens"] == 2 && counts["calls"] == 2)
    }

    @Test func `many who wait for one token ask for it once`() async throws {
        let world = try await World()
        try await world.signIn()
        _ = try await world.call()
        try await world.expire()
        try await withThrowingTaskGroup(of: JSONObject.self) { group in
            for _ in 0..<16 { group.addTask { try await world.call() } }
            for try await result in group { #expect(result["isError"] == false) }
        }
        #expect(try await world.counts()["tokens"] == 2)
    }

    @Test func `a token that is about to end is renewed before it is sent`() async throws {
        let world = try await World(["--expires", "30"])
        try await world.signIn()
        _ = try await world.call()
        // Each of its requests finds less than a minute left.
        #expect(try await world.counts()["tokens"]?.integer ?? 0 >= 2)
    }

    @Test func `another process goes on with what is kept`() async throws {
        let world = try await World()
        try await world.signIn()
        let other = try world.reopened()
        #expect(try await world.call(other)["isError"] == false)
        #expect(try await world.counts()["tokens"] == 1)
        try await world.expire()
        // One renews; the other finds what it has kept, for a refresh token is good once.
        _ = try await world.call(other)
        _ = try await world.call()
        #expect(try await world.counts()["tokens"] == 2)
        await other.close()
    }

    @Test func `a client of its own right signs in without a person`() async throws {
        let world = try await World()
        try await world.desk.signIn(
            to: world.server.id,
            as: .init(id: "robot", secret: "${ROBOT}", scope: "read", issuer: world.issuer),
            by: "user:ann"
        )
        #expect(try await world.call()["isError"] == false)
        try await world.expire()
        #expect(try await world.call()["isError"] == false)
        #expect(try await world.counts()["registrations"] == 0)
        await #expect(throws: UpstreamError.unauthorized(status: 401)) {
            try await world.desk.signIn(
                to: world.server.id,
                as: .init(id: "robot", secret: "wrong"),
                by: "user:ann"
            )
        }
    }

    /// The server names the issuer, and may name one of its own to get another one's secret.
    @Test func `a client's secret is sent to the issuer that somebody has named`() async throws {
        let world = try await World()
        func signIn(_ issuer: String?) async throws {
            try await world.desk.signIn(
                to: world.server.id,
                as: .init(id: "robot", secret: "${ROBOT}", issuer: issuer),
                by: "user:ann"
            )
        }
        for issuer in [nil, "https://as.example", world.issuer + "/"] {
            await #expect(throws: UpstreamError.self) { try await signIn(issuer) }
        }
        #expect(try await world.counts()["tokens"] == 0)
        try await signIn(world.issuer)
        // It is kept with the grant.
        try await signIn(nil)
        #expect(try await world.counts()["tokens"] == 2)
        await #expect(throws: UpstreamError.self) { try await signIn("https://as.example") }
    }

    /// Each of these would send a token, or a code, to somebody else.
    @Test(arguments: [["--other-issuer"], ["--other-resource"], ["--no-pkce"]])
    func `metadata of somebody else is refused`(_ options: [String]) async throws {
        let world = try await World(options)
        await #expect(throws: UpstreamError.self) { try await world.signIn() }
        #expect(try await world.counts()["tokens"] == 0)
    }

    @Test func `an answer to another request is refused`() async throws {
        let world = try await World()
        let redirect = "http://127.0.0.1:9/callback"
        let mine = try await world.desk.beginSignIn(to: world.server.id, redirect: redirect)
        let other = try await world.desk.beginSignIn(to: world.server.id, redirect: redirect)
        let query = try await world.consent(other.url)
        #expect(other.isAnswered(by: query) && !mine.isAnswered(by: query))
        #expect(!mine.isAnswered(by: []) && mine.issuer == world.issuer)
        await #expect(throws: UpstreamError.self) {
            try await world.desk.finish(mine, query: query, by: "user:ann")
        }
        var foreign = query
        for place in foreign.indices where foreign[place].name == "iss" {
            foreign[place].value = "http://127.0.0.1:1"
        }
        let wrong = foreign
        await #expect(throws: UpstreamError.self) {
            try await world.desk.finish(other, query: wrong, by: "user:ann")
        }
        try await world.desk.finish(other, query: query, by: "user:ann")
        #expect(try await world.call()["isError"] == false)
    }

    @Test func `a browser may come back to another process, once`() async throws {
        let world = try await World()
        let other = try world.reopened()
        let begun = try await world.beginHosted()
        let query = try await world.consent(begun.url)
        #expect(UpstreamDesk.account(of: query) == world.scratch.store.account)
        #expect(try other.answered(by: query).user == UserID(7))
        await #expect(throws: UpstreamDesk.SignInRefusal.unknown) {
            try await world.finish(query, in: world.desk, redirect: "https://other.example/")
        }
        #expect(try await world.finish(query, in: other) == "guarded")
        #expect(try await world.call(other)["isError"] == false)
        // Neither here nor where it was begun.
        for process in [other, world.desk] {
            await #expect(throws: UpstreamDesk.SignInRefusal.unknown) {
                try await world.finish(query, in: process)
            }
        }
        #expect(try await world.counts()["tokens"] == 1)
        await other.close()
    }

    @Test func `an answer is good once, also one that refuses`() async throws {
        let world = try await World()
        let query = try await world.consent(try await world.beginHosted().url)
        let refused = query.map { part in
            part.name == "code" ? (name: "error", value: "access_denied") : part
        }
        await #expect(throws: UpstreamError.self) {
            try await world.finish(refused, in: world.desk)
        }
        await #expect(throws: UpstreamDesk.SignInRefusal.unknown) {
            try await world.finish(query, in: world.desk)
        }
        #expect(try await world.counts()["tokens"] == 0)
    }

    @Test func `of two sign-ins that wait the second finds that it came too late`() async throws {
        let world = try await World()
        try await world.signIn()
        let first = try await world.consent(try await world.beginHosted().url)
        let second = try await world.consent(try await world.beginHosted().url)
        // Tokens that are renewed meanwhile are the same sign-in's.
        try await world.expire()
        _ = try await world.call()
        #expect(try await world.finish(second, in: world.desk) == "guarded")
        await #expect(throws: UpstreamDesk.SignInRefusal.unknown) {
            try await world.finish(first, in: world.desk)
        }
        #expect(try await world.call()["isError"] == false)
        #expect(try await world.counts()["tokens"] == 3)
    }

    @Test func `a state opens for its account and with its key alone`() async throws {
        let world = try await World()
        let query = try await world.consent(try await world.beginHosted().url)
        let text = try #require(query.first { $0.name == "state" }?.value)
        let account = world.scratch.store.account
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let opened = try #require(SignInState(text, box: box, account: account))
        // What is inside cannot be read outside.
        #expect(!text.contains(opened.consent.verifier) && opened.address == world.server.url)
        let other = try SecretBox(keyMaterial: Secret("another key, as long as that one"))
        let elsewhere = AccountID(account.rawValue + 1)
        let moved = "\(elsewhere)\(text.drop { $0 != "." })"
        let wrong = [
            SignInState(text, box: other, account: account),
            SignInState(moved, box: box, account: elsewhere),
            SignInState(text, box: box, account: elsewhere),
        ]
        #expect(wrong.compactMap { $0 }.isEmpty)
    }

    @Test func `what is asked for must fit into an address`() async throws {
        let world = try await World()
        await #expect(throws: UpstreamError.self) {
            try await world.beginHosted(String(repeating: "scope ", count: 2_000))
        }
    }

    @Test func `so many sign-ins wait at a time, and each is answered once`() throws {
        var ledger = SignInLedger()
        let start = Timestamp(milliseconds: 1_000)
        for _ in 0..<SignInLedger.maximumOpen { _ = try ledger.begin(at: start) }
        var refusal: UpstreamDesk.SignInRefusal?
        do throws(UpstreamDesk.SignInRefusal) {
            _ = try ledger.begin(at: start)
        } catch {
            refusal = error
        }
        #expect(refusal == .tooMany(seconds: 601) && !ledger.isEmpty(at: start))
        let end = start.advanced(by: SignInLedger.lifetime)
        #expect(try ledger.begin(at: end) == end.advanced(by: SignInLedger.lifetime))
        let isFirst = ledger.answer("a", until: end.advanced(by: .seconds(1)), at: end)
        let isSecond = ledger.answer("a", until: end.advanced(by: .seconds(1)), at: end)
        #expect(isFirst && !isSecond)
        #expect(ledger.isEmpty(at: end.advanced(by: SignInLedger.lifetime)))
    }

    @Test(arguments: [
        ("https://a.example/mcp", "https://a.example/mcp", true),
        ("https://a.example/mcp/x", "https://a.example/mcp", true),
        ("https://a.example/mcp", "https://a.example", true),
        ("https://a.example/mcpx", "https://a.example/mcp", false),
        ("https://a.example/mcp", "https://b.example/mcp", false),
        ("https://a.example/mcp", "http://a.example/mcp", false),
        ("https://a.example/mcp", "https://a.example:8443/mcp", false),
    ])
    func `a resource is the server, or above it`(
        _ url: String,
        _ resource: String,
        _ isRight: Bool
    ) throws {
        let document: JSONValue = [
            "resource": .string(resource), "authorization_servers": ["https://as.example"],
        ]
        let found = try? ProtectedResource(document, of: url)
        #expect((found != nil) == isRight)
    }

    @Test func `documents are looked for where the protocol says`() {
        #expect(
            AuthorizationServer.places(for: "https://a.example/t/1/") == [
                "https://a.example/.well-known/oauth-authorization-server/t/1",
                "https://a.example/.well-known/openid-configuration/t/1",
                "https://a.example/t/1/.well-known/openid-configuration",
            ]
        )
        #expect(
            ProtectedResource.places(for: "https://a.example/mcp?x=1") == [
                "https://a.example/.well-known/oauth-protected-resource/mcp",
                "https://a.example/.well-known/oauth-protected-resource",
            ]
        )
        let challenge = #"Bearer error="x", resource_metadata="https://a.example/m""#
        #expect(ProtectedResource.place(in: challenge) == "https://a.example/m")
        #expect(ProtectedResource.place(in: "Bearer") == nil)
    }
}
