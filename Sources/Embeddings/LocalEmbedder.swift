package import LinearAlgebra
import Synchronization

/// Runs a BERT-family sentence model on this machine's processors.
///
/// Loading maps the weights and reads the vocabulary, no more. The first calls run on the mapped
/// weights in float32; when so many tokens have come that it pays, the weights are packed for
/// ``Configuration/precision``, once, and all later calls run on those.
package final class LocalEmbedder: Embedder {
    /// How much of the machine to use.
    package struct Configuration: Sendable, Equatable {
        /// The model's name in ``ModelIdentity``; the directory's last component when nil.
        package var name: String?
        /// Batches encoded side by side, each on one thread.
        package var workerCount = 2
        /// Larger batches gain nothing but memory: about 15 KB a token and worker.
        package var maximumBatchTokens = 512
        /// How long the windows of a long text are.
        ///
        /// Shorter ones than a model could read found duplicates as well
        /// (docs/decisions/0004-ranking.md), cost less attention, point at a passage more exactly,
        /// and leave room for a title in front.
        package var windowTokens = 112

        /// Of the matrix products, once the weights are packed.
        package var precision: EncodingPrecision = .float32
        /// Until so many tokens have come, calls run in float32 on the mapped weights: packing all
        /// of them first would take a single search longer than its query.
        package var minimumPackedTokens = 512
        /// The instructions to use; the machine's when it lacks these.
        package var kernels: KernelLevel = .machine

        package init(name: String? = nil) {
            self.name = name
        }
    }

    package let model: ModelIdentity
    /// The window in tokens, the two special ones included.
    package let maximumTokens: Int
    let tokenizer: WordPieceTokenizer
    private let encoder: BERTEncoder
    let configuration: Configuration
    private let modelPath: String
    /// The encoder over packed weights, once they were worth packing.
    private let packing = Mutex(Packing())
    /// Buffers of idle workers; at most one a worker is kept.
    private let idleScratch = Mutex<[Scratch]>([])

    /// Loads the model in `directory` (the layout of sentence-transformers).
    ///
    /// - Throws: ``EmbeddingError`` when a file is missing or damaged, or the model is of another
    ///   kind.
    package init(
        directory path: String,
        configuration: Configuration = Configuration()
    ) throws(EmbeddingError) {
        precondition(configuration.workerCount > 0, "somebody has to work")
        let directory = try ModelDirectory(path: path)
        let model = try BERTConfiguration(directory: directory)
        let vocabularyPath = directory.transformerPath + "/vocab.txt"
        let vocabulary = try readModelFile(vocabularyPath, limit: Vocabulary.maximumByteCount)
        let options = try directory.tokenizerOptions()
        tokenizer = try WordPieceTokenizer(
            vocabulary: vocabulary,
            path: vocabularyPath,
            options: options
        )
        guard tokenizer.idCount <= model.vocabularySize else {
            let reason = "\(tokenizer.idCount) pieces for \(model.vocabularySize) embeddings"
            throw .invalidModel(path: vocabularyPath, reason: reason)
        }
        let file = try SafetensorsFile(path: directory.transformerPath + "/model.safetensors")
        let weights = try EncoderWeights(file, configuration: model)
        encoder = BERTEncoder(configuration: model, weights: weights)
        self.configuration = configuration
        modelPath = file.file.path
        maximumTokens = model.maximumTokens
        self.model = ModelIdentity(
            name: configuration.name ?? Self.lastComponent(of: path),
            revision: ModelRevision.digest(
                of: file,
                vocabulary: vocabulary,
                configuration: model,
                options: options
            ),
            dimension: model.hiddenSize
        )
    }

    /// Encodes texts on up to ``Configuration/workerCount`` threads; see ``Embedder``.
    package func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        let values = try await encodeAll(texts)
        return EmbeddingMatrix(dimension: model.dimension, values: values)
    }

    /// The ids the encoder sees for `text`: first token, pieces, last token, cut to the window.
    package func tokenIDs(for text: String) -> [Int32] {
        var ids: [Int32] = []
        tokenizer.appendIDs(of: text, to: &ids, maximumCount: maximumTokens)
        return ids
    }

    private static func lastComponent(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    // MARK: - Workers

    /// Vectors of some of the texts.
    private struct Part: Sendable {
        var texts: [Int]
        var vectors: [Float]
    }

    /// The next batch nobody has taken.
    private final class Cursor: Sendable {
        private let next = Atomic<Int>(0)

        func take() -> Int { next.add(1, ordering: .relaxed).oldValue }
    }

    @concurrent
    private func encodeAll(_ texts: [String]) async throws(EmbeddingError) -> [Float] {
        let plan = BatchPlan(
            texts,
            tokenizer: tokenizer,
            maximumTokens: maximumTokens,
            maximumBatchTokens: configuration.maximumBatchTokens
        )
        let packed = packedEncoder(for: plan)
        let cursor = Cursor()
        let workerCount = min(configuration.workerCount, plan.batches.count)
        var outcomes: [Result<[Part], EmbeddingError>] = []
        if workerCount <= 1 {
            outcomes = [await work(on: plan, from: cursor, with: packed)]
        } else {
            outcomes = await withTaskGroup { group in
                for _ in 0..<workerCount {
                    group.addTask { @concurrent in
                        await self.work(on: plan, from: cursor, with: packed)
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
        }
        // All matrices were read where they are mapped; an idle server need not hold them, and few
        // calls are that early.
        if packed == nil { encoder.weights.words.releasePages() }
        let width = model.dimension
        var values = [Float](repeating: 0, count: texts.count * width)
        for outcome in outcomes {
            for part in try outcome.get() {
                for (row, text) in part.texts.enumerated() {
                    values.replaceSubrange(
                        text * width..<(text + 1) * width,
                        with: part.vectors[row * width..<(row + 1) * width]
                    )
                }
            }
        }
        return values
    }

    /// Buffers of one worker.
    private struct Scratch: Sendable {
        var workspace = EncoderWorkspace()
        var arena: EncoderArena
    }

    private struct Packing: Sendable {
        var encoder: PackedEncoder?
        /// Tokens that have come before there was one.
        var tokenCount = 0
    }

    /// The encoder for a plan: nil for the one that needs no packing.
    private func packedEncoder(for plan: BatchPlan) -> PackedEncoder? {
        packing.withLock { packing in
            if let encoder = packing.encoder { return encoder }
            packing.tokenCount += plan.tokenCount
            guard packing.tokenCount >= configuration.minimumPackedTokens else { return nil }
            let made = PackedEncoder(
                encoder,
                samples: ActivationExtents.sampleTexts.map(tokenIDs),
                precision: configuration.precision,
                level: level
            )
            packing.encoder = made
            // The matrices have been read for the last time; words are read row by row.
            encoder.weights.words.releasePages()
            return made
        }
    }

    private var level: KernelLevel { min(configuration.kernels, .machine) }

    /// Encodes batches until none is left or the task is cancelled.
    private func work(
        on plan: BatchPlan,
        from cursor: Cursor,
        with packed: PackedEncoder?
    ) async -> Result<[Part], EmbeddingError> {
        var scratch =
            idleScratch.withLock { $0.popLast() } ?? Scratch(arena: EncoderArena(level: level))
        defer {
            idleScratch.withLock { idle in
                if idle.count < configuration.workerCount { idle.append(scratch) }
            }
        }
        var parts: [Part] = []
        while true {
            let index = cursor.take()
            guard index < plan.batches.count else { return .success(parts) }
            guard !Task.isCancelled else { return .failure(.cancelled) }
            let batch = plan.batches[index]
            let (ids, lengths) = plan.content(of: batch)
            let vectors =
                packed?.encode(ids, lengths: lengths, arena: &scratch.arena)
                ?? encoder.encode(ids, lengths: lengths, workspace: &scratch.workspace)
            // A file with NaN or infinity among its weights passes every other check.
            guard vectors.allSatisfy(\.isFinite) else {
                return .failure(
                    .invalidModel(path: modelPath, reason: "its weights give no finite vectors")
                )
            }
            parts.append(Part(texts: batch.texts, vectors: vectors))
            // Workers hold every thread of the pool: others would wait for the whole call.
            await Task.yield()
        }
    }
}
