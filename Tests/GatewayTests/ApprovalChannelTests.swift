import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Telling people of requests: what is sent, to whom, and what a dead channel does.
@Suite struct ApprovalChannelTests {
    /// Notes what is posted, and answers with a status.
    private final class FakeWeb: HTTPTransport {
        let requests = Mutex<[HTTPRequest]>([])
        let status = Mutex(200)

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            requests.withLock { $0.append(request) }
            return HTTPResponse(
                status: status.withLock { $0 },
                headers: HTTPHeaders(),
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private final class FakeMail: MailTransport {
        let messages = Mutex<[MailMessage]>([])

        func send(_ message: MailMessage) async throws(MailError) {
            messages.withLock { $0.append(message) }
        }
    }

    private let web = FakeWeb()
    private let mail = FakeMail()

    private func means(allowing allowed: [String] = []) -> ApprovalNotifier.Means {
        ApprovalNotifier.Means(
            transport: web,
            mail: mail,
            publicURL: "https://preloop.example",
            environment: [
                "PRELOOP_CHANNEL_KEY": "s3cret", "OTHER": "x",
                "PRELOOP_CHANNEL_HOOK": "http://10.0.0.1/hook",
            ],
            egress: EgressGuard(allowing: allowed) { name in
                let address = name == "inside.example" ? "192.168.0.9" : "93.184.216.34"
                return [IPAddress(address)].compactMap { $0 }
            },
            makeToken: { _ in
                let text = "pla_1_\(UInt64.random(in: 0...UInt64.max))"
                return (text, Array(text.utf8))
            }
        )
    }

    private func worker(_ world: ApprovalWorld, allowing allowed: [String] = []) -> JobWorker {
        let notifier = ApprovalNotifier(desk: world.desk, means: means(allowing: allowed))
        return JobWorker(world.scratch.store, handlers: notifier.handlers)
    }

    private func world(
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in }
    ) async throws -> ApprovalWorld {
        let world = try await ApprovalWorld(
            { workflow in
                workflow.isAsynchronous = true
                change(&workflow)
            }
        )
        try await world.addUsers([
            (name: "ann", role: .owner), (name: "bob", role: .editor), (name: "eve", role: .editor),
        ])
        return world
    }

    @Test func `those who are asked get a mail with a link of their own`() async throws {
        let world = try await world { $0.approvers = ["bob", "eve"] }
        let id = try await world.handle("the secret text")
        _ = try await worker(world).drain()
        let messages = mail.messages.withLock { $0 }
        #expect(Set(messages.flatMap(\.to)) == ["bob@example.com", "eve@example.com"])
        for message in messages {
            #expect(message.subject.contains("fake"))
            #expect(message.text.contains("https://preloop.example/approval/\(id)?token=pla_1_"))
            #expect(message.text.contains("Arguments: text"))
            #expect(!message.text.contains("the secret text"))
        }
        let events = try await world.desk.events(of: id)
        #expect(events.count { $0.kind == "notification_sent" } == 2)
        // Told once, whoever works on the jobs again.
        _ = try await worker(world).drain()
        #expect(mail.messages.withLock { $0.count } == 2)
    }

    @Test func `where nobody is named those who run the account are told`() async throws {
        let world = try await world()
        _ = try await world.handle()
        _ = try await worker(world).drain()
        #expect(mail.messages.withLock { $0.flatMap(\.to) } == ["ann@example.com"])
    }

    @Test func `webhooks get the names of arguments, and the generic one a signature`()
        async throws
    {
        let world = try await world { workflow in
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
            workflow.channels["mattermost"] = ["webhook_url": "https://hooks.example/mm"]
            workflow.channels["webhook"] = [
                "url": "https://hooks.example/any", "secret_env": "PRELOOP_CHANNEL_KEY",
                "headers": ["X-Team": "red"],
            ]
        }
        let id = try await world.handle("<!channel> `code` @all")
        _ = try await worker(world).drain()
        let requests = web.requests.withLock { $0 }
        #expect(requests.count == 3)
        for request in requests {
            let body = String(decoding: request.body ?? [], as: UTF8.self)
            #expect(!body.contains("<!channel>") && !body.contains("@all"))
            #expect(body.contains("/approval/\(id)"))
        }
        let signed = try #require(requests.first { $0.url.hasSuffix("/any") })
        let fields = Dictionary(
            signed.headers.map { ($0.name, $0.value) },
            uniquingKeysWith: { first, _ in first }
        )
        let now = world.time.clock.now()
        let expected = ApprovalNotifier.signature(
            of: signed.body ?? [],
            with: "s3cret",
            at: now
        )
        #expect(fields["X-Preloop-Signature"] == expected[1].value)
        #expect(fields["X-Preloop-Timestamp"] == "1700000000" && fields["X-Team"] == "red")
    }

