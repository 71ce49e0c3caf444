import Crypto
package import Domain
package import HTTPClient

/// One request that claims to come from a tracker, with the bytes as they arrived.
package struct WebhookDelivery: Sendable {
    package var kind: TrackerKind
    package var deployment: TrackerDeployment
    package var headers: HTTPHeaders
    /// As received; signatures are made over these bytes and no others.
    package var body: [UInt8]
    /// Whether the items and comments that it carries are read; what only needs to know which they
    /// are saves most of the work.
    package var readsContents = true

    /// GitHub sends no more than 25 MB, the others less.
    package static let maximumBodyByteCount = 25 << 20

    package init(
        kind: TrackerKind,
        deployment: TrackerDeployment,
        headers: HTTPHeaders,
        body: [UInt8]
    ) {
        self.kind = kind
        self.deployment = deployment
        self.headers = headers
        self.body = body
    }

    /// A delivery with its header lines as pairs.
    package init(
        kind: TrackerKind,
        deployment: TrackerDeployment,
        fields: [(name: String, value: String)],
        body: [UInt8]
    ) {
        self.init(
            kind: kind,
            deployment: deployment,
            headers: HTTPHeaders(fields.map { HTTPField($0.name, $0.value) }),
            body: body
        )
    }

    /// What tells this delivery from others, the same when it is sent again.
    ///
    /// The tracker's own identifier; where there is none, the digest of the body. GitLab's older
    /// versions name the event alone, which webhooks that set off others share: there it is both.
    package var identifier: String {
        let names =
            switch kind {
            case .github: ["X-GitHub-Delivery"]
            // The same where there are both; only the first is signed.
            case .gitlab: ["webhook-id", "Idempotency-Key"]
            case .jira: ["X-Atlassian-Webhook-Identifier"]
            }
        if let own = names.lazy.compactMap(word(in:)).first { return own }
        let digest = "sha256:" + hexadecimal(SHA256.hash(data: body))
        guard kind == .gitlab, let event = word(in: "X-Gitlab-Event-UUID") else { return digest }
        return "\(event) \(digest)"
    }

    /// What a header names; nil for what is none of the trackers', such as a long one.
    private func word(in header: String) -> String? {
        guard let value = headers[header], (1...200).contains(value.utf8.count),
            value.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return value
    }
}

/// Why a delivery is not accepted.
package enum WebhookError: Error, Equatable, Sendable {
    case bodyTooLarge(byteCount: Int)
    /// No secret is stored, so that nothing can be believed.
    case noSecret
    /// It carries no signature.
    case unsigned
    /// Its signature is another's.
    case forged
    /// It shows our secret, and a signature that is not made with our key.
    case foreignSignature
    /// Its signature is too old, or from the future.
    case expired
    /// Not the JSON a tracker sends; `detail` says where.
    case malformed(detail: String)
}

extension WebhookError: CustomStringConvertible {
    /// One line for the log; tells nothing of secrets.
    package var description: String {
        switch self {
        case .bodyTooLarge(let count):
            "\(count) bytes are more than a tracker sends"
        case .noSecret: "no secret is stored for this webhook"
        case .unsigned: "the delivery is not signed"
        case .forged: "the signature is not made with our secret"
        case .foreignSignature:
            "the token is ours and the signature is not: the body was changed, or GitLab signs "
                + "with another key; `preloop trackers webhooks install` gives it ours again"
        case .expired: "the signature is too old or from the future"
        case .malformed(let detail): "not a tracker's delivery: \(detail)"
        }
    }
}

extension WebhookDelivery {
    /// GitLab's signed form carries its time; older ones may be replays.
    private static let maximumAge: Duration = .seconds(300)

    /// Checks the signature over the raw bytes in constant time.
    ///
    /// GitHub and Jira sign with HMAC-SHA256; GitLab sends the secret itself, and in newer versions
    /// signs identifier, time and body after the Standard Webhooks specification.
    ///
    /// - Parameters:
    ///   - secrets: Those that are valid now: two while one is exchanged for another.
    ///   - now: The wall clock.
    /// - Throws: ``WebhookError``; nothing of an unverified delivery may be kept or told.
    package func verify(secrets: [Secret], now: Timestamp) throws(WebhookError) {
        guard body.count <= Self.maximumBodyByteCount else {
            throw .bodyTooLarge(byteCount: body.count)
        }
        let secrets = secrets.filter { !$0.isEmpty }
        guard !secrets.isEmpty else { throw .noSecret }
        switch kind {
        case .github: try verifyDigest(in: "X-Hub-Signature-256", secrets)
        case .jira: try verifyDigest(in: "X-Hub-Signature", secrets)
        case .gitlab: try verifyGitLab(secrets, now: now)
        }
    }

