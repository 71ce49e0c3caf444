import Domain
import Firewall
import HTTPClient
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Several processes that tell people of requests and let time pass over them, some of which lack
/// what others have, and some of which die.
@Suite(.timeLimit(.minutes(5)))
struct ApprovalSharingTests {
    private final class FakeWeb: HTTPTransport {
        let requests = Mutex<[HTTPRequest]>([])

        var bodies: [String] {
            requests.withLock { $0.map { String(decoding: $0.body ?? [], as: UTF8.self) } }
        }

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            requests.withLock { $0.append(request) }
            return HTTPResponse(
                status: 200,
                headers: HTTPHeaders(),
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private final class FakeMail: MailTransport {
        let messages = Mutex<[MailMessage]>([])

        var texts: [String] { messages.withLock { $0.map(\.text) } }

        func send(_ message: MailMessage) async throws(MailError) {
            messages.withLock { $0.append(message) }
        }
    }

    private static let hook = "PRELOOP_CHANNEL_HOOK"

    private let web = FakeWeb()
    private let mail = FakeMail()

    /// What a process has that lacks nothing.
    private var whole: ApprovalNotifier.Means {
        ApprovalNotifier.Means(
            transport: web,
            mail: mail,
            publicURL: "https://preloop.example",
            environment: [Self.hook: "https://hooks.example/slack"],
            egress: EgressGuard(allowing: []) { _ in
                [IPAddress("93.184.216.34")].compactMap { $0 }
            }
        )
    }

    /// What does the jobs of a process that has these means, at a desk of its own.
    private func worker(
        _ world: ApprovalWorld,
        desk: ApprovalDesk? = nil,
        _ change: (inout ApprovalNotifier.Means) -> Void = { _ in }
    ) -> JobWorker {
        var means = whole
        change(&means)
        let notifier = ApprovalNotifier(desk: desk ?? world.desk, means: means)
        return JobWorker(world.scratch.store, handlers: notifier.handlers)
    }

    private func world(
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void = { _ in }
    ) async throws -> ApprovalWorld {
        let world = try await ApprovalWorld(
            { workflow in
                workflow.isAsynchronous = true
                workflow.timeoutSeconds = 60
                change(&workflow)
            }
        )
        try await world.addUsers([(name: "ann", role: .owner), (name: "eve", role: .editor)])
        return world
    }

    private func jobs(_ world: ApprovalWorld, _ state: Job.State) async throws -> [Job] {
        try await world.scratch.store.read { connection, account in
            try JobTable.list(state, limit: 100, account: account, on: connection)
        }
    }

    /// How a request is stored, whatever the time.
    private func status(_ id: String, _ world: ApprovalWorld) async throws -> String? {
        try await world.scratch.store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)?.life.status
        }
    }

    private func kinds(_ id: String, _ world: ApprovalWorld) async throws -> [String] {
        try await world.desk.events(of: id).map(\.kind)
    }

    // MARK: - What a process lacks

    @Test func `where nobody has said the address, notices have a command and no link`()
        async throws
    {
        let world = try await world { workflow in
            workflow.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
            workflow.channels["mattermost"] = ["webhook_url": "https://hooks.example/mm"]
            workflow.channels["webhook"] = ["url": "https://hooks.example/any", "secret": "s3cret"]
        }
        let id = try await world.handle()
        _ = try await worker(world) { $0.publicURL = nil }.drain()
        #expect(mail.texts.count == 1 && web.bodies.count == 3)
        for text in mail.texts + web.bodies {
            #expect(text.contains("preloop approvals show \(id)"), "\(text)")
            #expect(!text.contains("http") && !text.contains("token="), "\(text)")
        }
        let hook = try #require(web.bodies.first { $0.contains("approval_request") })
        let actions = try JSONParser.parse(hook)["actions"]
        #expect(actions == ["command": .string("preloop approvals show \(id)")])
    }

    @Test func `mails are left to a process that has a mail server`() async throws {
        let world = try await world()
        let id = try await world.handle()
        _ = try await worker(world) { $0.mail = nil }.drain()
        let left = try await jobs(world, .waiting).filter { $0.kind == ApprovalJobs.mail }
        #expect(left.count == 1 && left[0].attempts == 0)
        #expect(try await !kinds(id, world).contains("notification_failed"))
        _ = try await worker(world).drain()
        #expect(mail.messages.withLock { $0.flatMap(\.to) } == ["ann@example.com"])
        #expect(try await kinds(id, world).contains("notification_sent"))
    }

    /// Else every request of an installation without a mail server would leave jobs for ever.
    @Test func `mails that nobody can send go with their request`() async throws {
        let world = try await world { $0.escalation = ["eve"] }
        let id = try await world.handle()
        let other = try await world.handle("more")
        let worker = worker(world) { $0.mail = nil }
        _ = try await worker.drain()
        try await world.desk.decide(other, by: Approver(.user, "eve"), .init(.decline))
        #expect(try await jobs(world, .waiting).count { $0.kind == ApprovalJobs.mail } == 2)
        world.time.advance(61)
        _ = try await worker.drain()
        // The escalated one is open still, and asks one person more.
        #expect(try await status(id, world) == "pending")
        #expect(try await jobs(world, .waiting).count { $0.kind == ApprovalJobs.mail } == 2)
        world.time.advance(61)
        _ = try await worker.drain()
        #expect(try await status(id, world) == "expired")
        #expect(try await jobs(world, .waiting).isEmpty)
    }

