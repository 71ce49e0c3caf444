import Crypto
import Domain
import Foundation
import TestSupport
import Testing

@testable import Trackers

/// What GitLab is told about a webhook, and what it makes of that.
@Suite struct GitLabWebhookTests {
    private typealias Fixture = GitLabFixture

    private static let secret = Secret("0123456789abcdef0123456789abcdef")
    private static let url = "https://preloop.example/hooks"
    private static let hooks = "\(Fixture.base)/hooks"
    private static let row = #"{"id":9,"url":"\#(url)","issues_events":true}"#

    /// A GitLab that has this webhook, or none.
    private func service(isInstalled: Bool) throws -> ScriptedService {
        try ScriptedService { call in
            switch (call.method, call.path) {
            case ("GET", Self.hooks): .answer(text: isInstalled ? "[\(Self.row)]" : "[]")
            case ("POST", Self.hooks): .answer(201, text: Self.row)
            case ("PUT", "\(Self.hooks)/9"): .answer(text: Self.row)
            default: nil
            }
        }
    }

    /// Installs our webhook, and gives what GitLab was sent for it.
    private func install(at service: ScriptedService) async throws -> ScriptedService.Call {
        let parameters = try WritingFixture.parameters(
            .gitlab,
            url: service.server.origin,
            clock: service.clock
        )
        let installed = try await TrackerClients.writers(parameters).webhooks.install(
            WebhookRegistration(url: Self.url, secret: Self.secret),
            at: .project(Fixture.project)
        )
        #expect(installed.id == "9")
        return try #require(service.calls.last)
    }

    /// What GitLab sends under a signing token, after the Standard Webhooks specification.
    private func delivery(signedWith token: String, at now: Timestamp) throws -> WebhookDelivery {
        #expect(token.hasPrefix("whsec_"))
        let key = try #require(Data(base64Encoded: String(token.dropFirst(6))))
        let body = Array(#"{"object_kind":"issue"}"#.utf8)
        let time = "\(now.milliseconds / 1000)"
        let code = HMAC<SHA256>.authenticationCode(
            for: Array("d-1.\(time).".utf8) + body,
            using: SymmetricKey(data: Array(key))
        )
        return WebhookDelivery(
            kind: .gitlab,
            deployment: .cloud,
            fields: [
                (name: "X-Gitlab-Token", value: Self.secret.reveal()),
                (name: "webhook-id", value: "d-1"), (name: "webhook-timestamp", value: time),
                (
                    name: "webhook-signature",
                    value: "v1,\(Data(Array(code)).base64EncodedString())"
                ),
            ],
            body: body
        )
    }

    /// It was never told a key, so that what it signed was always refused.
    ///
    /// The second time is how a key that somebody else has set is put right.
    @Test(arguments: [false, true])
    func `each installation gives GitLab the token and our key, and what it signs is believed`(
        isInstalled: Bool
    ) async throws {
        let service = try service(isInstalled: isInstalled)
        defer { service.server.stop() }
        let call = try await install(at: service)
        #expect(call.method == (isInstalled ? "PUT" : "POST"))
        #expect(call.body["token"]?.string == Self.secret.reveal())
        let token = try #require(call.body["signing_token"]?.string)
        let now = Timestamp(milliseconds: 1_750_000_000_000)
        var delivery = try delivery(signedWith: token, at: now)
        try delivery.verify(secrets: [Self.secret], now: now)
        let later = now.advanced(by: .seconds(301))
        #expect(throws: WebhookError.expired) {
            try delivery.verify(secrets: [Self.secret], now: later)
        }
        delivery.body.append(0x20)
        #expect(throws: WebhookError.foreignSignature) {
            try delivery.verify(secrets: [Self.secret], now: now)
        }
    }

    @Test func `GitLab is told no secret but in the body`() async throws {
        let service = try service(isInstalled: false)
        defer { service.server.stop() }
        _ = try await install(at: service)
        for call in service.calls {
            for text in [call.path, "\(call.query)", "\(call.headers)"] {
                #expect(!text.contains(Self.secret.reveal()) && !text.contains("whsec_"))
            }
        }
    }
}
