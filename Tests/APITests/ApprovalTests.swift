import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What waits for approval, over REST and on the page.
@Suite struct ApprovalTests {
    /// A policy that holds every call of `echo`.
    private struct HoldingPolicy: CallPolicy {
        func isVisible(
            _ tool: ToolDefinition,
            _ identity: ToolIdentity,
            to caller: Caller
        ) async -> Bool { true }

        func decide(_ call: ProposedCall) async -> CallRuling {
            CallRuling(.requireApproval(ApprovalDemand(policyVersion: 1, message: "ask first")))
        }
    }

    private func server(
        _ change: (inout ApprovalWorkflow) -> Void = { _ in }
    ) async throws -> RunningServer {
        var setup = RunningServer.Setup()
        setup.policy = HoldingPolicy()
        setup.workflow.isAsynchronous = true
        change(&setup.workflow)
        let server = try await RunningServer(setup)
        for (name, role) in [("ann", Role.owner), ("bob", .editor), ("eve", .viewer)] {
            _ = try await server.add(name, role)
        }
        return server
    }

    private func desk(_ server: RunningServer) async throws -> ApprovalDesk {
        // The requests are in the store; any desk of the account sees them.
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        return ApprovalDesk(store: server.scratch.store, box: { box })
    }

    /// Calls the held tool, and gives the request's identifier.
    private func held(
        _ server: RunningServer,
        _ token: String,
        _ text: String = "hello"
    ) async throws -> String {
        let answer = try await server.send(
            "POST",
            "/api/v1/mcp/echo",
            ["text": .string(text)],
            token: token
        )
        #expect(try answer.json["status"] == "pending_approval")
        return try #require(try answer.json["request_id"]?.string)
    }

    private func link(
        _ server: RunningServer,
        _ id: String,
        as approver: Approver = Approver(.user, "bob")
    ) async throws -> String {
        let token = ApprovalLink.makeToken(of: AccountTable.defaultID)
        try await desk(server).addLink(digest: token.digest, to: id, for: approver)
        return token.text
    }

    private static let path = "/api/v1/approval-requests"

    /// It is what they wait for.
    @Test func `an answer is shown to those who decide, and not to whoever made the call`()
        async throws
    {
        let server = try await server()
        let (ann, bob) = (try await server.key("ann"), try await server.key("bob"))
        let eve = try await server.key("eve")
        let desk = try await desk(server)
        let call = try await desk.find(try await held(server, ann)).row.request
        var asking = Caller(name: call.requester, channel: .rest)
        asking.credential = call.credential
        let kept: JSONValue = [
            "call_id": "c1", "arguments": ["text": "hello"], "answer": ["said": "a@example.org"],
        ]
        let (request, _) = try await desk.open(
            ApprovalDesk.Draft(
                kind: .answer,
                tool: "echo",
                arguments: kept.object ?? JSONObject(),
                caller: asking,
                digest: Array(repeating: 7, count: 32),
                demand: ApprovalDemand(policyVersion: 0)
            )
        )
        let list = try await server.send("GET", Self.path, token: bob)
        #expect(!list.text.contains("example.org") && list.text.contains("hello"))
        for (token, isShown) in [(bob, true), (eve, false), (ann, false)] {
            let shown = try await server.send("GET", "\(Self.path)/\(request.id)", token: token)
            #expect(shown.status == 200 && shown.text.contains("hello"), "\(shown.text)")
            #expect(shown.text.contains("example.org") == isShown)
        }
        let token = try await link(server, request.id)
        let page = try await server.send("GET", "/approval/\(request.id)?token=\(token)")
        #expect(page.text.contains("May its caller see the answer?"))
        #expect(page.text.contains("example.org") && !page.text.contains("remember_seconds"))
        try await server.stop()
    }