    @Test func `a channel whose variable is missing here is left to another process`()
        async throws
    {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url_env": .string(Self.hook)]
            $0.timeoutSeconds = 3_600
        }
        let id = try await world.handle()
        let lacking = worker(world) { $0.environment = [:] }
        for _ in 0..<3 {
            _ = try await lacking.drain()
            world.time.advance(31)
        }
        let left = try await jobs(world, .waiting).filter { $0.kind == ApprovalJobs.deliver }
        #expect(left.map(\.lastError) == ["the variable `\(Self.hook)` is not set here"])
        #expect(left.map(\.attempts) == [0])
        // Told once, however often it was left.
        #expect(try await kinds(id, world).count { $0 == "notification_failed" } == 1)
        _ = try await worker(world).drain()
        #expect(web.requests.withLock { $0.map(\.url) } == ["https://hooks.example/slack"])
    }

    @Test func `a variable that no process has is waited for half an hour`() async throws {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url_env": .string(Self.hook)]
            $0.timeoutSeconds = 7_200
        }
        _ = try await world.handle()
        let lacking = worker(world) { $0.environment = [:] }
        _ = try await lacking.drain()
        world.time.advance(1_799)
        _ = try await lacking.drain()
        #expect(try await jobs(world, .dead).isEmpty)
        world.time.advance(31)
        _ = try await lacking.drain()
        let dead = try await jobs(world, .dead)
        #expect(dead.map(\.kind) == [ApprovalJobs.deliver])
    }

    @Test func `a process with another key writes nothing, and leaves everything`() async throws {
        let world = try await world {
            $0.channels["slack"] = ["webhook_url": "https://hooks.example/slack"]
        }
        let id = try await world.handle()
        let before = try await kinds(id, world)
        let box = try SecretBox(keyMaterial: Secret("another key, just as long"))
        let foreign = ApprovalDesk(store: world.scratch.store, box: { box })
        let lacking = worker(world, desk: foreign)
        _ = try await lacking.drain()
        world.time.advance(61)
        _ = try await lacking.drain()
        #expect(web.bodies.isEmpty && mail.texts.isEmpty)
        #expect(try await status(id, world) == "pending")
        #expect(try await kinds(id, world) == before)
        let left = try await jobs(world, .waiting)
        #expect(left.count == 2)
        for job in left { #expect(job.lastError?.contains("secret key") == true) }
        // Whoever has the key ends it; nobody has approved anything.
        world.time.advance(31)
        _ = try await worker(world).drain()
        #expect(try await status(id, world) == "expired")
        #expect(try await jobs(world, .waiting).isEmpty)
        #expect(try await world.poll(id).structured?["status"] != "approved")
        #expect(world.runs.all.isEmpty)
    }

    // MARK: - Deadlines

    /// Takes what is due in the name of a process that has this number no more.
    private func claimByTheDead(_ world: ApprovalWorld) async throws -> [ClaimedJob] {
        var dead = LeaseHolder.current()
        dead.startTicks += 1
        return try await world.scratch.store.claim(
            JobTable.ClaimRequest(
                [ApprovalJobs.deadline],
                limit: 10,
                holder: dead,
                lease: .seconds(60),
                now: world.time.clock.now()
            )
        )
    }

    /// A server that was killed within the job kept it `running`, and no worker took it up.
    @Test func `a deadline whose process was killed is gone on with`() async throws {
        let world = try await world()
        let id = try await world.handle()
        _ = try await worker(world).drain()
        world.time.advance(61)
        #expect(try await claimByTheDead(world).count == 1)
        let running = try await jobs(world, .running)
        #expect(running.count == 1 && running[0].isLost(at: world.time.clock.now()))
        #expect(try await status(id, world) == "pending")
        _ = try await worker(world).drain()
        #expect(try await status(id, world) == "expired")
        #expect(try await jobs(world, .running).isEmpty)
        let ended = try await jobs(world, .done).first { $0.id == running[0].id }
        #expect(ended?.attempts == 2 && ended?.holder == nil)
    }

    /// The clock of whoever made the job may be ahead; that of the second window was given up, and
    /// nothing ended the request.
    @Test func `a deadline that comes too early is given back until the end, in both windows`()
        async throws
    {
        let world = try await world { $0.escalation = ["eve"] }
        let id = try await world.handle()
        for _ in 0..<2 {
            let early = world.time.clock.now()
            _ = try await world.scratch.store.writeOutsideFeed { connection, account in
                try connection.execute(
                    """
                    UPDATE jobs SET due_at = \(early)
                    WHERE account_id = \(account) AND kind = \(ApprovalJobs.deadline.name)
                        AND state = 'waiting'
                    """
                )
            }
            _ = try await worker(world).drain()
            let waiting = try await jobs(world, .waiting)
            #expect(waiting.map(\.kind) == [ApprovalJobs.deadline])
            #expect(waiting.map(\.dueAt) == [early.advanced(by: .seconds(60))])
            #expect(try await jobs(world, .running).isEmpty)
            world.time.advance(60)
            _ = try await worker(world).drain()
        }
        #expect(try await status(id, world) == "expired")
        #expect(try await jobs(world, .waiting).isEmpty)
    }
}
