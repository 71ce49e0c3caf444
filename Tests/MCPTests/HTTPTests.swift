import Domain
import MCP
import Testing

/// What a request over HTTP is, before anything carries bytes.
struct EndpointRouterTests {
    private let router = EndpointRouter(allowedOrigins: ["https://ok.example"])

    private static let meta = """
        "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",\
        "io.modelcontextprotocol/clientCapabilities":{}}
        """

    /// A POST with the headers of a conforming modern client, changed by the test.
    private func modern(
        _ method: String = "tools/call",
        parameters: String = #""name":"search""#,
        headers: [String: String?] = [:],
        body: String? = nil
    ) -> EndpointRouter.Route {
        var all: [String: String?] = [
            "Accept": "application/json, text/event-stream", "Content-Type": "application/json",
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method,
            "Mcp-Name": method == "tools/call" ? "search" : nil,
        ]
        all.merge(headers) { $1 }
        var fields = HeaderFields()
        for (name, value) in all { if let value { fields.append(name, value) } }
        let comma = parameters.isEmpty ? "" : ","
        let whole = """
            {"jsonrpc":"2.0","id":1,"method":"\(method)","params":\
            {\(parameters)\(comma)\(Self.meta)}}
            """
        let text = body ?? whole
        let request = EndpointRequest(method: "POST", headers: fields, body: Array(text.utf8))
        return router.route(request)
    }

    private func refusal(_ route: EndpointRouter.Route) -> (status: Int, code: Int64?)? {
        guard case .reply(let reply) = route else { return nil }
        let message = try? JSONParser.parse(reply.body)
        return (reply.status, message?["error"]?["code"]?.integer)
    }

    @Test func `a conforming request goes through`() {
        guard case .modern(let request) = modern() else {
            Testing.Issue.record("refused")
            return
        }
        #expect(request.method == "tools/call")
    }

    @Test(arguments: [
        ("MCP-Protocol-Version", nil as String?), ("Mcp-Method", nil), ("Mcp-Name", nil),
        ("Mcp-Method", "tools/list"), ("Mcp-Method", "Tools/Call"), ("Mcp-Name", "other"),
        ("Mcp-Name", "=?base64?c2VhcmNo"), ("Mcp-Name", "=?base64?!!!!?="), ("Mcp-Name", "s\u{1}"),
        ("MCP-Protocol-Version", "2025-11-25"),
    ])
    func `headers that are missing or say something else are 400 and -32020`(
        _ name: String,
        _ value: String?
    ) {
        let refusal = refusal(modern(headers: [name: value]))
        #expect(refusal?.status == 400 && refusal?.code == -32020)
    }