    @Test func `what is remembered is listed, and taken back by whoever may decide`() async throws {
        let server = try await server { $0.rememberedSeconds = 600 }
        let (ann, bob) = (try await server.key("ann"), try await server.key("bob"))
        let eve = try await server.key("eve")
        let path = "/api/v1/approvals/remembered"
        var ids: [String] = []
        for text in ["one", "two"] {
            let id = try await held(server, ann, text)
            let approved = try await server.send(
                "POST",
                "\(Self.path)/\(id)/approve",
                ["remember_seconds": 600],
                token: bob
            )
            #expect(approved.status == 200, "\(approved.text)")
            ids.append(id)
        }
        let page = try await server.send("GET", "\(path)?limit=1", token: eve)
        #expect(try page.json[0]?["request_id"] == .string(ids[1]))
        #expect(try page.json[0]?["approved_by"] == ["user:bob"])
        #expect(try page.json[0]?["is_in_force"] == true)
        let list = try await server.send("GET", path, token: bob)
        #expect(try list.json.array?.count == 2)
        // Who only looks takes nothing back.
        for place in [path, "\(path)/\(ids[0])"] {
            let refused = try await server.send("DELETE", place, token: eve)
            #expect(refused.status == 403)
        }
        let one = try await server.send("DELETE", "\(path)/\(ids[0])", token: ann)
        #expect(one.status == 204 && one.text.isEmpty)
        let again = try await server.send("DELETE", "\(path)/\(ids[0])", token: ann)
        #expect(again.status == 404)
        let events = try await server.send("GET", "\(Self.path)/\(ids[0])", token: bob)
        let last = try #require(try events.json["events"]?.array?.last)
        #expect(last["type"] == "forgotten" && last["actor"] == "user:ann")
        let rest = try await server.send("DELETE", path, token: bob)
        #expect(try rest.json["forgotten"] == 1)
        #expect(try await server.send("GET", path, token: bob).json.array?.isEmpty == true)
        try await server.stop()
    }

    @Test func `what waits is listed, shown and decided, and the second hears who was first`()
        async throws
    {
        let server = try await server()
        let (ann, bob) = (try await server.key("ann"), try await server.key("bob"))
        let id = try await held(server, ann)
        let list = try await server.send("GET", "\(Self.path)?status=pending", token: bob)
        #expect(try list.json.array?.count == 1)
        let shown = try await server.send("GET", "\(Self.path)/\(id)", token: bob)
        #expect(try shown.json["arguments"] == ["text": "hello"])
        #expect(try shown.json["message"] == "ask first")
        #expect(try shown.json["events"]?[0]?["type"] == "approval_requested")
        // The key that called may not decide, though its user owns the account.
        let own = try await server.send("POST", "\(Self.path)/\(id)/approve", token: ann)
        #expect(own.status == 403)
        #expect(try own.json["code"] == "same_credential")
        let eve = try await server.key("eve")
        let viewer = try await server.send("POST", "\(Self.path)/\(id)/approve", token: eve)
        #expect(viewer.status == 403)
        let approved = try await server.send(
            "POST",
            "\(Self.path)/\(id)/decide",
            ["decision": "approve", "comment": "fine"],
            token: bob
        )
        #expect(approved.status == 200)
        #expect(try approved.json["status"] == "approved")
        let late = try await server.send(
            "POST",
            "\(Self.path)/\(id)/decline",
            token: try await server.key("ann")
        )
        #expect(late.status == 409)
        #expect(try late.json["code"] == "already_decided")
        #expect(try late.json["decided_by"] == "user:bob")
        #expect(try await server.send("GET", "\(Self.path)/nothing", token: bob).status == 404)
        try await server.stop()
    }

    @Test func `requests are listed page by page`() async throws {
        let server = try await server()
        let ann = try await server.key("ann")
        var made: [String] = []
        for number in 0..<5 { made.append(try await held(server, ann, "\(number)")) }
        var found: [String] = []
        var path: String? = "\(Self.path)?limit=2"
        while let next = path {
            let page = try await server.send("GET", next, token: ann)
            found += try page.json.array?.compactMap { $0["request_id"]?.string } ?? []
            path = page.headers["X-Next-Cursor"].map { "\(Self.path)?limit=2&cursor=\($0)" }
        }
        #expect(Set(found) == Set(made) && found.count == 5)
        try await server.stop()
    }

    @Test func `opening the page decides nothing, however often`() async throws {
        let server = try await server()
        let id = try await held(server, try await server.key("ann"))
        let token = try await link(server, id)
        for method in ["GET", "HEAD", "GET"] {
            for path in ["", "/data"] {
                let answer = try await server.send(method, "/approval/\(id)\(path)?token=\(token)")
                #expect(answer.status == 200)
            }
            let decide = "/approval/\(id)/decide?token=\(token)&decision=approve"
            #expect(try await server.send(method, decide).status == 405)
        }
        #expect(try await desk(server).find(id).status == .pending)
        let page = try await server.send("GET", "/approval/\(id)?token=\(token)")
        #expect(page.text.contains("hello") && page.text.contains("ask first"))
        #expect(page.text.contains("method=\"post\"") && !page.text.contains("<script"))
        #expect(page.headers["Referrer-Policy"] == "no-referrer")
        #expect(page.headers["Cache-Control"] == "no-store")
        let policy = try #require(page.headers["Content-Security-Policy"])
        #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
        try await server.stop()
    }

