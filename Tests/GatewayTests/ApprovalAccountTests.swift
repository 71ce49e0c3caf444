import Domain
import Firewall
import HTTPClient
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Requests of several accounts: all are told of, and time passes over all of them.
@Suite(.timeLimit(.minutes(5)))
struct ApprovalAccountTests {
    private final class FakeMail: MailTransport {
        let messages = Mutex<[MailMessage]>([])

        var addresses: [String] { messages.withLock { $0.flatMap(\.to) } }

        func send(_ message: MailMessage) async throws(MailError) {
            messages.withLock { $0.append(message) }
        }
    }

    /// Notes where something is posted to.
    private final class FakeWeb: HTTPTransport {
        let urls = Mutex<[String]>([])

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            urls.withLock { $0.append(request.url) }
            return HTTPResponse(
                status: 200,
                headers: HTTPHeaders(),
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private static let stranger = AccountID(2)

    private let mail = FakeMail()
    private let web = FakeWeb()

    private var means: ApprovalNotifier.Means {
        ApprovalNotifier.Means(
            transport: web,
            mail: mail,
            publicURL: "https://preloop.example",
            environment: ["PRELOOP_CHANNEL_HOOK": "https://hooks.example/of-the-operator"],
            egress: EgressGuard(allowing: ["10.0.0.0/8"]) { _ in
                [IPAddress("93.184.216.34")].compactMap { $0 }
            },
            makeToken: { account in
                let text = "pla_\(account)_\(UInt64.random(in: 0...UInt64.max))"
                return (text, Array(text.utf8))
            }
        )
    }

    /// The desks of two accounts, each with somebody who runs it.
    private static func desks(
        _ time: MovableTime,
        _ scratch: ScratchStore,
        _ change: @escaping @Sendable (inout ApprovalWorkflow) -> Void
    ) async throws -> [AccountID: ApprovalDesk] {
        let now = time.clock.now()
        try await scratch.store.database.write { connection in
            try AccountTable.create(stranger, name: "theirs", createdAt: now, on: connection)
        }
        var workflow = ApprovalWorkflow.standard
        change(&workflow)
        let box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        var desks: [AccountID: ApprovalDesk] = [:]
        for (account, name) in [(scratch.store.account, "ann"), (stranger, "zoe")] {
            let user = User(
                id: UserID(1_000),
                name: name,
                email: "\(name)@example.com",
                role: .owner,
                createdAt: now
            )
            let store = scratch.store.viewed(by: account)
            try await store.write { connection, account in
                try UserTable.insert(user, passwordHash: nil, account: account, on: connection)
            }
            desks[account] = ApprovalDesk(
                store: store,
                box: { box },
                workflows: { [workflow] name in name == nil ? workflow : nil }
            )
        }
        return desks
    }

    private static func open(_ desk: ApprovalDesk) async throws -> String {
        try await desk.open(
            ApprovalDesk.Draft(
                tool: "fake",
                arguments: JSONObject(),
                caller: caller,
                digest: [1],
                demand: ApprovalDemand(policyVersion: 1)
            )
        ).request.id
    }

    /// Works on the jobs of both accounts until `condition` holds.
    private func work(
        _ scratch: ScratchStore,
        _ desks: [AccountID: ApprovalDesk],
        _ budget: NoticeBudget = NoticeBudget(),
        until condition: () async throws -> Bool
    ) async throws {
        let (means, own) = (self.means, scratch.store.account)
        let worker = AccountWorker(
            scratch.store,
            kinds: ApprovalJobs.kinds,
            handlers: { account in
                guard let desk = desks[account] else { return [:] }
                let allowed = account == own ? means : means.forStrangers(within: budget)
                return ApprovalNotifier(desk: desk, means: allowed).handlers
            }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private static func status(_ id: String, _ desk: ApprovalDesk) async throws -> String? {
        try await desk.store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)?.life.status
        }
    }

    @Test func `people of both accounts are told, and what nobody decides ends`() async throws {
        let time = MovableTime()
        let scratch = try await Engine.current.store(clock: time.clock)
        let desks = try await Self.desks(time, scratch) { $0.timeoutSeconds = 60 }
        var ids: [AccountID: String] = [:]
        for (account, desk) in desks { ids[account] = try await Self.open(desk) }
        try await work(scratch, desks) { mail.addresses.count == 2 }
        #expect(Set(mail.addresses) == ["ann@example.com", "zoe@example.com"])
        for message in mail.messages.withLock({ $0 }) {
            let account = message.to == ["zoe@example.com"] ? Self.stranger : AccountID(1)
            // Each has the link of its own account's request.
            let id = try #require(ids[account])
            #expect(message.text.contains("/approval/\(id)?token=pla_\(account)_"))
        }
        time.advance(61)
        try await work(scratch, desks) {
            for (account, desk) in desks {
                let id = ids[account] ?? ""
                guard try await Self.status(id, desk) == "expired" else { return false }
            }
            return true
        }
    }

    @Test func `an escalation of another account asks the people it names`() async throws {
        let time = MovableTime()
        let scratch = try await Engine.current.store(clock: time.clock)
        let desks = try await Self.desks(time, scratch) { workflow in
            workflow.timeoutSeconds = 60
            workflow.escalation = ["zoe"]
        }
        let desk = try #require(desks[Self.stranger])
        let id = try await Self.open(desk)
        time.advance(61)
        try await work(scratch, desks) { mail.addresses.contains("zoe@example.com") }
        let events = try await desk.events(of: id)
        #expect(events.contains { $0.kind == "escalated" })
    }

    @Test func `what is the operator's is of no use to other accounts`() async throws {
        let time = MovableTime()
        let scratch = try await Engine.current.store(clock: time.clock)
        let desks = try await Self.desks(time, scratch) { workflow in
            workflow.channels["slack"] = ["webhook_url_env": "PRELOOP_CHANNEL_HOOK"]
            workflow.channels["mattermost"] = ["webhook_url": "http://10.0.0.1/hook"]
        }
        let desk = try #require(desks[Self.stranger])
        let id = try await Self.open(desk)
        try await work(scratch, desks) {
            let events = try await desk.events(of: id)
            return events.count { $0.kind == "notification_failed" } == 2
                && events.contains { $0.kind == "notification_sent" }
        }
        #expect(web.urls.withLock { $0.isEmpty })
        #expect(mail.addresses == ["zoe@example.com"])
    }

    @Test func `an account that strangers made tells so many people in an hour`() async throws {
        let time = MovableTime()
        let scratch = try await Engine.current.store(clock: time.clock)
        let desks = try await Self.desks(time, scratch) { $0.timeoutSeconds = 86_400 }
        let budget = NoticeBudget(limit: 1)
        let desk = try #require(desks[Self.stranger])
        _ = try await Self.open(desk)
        try await work(scratch, desks, budget) { mail.addresses.count == 1 }
        let now = time.clock.now()
        let pause = try #require(budget.take(for: Self.stranger, at: now))
        #expect(pause > .zero && pause <= .seconds(3_600))
        #expect(budget.take(for: AccountID(3), at: now) == nil)
        #expect(budget.take(for: Self.stranger, at: now.advanced(by: pause)) == nil)
    }
}
