import Domain
import Embeddings
import Foundation
import LinearAlgebra
import TestSupport
import Testing

@Suite struct PrecisionTests {
    /// Levels of this machine; the others would run as these.
    static let levels = KernelLevel.allCases.filter { $0 <= .machine }

    /// Packs whatever comes.
    static func configuration(
        _ precision: EncodingPrecision,
        _ level: KernelLevel = .machine
    ) -> LocalEmbedder.Configuration {
        var configuration = LocalEmbedder.Configuration()
        configuration.precision = precision
        configuration.kernels = level
        configuration.minimumPackedTokens = 0
        return configuration
    }

    /// Models whose sides are no multiples of anything the kernels like.
    static let models: [TinyModel] = {
        var models = Array(repeating: TinyModel(), count: 4)
        (models[1].hiddenSize, models[1].headCount, models[1].intermediateSize) = (36, 3, 50)
        (models[2].hiddenSize, models[2].headCount, models[2].intermediateSize) = (33, 11, 1)
        models[2].activation = "gelu_new"
        (models[3].hiddenSize, models[3].headCount, models[3].intermediateSize) = (128, 2, 200)
        models[3].activation = "relu"
        models[3].pooling = "max"
        return models
    }()

    static let texts = sampleTexts(5, seed: 3) + [""]

    /// The plain encoder's vectors of the texts, model by model: it is slow, so they are made once.
    static let expected: [[[Double]]] = models.map { model in
        // Without a fixture there is nothing to compare with, and the test below fails.
        guard let embedder = try? ModelFixture(model).embedder() else { return [] }
        let oracle = PlainEncoder(model)
        return texts.map { oracle.encode(embedder.tokenIDs(for: $0)) }
    }

    @Test(arguments: levels, EncodingPrecision.allCases)
    func `every precision on every level gives the plain encoder's vectors`(
        level: KernelLevel,
        precision: EncodingPrecision
    ) async throws {
        let least: Double =
            switch precision {
            case .float32: 0.999_999
            case .bfloat16: 0.9995
            case .int8: 0.998
            }
        for (model, expected) in zip(Self.models, Self.expected) {
            let fixture = try ModelFixture(model)
            let embedder = try fixture.embedder(Self.configuration(precision, level))
            let vectors = try await embedder.encode(Self.texts)
            #expect(expected.count == vectors.count)
            for (index, expected) in expected.enumerated() {
                let found = cosine(vectors[index], expected)
                #expect(found >= least, "hidden \(model.hiddenSize), text \(index)")
            }
        }
    }

    @Test(arguments: EncodingPrecision.allCases)
    func `a packed batch equals its single texts however it is cut`(
        precision: EncodingPrecision
    ) async throws {
        let fixture = try ModelFixture()
        let texts = sampleTexts(150, seed: 7)
        let embedder = try fixture.embedder(Self.configuration(precision))
        var singles: [Float] = []
        for text in texts { singles += try await embedder.encode([text]).values }
        for (workers, tokens) in [(1, 1), (1, 100_000), (2, 64), (4, 300)] {
            var configuration = Self.configuration(precision)
            configuration.workerCount = workers
            configuration.maximumBatchTokens = tokens
            let batch = try await fixture.embedder(configuration).encode(texts)
            #expect(batch.values == singles)
        }
    }

    @Test func `the first small calls are not worth packing and run in float32`() async throws {
        let fixture = try ModelFixture()
        var configuration = Self.configuration(.int8)
        configuration.minimumPackedTokens = 100
        let embedder = try fixture.embedder(configuration)
        let texts = sampleTexts(40, seed: 5)
        let reference = try fixture.embedder()
        #expect(try await embedder.encode([texts[0]]) == reference.encode([texts[0]]))
        let many = try await embedder.encode(texts)
        #expect(try await many != reference.encode(texts))
        let packed = try fixture.embedder(Self.configuration(.int8))
        #expect(try await many == packed.encode(texts))
        // What is packed is used from then on.
        #expect(try await embedder.encode([texts[0]]) == packed.encode([texts[0]]))
    }