    @Test func `the page's form decides once; a stolen or replayed link does not`() async throws {
        let server = try await server()
        let ann = try await server.key("ann")
        let (id, other) = (try await held(server, ann), try await held(server, ann, "other"))
        let token = try await link(server, id)
        func send(_ id: String, _ token: String, _ decision: String) async throws -> Int {
            try await server.sendForm(
                "/approval/\(id)/decide",
                "token=\(token)&decision=\(decision)&comment=so+be+it"
            ).status
        }
        #expect(try await send(other, token, "approve") == 404)
        let madeUp = ApprovalLink.makeToken(of: AccountTable.defaultID).text
        #expect(try await send(id, madeUp, "approve") == 404)
        let foreign = ApprovalLink.makeToken(of: AccountID(77)).text
        #expect(try await send(id, foreign, "approve") == 404)
        #expect(try await send(id, token, "maybe") == 404)
        #expect(try await desk(server).find(id).status == .pending)
        #expect(try await send(id, token, "approve") == 200)
        let request = try await desk(server).find(id)
        #expect(request.status == .approved && request.state.resolvedBy == "user:bob")
        #expect(request.state.resolution == "so be it")
        #expect(try await send(id, token, "decline") == 410)
        let late = try await link(server, id)
        #expect(try await send(id, late, "decline") == 409)
        let page = try await server.send("GET", "/approval/\(id)?token=\(late)")
        #expect(page.text.contains("approved by user:bob") && !page.text.contains("<form"))
        try await server.stop()
    }

    /// Programs that know links to decide by were told that a body must be a form.
    @Test func `a program decides by the link as the form does, and is answered in kind`()
        async throws
    {
        let server = try await server { $0.requiresReason = true }
        let ann = try await server.key("ann")
        let (id, other) = (try await held(server, ann), try await held(server, ann, "other"))
        let token = try await link(server, id)
        func send(
            _ id: String,
            _ token: String?,
            _ body: JSONValue,
            headers: [(String, String)] = []
        ) async throws -> RunningServer.Answer {
            let query = token.map { "?token=\($0)" } ?? ""
            let path = "/approval/\(id)/decide\(query)"
            return try await server.send("POST", path, body, headers: headers)
        }
        let yes: JSONValue = ["decision": "approve", "comment": "so be it"]
        let wrong: [(id: String, token: String?)] = [
            (other, token), (id, ApprovalLink.makeToken(of: AccountTable.defaultID).text),
            (id, ApprovalLink.makeToken(of: AccountID(77)).text), (id, nil),
        ]
        for link in wrong {
            let refused = try await send(link.id, link.token, yes)
            #expect(try refused.status == 404 && refused.json["code"] == "unknown_link")
        }
        let bodies: [JSONValue] = [
            ["decision": "maybe"], [:], ["decision": "approve", "comment": 1],
            // The workflow asks for a reason.
            ["decision": "approve"], ["decision": "approve", "comment": ""],
        ]
        for body in bodies {
            #expect(try await send(id, token, body).status == 422, "\(body)")
        }
        let stranger = [("Origin", "https://evil.example")]
        #expect(try await send(id, token, yes, headers: stranger).status == 403)
        // What a page of strangers may send without asking is no JSON.
        let plain = [("Content-Type", "text/plain")]
        #expect(try await send(id, token, yes, headers: plain).status == 415)
        #expect(try await desk(server).find(id).status == .pending)
        let done = try await send(id, token, yes)
        #expect(try done.status == 200 && done.json["status"] == "approved", "\(done.text)")
        #expect(try done.json["request_id"]?.string == id && !done.text.contains("hello"))
        let request = try await desk(server).find(id)
        #expect(request.state.resolvedBy == "user:bob" && request.state.resolution == "so be it")
        let again = try await send(id, token, yes)
        #expect(try again.status == 410 && again.json["code"] == "used_link")
        // The token may stand in the body, as in the form.
        var no = JSONObject([("decision", "decline"), ("comment", "no")])
        no["token"] = .string(try await link(server, id))
        #expect(try await send(id, nil, .object(no)).status == 409)
        no["token"] = .string(try await link(server, other))
        #expect(try await send(other, nil, .object(no)).json["status"] == "declined")
        try await server.stop()
    }

