import Crypto
import Domain
import Foundation
import HTTPClient
import Testing

@testable import Trackers

struct WebhookVerificationTests {
    private static let now = Timestamp(milliseconds: 1_750_000_000_000)
    private static let secret = Secret("0123456789abcdef0123456789abcdef")
    private static let body = Array(#"{"action":"opened"}"#.utf8)

    private func delivery(
        _ kind: TrackerKind,
        _ headers: [(String, String)],
        body: [UInt8] = body
    ) -> WebhookDelivery {
        WebhookDelivery(
            kind: kind,
            deployment: .cloud,
            headers: HTTPHeaders(headers.map { HTTPField($0.0, $0.1) }),
            body: body
        )
    }

    private func digest(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    private func error(
        _ delivery: WebhookDelivery,
        _ secrets: [Secret] = [secret]
    ) -> WebhookError? {
        do throws(WebhookError) {
            try delivery.verify(secrets: secrets, now: Self.now)
            return nil
        } catch {
            return error
        }
    }

    @Test func `GitHub's published example is accepted`() {
        // From GitHub's documentation of webhook validation.
        let hello = delivery(
            .github,
            [
                (
                    "X-Hub-Signature-256",
                    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
                )
            ],
            body: Array("Hello, World!".utf8)
        )
        #expect(error(hello, [Secret("It's a Secret to Everybody")]) == nil)
    }

    @Test(arguments: [(TrackerKind.github, "X-Hub-Signature-256"), (.jira, "X-Hub-Signature")])
    func `a signature over the raw bytes is accepted and any change refused`(
        _ service: (kind: TrackerKind, header: String)
    ) {
        let code = digest(Self.body, key: Array(Self.secret.reveal().utf8))
        let text = "sha256=" + hexadecimal(code)
        #expect(error(delivery(service.kind, [(service.header, text)])) == nil)
        let changed = delivery(service.kind, [(service.header, text)], body: Self.body + [0x20])
        #expect(error(changed) == .forged)
        #expect(error(delivery(service.kind, [])) == .unsigned)
        #expect(error(delivery(service.kind, [(service.header, text)]), []) == .noSecret)
        #expect(error(delivery(service.kind, [(service.header, text)]), [Secret("")]) == .noSecret)
        let other = [Secret("another"), Self.secret]
        #expect(error(delivery(service.kind, [(service.header, text)]), other) == nil)
        for wrong in [
            "", "sha256=", "sha1=" + hexadecimal(code), String(text.dropLast()), text + "00",
            "sha256=zz" + text.dropFirst(9), "SHA256=" + hexadecimal(code),
        ] {
            #expect(error(delivery(service.kind, [(service.header, wrong)])) == .forged, "\(wrong)")
        }
    }

    @Test func `the old GitHub signature alone is not enough`() {
        #expect(error(delivery(.github, [("X-Hub-Signature", "sha1=00")])) == .unsigned)
    }

    @Test func `GitLab's token has to be the secret`() {
        let right = delivery(.gitlab, [("X-Gitlab-Token", Self.secret.reveal())])
        #expect(error(right) == nil)
        let wrong = delivery(.gitlab, [("X-Gitlab-Token", Self.secret.reveal() + "x")])
        #expect(error(wrong) == .forged)
        #expect(error(delivery(.gitlab, [("X-Gitlab-Token", "0123")])) == .forged)
        #expect(error(delivery(.gitlab, [("X-Gitlab-Token", "")])) == .forged)
        #expect(error(delivery(.gitlab, [("X-Gitlab-Token", "")]), [Secret("")]) == .noSecret)
        #expect(error(delivery(.gitlab, [])) == .unsigned)
    }

    /// The header lines of a delivery that GitLab signs with a key, at the age of `skew` seconds.
    private func signed(
        _ id: String = "id-1",
        skew: Int64 = 0,
        key: [UInt8] = secret.gitLabSigningKey,
        token: String? = nil
    ) -> [(String, String)] {
        let time = "\(Self.now.milliseconds / 1000 + skew)"
        let signature = base64(digest(Array("\(id).\(time).".utf8) + Self.body, key: key))
        let token = token.map { [("X-Gitlab-Token", $0)] } ?? []
        return token + [
            ("webhook-id", id), ("webhook-timestamp", time),
            ("webhook-signature", "v1,AAAA v1,\(signature)"),
        ]
    }

    /// The lines with another value in one of them.
    private func changed(
        _ lines: [(String, String)],
        _ name: String,
        to value: String
    ) -> [(String, String)] {
        lines.map { $0.0 == name ? (name, value) : $0 }
    }

    @Test(arguments: [0, -300, 300, -301, 301])
    func `GitLab's signed form covers identifier and time`(_ skew: Int64) {
        let lines = signed(skew: skew)
        let expected: WebhookError? = abs(skew) <= 300 ? nil : .expired
        #expect(error(delivery(.gitlab, lines)) == expected)
        #expect(error(delivery(.gitlab, changed(lines, "webhook-id", to: "id-2"))) == .forged)
        let later = "\(Self.now.milliseconds / 1000 + skew + 1)"
        #expect(error(delivery(.gitlab, changed(lines, "webhook-timestamp", to: later))) == .forged)
        #expect(error(delivery(.gitlab, lines, body: Self.body + [0x20])) == .forged)
        #expect(error(delivery(.gitlab, lines), [Secret("another")]) == .forged)
        #expect(error(delivery(.gitlab, lines), [Secret("another"), Self.secret]) == expected)
        #expect(error(delivery(.gitlab, lines), []) == .noSecret)
        #expect(error(delivery(.gitlab, Array(lines.suffix(1)))) == .unsigned)
    }

    /// With any other derivation every webhook that is registered would be refused.
    @Test func `GitLab's key is made from the secret, always in the same way`() throws {
        let token = Self.secret.gitLabSigningToken.reveal()
        #expect(token == "whsec_1XxVT5WpX+aw3fBb4sORNxgVYjAZwJT9iv0rsJciqsw=")
        // GitLab takes no key of another length.
        let key = try #require(Data(base64Encoded: String(token.dropFirst(6))))
        #expect(key.count == 32 && Array(key) == Self.secret.gitLabSigningKey)
        #expect(Secret("another").gitLabSigningKey != Self.secret.gitLabSigningKey)
        // What is shown as the token is not what is signed with.
        let lines = signed(key: Array(Self.secret.reveal().utf8))
        #expect(error(delivery(.gitlab, lines)) == .forged)
    }

    /// GitLab sends both; the token shows who sends, and nothing of the body or its age.
    @Test func `a right token does not make up for a wrong signature`() {
        let token = Self.secret.reveal()
        let ours = signed(token: token)
        #expect(error(delivery(.gitlab, ours)) == nil)
        #expect(error(delivery(.gitlab, ours, body: Self.body + [0x20])) == .foreignSignature)
        let foreign = signed(key: Array(0..<32), token: token)
        #expect(error(delivery(.gitlab, foreign)) == .foreignSignature)
        #expect(error(delivery(.gitlab, signed(skew: -301, token: token))) == .expired)
        let broken = changed(ours, "webhook-signature", to: "")
        #expect(error(delivery(.gitlab, broken)) == .foreignSignature)
        // Whoever does not know the token hears nothing of it.
        let forged = signed(key: Array(0..<32), token: token + "x")
        #expect(error(delivery(.gitlab, forged)) == .forged)
        // The signature says more than the token, which may have been taken away at GitLab.
        #expect(error(delivery(.gitlab, signed(token: "x"))) == nil)
        #expect("\(WebhookError.foreignSignature)".contains("trackers webhooks install"))
    }

    @Test func `a body beyond the limit is not looked at`() {
        let size = WebhookDelivery.maximumBodyByteCount + 1
        let large = delivery(.github, [], body: Array(repeating: 0x20, count: size))
        #expect(error(large) == .bodyTooLarge(byteCount: size))
    }

    @Test func `no error tells the secret`() {
        for error in [WebhookError.forged, .foreignSignature, .unsigned, .expired, .noSecret] {
            #expect(!"\(error)".contains(Self.secret.reveal()))
        }
    }

    @Test func `a delivery without identifier is told by its bytes`() {
        let first = delivery(.github, [("X-GitHub-Delivery", "d-1")])
        #expect(first.identifier == "d-1")
        let second = delivery(.github, [("X-GitHub-Delivery", String(repeating: "x", count: 999))])
        #expect(second.identifier.hasPrefix("sha256:"))
        #expect(second.identifier == delivery(.github, []).identifier)
        #expect(second.identifier != delivery(.github, [], body: [0x7B]).identifier)
    }

    /// Its webhooks that set off others share the event: the second was taken for the first.
    @Test func `deliveries of one GitLab event are told apart by their bodies`() {
        let event = ("X-Gitlab-Event-UUID", "e-1")
        let first = delivery(.gitlab, [event])
        #expect(first.identifier == delivery(.gitlab, [event]).identifier)
        #expect(first.identifier != delivery(.gitlab, [event], body: [0x7B]).identifier)
        #expect(first.identifier != delivery(.gitlab, [("X-Gitlab-Event-UUID", "e-2")]).identifier)
        #expect(first.identifier.hasPrefix("e-1 sha256:"))
        for name in ["Idempotency-Key", "webhook-id"] {
            #expect(delivery(.gitlab, [event, (name, "d-1")]).identifier == "d-1", "\(name)")
        }
        // Of the two the signature covers one: a replay could have any other.
        let both = [("Idempotency-Key", "d-2"), ("webhook-id", "d-1")]
        #expect(delivery(.gitlab, both).identifier == "d-1")
    }
}