    @Test func `small calls are worth packing when there have been many`() async throws {
        let fixture = try ModelFixture()
        var configuration = Self.configuration(.int8)
        configuration.minimumPackedTokens = 100
        let embedder = try fixture.embedder(configuration)
        let text = sampleTexts(1, seed: 5)[0]
        let tokens = embedder.tokenIDs(for: text).count
        let needed = (100 + tokens - 1) / tokens
        let plain = try await fixture.embedder().encode([text])
        for _ in 1..<needed { #expect(try await embedder.encode([text]) == plain) }
        let packed = try await fixture.embedder(Self.configuration(.int8)).encode([text])
        #expect(packed != plain)
        #expect(try await embedder.encode([text]) == packed)
    }

    @Test(arguments: EncodingPrecision.allCases)
    func `packed weights that are not numbers give an error instead of vectors`(
        precision: EncodingPrecision
    ) async throws {
        let fixture = try ModelFixture()
        let whole = TinyModel().safetensors
        let header =
            8 + whole[..<8].enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        for seed in 0..<20 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var bytes = whole
            // Anywhere behind the embeddings, whose rows are not all used.
            let words = (whole.count - header) / 4
            let place = header + 4 * Int.random(in: words * 3 / 4..<words, using: &random)
            bytes.replaceSubrange(place..<place + 4, with: [0, 0, 0xC0, 0x7F])
            try fixture.write(bytes, to: "model.safetensors")
            let embedder = try fixture.embedder(Self.configuration(precision))
            await #expect(throws: EmbeddingError.self, "seed \(seed)") {
                try await embedder.encode(["the crash", "a"])
            }
        }
    }

    @Test func `huge weights do not stop the program`() async throws {
        let fixture = try ModelFixture()
        let whole = TinyModel().safetensors
        for seed in 0..<25 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var bytes = whole
            for _ in 0..<20 {
                let range = whole.count / 2..<whole.count - 4
                let place = Int.random(in: range, using: &random) / 4 * 4
                let value = Float.random(in: -1...1, using: &random) * 3e38
                withUnsafeBytes(of: value.bitPattern.littleEndian) {
                    bytes.replaceSubrange(place..<place + 4, with: $0)
                }
            }
            try fixture.write(bytes, to: "model.safetensors")
            for precision in EncodingPrecision.allCases {
                let embedder = try fixture.embedder(Self.configuration(precision))
                do throws(EmbeddingError) {
                    let vectors = try await embedder.encode(["the crash"])
                    let isFinite = vectors.values.allSatisfy(\.isFinite)
                    #expect(isFinite, "seed \(seed)")
                } catch {
                    #expect(!"\(error)".isEmpty)
                }
            }
        }
    }

    @Test(
        .enabled(
            if: !ReferenceTests.rows.isEmpty && ReferenceTests.modelPath != nil,
            "needs the reference and its model"
        ),
        arguments: levels,
        EncodingPrecision.allCases
    )
    func `vectors of a whole model point where the reference's do`(
        level: KernelLevel,
        precision: EncodingPrecision
    ) async throws {
        // The slow levels see a part of the texts.
        let step = level >= .avx512 ? 1 : 30
        let rows = stride(from: 0, to: ReferenceTests.rows.count, by: step)
            .map { ReferenceTests.rows[$0] }
            .filter { row in
                !["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]"].contains(where: row.text.contains)
            }
        let embedder = try LocalEmbedder(
            directory: try #require(ReferenceTests.modelPath),
            configuration: Self.configuration(precision, level)
        )
        let vectors = try await embedder.encode(rows.map(\.text))
        let cosines = rows.indices.map { cosine(vectors[$0], rows[$0].vector) }
        let mean = cosines.reduce(0, +) / Double(cosines.count)
        let worst = cosines.min() ?? 0
        switch precision {
        case .float32, .bfloat16: #expect(worst >= 0.9999, "mean \(mean)")
        case .int8: #expect(mean >= 0.999 && worst >= 0.997, "mean \(mean), worst \(worst)")
        }
    }
}
