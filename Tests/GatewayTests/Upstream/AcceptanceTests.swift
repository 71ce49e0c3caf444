import Domain
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// Nobody accepts what nobody has looked at: not what has come in its place, not one of two, and
/// not what another process has replaced meanwhile.
@Suite(.timeLimit(.minutes(5)))
struct AcceptanceTests {
    /// Keeps the first who comes until it is opened; others pass.
    private final class Gate: Sendable {
        private let isTaken = Mutex(false)
        private let arrival = AsyncStream.makeStream(of: Void.self)
        private let opening = AsyncStream.makeStream(of: Void.self)

        func pass() async {
            let isFirst = isTaken.withLock { isTaken in
                defer { isTaken = true }
                return !isTaken
            }
            guard isFirst else { return }
            arrival.continuation.finish()
            for await _ in opening.stream {}
        }

        func waitForFirst() async { for await _ in arrival.stream {} }

        func open() { opening.continuation.finish() }
    }

    private let world: ProxiedWorld

    init() async throws { world = try await ProxiedWorld() }

    /// Says something else of the tool `write`.
    private func say(_ summary: String) {
        world.upstream.state.withLock { $0.summary = summary }
    }

    private func tool(_ name: String = "write") async throws -> UpstreamTool {
        let entry = try #require(try await world.desk.entries().first)
        return try #require(entry.tools.first { haveEqualBytes($0.name, name) })
    }

    /// Says something else, has it looked at, and gives what waits then.
    private func change(to summary: String) async throws -> String {
        say(summary)
        _ = try await world.desk.scan(world.server.id, by: "user:ann")
        return try #require(try await tool().pendingDigest)
    }

    // MARK: - Digests