    /// A program that was told of a request never heard that it was over.
    @Test func `a webhook hears of a request's end, once, with a link that decides nothing`()
        async throws
    {
        let world = try await world { workflow in
            workflow.timeoutSeconds = 60
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
            workflow.channels["webhook"] = [
                "url": "https://hooks.example/any", "secret_env": "PRELOOP_CHANNEL_KEY",
            ]
        }
        let jobs = worker(world)
        func told() throws -> [JSONValue] {
            try web.requests.withLock { requests in
                try requests.filter { $0.url.hasSuffix("/any") }
                    .map { try JSONParser.parse($0.body ?? []) }
            }
        }
        let id = try await world.handle("one")
        _ = try await jobs.drain()
        try await world.desk.decide(id, by: Approver(.user, "ann"), .init(.approve))
        _ = try await jobs.drain()
        _ = try await jobs.drain()
        #expect(try told().map { $0["type"] } == ["approval_request", "approval_ended"])
        let end = try #require(try told().last)
        #expect(end["request_id"]?.string == id && end["status"] == "approved")
        #expect(end["decided_by"] == ["user:ann"])
        #expect(end["actions"]?["view"]?.string?.contains("token=") == false)
        // People in a channel of words are asked, and not told again.
        #expect(web.requests.withLock { $0.count { $0.url.hasSuffix("/slack") } } == 1)
        _ = try await world.handle("two")
        _ = try await jobs.drain()
        world.time.advance(61)
        _ = try await jobs.drain()
        _ = try await jobs.drain()
        #expect(try told().last?["status"] == "expired")
        #expect(try told().count == 4)
    }

    /// A receiver took the escalation of a request for another request.
    @Test func `a webhook hears at which stage a request is`() async throws {
        let world = try await world { workflow in
            workflow.approvers = ["bob"]
            workflow.escalation = ["ann"]
            workflow.timeoutSeconds = 60
            workflow.channels["webhook"] = [
                "url": "https://hooks.example/any", "secret_env": "PRELOOP_CHANNEL_KEY",
            ]
        }
        let jobs = worker(world)
        let id = try await world.handle()
        for seconds in [0, 61, 61] {
            world.time.advance(seconds)
            // What one job makes the next round does.
            for _ in 0..<3 { _ = try await jobs.drain() }
        }
        let told = try web.requests.withLock { requests in
            try requests.map { try JSONParser.parse($0.body ?? []) }
        }
        #expect(told.allSatisfy { $0["request_id"]?.string == id })
        #expect(told.map { $0["stage"] } == ["requested", "escalated", "ended"])
        let kinds: [JSONValue?] = ["approval_request", "approval_request", "approval_ended"]
        #expect(told.map { $0["type"] } == kinds)
    }

    /// A world in which bob, and then eve, are asked about each call.
    private func worldOfTwo() async throws -> ApprovalWorld {
        var setup = ApprovalWorld.Setup()
        setup.strict.approvers = ["eve"]
        setup.strict.channels["webhook"] = ["url": "https://hooks.example/2", "secret": "s3cret"]
        let world = try await ApprovalWorld(
            { workflow in
                workflow.isAsynchronous = true
                workflow.approvers = ["bob"]
                workflow.channels["webhook"] = [
                    "url": "https://hooks.example/1", "secret": "s3cret",
                ]
            },
            setup: setup
        )
        try await world.addUsers([(name: "bob", role: .editor), (name: "eve", role: .editor)])
        var demand = ApprovalWorld.demand
        demand.add(["strict"], "and strictly")
        let both = demand
        world.policy.decision.withLock { $0 = .requireApproval(both) }
        return world
    }

