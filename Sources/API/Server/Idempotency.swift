import Crypto
import Domain
import HTTPTypes
import Logging
import Store

/// Makes a repeated write happen once: the second request gets the first one's answer.
///
/// A key belongs to one request of one user. While the first is under way, and also when its
/// process ended in between so that nobody knows whether it took effect, the second is refused:
/// doing it twice would be worse.
struct Idempotency: Sendable {
    /// As long as a client may come back.
    private static let lifetime: Duration = .seconds(86_400)
    private static let maximumKeyBytes = 128

    private let store: Store
    private let limits: ServerLimits
    private let logger: Logger
    /// Makes the digests of requests: their bodies have passwords and tokens, and by a digest that
    /// anybody can make whoever steals the table would guess them a billion times a second.
    private let digestKey: SymmetricKey

    /// - Parameters:
    ///   - store: Where answers are kept.
    ///   - signingKey: The installation's, of which the digests' key is derived.
    ///   - limits: How many answers are kept of one user.
    ///   - logger: Takes what goes wrong.
    init(store: Store, signingKey: [UInt8], limits: ServerLimits, logger: Logger) {
        self.store = store
        self.limits = limits
        self.logger = logger
        digestKey = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: signingKey),
            salt: Array("preloop".utf8),
            info: Array("preloop request digests, format 1".utf8),
            outputByteCount: 32
        )
    }

    /// Answers by `handler`, or with what it has answered before.
    func answer(
        _ request: APIRequest,
        by handler: Route.Handler
    ) async throws -> APIResponse {
        guard let key = request.headers[.idempotencyKey], let principal = request.principal else {
            return try await handler(request)
        }
        guard (1...Self.maximumKeyBytes).contains(key.utf8.count),
            key.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw Problem.invalid(
                "Idempotency-Key",
                "must be 1 to \(Self.maximumKeyBytes) visible characters"
            )
        }
        let digest = digest(of: request)
        let store = store.viewed(by: principal.account)
        if let answer = try await begin(key, digest, principal, store) {
            var response = APIResponse(
                HTTPResponse.Status(code: answer.status),
                body: answer.body
            )
            if let type = answer.contentType { response.headers[.contentType] = type }
            response.headers[.idempotentReplayed] = "true"
            return response
        }
        let response: APIResponse
        do {
            response = try await handler(request)
        } catch {
            let problem = Problem(cause: error)
            logger.noteFailure(problem, of: request.id, because: error)
            response = problem.response(requestID: request.id)
        }
        // In a task of its own: a client that went away comes back with the key for this answer.
        let keeping = Task { try await end(key, response, principal, store) }
        do {
            try await keeping.value
        } catch {
            // What was done is done, and told to whoever waits for it. The key stays open: whoever
            // comes with it again hears that nobody knows, and not that nothing was done.
            logger.error(
                "an answer could not be kept",
                metadata: ["request_id": .string(request.id), "reason": .string("\(error)")]
            )
        }
        return response
    }

    /// What was answered before; nil when this is the first.
    private func begin(
        _ key: String,
        _ digest: [UInt8],
        _ principal: Principal,
        _ store: Store
    ) async throws -> IdempotencyTable.Answer? {
        let (now, limits) = (store.clock.now(), limits)
        return try await store.write { connection, account in
            try IdempotencyTable.purge(
                before: now.advanced(by: .zero - Self.lifetime),
                account: account,
                on: connection
            )
            let known = try IdempotencyTable.find(
                key,
                of: principal.user,
                account: account,
                on: connection
            )
            guard let known else {
                let kept = try IdempotencyTable.kept(
                    of: principal.user,
                    account: account,
                    on: connection
                )
                guard kept.count < limits.keptAnswers, kept.bytes < limits.keptAnswerBytes else {
                    throw Self.tooMany
                }
                try IdempotencyTable.begin(
                    key,
                    requestDigest: digest,
                    of: principal.user,
                    at: now,
                    account: account,
                    on: connection
                )
                return nil
            }
            guard known.requestDigest == digest else {
                throw Problem(
                    .unprocessableContent,
                    "this `Idempotency-Key` was used for another request",
                    code: "idempotency_key_reused"
                )
            }
            guard let answer = known.answer else {
                throw Problem(
                    .conflict,
                    "the first request with this `Idempotency-Key` has not ended; look whether it "
                        + "took effect before you use another key",
                    code: "idempotent_request_open"
                )
            }
            return answer
        }
    }

    /// Nothing kept is dropped for it: a key is good for its day.
    private static let tooMany = Problem.overloaded(
        "too many answers are kept for you; go on without `Idempotency-Key`, or tomorrow",
        status: .tooManyRequests,
        after: 3_600
    )

    /// Keeps the answer; the key of a request that did nothing is free again, and after a failure
    /// in the middle, of which nobody knows how far it came, it stays open.
    private func end(
        _ key: String,
        _ response: APIResponse,
        _ principal: Principal,
        _ store: Store
    ) async throws {
        let effect = response.effect
        guard effect != .unknown else { return }
        try await store.write { connection, account in
            guard effect == .settled else {
                try IdempotencyTable.remove(
                    key,
                    of: principal.user,
                    account: account,
                    on: connection
                )
                return
            }
            try IdempotencyTable.complete(
                key,
                IdempotencyTable.Answer(
                    status: response.status.code,
                    contentType: response.headers[.contentType],
                    body: response.body
                ),
                of: principal.user,
                account: account,
                on: connection
            )
        }
    }

    private func digest(of request: APIRequest) -> [UInt8] {
        var hash = HMAC<SHA256>(key: digestKey)
        hash.update(data: Array("\(request.method.rawValue) \(request.path)\n".utf8))
        for item in request.query.items {
            hash.update(data: Array("\(item.name)=\(item.value)\n".utf8))
        }
        hash.update(data: request.body)
        return Array(hash.finalize())
    }
}

extension HTTPField.Name {
    static let idempotentReplayed = known("Idempotent-Replayed")
}