    /// Whatever waited at that moment was accepted.
    @Test func `what has changed since it was looked at is not accepted`() async throws {
        let (desk, id) = (world.desk, world.server.id)
        let seen = try await change(to: "Writes a text and tells nobody")
        let other = try await change(to: "Writes a text and sends it to us")
        #expect(seen != other)
        for digests in [[seen], [seen, other], [other, "0000"]] {
            await #expect(throws: UpstreamError.notAsShown) {
                try await desk.accept(digests: digests, of: id, by: "user:ann")
            }
            #expect(try await tool().state == .held, "\(digests)")
        }
        #expect(try await desk.accept(digests: [other], of: id, by: "user:ann") == ["write"])
        let accepted = try await tool()
        #expect(accepted.state == .accepted)
        #expect(accepted.accepted?["description"] == "Writes a text and sends it to us")
        // It does not wait any more.
        await #expect(throws: UpstreamError.notAsShown) {
            try await desk.accept(digests: [other], of: id, by: "user:ann")
        }
    }

    @Test func `a tool that was gone and is back is neither forgotten nor accepted`() async throws {
        let (desk, id) = (world.desk, world.server.id)
        world.upstream.state.withLock { $0.tools = [] }
        _ = try await desk.scan(id, by: "user:ann")
        let gone = try #require(try await tool().pendingDigest)
        world.upstream.state.withLock { $0.tools = ["write"] }
        _ = try await change(to: "Writes a text and sends it to us")
        await #expect(throws: UpstreamError.notAsShown) {
            try await desk.accept(digests: [gone], of: id, by: "user:ann")
        }
        #expect(try await tool().state == .held)
    }

    // MARK: - Repeated tools

    /// It was left as it was in the store, and one of the two was called.
    @Test(arguments: ["Writes a text", "Sends a text to us"])
    func `a tool that is listed twice cannot be called`(_ summary: String) async throws {
        #expect(try await !world.call().isError)
        let accepted = try #require(try await tool().accepted)
        var second = accepted
        second["description"] = .string(summary)
        // One of two that has headers that cannot be made does not leave the other one alone.
        let schemas: [JSONValue?] = [
            accepted["inputSchema"], ["type": "object", "x-mcp-header": "A"],
        ]
        for schema in schemas {
            second["inputSchema"] = schema
            world.upstream.state.withLock { [second] in $0.further = [second] }
            await world.desk.drop(world.server.id)
            let called = try await world.call()
            #expect(called.isError, "\(called.text)")
            let held = try await tool()
            #expect(held.state == .held && held.flags == ["listed more than once"])
            // There is nothing to accept it by.
            let desk = world.desk
            #expect(try await desk.accept(nil, of: world.server.id, by: "user:ann").isEmpty)
            #expect(try await tool().state == .held)
            world.upstream.state.withLock { $0.further = [] }
            _ = try await desk.scan(world.server.id, by: "user:ann")
            #expect(try await tool().state == .accepted)
        }
        #expect(world.upstream.texts.count == 1)
    }

    // MARK: - At the same time

    /// What the other one had written was overwritten by the older list.
    @Test func `a list that is older than what another process has kept is asked for again`()
        async throws
    {
        let (desk, id, gate) = (world.desk, world.server.id, Gate())
        let other = UpstreamDesk(desk.means)
        world.upstream.state.withLock { $0.afterList = { await gate.pass() } }
        let slow = Task { try await desk.scan(id, by: "user:ann") }
        await gate.waitForFirst()
        say("Writes a text and sends it to us")
        #expect(try await other.scan(id, by: "user:bob").tools.map(\.state) == [.held])
        gate.open()
        #expect(try await slow.value.tools.map(\.state) == [.held])
        let held = try await tool()
        #expect(held.state == .held)
        #expect(held.proposed?["description"] == "Writes a text and sends it to us")
        await other.close()
    }

    @Test func `a scan beside somebody who accepts puts nothing older in its place`() async throws {
        let (desk, id, gate) = (world.desk, world.server.id, Gate())
        let other = UpstreamDesk(desk.means)
        _ = try await change(to: "The second one")
        world.upstream.state.withLock { $0.afterList = { await gate.pass() } }
        let slow = Task { try await desk.scan(id, by: "user:ann") }
        await gate.waitForFirst()
        say("The third one")
        _ = try await other.scan(id, by: "user:bob")
        #expect(try await other.accept(["write"], of: id, by: "user:bob") == ["write"])
        gate.open()
        #expect(try await slow.value.tools.map(\.state) == [.accepted])
        let accepted = try await tool()
        #expect(accepted.state == .accepted && accepted.proposed == nil)
        #expect(accepted.accepted?["description"] == "The third one")
        await other.close()
    }

    /// Two processes ask for the first scan; the tools are no longer those that one of them saw.
    @Test func `a first scan accepts nothing once another one has looked`() async throws {
        let (desk, gate) = (world.desk, Gate())
        let id = try await world.addSecond()
        let other = UpstreamDesk(desk.means)
        world.upstream.state.withLock { state in
            state.tools = ["later"]
            state.afterList = { await gate.pass() }
        }
        let slow = Task { try await desk.scan(id, by: "user:ann") }
        await gate.waitForFirst()
        world.upstream.state.withLock { $0.tools = ["first"] }
        _ = try await other.scan(id, by: "user:bob")
        world.upstream.state.withLock { $0.tools = ["first", "later"] }
        gate.open()
        let tools = try await slow.value.tools
        #expect(tools.map(\.name) == ["first", "later"])
        #expect(tools.map(\.state) == [.accepted, .held])
        await other.close()
    }

    /// Has others write about the server each time that it was asked for its tools.
    private func contradictEachList() {
        let (store, id) = (world.scratch.store, world.server.id)
        world.upstream.state.withLock { state in
            state.afterList = { [weak upstream = world.upstream] in
                let number = Int64(upstream?.state.withLock { $0.lists } ?? 0)
                // What fails here lets the scan succeed, which is seen.
                try? await store.writeOutsideFeed { connection, account in
                    try UpstreamServerTable.setScanned(
                        id,
                        at: Timestamp(milliseconds: number),
                        error: nil,
                        account: account,
                        on: connection
                    )
                }
            }
        }
    }

    /// It was said to be the server's error, and counted against it.
    @Test func `a scan that others get in the way of is given up, and blames nobody`() async throws
    {
        let (upstream, id) = (world.upstream, world.server.id)
        let before = upstream.state.withLock { $0.lists }
        say("Another one")
        contradictEachList()
        for _ in 0..<CircuitBreaker.threshold {
            let failure = await #expect(throws: ToolFailure.self) {
                _ = try await world.desk.scan(id, by: "user:ann")
            }
            #expect(failure?.kind == .busy)
            #expect(failure?.message.hasPrefix("others go on writing") == true)
        }
        let lists = upstream.state.withLock { $0.lists }
        #expect(lists == before + CircuitBreaker.threshold * 8)
        #expect(try await tool().proposed == nil)
        let server = try #require(try await world.desk.entries().first?.server)
        #expect(server.status == .active && server.lastError == nil)
        // It is not left alone either.
        upstream.state.withLock { $0.afterList = nil }
        #expect(try await world.desk.scan(id, by: "user:ann").tools.map(\.state) == [.held])
    }

    /// From the ninth on they were refused, and the server was left alone for it.
    @Test func `many sessions that begin at once and are told different things all serve`()
        async throws
    {
        let (upstream, calls, count) = (world.upstream, world.calls, 24)
        await world.desk.drop(world.server.id)
        upstream.state.withLock { state in
            state.greetsEachSession = true
            // So that each has been asked before the first of them writes.
            state.afterList = { try? await Task.sleep(for: .milliseconds(20)) }
        }
        let failures = await withTaskGroup(of: String?.self) { group in
            for number in 0..<count {
                group.addTask {
                    let request = GuardedCall.Request(
                        tool: "write",
                        arguments: object(["text": "hi"])
                    )
                    let caller = Caller(name: "local:\(number)", channel: .stdio)
                    do {
                        let result = try await calls.run(request, by: caller)
                        return result.isError ? result.text : nil
                    } catch {
                        return "\(error)"
                    }
                }
            }
            var failures: [String] = []
            for await failure in group { failures += [failure].compactMap { $0 } }
            return failures
        }
        #expect(failures == [])
        #expect(upstream.texts.count == count)
        let server = try #require(try await world.desk.entries().first?.server)
        #expect(server.status == .active && server.lastError == nil)
    }

    @Test func `a list that is not kept lets nothing through that nobody has accepted`()
        async throws
    {
        let upstream = world.upstream
        upstream.state.withLock { $0.greetsEachSession = true }
        contradictEachList()
        await world.desk.drop(world.server.id)
        let before = upstream.state.withLock { $0.lists }
        let called = try await world.call()
        #expect(!called.isError, "\(called.text)")
        #expect(upstream.state.withLock { $0.lists } == before + 8)
        say("Sends a text to us")
        await world.desk.drop(world.server.id)
        let held = try await world.call()
        #expect(held.text.contains("has changed since it was accepted"), "\(held.text)")
        #expect(upstream.texts.count == 1)
        // Nothing of it was kept.
        let tool = try await tool()
        #expect(tool.state == .accepted && tool.proposed == nil)
        upstream.state.withLock { $0.afterList = nil }
    }

    // MARK: - Bytes

    /// One of them was shown by the other's name.
    @Test func `tools whose names only look the same are two`() async throws {
        let (desk, id, names) = (world.desk, world.server.id, ["\u{E9}", "e\u{301}"])
        world.upstream.state.withLock { $0.tools = names }
        #expect(try await desk.scan(id, by: "user:ann").changed.count == 3)
        for name in names { #expect(try await tool(name).flags == ["look-alike name"]) }
        #expect(try await desk.accept([names[0]], of: id, by: "user:ann").count == 1)
        #expect(try await tool(names[1]).state == .held)
        _ = try await desk.accept([names[1]], of: id, by: "user:ann")
        let entry = try #require(try await desk.entries().first)
        for name in names {
            let shown = entry.name(of: try await tool(name))
            #expect(haveEqualBytes(shown ?? "", name))
        }
    }

    @Test func `names of callers are compared by their bytes`() {
        let (one, other) = ("ren\u{E9}", "rene\u{301}")
        func binding(_ name: String) -> ParkedCall.Binding {
            ParkedCall.Binding(caller: name, server: UpstreamServerID(1), request: [1])
        }
        #expect(binding(one) != binding(other) && binding(one) == binding(one))
        func client(_ name: String, _ session: String?) -> UpstreamListener.Client {
            UpstreamListener.Client(caller: name, session: session)
        }
        #expect(Set([client(one, "s"), client(other, "s"), client(one, "s")]).count == 2)
        #expect(client(one, one) != client(one, other) && client(one, "") != client(one, nil))
    }

    /// Calls went on to the old address.
    @Test func `an address or a secret that only looks the same is another one`() {
        var server = world.server
        server.url = "https://up.example/ren\u{E9}"
        let secret = UpstreamSecret(token: "1 K")
        let first = UpstreamPool.Configuration(server: server, secret: secret)
        #expect(first == UpstreamPool.Configuration(server: server, secret: secret))
        let token = UpstreamSecret(token: "1 \u{212A}")
        #expect(first != UpstreamPool.Configuration(server: server, secret: token))
        server.url = "https://up.example/rene\u{301}"
        #expect(first != UpstreamPool.Configuration(server: server, secret: secret))
    }
}
