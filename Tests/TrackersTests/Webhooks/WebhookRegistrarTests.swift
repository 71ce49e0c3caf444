import Domain
import HTTPClient
import Synchronization
import TestSupport
import Testing

@testable import Trackers

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct WebhookRegistrarTests {
    private static let secret = Secret("0123456789abcdef0123456789abcdef")

    @Test(arguments: WriteTarget.allCases)
    func `a webhook is registered once, changed, listed and removed`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let organization = try #require(try await fixture.client.organizations().first)
        var webhook = WebhookRegistration(url: "http://127.0.0.1:9/hooks", secret: Self.secret)
        for place in [WebhookPlace.organization(organization), .project(fixture.project)] {
            let first = try await fixture.writers.webhooks.install(webhook, at: place)
            let second = try await fixture.writers.webhooks.install(webhook, at: place)
            #expect(first.id == second.id)
            #expect(first.url == webhook.url)
            #expect(first.isActive)
            #expect(!first.events.isEmpty)
            let listed = try await fixture.writers.webhooks.webhooks(at: place)
            #expect(listed.map(\.id) == [first.id])
            webhook.url += "/new"
            let moved = try await fixture.writers.webhooks.updateWebhook(
                first.id,
                at: place,
                to: webhook
            )
            #expect(moved.url == webhook.url)
            for _ in 0..<2 {
                try await fixture.writers.webhooks.removeWebhook(first.id, at: place)
            }
            #expect(try await fixture.writers.webhooks.webhooks(at: place).isEmpty)
        }
    }

    @Test func `without group hooks every project gets its own`() async throws {
        let fixture = try await WritingFixture(.gitlab, arguments: ["--gitlab-ce"])
        defer { fixture.fake.stop() }
        let organization = try #require(try await fixture.client.organizations().first)
        let webhook = WebhookRegistration(url: "http://127.0.0.1:9/hooks", secret: Self.secret)
        let nowhere = RemoteProject(externalID: "404404", path: "a/b", name: "b", url: "")
        let installed = try await fixture.writers.webhooks.install(
            webhook,
            for: organization,
            projects: [fixture.project, nowhere]
        )
        #expect(installed.webhooks.map(\.place) == [.project(fixture.project)])
        #expect(installed.refused.map(\.project) == [nowhere])
    }

    @Test func `a short secret is refused before anything is sent`() async throws {
        let fixture = try await WritingFixture(.github)
        defer { fixture.fake.stop() }
        let webhook = WebhookRegistration(url: "https://x.example", secret: Secret("short"))
        let refused = await refusal {
            _ = try await fixture.writers.webhooks.registerWebhook(
                webhook,
                at: .project(fixture.project)
            )
        }
        #expect(refused?.fields.map(\.field) == ["secret"])
    }

    @Test(arguments: WriteTarget.allCases)
    func `a registered webhook's deliveries are verified and tell of our own writes`(
        target: WriteTarget
    ) async throws {
        let fixture = try await WritingFixture(target)
        defer { fixture.fake.stop() }
        let received = Mutex<[WebhookDelivery]>([])
        let receiver = try ScriptedHTTPServer { request in
            let delivery = WebhookDelivery(
                kind: target.kind,
                deployment: target.deployment,
                headers: HTTPHeaders(request.headers.map { HTTPField($0.key, $0.value) }),
                body: request.body
            )
            received.withLock { $0.append(delivery) }
            return [.answer(202)]
        }
        let webhook = WebhookRegistration(url: receiver.origin + "/hooks", secret: Self.secret)
        _ = try await fixture.writers.webhooks.install(webhook, at: .project(fixture.project))
        let reference = try await fixture.reference(1)
        var change = IssueChange()
        change.title = "Told by a hook"
        _ = try await fixture.writers.issues.updateIssue(reference, in: fixture.project, change)
        let deadline = ContinuousClock.now + .seconds(20)
        var event: WebhookEvent?
        while event == nil, ContinuousClock.now < deadline {
            for delivery in received.withLock({ $0 }) {
                try delivery.verify(secrets: [Self.secret], now: wallClock())
                #expect(throws: WebhookError.forged) {
                    try delivery.verify(secrets: [Secret("another")], now: wallClock())
                }
                let found = try delivery.event()
                if case .changed = found.subject { event = found }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        guard case .changed(let changed, let item)? = event?.subject else {
            Testing.Issue.record("no delivery came")
            return
        }
        #expect(changed.number == 1)
        #expect(changed.externalID == reference.externalID)
        #expect(item == nil || item?.title == "Told by a hook")
    }
}
