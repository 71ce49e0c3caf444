import Domain
import HTTPClient
import NIOCore
import NIOEmbedded
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import API

/// What is counted by address: sign-ins that fail, accounts that are asked for, connections.
@Suite struct LoginThrottleTests {
    @Test(arguments: [
        ("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"), ("2001:db8::1", "2001:db8:0:0::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8:0:0::/64"),
        ("2001:DB8:0:1::1", "2001:db8:0:1::/64"), ("::1", "0:0:0:0::/64"), ("local", "local"),
        ("1::2::3", "1::2::3"),
    ])
    func `an address of version 6 counts as its network of 64 bits`(
        _ address: String,
        _ origin: String
    ) {
        #expect(NetworkAddress.origin(of: address) == origin)
    }

    /// Each of them came from an address of its own, and none was ever stopped.
    @Test func `who guesses from many addresses of one network is stopped`() {
        var throttle = LoginThrottle()
        let now = Timestamp(milliseconds: 0)
        for number in 1...10 {
            #expect(throttle.delay(name: "ann", address: "2001:db8::\(number)", now: now) == nil)
            throttle.fail(name: "ann", address: "2001:db8::\(number)", now: now)
        }
        #expect(throttle.delay(name: "ann", address: "2001:db8::ff", now: now) == .seconds(900))
        #expect(throttle.delay(name: "ann", address: "2001:db8:0:1::ff", now: now) == nil)
        throttle.succeed(name: "ann", address: "2001:db8::ee")
        #expect(throttle.delay(name: "ann", address: "2001:db8::ff", now: now) == nil)
    }

    /// All of them passed the first look before one had failed, and each was told.
    @Test func `of guesses at the same time no more are answered than one after another`()
        async throws
    {
        var throttle = LoginThrottle()
        let now = Timestamp(milliseconds: 0)
        for _ in 1...10 {
            #expect(throttle.end(isRight: false, name: "ann", address: "a", now: now) == nil)
        }
        // The right one among the others says nothing either, and frees nobody.
        for isRight in [false, true, false] {
            let delay = throttle.end(isRight: isRight, name: "ann", address: "a", now: now)
            #expect(delay == .seconds(900))
        }
        #expect(throttle.end(isRight: true, name: "bob", address: "a", now: now) == nil)
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        // No more than may wait for a hash.
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 1...16 {
                group.addTask {
                    try await server.send(
                        "POST",
                        "/api/v1/auth/token",
                        ["username": "ann", "password": .string("a wrong guess \(number)")]
                    ).status
                }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        let expected = Array(repeating: 401, count: 10) + Array(repeating: 429, count: 6)
        #expect(statuses.sorted() == expected)
        try await server.stop()
    }

    @Test func `many connections of one network make room for each other`() throws {
        var limits = ServerLimits()
        limits.connectionsPerAddress = 2
        let table = ConnectionTable(limits: limits)
        let channels = (1...4).map { _ in EmbeddedChannel() }
        for (number, channel) in channels.enumerated() {
            let network = number < 3 ? "2001:db8:0:1" : "2001:db8:0:2"
            _ = try #require(table.admit(channel, address: "\(network)::\(number + 1)"))
        }
        #expect(table.counts.evicted == 1 && !table.isConnection(channels[0]))
        #expect(channels.dropFirst().allSatisfy { table.isConnection($0) })
        for channel in channels {
            channel.embeddedEventLoop.run()
            // The one that was closed says so.
            _ = try? channel.finish()
        }
    }

    @Test func `accounts that one address asks for are few within an hour`() {
        var throttle = LoginThrottle()
        let start = Timestamp(milliseconds: 0)
        for _ in 0..<10 { #expect(throttle.register(address: "a", now: start) == nil) }
        let later = start.advanced(by: .seconds(600))
        #expect(throttle.register(address: "a", now: later) == .seconds(3_000))
        #expect(throttle.register(address: "b", now: later) == nil)
        // Signing in is counted apart.
        #expect(throttle.delay(name: "ann", address: "a", now: later) == nil)
        let after = start.advanced(by: .seconds(3_600))
        #expect(throttle.register(address: "a", now: after) == nil)
    }

    /// Accounts were made without end, and their passwords' hashes kept others from signing in.
    @Test func `a network that has asked for ten accounts is told to wait`() async throws {
        let now = Mutex(Timestamp(milliseconds: 1_800_000_000_000))
        var setup = RunningServer.Setup()
        setup.allowsRegistration = true
        setup.proxies = try #require(TrustedProxies(["127.0.0.1"]))
        let server = try await RunningServer(setup, clock: WallClock { now.withLock { $0 } })
        func register(
            _ name: String,
            from address: String,
            password: String = RunningServer.password
        ) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                "/api/v1/auth/register",
                ["username": .string(name), "password": .string(password)],
                headers: [("X-Forwarded-For", address)]
            )
        }
        // What costs no hash does not count.
        for _ in 0..<10 {
            #expect(try await register("bob", from: "2001:db8::1", password: "x").status == 422)
        }
        for number in 1...10 {
            let made = try await register("user\(number)", from: "2001:db8::\(number)")
            #expect(made.status == 201, "\(made.text)")
        }
        let refused = try await register("bob", from: "2001:db8::ff")
        #expect(refused.status == 429 && refused.headers["Retry-After"] == "3600")
        #expect(try await register("bob", from: "2001:db8:0:1::ff").status == 201)
        #expect(try await server.signIn("user1")["access_token"]?.string != nil)
        now.withLock { $0 = $0.advanced(by: .seconds(3_600)) }
        #expect(try await register("carl", from: "2001:db8::ff").status == 201)
        let document = try await server.send("GET", "/openapi.json").json
        let operation = document["paths"]?["/api/v1/auth/register"]?["post"]
        #expect(operation?["responses"]?["429"] != nil)
        try await server.stop()
    }
}