    @Test func `the document has what programs do by a link, with all that they are answered`()
        async throws
    {
        let server = try await server { $0.requiresReason = true }
        let ann = try await server.key("ann")
        let (id, other) = (try await held(server, ann), try await held(server, ann, "other"))
        let (token, late) = (try await link(server, id), try await link(server, id))
        let foreign = try await link(server, other)
        let document = try await InterfaceDocument(of: server)
        func check(
            _ method: String,
            _ path: String,
            _ body: JSONValue? = nil,
            headers: [(String, String)] = [],
            gives status: Int
        ) async throws {
            let place = path.hasPrefix("data") ? "/approval/{id}/data" : "/approval/{id}/decide"
            let route = try #require(
                server.application.responder.table.routes.first { $0.path == place }
            )
            let answer = try await server.send(
                method,
                "/approval/\(id)/\(path)",
                body,
                headers: headers
            )
            #expect(answer.status == status, "\(method) \(path): \(answer.text)")
            #expect(document.gaps(answer, to: route) == [], "\(method) \(path) \(status)")
        }
        let yes: JSONValue = ["decision": "approve", "comment": "so be it"]
        let stranger = [("Origin", "https://evil.example")]
        try await check("GET", "data?token=\(token)", gives: 200)
        try await check("GET", "data", gives: 404)
        try await check("GET", "data?token=\(foreign)", gives: 404)
        try await check("GET", "data?token=\(token)", headers: stranger, gives: 403)
        try await check("PUT", "data", gives: 405)
        try await check("GET", "decide", gives: 405)
        let decide = "decide?token=\(token)"
        try await check("POST", "decide", yes, gives: 404)
        try await check("POST", decide, ["decision": "maybe"], gives: 422)
        try await check("POST", decide, ["decision": "approve"], gives: 422)
        try await check("POST", decide, [1], gives: 400)
        try await check("POST", decide, yes, headers: [("Content-Type", "text/plain")], gives: 415)
        try await check("POST", decide, yes, headers: stranger, gives: 403)
        let long = JSONValue.string(String(repeating: "x", count: 20_000))
        try await check("POST", decide, ["decision": "approve", "comment": long], gives: 413)
        try await check("POST", decide, yes, gives: 200)
        try await check("POST", decide, yes, gives: 410)
        try await check("GET", "data?token=\(token)", gives: 200)
        try await check("POST", "decide?token=\(late)", yes, gives: 409)
        // What a program sends is what the document says that it may send.
        let operation = document.json["paths"]?["/approval/{id}/decide"]?["post"]
        let content = operation?["requestBody"]?["content"]
        #expect(content?.object?.members.map(\.key) == ["application/json"])
        #expect(content?["application/json"]?["schema"]?["required"] == ["decision"])
        let parameters = operation?["parameters"]?.array ?? []
        #expect(parameters.map { $0["name"] } == ["id", "token"])
        #expect(parameters.map { $0["schema"]?["type"] } == ["string", "string"])
        #expect(operation?["security"] == [])
        try await server.stop()
    }

    @Test func `without a token the page asks who is there, and tells nothing before`()
        async throws
    {
        let server = try await server()
        let id = try await held(server, try await server.key("ann"))
        let page = try await server.send("GET", "/approval/\(id)")
        #expect(page.status == 200 && page.text.contains("type=\"password\""))
        #expect(!page.text.contains("hello"))
        func signIn(_ name: String, _ password: String) async throws -> RunningServer.Answer {
            let text = password.replacing(" ", with: "+")
            return try await server.sendForm(
                "/approval/\(id)",
                "username=\(name)&password=\(text)"
            )
        }
        #expect(try await signIn("bob", "wrong").status == 401)
        #expect(try await signIn("eve", RunningServer.password).status == 403)
        _ = try await server.addAccount(owner: "mallory")
        let stranger = try await signIn("mallory", RunningServer.password)
        #expect(stranger.status == 404 && !stranger.text.contains("hello"))
        let shown = try await signIn("bob", RunningServer.password)
        #expect(shown.status == 200 && shown.text.contains("hello"), "\(shown.text)")
        let token = try #require(shown.text.firstMatch(of: /name="token" value="(\w+)"/)?.1)
        let done = try await server.sendForm(
            "/approval/\(id)/decide",
            "token=\(token)&decision=decline"
        )
        #expect(done.status == 200 && done.text.contains("Declined"))
        #expect(try await desk(server).find(id).state.resolvedBy == "user:bob")
        try await server.stop()
    }

    /// One of the two was dropped: the comment or decision of another page, or another link.
    @Test func `what is said twice of a request decides nothing`() async throws {
        let server = try await server()
        let id = try await held(server, try await server.key("ann"))
        let (token, other) = (try await link(server, id), try await link(server, id))
        let path = "/approval/\(id)/decide"
        for (form, field) in [
            ("token=\(token)&decision=decline&decision=approve", "decision"),
            ("token=\(token)&token=\(other)&decision=approve", "token"),
            ("token=\(token)&decision=approve&comment=%FF", "comment"),
        ] {
            let answer = try await server.sendForm(path, form)
            #expect(try answer.status == 400 && answer.json["code"] == "malformed_form")
            #expect(try answer.json["errors"]?[0]?["path"]?.string == field, "\(answer.text)")
            #expect(!answer.text.contains(token) && !answer.text.contains(other))
        }
        let address = "\(path)?token=\(token)"
        let page = try await server.sendForm(address, "token=\(other)&decision=approve")
        let body: JSONValue = ["decision": "approve", "token": .string(other)]
        for answer in [page, try await server.send("POST", address, body)] {
            #expect(answer.status == 422, "\(answer.text)")
            #expect(try answer.json["errors"]?[0]?["path"] == "token")
        }
        #expect(try await desk(server).find(id).status == .pending)
        #expect(try await server.sendForm(address, "token=\(token)&decision=decline").status == 200)
        try await server.stop()
    }

    @Test func `a page stays small and harmless whatever the call holds`() async throws {
        let server = try await server { $0.requiresReason = true }
        let nasty = String(repeating: "<script>\"\u{202E}&\u{200B}\"\u{338}", count: 4_000)
        let id = try await held(server, try await server.key("ann"), nasty)
        let token = try await link(server, id)
        let page = try await server.send("GET", "/approval/\(id)?token=\(token)")
        #expect(page.status == 200)
        #expect(page.body.count <= 15_000, "\(page.body.count)")
        #expect(!page.text.contains("<script") && page.text.contains("\\u{202e}"))
        #expect(!page.text.contains("\u{202E}") && !page.text.contains("\u{200B}"))
        // The reason is asked for by the form, and where the form is passed by.
        #expect(page.text.contains("required"))
        let bare = try await server.sendForm(
            "/approval/\(id)/decide",
            "token=\(token)&decision=approve&read_all=yes"
        )
        #expect(bare.status == 422 && bare.text.contains("a reason"))
        #expect(try await desk(server).find(id).status == .pending)
        try await server.stop()
    }

    /// What matters stood behind the cut, and one click approved it, for hours if that was ticked.
    @Test(arguments: [
        // What is kept to be shown, and the page itself, are bounded each.
        String(repeating: "x", count: 2_500), String(repeating: "&", count: 1_900),
    ])
    func `what the page does not show takes a second tick, and is not remembered`(
        _ text: String
    ) async throws {
        let server = try await server { $0.rememberedSeconds = 600 }
        let ann = try await server.key("ann")
        let (id, small) = (try await held(server, ann, text), try await held(server, ann))
        func page(_ id: String) async throws -> (text: String, token: String) {
            let token = try await link(server, id)
            return (try await server.send("GET", "/approval/\(id)?token=\(token)").text, token)
        }
        func approve(_ id: String, _ token: String, _ more: String) async throws -> Int {
            try await server.sendForm(
                "/approval/\(id)/decide",
                "token=\(token)&decision=approve&remember_seconds=600\(more)"
            ).status
        }
        let (shown, token) = try await page(id)
        #expect(shown.contains("name=\"read_all\"") && !shown.contains("remember_seconds"))
        #expect(shown.contains("SHA-256"))
        #expect(try await approve(id, token, "") == 422)
        let path = "/approval/\(id)/decide?token=\(token)"
        let unread = try await server.send("POST", path, ["decision": "approve"])
        #expect(try unread.status == 422 && unread.json["code"] == "unread_part")
        #expect(try await desk(server).find(id).status == .pending)
        #expect(try await approve(id, token, "&read_all=yes") == 200)
        let approved = try await desk(server).find(id)
        #expect(approved.status == .approved && approved.row.life.rememberedUntil == nil)
        // What is shown as a whole is as it was.
        let (plain, other) = try await page(small)
        #expect(!plain.contains("read_all") && plain.contains("remember_seconds"))
        #expect(try await approve(small, other, "") == 200)
        #expect(try await desk(server).find(small).row.life.rememberedUntil != nil)
        try await server.stop()
    }

    @Test func `a quotation mark is escaped also where something combines with it`() {
        #expect(escapedHTML("\"\u{338}") == "&quot;\u{338}")
        #expect(escapedHTML("a<\u{301}b&c>") == "a&lt;\u{301}b&amp;c&gt;")
    }
}
