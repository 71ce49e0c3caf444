import Domain
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Hearing of changes of other servers' resources.
@Suite(.timeLimit(.minutes(5)))
struct ResourceSubscriptionTests {
    /// The next change that a subscriber hears of.
    private func next(_ subscriber: ResourceSubscriber) async -> String? {
        for await uri in subscriber.updates { return uri }
        return nil
    }

    @Test func `sessions share one subscription, which ends with the last of them`() async throws {
        let world = try await WatchedWorld()
        let (one, two) = (ResourceSubscriber(), ResourceSubscriber())
        try await world.ask(for: one)
        try await world.ask(for: two)
        // Asked for again it is the same.
        try await world.ask(for: two)
        #expect(world.upstream.asked == ["resources/subscribe memo://one"])
        try await world.until { world.upstream.isHeard("memo://one") }
        world.upstream.change("memo://one")
        #expect(await next(one) == "memo://one")
        #expect(await next(two) == "memo://one")
        try await world.ask("unsubscribe", for: one)
        world.upstream.change("memo://one")
        #expect(await next(two) == "memo://one")
        #expect(world.upstream.asked.count == 1)
        // The session ends.
        await world.calls.end(two)
        #expect(await next(two) == nil)
        try await world.until { world.upstream.asked.count == 2 }
        #expect(world.upstream.asked.last == "resources/unsubscribe memo://one")
        try await world.until { await world.desk.watches.isEmpty }
        await world.calls.end(one)
        #expect(await next(one) == nil)
        await world.desk.close()
    }

    @Test func `what was subscribed to is subscribed to again in a new session`() async throws {
        let world = try await WatchedWorld()
        let subscriber = ResourceSubscriber()
        try await world.ask(for: subscriber)
        try await world.ask("subscribe", "memo://note/1", for: subscriber)
        for _ in 0..<2 {
            try await world.until {
                world.upstream.isHeard("memo://one") && world.upstream.isHeard("memo://note/1")
            }
            world.upstream.change("memo://note/1")
            #expect(await next(subscriber) == "memo://note/1")
            world.upstream.restart()
        }
        try await world.until { world.upstream.isHeard("memo://one") }
        let asked = world.upstream.asked
        #expect(asked.count { $0 == "resources/subscribe memo://one" } == 3, "\(asked)")
        await world.desk.close()
    }

