import Crypto
import Domain
import HTTPClient
import Logging
import Store
import StoreTestSupport
import Testing

@testable import API

/// Deliveries over HTTP, signed as GitHub signs them.
@Suite struct WebhookRouteTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    /// A server that follows one organisation, and the path of its webhook.
    private func server(
        _ records: LogRecords? = nil
    ) async throws -> (server: RunningServer, organization: OrganizationID, path: String) {
        var setup = RunningServer.Setup()
        setup.takesWebhooks = true
        setup.records = records
        let server = try await RunningServer(setup)
        let store = server.scratch.store
        let organization = try await World(in: store).organization
        let sealed = try RunningServer.box().seal(
            Secret(Self.secret),
            for: SecretOwner.webhook(organization, account: store.account)
        )
        try await store.writeOutsideFeed { connection, account in
            try WebhookTable.set(
                sealed,
                of: organization,
                keepingPreviousUntil: World.start,
                at: World.start,
                account: account,
                on: connection
            )
        }
        let path = "/api/v1/private/webhooks/github/\(store.account)-\(organization)"
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