    /// The link that nobody had used decided for the workflow behind it.
    @Test func `each of two workflows' people are told in their turn, by links for it alone`()
        async throws
    {
        let world = try await worldOfTwo()
        let jobs = worker(world)
        let id = try await world.handle()
        for _ in 0..<3 { _ = try await jobs.drain() }
        #expect(mail.messages.withLock { $0.flatMap(\.to) } == ["bob@example.com"])
        var word = ApprovalDesk.Word(.approve)
        word.workflow = "default"
        try await world.desk.decide(id, by: Approver(.user, "bob"), word)
        for _ in 0..<3 { _ = try await jobs.drain() }
        let messages = mail.messages.withLock { $0 }
        #expect(messages.flatMap(\.to) == ["bob@example.com", "eve@example.com"])
        let links = try messages.map { message -> [UInt8] in
            let token = try #require(message.text.firstMatch(of: /token=(pla_1_\d+)/)?.1)
            return Array(token.utf8)
        }
        await #expect(throws: ApprovalRefusal.refused(.otherWorkflow(asked: "strict"))) {
            try await world.desk.decide(id, linkDigest: links[0], .init(.approve))
        }
        let decided = try await world.desk.decide(id, linkDigest: links[1], .init(.approve))
        #expect(decided.status == .approved && decided.state.resolvedBy == "user:eve")
        for _ in 0..<3 { _ = try await jobs.drain() }
        let told = try web.requests.withLock { requests in
            try requests.map { (url: $0.url, body: try JSONParser.parse($0.body ?? [])) }
        }
        for (number, asked) in [("1", ["default", "strict"]), ("2", ["strict", "strict"])] {
            let bodies = told.filter { $0.url.hasSuffix("/\(number)") }.map(\.body)
            #expect(bodies.map { $0["stage"] } == ["requested", "ended"], "\(number)")
            #expect(bodies.map { $0["asked_workflow"]?.string ?? "" } == asked, "\(number)")
        }
    }

    /// A delivery that comes late tells what it was made for.
    @Test func `a first notice that comes after the escalation is no second one`() async throws {
        let world = try await world { workflow in
            workflow.approvers = ["bob"]
            workflow.escalation = ["ann"]
            workflow.timeoutSeconds = 600
            workflow.channels["webhook"] = [
                "url": "https://hooks.example/any", "secret_env": "PRELOOP_CHANNEL_KEY",
            ]
        }
        let jobs = worker(world)
        web.status.withLock { $0 = 503 }
        _ = try await world.handle()
        for _ in 0..<3 { _ = try await jobs.drain() }
        let failed = web.requests.withLock { $0.count }
        #expect(failed > 0)
        web.status.withLock { $0 = 200 }
        world.time.advance(601)
        for _ in 0..<3 { _ = try await jobs.drain() }
        let stages = try web.requests.withLock { requests in
            try requests.dropFirst(failed).map { request in
                try JSONParser.parse(request.body ?? [])["stage"]?.string ?? "none"
            }
        }
        #expect(stages.sorted() == ["escalated", "requested"])
    }

    @Test func `the handle of a call names the channels, and no address of theirs`() async throws {
        let world = try await world { workflow in
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
            workflow.channels["webhook"] = ["url": "https://hooks.example/any", "secret": "s3cret"]
        }
        let result = try await world.call("hi")
        #expect(result.structured?["channels"] == ["slack", "webhook"], "\(result.text)")
        #expect(!result.text.contains("hooks.example") && !result.text.contains("s3cret"))
    }

    @Test func `a channel's link decides only where no person is asked for`() async throws {
        let named = try await world { workflow in
            workflow.approvers = ["bob"]
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
        }
        _ = try await named.handle()
        _ = try await worker(named).drain()
        let body = web.requests.withLock { String(decoding: $0[0].body ?? [], as: UTF8.self) }
        #expect(body.contains("/approval/") && !body.contains("token="))
    }

