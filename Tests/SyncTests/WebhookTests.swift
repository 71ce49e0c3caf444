import Domain
import Store
import StoreTestSupport
import Synchronization
import TestSupport
import Testing
import Trackers

@testable import Sync

/// Deliveries of the reference services, from their arrival to the store.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct WebhookTests {
    typealias Service = WebhookWorld.Service
    typealias Delivery = WebhookWorld.Delivery

    /// Changes of every kind, in the order they happen.
    private func everything(in world: WebhookWorld) async throws -> [Delivery] {
        var all: [Delivery] = []
        all += try await world.change(1, ["set": ["title": "Crash at start"]])
        all += try await world.change(1, ["comment": ["author": "ann", "body": "Again"]])
        all += try await world.change(1, ["edit_comment": ["id": 101, "body": "Not me"]])
        let closed: JSONValue =
            world.service.isJira
            ? ["set": ["state": "closed", "status": "Resolved"]] : ["set": ["state": "closed"]]
        all += try await world.change(2, closed)
        all += try await world.change(
            0,
            ["create": ["title": "New one", "body": "Just now", "author": "bob"]]
        )
        // GitLab tells nothing of what is deleted.
        guard world.service != .gitlab else { return all }
        all += try await world.change(3, ["delete_comment": 103])
        all += try await world.change(4, ["delete": true])
        return all
    }

    @Test(arguments: Service.allCases)
    func `the store follows the tracker, in whatever order it tells`(
        service: Service
    ) async throws {
        for order in 0..<3 {
            let world = try await WebhookWorld(service)
            var deliveries = try await everything(in: world)
            switch order {
            case 0: break
            case 1: deliveries.reverse()
            default:
                var random = SeededGenerator(seed: 7)
                deliveries.shuffle(using: &random)
            }
            let receiver = world.receiver()
            for delivery in deliveries {
                #expect(await world.give(delivery, to: receiver) == .accepted)
                // Sometimes at once, sometimes later and several together.
                if order == 1 { try await world.work() }
            }
            try await world.work()
            let differences = try await world.differences()
            #expect(differences.isEmpty, "\(order): \(differences.joined(separator: "\n"))")
            // A scan finds nothing that was missed or invented.
            #expect(try await world.scan(isFull: true).isComplete)
            #expect(try await world.differences().isEmpty)
        }
    }

    @Test(arguments: Service.allCases)
    func `a delivery that is repeated is one row and one piece of work`(
        service: Service
    ) async throws {
        let world = try await WebhookWorld(service)
        let deliveries = try await world.change(1, ["set": ["title": "Crash at start"]])
        let receiver = world.receiver()
        for delivery in deliveries {
            #expect(await world.give(delivery, to: receiver) == .accepted)
            #expect(await world.give(delivery, to: receiver) == .repeated)
            // Also by another process, which remembers nothing.
            #expect(await world.give(delivery, to: world.receiver()) == .repeated)
        }
        let counts = try await world.counts()
        #expect(counts.deliveries == deliveries.count)
        let work = try await world.work()
        #expect(work == counts.jobs && work >= 1)
        for delivery in deliveries { _ = await world.give(delivery, to: receiver) }
        #expect(try await world.work() == 0)
    }

    @Test(arguments: Service.allCases)
    func `what is forged writes nothing`(service: Service) async throws {
        let world = try await WebhookWorld(service)
        let delivery = try #require(
            try await world.change(1, ["set": ["title": "Crash at start"]]).first
        )
        let receiver = world.receiver()
        let signature = service == .gitlab ? "x-gitlab-token" : "x-hub-signature"
        var unsigned = delivery
        unsigned.headers.removeAll { $0.name.lowercased().hasPrefix(signature) }
        #expect(await world.give(unsigned, to: receiver) == .refused(.unsigned))
        var forged = delivery
        for place in forged.headers.indices
        where forged.headers[place].name.lowercased().hasPrefix(signature) {
            let last = forged.headers[place].value.last == "0" ? "1" : "0"
            forged.headers[place].value = forged.headers[place].value.dropLast() + last
        }
        #expect(await world.give(forged, to: receiver) == .refused(.forged))
        if service != .gitlab {
            var changed = delivery
            changed.body.append(0x20)
            #expect(await world.give(changed, to: receiver) == .refused(.forged))
        }
        for address in ["", "1", "1-0", "1-999999", "99-1", "-1-1", "1-1-1", "1-x"] {
            var lost = delivery
            lost.path = "/x/\(address)"
            #expect(await world.give(lost, to: receiver) == .unknown, "\(address)")
        }
        let other: TrackerKind = service == .github ? .gitlab : .github
        let verdict = await receiver.receive(
            kind: other,
            address: delivery.address,
            headers: delivery.headers,
            body: delivery.body
        )
        #expect(verdict == .unknown)
        let counts = try await world.counts()
        #expect(counts.deliveries == 0 && counts.jobs == 0)
        #expect(await world.give(delivery, to: receiver) == .accepted)
    }

    @Test(arguments: Service.allCases)
    func `a delivery older than what is stored changes nothing`(
        service: Service
    ) async throws {
        let world = try await WebhookWorld(service)
        let old = try await world.change(1, ["set": ["title": "First"]])
        _ = try await world.change(1, ["set": ["title": "Second"]])
        #expect(try await world.scan().isComplete)
        #expect(try await world.differences().isEmpty)
        let receiver = world.receiver()
        for delivery in old { #expect(await world.give(delivery, to: receiver) == .accepted) }
        #expect(try await world.work() >= 1)
        #expect(try await world.differences().isEmpty)
    }

    /// The reading is answered, then a scan stores something newer, then the answer arrives.
    @Test(arguments: Service.allCases)
    func `a scan at the same time is not undone`(service: Service) async throws {
        let world = try await WebhookWorld(service)
        let deliveries =
            try await world.change(1, ["set": ["title": "First"]])
            + world.change(1, ["comment": ["author": "ann", "body": "One"]])
        let receiver = world.receiver()
        for delivery in deliveries {
            #expect(await world.give(delivery, to: receiver) == .accepted)
        }
        let client = SlowClient(try world.client()) { reading in
            guard reading == 1 else { return }
            _ = try await world.change(1, ["set": ["title": "Second"]])
            _ = try await world.change(1, ["comment": ["author": "ann", "body": "Two"]])
            #expect(try await world.scan().isComplete)
        }
        let work = try await world.work(client)
        let differences = try await world.differences()
        #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
        // It was read again, because the row had changed under it.
        #expect(client.readings > work)
    }

    @Test func `what was acknowledged survives a kill`() async throws {
        let world = try await WebhookWorld(.github)
        let deliveries =
            try await world.change(1, ["set": ["title": "First"]])
            + world.change(2, ["set": ["state": "closed"]])
        let receiver = world.receiver()
        for delivery in deliveries {
            #expect(await world.give(delivery, to: receiver) == .accepted)
        }
        // One was begun by a process that is gone, the others by nobody.
        var gone = LeaseHolder.current()
        gone.processID = 4_194_305
        let holder = gone
        let claimed = try await world.store.claim(
            JobTable.ClaimRequest(
                [WebhookProcessor.kind],
                limit: 1,
                holder: holder,
                lease: .seconds(60),
                now: world.store.clock.now()
            )
        )
        #expect(claimed.count == 1)
        #expect(try await world.work() >= 2)
        #expect(try await world.differences().isEmpty)
        // The killed one comes back to life, and may not write.
        let lost = try #require(claimed.first)
        await #expect(throws: StoreError.self) {
            try await world.store.end(lost, .done)
        }
    }

    @Test func `a new secret counts at once, the old one for a while`() async throws {
        let world = try await WebhookWorld(.github)
        var limits = WebhookReceiver.Limits()
        limits.secretPatience = .zero
        let receiver = world.receiver(limits)
        let old = try await world.change(1, ["set": ["title": "First"]])
        #expect(await world.give(old[0], to: receiver) == .accepted)
        let renewed = try await world.installer().install(renewsSecrets: true)
        #expect(renewed[0].webhooks.count == 1)
        let new = try await world.change(1, ["set": ["title": "Second"]])
        // The old secret is remembered, and the store asked again.
        #expect(await world.give(new[0], to: receiver) == .accepted)
        let late = try await world.change(1, ["set": ["title": "Third"]])
        #expect(await world.give(late[0], to: world.receiver()) == .accepted)
        #expect(await world.give(old[0], to: world.receiver()) == .repeated)
        let removed = try await world.installer().remove()
        #expect(removed[0].webhooks.isEmpty && !removed[0].hasSecret)
        #expect(await world.give(late[0], to: world.receiver()) == .unknown)
    }

    @Test func `the old secret counts as long as the tracker has not taken the new one`()
        async throws
    {
        let world = try await WebhookWorld(.github)
        func receiver(after time: Duration) -> WebhookReceiver {
            let now = WallClock.system.now().advanced(by: time)
            return WebhookReceiver(
                database: world.store.database,
                box: world.box,
                clock: WallClock { now }
            )
        }
        try await world.fake.revoke("test-token")
        for _ in 0..<2 {
            let refused = try await world.installer().install(renewsSecrets: true)
            #expect(refused[0].webhooks.isEmpty && refused[0].refused.count == 1)
        }
        let old = try await world.change(1, ["set": ["title": "Signed as before"]])
        let day = Duration.seconds(86_400)
        #expect(await world.give(old[0], to: receiver(after: day)) == .accepted)
        try await world.fake.revoke("test-token", restore: true)
        let renewed = try await world.installer().install(renewsSecrets: true)
        #expect(renewed[0].webhooks.count == 1 && renewed[0].refused.isEmpty)
        let new = try await world.change(1, ["set": ["title": "Signed anew"]])
        #expect(await world.give(new[0], to: receiver(after: day)) == .accepted)
        // Now the old one ends, after the hour in which trackers repeat deliveries.
        #expect(await world.give(old[0], to: receiver(after: .seconds(60))) == .repeated)
        #expect(await world.give(old[0], to: receiver(after: day)) == .refused(.forged))
    }

    @Test func `many deliveries at once are all kept, each once`() async throws {
        let world = try await WebhookWorld(.gitlab)
        let delivery = try #require(
            try await world.change(1, ["set": ["title": "First"]]).first
        )
        let receiver = world.receiver()
        let verdicts = await withTaskGroup(of: WebhookReceiver.Verdict.self) { group in
            for number in 0..<2_000 {
                group.addTask {
                    var copy = delivery
                    copy.headers.removeAll { $0.name.lowercased() == "idempotency-key" }
                    // Three of ten are repeated.
                    copy.headers.append((name: "Idempotency-Key", value: "\(number % 1_400)"))
                    return await world.give(copy, to: receiver)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(verdicts.count { $0 == .accepted } == 1_400)
        #expect(verdicts.count { $0 == .repeated } == 600)
        let counts = try await world.counts()
        #expect(counts.deliveries == 1_400)
        // All ask for the same.
        #expect(counts.jobs == 1)
        let removed = try await world.store.writeOutsideFeed { connection, account in
            try WebhookDeliveryTable.prune(
                before: world.store.clock.now().advanced(by: .seconds(60)),
                limit: 1_000,
                account: account,
                on: connection
            )
        }
        #expect(removed == 1_000)
    }

    /// No delivery's transaction notifies: such commits would wait for each other.
    @Test(.enabled(if: Engine.current == .postgres, "on SQLite a commit tells of itself"))
    func `a worker that sleeps hears of a delivery`() async throws {
        let world = try await WebhookWorld(.github)
        let receiver = world.receiver()
        var configuration = JobWorker.Configuration()
        // Without a word it would sleep for longer than the test may take.
        configuration.interval = .seconds(600)
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let worker = JobWorker(
            world.store,
            handlers: [WebhookProcessor.kind: { _ in .done }],
            configuration: configuration
        ) { event in
            if case .ended = event { end.yield() }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            var ended = ends.makeAsyncIterator()
            for round in 0..<4 {
                let title = JSONValue.string("Title \(round)")
                let deliveries = try await world.change(1, ["set": ["title": title]])
                #expect(await world.give(deliveries[0], to: receiver) == .accepted)
                _ = await ended.next()
            }
            group.cancelAll()
        }
    }

    @Test func `what concerns more than an item asks for a scan`() async throws {
        let world = try await WebhookWorld(.github)
        let deliveries = try await world.change(0, ["create": ["title": "x"]])
        var renamed = deliveries[0]
        let name = "x-github-event"
        // Signed anew by us: the reference service tells of no labels.
        renamed.headers.removeAll { $0.name.lowercased() == name }
        renamed.headers.append((name: "X-GitHub-Event", value: "repository"))
        let receiver = world.receiver()
        #expect(await world.give(renamed, to: receiver) == .accepted)
        try await world.work()
        let wishes = world.wishes.withLock { $0 }
        #expect(wishes.map(\.project) == [nil] && wishes[0].isFull == false)
    }
}