    /// GitLab's signature where there is one, else its token.
    ///
    /// A right token does not make up for a wrong signature. GitLab sends both, so a body that was
    /// changed on its way looks the same as one that GitLab signs with a key which somebody else
    /// gave it, and the token says nothing of the body or its age: were it enough, no signature
    /// would ever matter. The price is that deliveries signed with such a key are lost; scans find
    /// what they told, and installing the webhook again ends it, which the error says: GitLab keeps
    /// the answer with the delivery. A right signature needs no token beside it.
    private func verifyGitLab(_ secrets: [Secret], now: Timestamp) throws(WebhookError) {
        let isOurs = headers["X-Gitlab-Token"].map { Self.isToken($0, among: secrets) }
        guard headers["webhook-signature"] != nil else {
            guard let isOurs else { throw .unsigned }
            guard isOurs else { throw .forged }
            return
        }
        do throws(WebhookError) {
            try verifySigned(secrets, now: now)
        } catch {
            throw error == .forged && isOurs == true ? .foreignSignature : error
        }
    }

    /// Compares the secret itself, as GitLab sends it.
    private static func isToken(_ token: String, among secrets: [Secret]) -> Bool {
        // Digests of one length are compared by Crypto in constant time.
        let shown = SHA256.hash(data: Array(token.utf8))
        var isKnown = false
        for secret in secrets {
            let isEqual = SHA256.hash(data: Array(secret.reveal().utf8)) == shown
            isKnown = isKnown || isEqual
        }
        return isKnown
    }

    /// `sha256=` and 64 hexadecimal digits.
    private func verifyDigest(in header: String, _ secrets: [Secret]) throws(WebhookError) {
        guard let text = headers[header] else { throw .unsigned }
        guard text.hasPrefix("sha256="), text.utf8.count == 71,
            let code = decodedHexadecimal(text.utf8.dropFirst(7))
        else { throw .forged }
        try check([code], of: body, keys: secrets.map { Array($0.reveal().utf8) })
    }

    /// `v1,` and Base64 of an HMAC-SHA256 over identifier, time and body.
    private func verifySigned(_ secrets: [Secret], now: Timestamp) throws(WebhookError) {
        guard let id = headers["webhook-id"], let time = headers["webhook-timestamp"],
            let seconds = Int64(time), seconds > 0, seconds < 1 << 40
        else { throw .unsigned }
        // Several signatures stand side by side while a key is exchanged.
        let codes = (headers["webhook-signature"] ?? "").split(separator: " ").prefix(8)
            .filter { $0.hasPrefix("v1,") }.compactMap { Self.bytes(base64: $0.dropFirst(3).utf8) }
        let keys = secrets.map(\.gitLabSigningKey)
        try check(codes, of: Array("\(id).\(time).".utf8) + body, keys: keys)
        let age = now.milliseconds - seconds * 1000
        guard abs(age) <= Self.maximumAge.components.seconds * 1000 else { throw .expired }
    }

    private func check(
        _ codes: [[UInt8]],
        of message: [UInt8],
        keys: [[UInt8]]
    ) throws(WebhookError) {
        var isValid = false
        for key in keys {
            for code in codes {
                let isOurs = HMAC<SHA256>.isValidAuthenticationCode(
                    code,
                    authenticating: message,
                    using: SymmetricKey(data: key)
                )
                isValid = isValid || isOurs
            }
        }
        guard isValid else { throw .forged }
    }

    // MARK: - Spellings

    /// RFC 4648, section 4; nil for any other byte.
    private static func bytes(base64 text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count <= 512 else { return nil }
        var bytes: [UInt8] = []
        var (bits, count) = (UInt32(0), 0)
        for digit in text where digit != UInt8(ascii: "=") {
            let value: UInt8
            switch digit {
            case 65...90: value = digit - 65
            case 97...122: value = digit - 71
            case 48...57: value = digit + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
                bits &= (1 << UInt32(count)) - 1
            }
        }
        return bytes
    }
}
