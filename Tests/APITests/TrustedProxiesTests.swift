import Domain
import StoreTestSupport
import Testing

@testable import API

struct TrustedProxiesTests {
    struct Case: Sendable {
        var peer: String
        var forwarded: [String]
        var client: String
    }

    @Test(arguments: [
        Case(peer: "10.1.2.3", forwarded: ["203.0.113.9"], client: "203.0.113.9"),
        // What the client itself wrote stands before it, and does not count.
        Case(peer: "10.1.2.3", forwarded: ["1.1.1.1, 203.0.113.9"], client: "203.0.113.9"),
        Case(peer: "10.1.2.3", forwarded: ["1.1.1.1", "203.0.113.9"], client: "203.0.113.9"),
        Case(peer: "10.1.2.3", forwarded: ["203.0.113.9, 10.0.0.7"], client: "203.0.113.9"),
        // Nobody but a proxy in between is believed.
        Case(peer: "192.0.2.1", forwarded: ["203.0.113.9"], client: "192.0.2.1"),
        Case(peer: "10.1.2.3", forwarded: [], client: "10.1.2.3"),
        Case(peer: "10.1.2.3", forwarded: ["unknown"], client: "10.1.2.3"),
        Case(peer: "10.1.2.3", forwarded: ["1.1.1.1, junk, 10.0.0.7"], client: "10.0.0.7"),
        Case(peer: "10.1.2.3", forwarded: ["203.0.113.9:4711"], client: "203.0.113.9"),
        Case(peer: "10.1.2.3", forwarded: ["[2001:db8::1]:4711"], client: "2001:db8::1"),
        Case(peer: "::ffff:10.1.2.3", forwarded: ["203.0.113.9"], client: "203.0.113.9"),
        Case(peer: "fd00::5", forwarded: ["203.0.113.9"], client: "203.0.113.9"),
        Case(peer: "fd01::5", forwarded: ["203.0.113.9"], client: "fd01::5"),
    ])
    func `a request comes from the last address that is no proxy of ours`(_ test: Case) throws {
        let proxies = try #require(TrustedProxies(["10.0.0.0/8", "fd00::/16"]))
        #expect(proxies.client(of: test.peer, forwarded: test.forwarded) == test.client)
        #expect(TrustedProxies().client(of: test.peer, forwarded: test.forwarded) == test.peer)
    }

    @Test(arguments: [
        "10.0.0.0/33", "10.0.0", "10.0.0.0/8/8", "localhost", "::/129", "1::2::3", "12345::",
        "10.0.0.256", "", "10.0.0.0/-1", "+1.0.0.0",
    ])
    func `what is no range is refused`(_ text: String) {
        #expect(TrustedProxies([text]) == nil)
    }

    @Test func `ranges end where they say`() throws {
        let proxies = try #require(TrustedProxies(["192.0.2.128/25", "198.51.100.7"]))
        func isTrusted(_ peer: String) -> Bool {
            proxies.client(of: peer, forwarded: ["9.9.9.9"]) == "9.9.9.9"
        }
        #expect(isTrusted("192.0.2.128") && isTrusted("192.0.2.255") && isTrusted("198.51.100.7"))
        #expect(!isTrusted("192.0.2.127") && !isTrusted("198.51.100.8"))
    }

    @Test func `who guesses behind a proxy stops himself alone`() async throws {
        var setup = RunningServer.Setup()
        setup.proxies = try #require(TrustedProxies(["127.0.0.1"]))
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .viewer)
        func signIn(_ password: String, from address: String) async throws -> Int {
            try await server.send(
                "POST",
                "/api/v1/auth/token",
                ["username": "ann", "password": .string(password)],
                headers: [("X-Forwarded-For", "8.8.8.8, \(address)")]
            ).status
        }
        for _ in 0..<10 {
            #expect(try await signIn("a wrong password", from: "203.0.113.1") == 401)
        }
        #expect(try await signIn(RunningServer.password, from: "203.0.113.1") == 429)
        #expect(try await signIn(RunningServer.password, from: "203.0.113.2") == 200)
        try await server.stop()
    }
}