    @Test func `what the server refuses is refused, and asked for no more`() async throws {
        let world = try await WatchedWorld()
        let subscriber = ResourceSubscriber()
        await #expect(throws: RPCError(-32_002, "there is no such resource")) {
            try await world.ask("subscribe", "memo://none", for: subscriber)
        }
        try await world.ask(for: subscriber)
        #expect(world.upstream.asked.count == 2)
        #expect(await world.desk.watches.values.map(\.count) == [1])
        await world.desk.close()
    }

    @Test(arguments: ["resources/read", "resources/subscribe"])
    func `who may not read or subscribe hears nothing, and that is on record`(
        _ method: String
    ) async throws {
        for policy in [FakePolicy(hidden: [method]), FakePolicy(denied: [method])] {
            let world = try await WatchedWorld(policy)
            let subscriber = ResourceSubscriber()
            await #expect(throws: RPCError.self) { try await world.ask(for: subscriber) }
            #expect(world.upstream.asked.isEmpty)
            let record = try #require(world.journal.calls.withLock { $0.last })
            #expect(record.tool == "resources/subscribe")
            #expect(record.outcome == .denied || record.outcome == .unknownTool)
            await world.desk.close()
        }
    }

    @Test func `a session has so many subscriptions`() async throws {
        let world = try await WatchedWorld()
        let subscriber = ResourceSubscriber()
        for number in 0..<UpstreamDesk.maximumResources {
            try await world.ask("subscribe", "memo://note/\(number)", for: subscriber)
        }
        await #expect(throws: RPCError.self) { try await world.ask(for: subscriber) }
        // One that it has already is none more, and another session has its own.
        try await world.ask("subscribe", "memo://note/0", for: subscriber)
        try await world.ask(for: ResourceSubscriber())
        try await world.ask("unsubscribe", "memo://note/0", for: subscriber)
        try await world.ask(for: subscriber)
        await world.desk.close()
    }

    @Test func `who listens hears that a server's prompts or resources are others`() async throws {
        let world = try await WatchedWorld()
        let subscriber = ResourceSubscriber()
        try await world.ask(for: subscriber)
        try await world.until { world.upstream.isHeard("memo://one") }
        var changes = await world.calls.listChanges(for: caller).makeAsyncIterator()
        world.upstream.changeList(of: "prompts")
        #expect(await changes.next() == .prompts)
        world.upstream.changeList(of: "resources")
        #expect(await changes.next() == .resources)
        // A server that is no longer there has taken its lists along.
        let server = try #require(try await world.desk.catalogue().servers.first)
        try await world.desk.remove(server.id, by: "user:ann")
        #expect(await changes.next() == [.prompts, .resources])
        await world.desk.close()
    }

    @Test func `a change below a resource is one of it`() async throws {
        let world = try await WatchedWorld()
        let (one, note) = (ResourceSubscriber(), ResourceSubscriber())
        try await world.ask(for: one)
        try await world.ask("subscribe", "memo://note/1", for: note)
        try await world.until {
            world.upstream.isHeard("memo://one") && world.upstream.isHeard("memo://note/1")
        }
        world.upstream.change("memo://note/1", telling: "memo://note/12")
        world.upstream.change("memo://note/1", telling: "memo://note/1/page")
        #expect(await next(note) == "memo://note/1/page")
        world.upstream.change("memo://one", telling: "memo://one#end")
        #expect(await next(one) == "memo://one#end")
        await world.desk.close()
    }

    @Test(arguments: [true, false])
    func `subscribing is offered where a server offers it`(_ offers: Bool) async throws {
        let world = try await WatchedWorld(offers: offers)
        let server = ServerDescription(name: "t", title: "T", version: "1")
        let described = await world.calls.description(of: server, for: caller)
        #expect(described.forwarded.contains(.resources))
        #expect(described.forwarded.contains(.subscriptions) == offers)
        if !offers {
            await #expect(throws: RPCError.self) {
                try await world.ask(for: ResourceSubscriber())
            }
        }
        await world.desk.close()
    }

    // MARK: - Over a connection

    private typealias Feed = AsyncStream<SessionServer.Input>.Continuation

    /// Serves a conversation; gives each message in turn to `body`.
    private func converse(
        _ world: WatchedWorld,
        _ first: [String],
        _ body: @escaping @Sendable (JSONValue, Feed) -> Void
    ) async {
        let (input, feed) = AsyncStream.makeStream(of: SessionServer.Input.self)
        var description = ServerDescription(name: "t", title: "T", version: "1")
        description = await world.calls.description(of: description, for: caller)
        let server = SessionServer(
            session: ServerSession(server: description),
            calls: world.calls,
            caller: caller,
            write: { body($0, feed) }
        )
        for text in first { feed.yield(.bytes(Array(text.utf8))) }
        await server.run(input)
    }

    @Test func `a session of an older revision hears of changes, and ends its subscriptions`()
        async throws
    {
        let world = try await WatchedWorld()
        let told = RunCounter()
        let upstream = world.upstream
        let watch = Task {
            while !upstream.isHeard("memo://one") {
                try await Task.sleep(for: .milliseconds(5))
            }
            // The answer is on its way meanwhile, or was there before.
            upstream.change("memo://one")
        }
        await converse(
            world,
            [
                """
                {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":\
                "2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}
                """,
                #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
                """
                {"jsonrpc":"2.0","id":2,"method":"resources/subscribe",\
                "params":{"uri":"memo://one"}}
                """,
            ]
        ) { message, feed in
            if message["id"] == 1 {
                let offered = message["result"]?["capabilities"]?["resources"]
                told.add(offered?["subscribe"] == true ? "offered" : "not offered")
            }
            guard message["method"] == "notifications/resources/updated" else { return }
            told.add(message["params"]?["uri"]?.string ?? "")
            feed.finish()
        }
        try await watch.value
        #expect(told.all == ["offered", "memo://one"])
        try await world.until { await world.desk.watches.isEmpty }
        await world.desk.close()
    }

    @Test func `a stream of the newer era hears of what it is told that it hears of`()
        async throws
    {
        let world = try await WatchedWorld()
        let told = RunCounter()
        let upstream = world.upstream
        await converse(
            world,
            [
                """
                {"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen","params":{\
                "notifications":{"resourceSubscriptions":["memo://one","memo://none"]},"_meta":{\
                "io.modelcontextprotocol/protocolVersion":"2026-07-28",\
                "io.modelcontextprotocol/clientCapabilities":{}}}}
                """
            ]
        ) { message, feed in
            let tag = message["params"]?["_meta"]?["io.modelcontextprotocol/subscriptionId"]
            switch message["method"]?.string ?? "" {
            case "notifications/subscriptions/acknowledged":
                let accepted = message["params"]?["notifications"]
                told.add(accepted?.serializedText() ?? "")
                _ = Task {
                    while !upstream.isHeard("memo://one") {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    upstream.change("memo://one")
                }
            case "notifications/resources/updated":
                told.add("\(tag?.string ?? "") \(message["params"]?["uri"]?.string ?? "")")
                let cancellation = """
                    {"jsonrpc":"2.0","method":"notifications/cancelled",\
                    "params":{"requestId":"sub"}}
                    """
                feed.yield(.bytes(Array(cancellation.utf8)))
                feed.finish()
            default: told.add("unexpected")
            }
        }
        #expect(told.all == [#"{"resourceSubscriptions":["memo://one"]}"#, "sub memo://one"])
        try await world.until { await world.desk.watches.isEmpty }
        await world.desk.close()
    }
}