    /// An agent whose person reads the channel approved its own calls by the link.
    @Test func `a channel's link decides nothing where nobody may approve their own calls`()
        async throws
    {
        let world = try await world { workflow in
            workflow.allowsSelfApproval = false
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
        }
        let id = try await world.handle()
        _ = try await worker(world).drain()
        let body = web.requests.withLock { String(decoding: $0[0].body ?? [], as: UTF8.self) }
        #expect(body.contains("/approval/\(id)") && !body.contains("token="))
        // One that was given out before does not count either.
        let link = Approver(.link, "slack")
        try await world.desk.addLink(digest: [7], to: id, for: link)
        await #expect(throws: ApprovalRefusal.refused(.notAnApprover(approver: "link:slack"))) {
            try await world.desk.decide(id, linkDigest: [7], .init(.approve))
        }
        #expect(try await world.desk.find(id).status == .pending)
    }

    @Test func `who may not decide any more gets no mail`() async throws {
        let world = try await world { $0.approvers = ["bob", "eve"] }
        try await world.demote("bob")
        _ = try await world.handle()
        _ = try await worker(world).drain()
        #expect(mail.messages.withLock { $0.flatMap(\.to) } == ["eve@example.com"])
    }

    /// Whoever writes policies could find out what answers where in the server's network.
    @Test(arguments: [401, 404, 500, 503])
    func `events do not tell what a channel's address answers`(_ status: Int) async throws {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url": "http://10.0.0.1/"]
        }
        web.status.withLock { $0 = status }
        let id = try await world.handle()
        for _ in 0..<3 {
            _ = try await worker(world, allowing: ["10.0.0.0/8"]).drain()
            world.time.advance(60)
        }
        #expect(web.requests.withLock { !$0.isEmpty })
        let events = try await world.desk.events(of: id)
        let failed = events.filter { $0.kind == "notification_failed" }
        #expect(failed.map(\.detail) == ["slack: was not delivered"])
    }

    @Test(arguments: [
        "http://10.0.0.1/", "http://127.0.0.1:8000/api", "http://169.254.169.254/latest",
        "http://[::1]/", "http://0x7f.1/", "https://inside.example/hook", "http://printer/",
        "ftp://hooks.example/",
    ])
    func `a policy cannot have anything sent into the server's network`(_ url: String) async throws
    {
        let world = try await world { $0.channels["slack"] = ["webhook_url": .string(url)] }
        let id = try await world.handle()
        _ = try await worker(world).drain()
        #expect(web.requests.withLock { $0.isEmpty })
        let events = try await world.desk.events(of: id)
        let failed = events.filter { $0.kind == "notification_failed" }
        #expect(failed.map(\.detail) == ["slack: was not delivered"])
    }

    @Test func `what is sent goes to the address that was looked at`() async throws {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
            $0.channels["mattermost"] = ["webhook_url": "https://inside.example/hook"]
        }
        _ = try await world.handle()
        _ = try await worker(world, allowing: ["192.168.0.0/16"]).drain()
        let addresses = web.requests.withLock { Set($0.map(\.pinnedAddress)) }
        #expect(addresses == ["93.184.216.34", "192.168.0.9"])
    }

    @Test func `an address that the operator has put into a variable is taken as it is`()
        async throws
    {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url_env": "PRELOOP_CHANNEL_HOOK"]
        }
        _ = try await world.handle()
        _ = try await worker(world).drain()
        #expect(web.requests.withLock { $0.map(\.url) } == ["http://10.0.0.1/hook"])
    }

    @Test func `a dead channel is tried again and loses no request`() async throws {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
        }
        web.status.withLock { $0 = 503 }
        let id = try await world.handle()
        _ = try await worker(world).drain()
        #expect(try await world.desk.find(id).status == .pending)
        let failed = try await world.desk.events(of: id).filter { $0.kind == "notification_failed" }
        #expect(failed.first?.detail == "slack: was not delivered")
        web.status.withLock { $0 = 200 }
        world.time.advance(120)
        _ = try await worker(world).drain()
        let sent = try await world.desk.events(of: id).filter { $0.kind == "notification_sent" }
        #expect(sent.contains { $0.detail == "slack" })
        // A decided request is told to nobody any more.
        let second = try await world.handle("more")
        try await world.desk.decide(second, by: Approver(.user, "bob"), .init(.decline))
        let count = web.requests.withLock { $0.count }
        _ = try await worker(world).drain()
        #expect(web.requests.withLock { $0.count } == count)
    }

    /// A vetted address with another `Host`, or a second signature for receivers to choose from.
    @Test func `headers that say where a request goes or who signed it are left out`() {
        let settings = ChannelSettings(
            [
                "headers": [
                    "Host": "10.0.0.1", "content-length": "5", "Transfer-Encoding": "chunked",
                    "X-Preloop-Signature": "sha256=00", "X-Team": "red",
                ]
            ],
            environment: [:]
        )
        #expect(settings.headers.map(\.name) == ["X-Team"])
    }

    @Test func `a policy cannot read variables that are no channel's`() {
        let settings = ChannelSettings(
            ["secret_env": "OTHER", "url": ""],
            environment: ["OTHER": "x"]
        )
        #expect(settings.value("secret") == nil && settings.value("url") == nil)
    }

    @Test func `the job at a request's end lets it expire`() async throws {
        let world = try await world { $0.timeoutSeconds = 60 }
        let id = try await world.handle()
        world.time.advance(61)
        _ = try await worker(world).drain()
        let row = try await world.scratch.store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)
        }
        #expect(row?.life.status == "expired")
        // Decided long ago, it is removed beside the next one's end.
        world.time.advance(91 * 86_400)
        _ = try await world.handle("later")
        world.time.advance(61)
        _ = try await worker(world).drain()
        let kept = try await world.desk.list(status: nil, limit: 10)
        #expect(kept.count == 1 && kept[0].id != id)
        #expect(try await world.desk.events(of: id).isEmpty)
    }
}