    @Test(
        arguments: ["prompts/get", "resources/read"],
        [nil, "", "other", "ONE", "memo://one/", "=?base64?!!!!?=", "one\u{1}"] as [String?]
    )
    func `a prompt and a resource are named by their header, too`(
        _ method: String,
        _ value: String?
    ) {
        let (parameter, other) = method == "prompts/get" ? ("name", "uri") : ("uri", "name")
        func route(_ key: String, _ header: String?) -> EndpointRouter.Route {
            modern(method, parameters: #""\#(key)":"one""#, headers: ["Mcp-Name": header])
        }
        let refused = refusal(route(parameter, value))
        #expect(refused?.status == 400 && refused?.code == -32020)
        // What the body does not name no header names.
        #expect(refusal(route(other, "one"))?.code == -32020)
        guard case .modern = route(parameter, "one") else {
            Testing.Issue.record("refused")
            return
        }
    }

    @Test func `a header that is there twice is refused`() {
        var fields = HeaderFields([
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list",
            "content-type": "application/json",
        ])
        fields.append("mcp-method", "tools/list")
        let text = #"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{\#(Self.meta)}}"#
        let route = router.route(
            EndpointRequest(method: "POST", headers: fields, body: Array(text.utf8))
        )
        #expect(refusal(route)?.code == -32020)
    }

    @Test func `an encoded name is decoded before it is compared`() {
        let name = "Grüße, 世界"
        let encoded = "=?base64?R3LDvMOfZSwg5LiW55WM?="
        let route = modern(parameters: #""name":"\#(name)""#, headers: ["Mcp-Name": encoded])
        if case .reply = route { Testing.Issue.record("\(route)") }
        #expect(HeaderValue.decoded("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=") == "=?base64?literal?=")
        #expect(HeaderValue.decoded("=?base64?IHBhZGRlZCA=?=") == " padded ")
        #expect(HeaderValue.decoded("=?base64??=") == "")
        #expect(HeaderValue.decoded("=?base64?IHBhZGRlZCB=?=") == nil)
        #expect(HeaderValue.decoded("=?base64?/w==?=") == nil)
        #expect(HeaderValue.decoded("plain") == "plain")
    }

    @Test func `the name is taken from the body, never from the header`() {
        let refusal = refusal(
            modern(parameters: #""name":"delete""#, headers: ["Mcp-Name": "search"])
        )
        #expect(refusal?.code == -32020)
    }

    @Test func `discovery without headers is served`() {
        let headers: [String: String?] = ["Mcp-Method": nil, "MCP-Protocol-Version": nil]
        let route = modern("server/discover", parameters: "", headers: headers)
        if case .reply = route { Testing.Issue.record("\(route)") }
        let wrong = modern("server/discover", parameters: "", headers: ["Mcp-Method": "ping"])
        #expect(refusal(wrong)?.code == -32020)
    }

    @Test func `metadata that is missing is 400 and -32602`() {
        let body = #"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#
        let refusal = refusal(modern("tools/list", body: body))
        #expect(refusal?.status == 400 && refusal?.code == -32602)
    }

    @Test(arguments: ["2099-01-01", "1900-01-01", "x"])
    func `an unknown revision is 400 and -32022`(_ version: String) {
        let refusal = refusal(modern(headers: ["MCP-Protocol-Version": version]))
        #expect(refusal?.status == 400 && refusal?.code == -32022)
    }

    @Test(arguments: [
        ("{", 400, -32700), ("[]", 400, -32600),
        (#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 400, -32600),
        ("5", 400, -32600),
    ])
    func `a body that is no request is 400`(_ body: String, _ status: Int, _ code: Int64) {
        let refusal = refusal(modern(body: body))
        #expect(refusal?.status == status && refusal?.code == code)
    }

    @Test func `a notification is received and there is nothing to say`() {
        let body = #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#
        #expect(modern(body: body) == .reply(HTTPReply(status: 202)))
    }

    @Test(arguments: [
        ("Accept", "application/json", 406), ("Accept", "text/event-stream", 406),
        ("Accept", "text/html", 406), ("Accept", ";", 406), ("Accept", ",;,/;", 406),
        ("Content-Type", "text/plain", 415),
        ("Origin", "https://evil.example", 403), ("Origin", "null", 403),
    ])
    func `what HTTP itself forbids has its status`(
        _ name: String,
        _ value: String,
        _ status: Int
    ) {
        #expect(refusal(modern(headers: [name: value]))?.status == status)
    }

    @Test(arguments: ["*/*", "application/*, text/*", "application/json;q=1, text/event-stream"])
    func `accept may be wide`(_ value: String) {
        #expect(refusal(modern(headers: ["Accept": value])) == nil)
    }

    @Test func `a page of an allowed origin may call`() {
        #expect(refusal(modern(headers: ["Origin": "https://OK.example"])) == nil)
    }

    @Test func `a body that is too long is 413`() {
        let long = String(repeating: " ", count: MessageParser.Limits().bytes + 1)
        #expect(refusal(modern(body: long))?.status == 413)
    }

    @Test(arguments: ["GET", "DELETE", "PUT"])
    func `the modern era has POST alone`(_ method: String) {
        let headers = HeaderFields([
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Session-Id": "abc",
            "Accept": "text/event-stream",
        ])
        let route = router.route(EndpointRequest(method: method, headers: headers))
        guard case .reply(let reply) = route else {
            Testing.Issue.record("\(route)")
            return
        }
        #expect(reply.status == 405 && reply.headers["allow"] == "POST")
    }

    @Test func `session headers mean nothing to the modern era`() {
        let route = modern(headers: ["Mcp-Session-Id": "gone", "Last-Event-ID": "1-1"])
        if case .reply = route { Testing.Issue.record("\(route)") }
    }

    // MARK: - Legacy

    private func legacy(
        _ method: String,
        _ body: String = "",
        _ headers: [String: String] = [:]
    ) -> EndpointRouter.Route {
        var fields = HeaderFields(["Content-Type": "application/json"])
        for (name, value) in headers { fields.append(name, value) }
        return router.route(
            EndpointRequest(method: method, headers: fields, body: Array(body.utf8))
        )
    }

    @Test func `initialize begins a session, with or without a version header`() {
        let body = #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#
        guard case .initialize = legacy("POST", body) else {
            Testing.Issue.record("no session")
            return
        }
        guard case .initialize = legacy("POST", body, ["MCP-Protocol-Version": "2025-11-25"])
        else {
            Testing.Issue.record("no session")
            return
        }
    }

    @Test func `other requests name their session`() {
        let body = #"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
        #expect(refusal(legacy("POST", body))?.status == 400)
        guard case .post("abc", _) = legacy("POST", body, ["Mcp-Session-Id": "abc"]) else {
            Testing.Issue.record("no session")
            return
        }
        #expect(refusal(legacy("POST", body, ["Mcp-Session-Id": "a b"]))?.status == 400)
        #expect(refusal(legacy("GET"))?.status == 400)
        #expect(refusal(legacy("DELETE"))?.status == 400)
        #expect(legacy("DELETE", "", ["Mcp-Session-Id": "abc"]) == .end(session: "abc"))
        let get = legacy("GET", "", ["Mcp-Session-Id": "abc", "Last-Event-ID": "3-7"])
        #expect(get == .stream(session: "abc", after: EventID(stream: 3, number: 7)))
        let wrong = legacy("GET", "", ["Mcp-Session-Id": "abc", "Last-Event-ID": "x"])
        #expect(refusal(wrong)?.status == 400)
        let unknown = legacy("GET", "", ["Mcp-Session-Id": "a", "MCP-Protocol-Version": "1"])
        #expect(refusal(unknown)?.status == 400)
    }
}

struct HTTPExchangeTests {
    private func request(_ method: String, _ extra: String = "", meta: String = "") throws
        -> Message.Request
    {
        let text = """
            {"jsonrpc":"2.0","id":1,"method":"\(method)","params":{\(extra)"_meta":{\(meta)\
            "io.modelcontextprotocol/protocolVersion":"2026-07-28",\
            "io.modelcontextprotocol/clientCapabilities":{}}}}
            """
        guard case .message(.request(let request)) = try MessageParser().parse(Array(text.utf8))
        else { throw RPCError(0, "no request") }
        return request
    }

    private func replyStatus(_ actions: [HTTPExchange.Action]) -> Int? {
        guard case .reply(let reply) = actions.last else { return nil }
        return reply.status
    }

    private func text(_ actions: [HTTPExchange.Action]) -> String {
        actions.map { action in
            switch action {
            case .reply(let reply): "reply \(reply.status)"
            case .open(let head): "open \(head.headers["content-type"] ?? "")"
            case .write(let bytes): String(decoding: bytes, as: UTF8.self)
            case .close: "close"
            case .start: "start"
            case .cancel: "cancel"
            }
        }.joined(separator: "|")
    }

    private func start(_ exchange: inout HTTPExchange, _ meta: String = "") throws -> Int {
        let actions = exchange.begin(try request("tools/call", #""name":"a","#, meta: meta))
        guard case .start(let job) = actions.first else { throw RPCError(0, "no job") }
        return job.id
    }

    private static let result = Result<ServerSession.Outcome, RPCError>.success(
        .result(ToolResult(["a": 1]))
    )

    @Test func `a quick answer is JSON with the status of its error`() throws {
        for (method, status) in [
            ("server/discover", 200), ("nonsense", 404), ("subscriptions/listen", 400),
        ] {
            var exchange = HTTPExchange(server: Conversation.server)
            #expect(replyStatus(exchange.begin(try request(method))) == status)
        }
        var exchange = HTTPExchange(server: Conversation.server)
        let job = try start(&exchange)
        let unknown = exchange.finish(job, .failure(.unknownTool("a")))
        #expect(replyStatus(unknown) == 400)
        #expect(exchange.tick().isEmpty)
    }

    @Test func `something to say before the answer makes it a stream`() throws {
        var exchange = HTTPExchange(server: Conversation.server)
        let job = try start(&exchange, #""progressToken":1,"#)
        let first = text(exchange.progress(job, .init(done: 1)))
        #expect(first.utf8.starts(with: "open text/event-stream|data: {".utf8))
        #expect(first.contains("notifications/progress"))
        let last = text(exchange.finish(job, Self.result))
        #expect(last.contains(#""structuredContent":{"a":1}"#) && last.hasSuffix("|close"))
        #expect(!last.contains("id: "))
    }

    @Test func `a silent call becomes a stream that comments keep open`() throws {
        var exchange = HTTPExchange(server: Conversation.server)
        let job = try start(&exchange)
        #expect(text(exchange.tick()) == "open text/event-stream|: \n\n")
        #expect(text(exchange.tick()) == ": \n\n")
        #expect(text(exchange.finish(job, Self.result)).hasSuffix("|close"))
    }

    @Test func `a client that goes away cancels`() throws {
        var exchange = HTTPExchange(server: Conversation.server)
        let job = try start(&exchange)
        #expect(exchange.disconnect() == [.cancel(job)])
        #expect(exchange.finish(job, Self.result).isEmpty)
        #expect(exchange.tick().isEmpty)
    }

    @Test func `a subscription streams until the server ends it`() throws {
        var exchange = HTTPExchange(server: Conversation.server)
        let filter = #""notifications":{"toolsListChanged":true},"#
        let opened = text(exchange.begin(try request("subscriptions/listen", filter)))
        #expect(opened.contains("open text/event-stream|data: "))
        #expect(opened.contains("acknowledged"))
        #expect(text(exchange.listsChanged(.tools)).contains("list_changed"))
        let ended = text(exchange.end())
        #expect(ended.contains(#""resultType":"complete""#) && ended.hasSuffix("|close"))
    }
}

struct EventLogTests {
    @Test func `the oldest events make room, and asking for them says so`() throws {
        var limits = EventLog.Limits()
        limits.events = 3
        var log = EventLog(limits: limits)
        for number in 1...5 { _ = log.append("e\(number)", to: 1) }
        let kept = try log.events(after: EventID(stream: 1, number: 2)).map(\.data)
        #expect(kept == ["e3", "e4", "e5"])
        #expect(throws: EventLog.ReplayError.forgotten) {
            try log.events(after: EventID(stream: 1, number: 1))
        }
        limits.bytes = 10
        var small = EventLog(limits: limits)
        for _ in 1...3 { _ = small.append("12345", to: 1) }
        #expect(try small.events(after: EventID(stream: 1, number: 1)).count == 2)
    }

    @Test func `all logs together keep no more than their budget, and give it back`() throws {
        let budget = EventBudget(bytes: 30)
        var (one, two) = (EventLog(budget: budget), EventLog(budget: budget))
        for number in 1...2 { _ = one.append("one-\(number)-----", to: 1) }
        _ = two.append("two-1-----", to: 1)
        #expect(budget.usedBytes == 30)
        // A log that finds no room gives up its own events, never another's.
        _ = two.append("two-2-----", to: 1)
        #expect(budget.usedBytes == 30)
        #expect(try two.events(after: EventID(stream: 1, number: 1)).map(\.data) == ["two-2-----"])
        #expect(throws: EventLog.ReplayError.forgotten) {
            try two.events(after: EventID(stream: 1, number: 0))
        }
        #expect(try one.events(after: EventID(stream: 1, number: 0)).count == 2)
        // One that has none of its own goes on without.
        var three = EventLog(budget: budget)
        #expect(three.append("three", to: 1) == EventID(stream: 1, number: 1))
        #expect(throws: EventLog.ReplayError.forgotten) {
            try three.events(after: EventID(stream: 1, number: 0))
        }
        one.forget()
        #expect(budget.usedBytes == 10)
        _ = three.append("three", to: 1)
        #expect(try three.events(after: EventID(stream: 1, number: 1)).count == 1)
        one = EventLog()
        two = EventLog()
        three = EventLog()
        #expect(budget.usedBytes == 0)
    }

    @Test func `data with line ends is one event`() {
        let event = ServerSentEvent(id: "1-1", data: "a\nb", retry: 5)
        #expect(
            String(decoding: event.bytes, as: UTF8.self)
                == "id: 1-1\nretry: 5\ndata: a\ndata: b\n\n"
        )
    }
}

struct HTTPSessionTableTests {
    @Test func `a session is found by its principal alone`() {
        var table = HTTPSessionTable<Int>()
        _ = table.add(7, id: "a", principal: "ann", now: .zero)
        #expect(table.with("a", principal: "bob", now: .zero) { $0 } == nil)
        #expect(table.with("b", principal: "ann", now: .zero) { $0 } == nil)
        #expect(
            table.with("a", principal: "ann", now: .zero) {
                $0 += 1; return $0
            } == 8
        )
        #expect(table.remove("a", principal: "bob") == nil)
        #expect(table.remove("a", principal: "ann") == 8)
        #expect(table.count == 0)
    }

    @Test func `principals are told apart by their bytes`() {
        var table = HTTPSessionTable<Int>()
        _ = table.add(7, id: "a", principal: "ren\u{E9}", now: .zero)
        let other = "rene\u{301}"
        #expect(table.with("a", principal: other, now: .zero) { $0 } == nil)
        #expect(table.remove("a", principal: other) == nil)
        #expect(table.remove("a", principal: "ren\u{E9}") == 7)
    }

    @Test func `sessions are taken out by what they are`() {
        var table = HTTPSessionTable<Int>()
        for number in 1...4 { _ = table.add(number, id: "\(number)", principal: "ann", now: .zero) }
        #expect(table.remove { $0 % 2 == 0 }.sorted() == [2, 4])
        #expect(table.with("2", principal: "ann", now: .zero) { $0 } == nil)
        #expect(table.all.sorted() == [1, 3])
    }

    @Test func `the least recently used makes room`() {
        var limits = HTTPSessionTable<Int>.Limits()
        (limits.sessions, limits.sessionsPerPrincipal) = (3, 2)
        var table = HTTPSessionTable<Int>(limits: limits)
        _ = table.add(1, id: "1", principal: "ann", now: .seconds(1))
        _ = table.add(2, id: "2", principal: "ann", now: .seconds(2))
        _ = table.with("1", principal: "ann", now: .seconds(3)) { _ in }
        #expect(table.add(3, id: "3", principal: "ann", now: .seconds(4)) == [2])
        _ = table.add(4, id: "4", principal: "bob", now: .seconds(5))
        #expect(table.add(5, id: "5", principal: "eve", now: .seconds(6)) == [1])
    }

    @Test func `idle sessions end unless they are busy`() {
        var table = HTTPSessionTable<Int>()
        _ = table.add(1, id: "1", principal: "ann", now: .zero)
        _ = table.add(2, id: "2", principal: "ann", now: .zero)
        #expect(table.expire(now: .seconds(3_599)) { _ in false }.isEmpty)
        #expect(table.expire(now: .seconds(3_600)) { $0 == 2 } == [1])
        #expect(table.count == 1)
    }
}
