import CryptoExtras
import Domain
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Trackers

/// GitHub Apps: a private key from which tokens of an hour are made.
@Suite struct GitHubAppTests {
    private typealias Fixture = GitHubFixture

    /// One for all tests: making it takes longer than using it.
    private static let key = Result { try _RSA.Signing.PrivateKey(keySize: .bits2048) }
    /// Sunday, 6 November 1994, 08:49:37.
    private static let now = Timestamp(milliseconds: 784_111_777_000)
    private static let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")

    private func app(installation: Int64? = 77) throws -> GitHubApp {
        try GitHubApp(
            identifier: "123",
            installation: installation,
            privateKey: Secret(try Self.key.get().pemRepresentation)
        )
    }

    /// What the service answers to a request for a token: its number and an hour of life.
    private static func token(_ number: Int) -> ScriptedHTTPServer.Step {
        .answer(
            201,
            headers: [date],
            text: """
                {"token":"ghs_\(number)","expires_at":"1994-11-06T09:49:37Z",
                "permissions":{"issues":"read","metadata":"read","pull_requests":"read"}}
                """
        )
    }

    private func decoded(_ part: Substring) throws -> Data {
        var text = part.replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        return try #require(Data(base64Encoded: String(text)))
    }

    @Test func `a statement is signed with the key and holds for less than ten minutes`() throws {
        let statement = try app().statement(at: Self.now)
        let parts = statement.secret.reveal().split(separator: ".")
        #expect(parts.count == 3)
        let header = try JSONParser.parse(Array(try decoded(parts[0])))
        #expect(header == ["alg": "RS256", "typ": "JWT"])
        let claims = try JSONParser.parse(Array(try decoded(parts[1])))
        #expect(claims["iss"] == "123")
        let start = try #require(claims["iat"]?.integer)
        let end = try #require(claims["exp"]?.integer)
        #expect(start < 784_111_777)
        #expect(end - start <= 600)
        let renewal = try #require(statement.renewAt)
        #expect(renewal.milliseconds < end * 1000)
        #expect(renewal > Self.now)
        let isGenuine = try Self.key.get().publicKey.isValidSignature(
            _RSA.Signing.RSASignature(rawRepresentation: try decoded(parts[2])),
            for: Data("\(parts[0]).\(parts[1])".utf8),
            padding: .insecurePKCS1v1_5
        )
        #expect(isGenuine)
    }

    @Test func `what is stored gives the App back, and a token is no App`() throws {
        let stored = try app().stored
        let back = try #require(try GitHubApp(stored: stored))
        #expect(back.identifier == "123")
        #expect(back.installation == 77)
        let first = try back.statement(at: Self.now)
        let second = try app().statement(at: Self.now)
        #expect(first == second)
        #expect(try GitHubApp(stored: Secret("ghp_abc")) == nil)
        #expect(throws: GitHubApp.Defect.self) { try GitHubApp(stored: Secret("{}")) }
        #expect(!"\(back)".contains("PRIVATE KEY"))
        #expect(!String(reflecting: stored).contains("PRIVATE KEY"))
    }

