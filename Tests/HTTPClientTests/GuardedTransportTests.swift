import HTTPClient
import Synchronization
import Testing

/// Requests to URLs that users set, as trackers' are.
@Suite struct GuardedTransportTests {
    /// Notes what it is given, and has no connection to addresses that are down.
    private final class Network: HTTPTransport {
        private let state = Mutex<[HTTPRequest]>([])
        private let down: Set<String>

        init(down: Set<String> = []) { self.down = down }

        var requests: [HTTPRequest] { state.withLock { $0 } }

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            state.withLock { $0.append(request) }
            guard let address = request.pinnedAddress, !down.contains(address) else {
                throw .connectionFailed(host: "example.com", reason: "down")
            }
            return HTTPResponse(
                status: 200,
                headers: HTTPHeaders([]),
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private static let names = [
        "example.com": ["8.8.8.8", "1.1.1.1"], "loop.example.com": ["127.0.0.1"],
        "mixed.example.com": ["8.8.8.8", "10.0.0.1"],
    ]

    private func guarded(_ network: Network) -> GuardedTransport {
        GuardedTransport(
            network,
            by: EgressGuard { name in (Self.names[name] ?? []).compactMap { IPAddress($0) } }
        )
    }

    @Test(arguments: [
        "http://127.0.0.1:8080/", "http://10.0.0.5/", "http://169.254.169.254/latest/meta-data",
        "http://[::1]/", "http://loop.example.com/", "https://mixed.example.com/", "http://db/",
        "http://localhost/", "http://0x7f.1/",
    ])
    func `what is not of the public Internet is sent nothing`(_ url: String) async {
        let network = Network()
        await #expect(throws: HTTPError.self) {
            try await guarded(network).send(HTTPRequest(url: url))
        }
        #expect(network.requests.isEmpty)
    }

    /// The name service may answer otherwise a moment later.
    @Test func `each request is pinned to an address that was vetted`() async throws {
        let network = Network(down: ["8.8.8.8"])
        // Trackers' queries are longer than URLs that users set may be.
        let url = "https://example.com/search?jql=" + String(repeating: "a", count: 4_000)
        let response = try await guarded(network).send(HTTPRequest(url: url))
        #expect(response.effectiveURL == url)
        #expect(network.requests.map(\.pinnedAddress) == ["8.8.8.8", "1.1.1.1"])
        #expect(network.requests.allSatisfy { $0.url == url })
    }

    @Test func `refusals say how an operator allows what can be allowed`() async throws {
        let network = Network()
        let guarded = GuardedTransport(network, by: EgressGuard { _ in [] }, cure: "name it")
        for (url, isAllowable) in [("http://127.0.0.1/", true), ("http://0x7f.1/", false)] {
            do throws(HTTPError) {
                _ = try await guarded.send(HTTPRequest(url: url))
                Issue.record("it was sent")
            } catch {
                #expect("\(error)".contains("public Internet"))
                #expect("\(error)".hasSuffix("; name it") == isAllowable)
            }
        }
        #expect(network.requests.isEmpty)
    }

    @Test func `refusals do not tell where a name leads`() async throws {
        do throws(HTTPError) {
            _ = try await guarded(Network()).send(HTTPRequest(url: "http://loop.example.com/x"))
            Issue.record("it was sent")
        } catch {
            #expect(error == .forbidden(host: "loop.example.com"))
            #expect(!"\(error)".contains("127.0.0.1") && !error.isTransient)
        }
    }
}
