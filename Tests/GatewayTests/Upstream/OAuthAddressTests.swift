import Domain
import HTTPClient
import Synchronization
import Testing

@testable import Gateway

/// To whom, and how, a client of OAuth speaks.
@Suite struct OAuthAddressTests {
    /// Documents at addresses, and what was posted to them.
    private final class Documents: HTTPStreamTransport {
        private let documents: [String: JSONValue]
        private let answer: @Sendable (String) -> (Int, JSONValue)
        /// Where a refusal of the server says that its document is; nil for nothing.
        private let place: String?
        private let state = Mutex<[String]>([])

        init(
            _ documents: [String: JSONValue],
            place: String? = nil,
            answer: @escaping @Sendable (String) -> (Int, JSONValue) = { _ in (404, .null) }
        ) {
            self.documents = documents
            self.place = place
            self.answer = answer
        }

        var posted: [String] { state.withLock { $0 } }

        func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
            throw .invalidURL(url: request.url)
        }

        func stream(
            _ request: HTTPRequest,
            to receiver: HTTPReceiver
        ) async throws(HTTPError) -> HTTPResponse {
            var (status, document) = (404, JSONValue.null)
            if request.method == "POST" {
                let body = String(decoding: request.body ?? [], as: UTF8.self)
                state.withLock { $0.append(body) }
                (status, document) = answer(body)
            } else if let found = documents[request.url] {
                (status, document) = (200, found)
            } else if place != nil, request.url == OAuthAddressTests.server {
                status = 401
            }
            var fields = [HTTPField("Content-Type", "application/json")]
            if let place {
                let challenge = "Bearer resource_metadata=\"\(place)\""
                fields.append(HTTPField("WWW-Authenticate", challenge))
            }
            let headers = HTTPHeaders(fields)
            receiver.head(status, headers)
            _ = receiver.body(document.serialized())
            return HTTPResponse(
                status: status,
                headers: headers,
                body: [],
                effectiveURL: request.url
            )
        }
    }

    private static let server = "https://mcp.example/mcp"

    /// A server whose authorization server has these addresses.
    private static func documents(
        issuers: [String] = ["https://as.example"],
        _ changes: [String: String] = [:]
    ) -> Documents {
        var found: [String: JSONValue] = [
            "https://mcp.example/.well-known/oauth-protected-resource/mcp": [
                "resource": .string(server), "authorization_servers": JSONValue(issuers),
            ]
        ]
        for issuer in issuers {
            var members = [
                "issuer": issuer, "token_endpoint": "https://as.example/token",
                "authorization_endpoint": "https://as.example/authorize",
                "registration_endpoint": "https://as.example/register",
            ]
            members.merge(changes) { $1 }
            var object = JSONObject(members.map { ($0.key, .string($0.value)) })
            object["code_challenge_methods_supported"] = ["S256"]
            found[issuer + "/.well-known/oauth-authorization-server"] = .object(object)
        }
        return Documents(found)
    }

    private static func client(_ documents: Documents, _ allowed: String...) -> OAuthClient {
        OAuthClient(
            transport: documents,
            egress: EgressGuard(allowing: allowed) { _ in
                [IPAddress("93.184.216.34")].compactMap { $0 }
            },
            now: { Timestamp(milliseconds: 0) }
        )
    }

    /// Codes, verifiers, secrets and refresh tokens went over the wire in clear.
    @Test(arguments: ["token_endpoint", "authorization_endpoint", "registration_endpoint"])
    func `an authorization server is asked by https`(_ endpoint: String) async throws {
        let changes = [endpoint: "http://as.example/x"]
        await #expect(throws: UpstreamError.self) {
            try await Self.client(Self.documents(changes)).authority(of: Self.server)
        }
        // Whoever runs the network may name a host of it.
        let found = try await Self.client(Self.documents(changes), "as.example")
            .authority(of: Self.server)
        #expect(found.server.issuer == "https://as.example")
        _ = try await Self.client(Self.documents()).authority(of: Self.server)
    }

    @Test func `so is its issuer`() async throws {
        let documents = Self.documents(issuers: ["http://as.example"])
        await #expect(throws: UpstreamError.self) {
            try await Self.client(documents).authority(of: Self.server)
        }
        let found = try await Self.client(documents, "as.example").authority(of: Self.server)
        #expect(found.server.issuer == "http://as.example")
    }

    /// Who could change the document on its way named the issuer that people signed in at.
    @Test(arguments: [("http", false), ("https", true)])
    func `the document that a refusal names is asked for by https`(
        _ scheme: String,
        _ isTaken: Bool
    ) async throws {
        let place = "\(scheme)://meta.example/mcp"
        let issuer = "https://as.example"
        let documents = Documents(
            [
                place: [
                    "resource": .string(Self.server), "authorization_servers": [.string(issuer)],
                ],
                issuer + "/.well-known/oauth-authorization-server": [
                    "issuer": .string(issuer), "token_endpoint": "https://as.example/token",
                ],
            ],
            place: place
        )
        guard isTaken else {
            await #expect(throws: UpstreamError.self) {
                try await Self.client(documents).authority(of: Self.server)
            }
            let found = try await Self.client(documents, "meta.example").authority(of: Self.server)
            #expect(found.server.issuer == issuer)
            return
        }
        let found = try await Self.client(documents).authority(of: Self.server)
        #expect(found.server.issuer == issuer)
    }

    @Test func `of several issuers the one that is wanted is asked, or none`() async throws {
        let issuers = ["https://one.example", "https://two.example"]
        let client = Self.client(Self.documents(issuers: issuers))
        #expect(try await client.authority(of: Self.server).server.issuer == issuers[0])
        for issuer in issuers {
            let found = try await client.authority(of: Self.server, issuer: issuer)
            #expect(found.server.issuer == issuer)
        }
        await #expect(throws: UpstreamError.self) {
            try await client.authority(of: Self.server, issuer: "https://three.example")
        }
    }

    /// Calls failed until somebody signed in again, where nobody has to.
    @Test func `a client of its own right asks anew when its refresh token is refused`()
        async throws
    {
        let documents = Documents([:]) { body in
            guard body.contains("grant_type=client_credentials") else {
                return (400, ["error": "invalid_grant"])
            }
            return (200, ["access_token": "fresh", "token_type": "Bearer"])
        }
        let client = Self.client(documents)
        var grant = OAuthGrant(
            tokenEndpoint: "https://as.example/token",
            clientID: "robot",
            resource: Self.server
        )
        grant.refreshToken = "old"
        let renewed = try await client.renewed(grant, secret: "secret")
        #expect(renewed.accessToken == "fresh" && renewed.refreshToken == nil)
        #expect(documents.posted.count == 2)
        // Without a secret there is a person who has to be asked.
        await #expect(throws: UpstreamError.unauthorized(status: 400)) {
            try await client.renewed(grant, secret: nil)
        }
        #expect(documents.posted.count == 3)
    }
}
