import Crypto
import Domain
import Foundation
import HTTPClient
import Logging
import Store
import StoreTestSupport
import Testing
import Trackers

@testable import API

/// Deliveries over HTTP, signed as GitHub and GitLab sign them.
@Suite struct WebhookRouteTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    /// A server that follows one organisation, and the path of its webhook.
    private func server(
        _ records: LogRecords? = nil,
        of kind: TrackerKind = .github
    ) async throws -> (server: RunningServer, organization: OrganizationID, path: String) {
        var setup = RunningServer.Setup()
        setup.takesWebhooks = true
        setup.records = records
        let server = try await RunningServer(setup)
        let store = server.scratch.store
        let organization = try await World(in: store, kind: kind).organization
        let sealed = try RunningServer.box().seal(
            Secret(Self.secret),
            for: SecretOwner.webhook(organization, account: store.account)
        )
        _ = try await store.writeOutsideFeed { connection, account in
            try WebhookTable.set(
                sealed,
                of: organization,
                keepingPreviousUntil: World.start,
                at: World.start,
                account: account,
                on: connection
            )
        }
        let address = "\(store.account)-\(organization)"
        let path = "/api/v1/private/webhooks/\(kind.rawValue)/\(address)"
        return (server, organization, path)
    }

    private func deliver(
        _ id: String,
        to path: String,
        of server: RunningServer,
        secret: String = Self.secret
    ) async throws -> RunningServer.Answer {
        let body: JSONValue = ["zen": "Keep it logically awesome.", "hook_id": 1]
        let code = HMAC<SHA256>.authenticationCode(
            for: body.serialized(),
            using: SymmetricKey(data: Array(secret.utf8))
        )
        let headers = [
            ("X-GitHub-Event", "ping"), ("X-GitHub-Delivery", id),
            ("X-Hub-Signature-256", "sha256=\(hexadecimal(Array(code)))"),
        ]
        return try await server.send("POST", path, body, headers: headers)
    }

    /// A GitLab that was given the secret as its token and a key to sign with: it shows the one,
    /// and signs by the other after the Standard Webhooks specification.
    private struct GitLab {
        var server: RunningServer
        var path: String
        var token = Secret(WebhookRouteTests.secret)
        /// As it was registered.
        var signingToken = Secret(WebhookRouteTests.secret).gitLabSigningToken

        static let body: JSONValue = ["object_kind": "push", "project_id": 7]

        /// Delivers what was signed so many seconds ago, or something else under that signature.
        func deliver(
            _ id: String,
            age: Int64 = 0,
            sending sent: JSONValue = body
        ) async throws -> RunningServer.Answer {
            let encoded = String(signingToken.reveal().dropFirst("whsec_".count))
            let key = try #require(Data(base64Encoded: encoded))
            let time = "\(wallClock().milliseconds / 1000 - age)"
            let code = HMAC<SHA256>.authenticationCode(
                for: Array("\(id).\(time).".utf8) + Self.body.serialized(),
                using: SymmetricKey(data: Array(key))
            )
            let headers = [
                ("X-Gitlab-Event", "Push Hook"), ("X-Gitlab-Token", token.reveal()),
                ("Idempotency-Key", id), ("webhook-id", id), ("webhook-timestamp", time),
                ("webhook-signature", "v1,\(Data(Array(code)).base64EncodedString())"),
            ]
            return try await server.send("POST", path, sent, headers: headers)
        }
    }

    private func rows(
        of organization: OrganizationID,
        _ server: RunningServer
    ) async throws -> Int {
        try await server.scratch.store.read { connection, account in
            try WebhookDeliveryTable.list(
                of: organization,
                limit: 10,
                account: account,
                on: connection
            ).count
        }
    }

    @Test func `a signed delivery is kept once, a forged one or one for nobody never`()
        async throws
    {
        let (server, organization, path) = try await server()
        let first = try await deliver("d1", to: path, of: server)
        #expect(try first.status == 202 && first.json["status"] == "accepted", "\(first.text)")
        let second = try await deliver("d1", to: path, of: server)
        #expect(try second.status == 202 && second.json["status"] == "repeated")
        #expect(try await rows(of: organization, server) == 1)
        let other = "another secret, as long as that one"
        let forged = try await deliver("d2", to: path, of: server, secret: other)
        #expect(try forged.status == 401 && forged.json["code"] == "delivery_refused")
        let account = server.scratch.store.account
        for end in ["github/\(account)-999999", "gitlab/\(account)-\(organization)", "x/1-1"] {
            let lost = "/api/v1/private/webhooks/\(end)"
            #expect(try await deliver("d3", to: lost, of: server).status == 404, "\(end)")
        }
        #expect(try await rows(of: organization, server) == 1)
        try await server.stop()
    }

    /// GitLab could not sign anything that was believed: it was never given a key.
    @Test func `a delivery that GitLab signs with our key is kept, a changed or old one never`()
        async throws
    {
        let (server, organization, path) = try await server(of: .gitlab)
        let gitLab = GitLab(server: server, path: path)
        let first = try await gitLab.deliver("d1")
        #expect(try first.status == 202 && first.json["status"] == "accepted", "\(first.text)")
        let second = try await gitLab.deliver("d1", age: 60)
        #expect(try second.status == 202 && second.json["status"] == "repeated", "\(second.text)")
        #expect(try await rows(of: organization, server) == 1)
        let other: JSONValue = ["object_kind": "push", "project_id": 8]
        let changed = try await gitLab.deliver("d2", sending: other)
        #expect(try changed.status == 401 && changed.json["code"] == "delivery_refused")
        let old = try await gitLab.deliver("d3", age: 400)
        #expect(old.status == 401 && old.text.contains("too old"), "\(old.text)")
        #expect(try await rows(of: organization, server) == 1)
        try await server.stop()
    }

    /// All that GitLab shows about a delivery is the answer: it has to say what helps.
    @Test func `a signature of another key is refused beside our token, and the cure is told`()
        async throws
    {
        let (server, organization, path) = try await server(of: .gitlab)
        var gitLab = GitLab(server: server, path: path)
        gitLab.signingToken = Secret("another secret, as long as that one").gitLabSigningToken
        let refused = try await gitLab.deliver("d1")
        #expect(try refused.status == 401 && refused.json["code"] == "delivery_refused")
        #expect(refused.text.contains("preloop trackers webhooks install"), "\(refused.text)")
        // Whoever does not show the token hears nothing of it.
        gitLab.token = Secret("another")
        let forged = try await gitLab.deliver("d1")
        #expect(forged.status == 401 && !forged.text.contains("install"), "\(forged.text)")
        #expect(try await rows(of: organization, server) == 0)
        try await server.stop()
    }

    @Test func `a delivery beyond 4 MiB is refused before it is read`() async throws {
        let (server, organization, path) = try await server()
        let client = try RawClient(port: server.port)
        let length = (4 << 20) + 1
        #expect(
            client.send(
                "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(length)\r\n\r\n"
            )
        )
        #expect(await client.read(until: "\r\n").contains("413"))
        #expect(try await rows(of: organization, server) == 0)
        try await server.stop()
    }

    /// The reason was thrown away once: an operator saw 503 and nothing else.
    @Test func `a delivery that cannot be kept may come again, and the log says why`()
        async throws
    {
        let records = LogRecords()
        let (server, _, path) = try await server(records)
        try await server.scratch.store.database.close()
        let answer = try await deliver("d1", to: path, of: server)
        #expect(answer.status == 503 && answer.headers["Retry-After"] == "5", "\(answer.text)")
        let line = try #require(records.lines("a delivery could not be kept").first)
        let reason = try #require(line.metadata["reason"])
        #expect(line.level == .error && !reason.isEmpty)
        #expect(!answer.text.contains(reason))
        #expect(line.metadata["request_id"] == answer.headers["X-Request-ID"])
        try await server.stop()
    }
}
