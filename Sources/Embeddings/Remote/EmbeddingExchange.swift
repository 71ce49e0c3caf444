import Domain
import Glibc
import HTTPClient

/// The `embeddings` call of one provider.
struct EmbeddingExchange: Sendable {
    private let url: String
    private let configuration: RemoteEmbedder.Configuration
    private let client: RetryingClient

    init(
        _ configuration: RemoteEmbedder.Configuration,
        transport: any HTTPTransport,
        clock: some Clock<Duration>
    ) throws(EmbeddingError) {
        guard HTTPOrigin(of: configuration.baseURL) != nil else {
            let reason = "the provider's base URL is not a usable http or https URL"
            throw .provider(status: nil, reason: reason, isRetryable: false)
        }
        var base = configuration.baseURL
        while base.utf8.last == UInt8(ascii: "/") { base.removeLast() }
        url = base + "/embeddings"
        self.configuration = configuration
        client = RetryingClient(
            transport: transport,
            policy: configuration.retryPolicy,
            budget: RateBudget(clock: clock),
            clock: clock
        )
    }

    /// Unit vectors of the texts, in their order.
    ///
    /// - Parameters:
    ///   - texts: At least one.
    ///   - dimension: What each must have; nil takes what comes.
    /// - Returns: One row a text.
    /// - Throws: ``EmbeddingError``.
    func vectors(
        of texts: [String],
        dimension: Int?
    ) async throws(EmbeddingError) -> [[Float]] {
        let response = try await send(request(for: texts, dimension: dimension))
        switch response.status {
        case 200..<300:
            let reply = try EmbeddingReply(response.body, status: response.status)
            return try reply.vectors(count: texts.count, dimension: dimension)
        case 413 where texts.count > 1:
            // The provider's limit is lower than ours: halves are asked for, one after the other.
            let middle = texts.count / 2
            let first = try await vectors(of: Array(texts[..<middle]), dimension: dimension)
            return first + (try await vectors(of: Array(texts[middle...]), dimension: dimension))
        default: throw refusal(response)
        }
    }

    private func request(for texts: [String], dimension: Int?) -> HTTPRequest {
        var body: JSONValue = [
            "model": .string(configuration.model),
            "input": JSONValue(texts),
            "encoding_format": configuration.requestsBase64 ? "base64" : "float",
        ]
        if configuration.requestsDimension, let dimension = dimension ?? configuration.dimension,
            case .object(var object) = body
        {
            object.append(key: "dimensions", value: .integer(Int64(dimension)))
            body = .object(object)
        }
        var headers = [
            HTTPField("Content-Type", "application/json"), HTTPField("Accept", "application/json"),
        ]
        if let key = configuration.apiKey {
            headers.append(HTTPField("Authorization", "Bearer \(key.rawValue)"))
        }
        var limits = HTTPLimits()
        // A model on a processor may think about a batch for minutes before its first byte.
        limits.idleTimeout = .seconds(300)
        return HTTPRequest(
            method: "POST",
            url: url,
            headers: headers,
            body: body.serialized(),
            limits: limits
        )
    }

    private func send(_ request: HTTPRequest) async throws(EmbeddingError) -> HTTPResponse {
        do throws(RetryError) {
            return try await client.send(request) { outcome in
                // Waiting does not fill an account.
                if case .success(let response) = outcome, Self.isOutOfQuota(response) {
                    return .deliver
                }
                return RetryDecision(transient: outcome, now: secondsSinceEpoch())
            }
        } catch {
            switch error {
            case .exchange(.cancelled): throw .cancelled
            case .exchange(let error):
                let isRetryable = error.isTransient
                throw .provider(status: nil, reason: "\(error)", isRetryable: isRetryable)
            case .rateLimited(let wait):
                let reason = "rate limited for another \(wait.components.seconds) seconds"
                throw .provider(status: 429, reason: reason, isRetryable: true)
            }
        }
    }

    private static func isOutOfQuota(_ response: HTTPResponse) -> Bool {
        guard response.status == 429, response.body.count <= 64 << 10,
            // A body that is no JSON says nothing about quotas.
            let document = try? JSONParser.parse(response.body)
        else { return false }
        return document["error"]?["code"]?.string == "insufficient_quota"
    }

    private func refusal(_ response: HTTPResponse) -> EmbeddingError {
        var reason = EmbeddingReply.detail(of: response.body)
        // Some providers repeat the key they refuse.
        if let key = configuration.apiKey?.rawValue, !key.isEmpty, reason.contains(key) {
            reason = "it refuses the key"
        }
        let status = response.status
        let isTransient = [408, 425, 429].contains(status) || (status >= 500 && status != 501)
        return .provider(
            status: status,
            reason: reason.isEmpty ? "no explanation" : reason,
            isRetryable: isTransient && !Self.isOutOfQuota(response)
        )
    }
}

/// The wall clock, for `Retry-After` in its date form.
func secondsSinceEpoch() -> Int64 {
    Int64(time(nil))
}