    @Test(arguments: ["", "12 3", "caf\u{e9}", "../1"])
    func `what is no App's number is refused`(identifier: String) throws {
        let pem = Secret(try Self.key.get().pemRepresentation)
        #expect(throws: GitHubApp.Defect.identifier) {
            try GitHubApp(identifier: identifier, installation: nil, privateKey: pem)
        }
    }

    @Test func `the key is shown to no call but those for tokens`() async throws {
        let service = try ScriptedService { call in
            call.path.hasSuffix("/access_tokens") ? Self.token(1) : .answer(text: "[]")
        }
        let client = try service.client(.github, credential: try app().stored) { Self.now }
        for _ in 0..<3 {
            _ = try await client.issues(
                of: Fixture.project,
                walk: .everything,
                page: nil,
                validator: nil
            )
        }
        let requests = service.server.requests
        #expect(requests.count == 4)
        #expect(requests.first?.target == "/app/installations/77/access_tokens")
        #expect(requests.first?.method == "POST")
        #expect(requests.first?.headers["authorization"]?.hasPrefix("Bearer ey") == true)
        for request in requests.dropFirst() {
            #expect(request.headers["authorization"] == "Bearer ghs_1")
        }
    }

    @Test func `a token is renewed before it ends, and at once when it is refused`() async throws {
        let made = Mutex(0)
        let service = try ScriptedService { call in
            guard call.path.hasSuffix("/access_tokens") else {
                // The second token is withdrawn before its time.
                return call.headers["authorization"] == "Bearer ghs_2"
                    ? .answer(401, text: #"{"message":"Bad credentials"}"#) : .answer(text: "[]")
            }
            return Self.token(
                made.withLock { count in
                    count += 1
                    return count
                }
            )
        }
        let time = Mutex(Self.now)
        let client = try service.client(.github, credential: try app().stored) {
            time.withLock { $0 }
        }
        func shown(after duration: Duration) async throws -> String? {
            time.withLock { $0 = Self.now.advanced(by: duration) }
            _ = try await client.issues(
                of: Fixture.project,
                walk: .everything,
                page: nil,
                validator: nil
            )
            return service.calls.last?.headers["authorization"]
        }
        #expect(try await shown(after: .zero) == "Bearer ghs_1")
        #expect(try await shown(after: .seconds(54 * 60)) == "Bearer ghs_1")
        #expect(made.withLock { $0 } == 1)
        // Five minutes before its end.
        #expect(try await shown(after: .seconds(55 * 60)) == "Bearer ghs_3")
        #expect(made.withLock { $0 } == 3)
    }

    @Test func `while no new token is to be had the old one is used to its end`() async throws {
        let made = Mutex(0)
        let service = try ScriptedService { call in
            guard call.path.hasSuffix("/access_tokens") else { return .answer(text: "[]") }
            let count = made.withLock { count in
                count += 1
                return count
            }
            return count == 1 ? Self.token(1) : .answer(502, text: "<html>")
        }
        let time = Mutex(Self.now)
        let client = try service.client(.github, credential: try app().stored) {
            time.withLock { $0 }
        }
        for minutes in [0, 56, 57] {
            time.withLock { $0 = Self.now.advanced(by: .seconds(60 * minutes)) }
            _ = try await client.issues(
                of: Fixture.project,
                walk: .everything,
                page: nil,
                validator: nil
            )
            #expect(service.calls.last?.headers["authorization"] == "Bearer ghs_1")
        }
        #expect(made.withLock { $0 } > 2)
    }

    @Test func `the only installation is found, several have to be chosen from`() async throws {
        for count in 0...2 {
            let service = try ScriptedService { call in
                if call.path == "/app/installations" {
                    let list = (0..<count).map { #"{"id":\#(90 + $0),"account":{"login":"acme"}}"# }
                    return .answer(text: "[\(list.joined(separator: ","))]")
                }
                if call.path == "/app/installations/90/access_tokens" { return Self.token(1) }
                return .answer(text: "[]")
            }
            let stored = try app(installation: nil).stored
            let client = try service.client(.github, credential: stored) { Self.now }
            do {
                _ = try await client.issues(
                    of: Fixture.project,
                    walk: .everything,
                    page: nil,
                    validator: nil
                )
                #expect(count == 1)
            } catch TrackerError.unauthenticated(let detail, _) {
                #expect(count != 1)
                #expect(count == 0 || detail.contains("90 of acme, 91 of acme"), "\(detail)")
            }
        }
    }

    @Test(arguments: [401, 403, 404, 422])
    func `a refused App is a refused token, never a project that is gone`(
        status: Int
    ) async throws {
        let service = try ScriptedService { _ in
            .answer(status, text: #"{"message":"Integration not found"}"#)
        }
        let client = try service.client(.github, credential: try app().stored) { Self.now }
        await #expect {
            _ = try await client.issues(
                of: Fixture.project,
                walk: .everything,
                page: nil,
                validator: nil
            )
        } throws: { error in
            guard case .unauthenticated(let detail, _)? = error as? TrackerError else {
                return false
            }
            return detail.contains("GitHub App 123")
        }
        let reference = Fixture.reference
        await #expect(throws: TrackerError.self) {
            try await client.presence(of: reference, in: Fixture.project)
        }
    }

    @Test func `who the App is, and what it may not do`() async throws {
        let service = try ScriptedService { call in
            switch call.path {
            case "/app": .answer(text: #"{"id":123,"slug":"preloop-reader"}"#)
            case "/installation/repositories":
                .answer(text: #"{"total_count":0,"repositories":[]}"#)
            default:
                .answer(
                    201,
                    text: """
                        {"token":"ghs_1","expires_at":"1994-11-06T09:49:37Z",
                        "permissions":{"issues":"read"}}
                        """
                )
            }
        }
        let client = try service.client(.github, credential: try app().stored) { Self.now }
        let identity = try await client.verify()
        #expect(identity.userName == "GitHub App preloop-reader, installation 77")
        #expect(identity.scopes == ["issues: read"])
        #expect(identity.warnings.count == 1)
        #expect(identity.warnings.first?.contains("`pull_requests`") == true)
    }
}
