import Crypto
import Domain
package import HTTPClient

/// Asks a provider with the OpenAI-compatible `embeddings` call: OpenAI, Ollama, vLLM, TEI.
///
/// Requests go out in bounded batches, several at a time; 429 and 5xx are repeated as the provider
/// asks, and a pause it names holds for all of them. What comes back is checked row by row.
package struct RemoteEmbedder: Embedder {
    /// Which provider, which model, and how much at once.
    package struct Configuration: Sendable {
        /// Up to and including the version: `http://127.0.0.1:11434/v1`.
        package var baseURL: String
        package var model: String
        package var apiKey: APIKey?
        /// Learned by one call when nil.
        package var dimension: Int?
        /// Asks for ``dimension`` with the `dimensions` parameter; only models that can be cut
        /// accept it.
        package var requestsDimension = false
        /// Asks for vectors as Base64, a third of the bytes; not every provider knows it.
        package var requestsBase64 = false
        /// TEI takes no more than 32 texts unless it is told to.
        package var maximumBatchCount = 32
        /// The texts of one request together.
        package var maximumBatchByteCount = 256 << 10
        package var maximumConcurrentRequests = 4
        /// The model's window; 512 is the smallest in use.
        package var maximumTokens = 512
        package var retryPolicy = RetryPolicy()

        package init(baseURL: String, model: String) {
            self.baseURL = baseURL
            self.model = model
        }
    }

    package let model: ModelIdentity
    let exchange: EmbeddingExchange
    private let configuration: Configuration
    /// The window in bytes.
    ///
    /// English has about four bytes a token, code and CJK about three.
    let windowByteCount: Int

    /// Largest dimension: an index of vectors takes no larger one, and a provider may say anything.
    private static let maximumDimension = 65_536

    /// Connects to a provider; asks it for one vector when the dimension is not configured.
    ///
    /// - Parameters:
    ///   - configuration: Which provider.
    ///   - transport: Makes the exchanges.
    ///   - clock: Measures pauses between tries.
    /// - Returns: An embedder whose model is known.
    /// - Throws: ``EmbeddingError`` when the configuration is unusable or the provider does not
    ///   answer.
    package static func connect(
        _ configuration: Configuration,
        transport: any HTTPTransport,
        clock: some Clock<Duration> = ContinuousClock()
    ) async throws(EmbeddingError) -> RemoteEmbedder {
        let exchange = try EmbeddingExchange(configuration, transport: transport, clock: clock)
        var configuration = configuration
        if configuration.dimension == nil {
            let rows = try await exchange.vectors(of: ["dimension"], dimension: nil)
            configuration.dimension = rows.first?.count
        }
        let range = 1...maximumDimension
        guard let dimension = configuration.dimension, range.contains(dimension) else {
            let reason = "the dimension must be from 1 to \(maximumDimension)"
            throw .provider(status: nil, reason: reason, isRetryable: false)
        }
        return RemoteEmbedder(configuration, dimension: dimension, exchange: exchange)
    }

    private init(_ configuration: Configuration, dimension: Int, exchange: EmbeddingExchange) {
        self.configuration = configuration
        self.exchange = exchange
        windowByteCount = max(configuration.maximumTokens, 16) * 3
        model = ModelIdentity(
            name: configuration.model,
            revision: Self.revision(configuration, dimension: dimension),
            dimension: dimension
        )
    }

    /// Encodes texts by the provider; see ``Embedder``.
    package func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        let batches = RemoteBatch.plan(
            texts,
            windowByteCount: windowByteCount,
            maximumCount: configuration.maximumBatchCount,
            maximumByteCount: configuration.maximumBatchByteCount
        )
        let dimension = model.dimension
        var values = [Float](repeating: 0, count: texts.count * dimension)
        let outcomes = await outcomes(of: batches)
        for (batch, outcome) in outcomes {
            for (index, row) in zip(batch.indices, try outcome.get()) {
                let start = index * dimension
                values.replaceSubrange(start..<start + dimension, with: row)
            }
        }
        return EmbeddingMatrix(dimension: dimension, values: values)
    }

    private typealias Outcome = (RemoteBatch, Result<[[Float]], EmbeddingError>)

    /// Runs the batches, so many at a time; after a failure no further one is started.
    private func outcomes(of batches: [RemoteBatch]) async -> [Outcome] {
        let exchange = exchange
        let dimension = model.dimension
        return await withTaskGroup(of: Outcome.self) { group in
            var waiting = batches[...]
            var done: [Outcome] = []
            func startNext() {
                guard let batch = waiting.popFirst() else { return }
                group.addTask {
                    do throws(EmbeddingError) {
                        let rows = try await exchange.vectors(of: batch.texts, dimension: dimension)
                        return (batch, .success(rows))
                    } catch {
                        return (batch, .failure(error))
                    }
                }
            }
            for _ in 0..<max(1, configuration.maximumConcurrentRequests) { startNext() }
            while let outcome = await group.next() {
                if case .failure = outcome.1 {
                    group.cancelAll()
                    // The first failure is the cause; those after it may only be its cancellations.
                    return [outcome]
                }
                done.append(outcome)
                startNext()
            }
            return done
        }
    }

    private static func revision(_ configuration: Configuration, dimension: Int) -> String {
        // The provider counts: two servers may give the same name to different weights.
        let facts = [
            "remote-1", configuration.baseURL, configuration.model, "dimension \(dimension)",
            "requested \(configuration.requestsDimension)", "window \(configuration.maximumTokens)",
        ]
        return hexadecimal(SHA256.hash(data: Array(facts.joined(separator: "\n").utf8)))
    }
}
