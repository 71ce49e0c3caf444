import Domain
import Embeddings
import Foundation
import TestSupport
import Testing

@Suite struct LocalEmbedderTests {
    @Test(arguments: ["mean", "cls", "max"], ["gelu", "gelu_new", "relu"])
    func `vectors equal those of a plain double-precision encoder`(
        pooling: String,
        activation: String
    ) async throws {
        var model = TinyModel()
        model.pooling = pooling
        model.activation = activation
        let fixture = try ModelFixture(model)
        let embedder = try fixture.embedder()
        let oracle = PlainEncoder(model)
        let texts = sampleTexts(4, seed: 3)
        let vectors = try await embedder.encode(texts)
        #expect(vectors.count == texts.count && vectors.dimension == 32)
        for (index, text) in texts.enumerated() {
            let expected = oracle.encode(embedder.tokenIDs(for: text))
            for (x, y) in zip(vectors[index], expected) { #expect(abs(Double(x) - y) < 2e-6) }
        }
    }

    @Test func `a batch equals its single texts however it is cut`() async throws {
        let fixture = try ModelFixture()
        let texts = sampleTexts(200, seed: 7)
        let embedder = try fixture.embedder()
        var singles: [Float] = []
        for text in texts { singles += try await embedder.encode([text]).values }
        for (workers, tokens) in [(1, 1), (1, 100_000), (2, 64), (4, 300)] {
            var configuration = LocalEmbedder.Configuration()
            configuration.workerCount = workers
            configuration.maximumBatchTokens = tokens
            let batch = try await fixture.embedder(configuration).encode(texts)
            let difference = zip(batch.values, singles).map { abs($0 - $1) }.max() ?? 0
            #expect(batch.count == 200 && difference <= 1e-6)
        }
    }

    @Test func `half-precision weights give nearly the vectors of full ones`() async throws {
        let text = ["memory leak when the window is open"]
        let full = try await ModelFixture().embedder().encode(text)
        for (type, least) in [("F16", 0.9999), ("BF16", 0.999)] {
            var model = TinyModel()
            model.elementType = type
            let vector = try await ModelFixture(model).embedder().encode(text)[0]
            #expect(cosine(vector, full[0].map(Double.init)) > least)
            #expect(vector != full[0])
        }
    }

    @Test func `misaligned weights and names with a prefix change nothing`() async throws {
        let text = ["search index crash"]
        let plain = try await ModelFixture().embedder().encode(text)
        var model = TinyModel()
        model.headerPadding = 3
        model.prefix = "bert."
        #expect(try await ModelFixture(model).embedder().encode(text) == plain)
    }

    @Test func `no texts give no rows, and an empty text a unit vector`() async throws {
        let embedder = try ModelFixture().embedder()
        #expect(try await embedder.encode([]).count == 0)
        let vector = try await embedder.encode([""])[0]
        #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
    }

    @Test func `a cancelled task gets the cancellation`() async throws {
        let embedder = try ModelFixture().embedder()
        let result = await withTaskGroup(of: EmbeddingError?.self) { group in
            group.cancelAll()
            group.addTask {
                do throws(EmbeddingError) {
                    _ = try await embedder.encode(["a", "b"])
                    return nil
                } catch {
                    return error
                }
            }
            return await group.next() ?? nil
        }
        #expect(result == .cancelled)
    }

    @Test func `the identity changes with weights, vocabulary, pooling and window only`() throws {
        let base = try ModelFixture().embedder().model
        #expect(try ModelFixture().embedder().model.revision == base.revision)
        #expect(base.revision.count == 64 && base.dimension == 32)
        var models = Array(repeating: TinyModel(), count: 4)
        models[0].seed = 2
        models[1].pooling = "cls"
        models[2].maximumTokens = 63
        models[3].elementType = "F16"
        for model in models {
            #expect(try ModelFixture(model).embedder().model.revision != base.revision)
        }
        let fixture = try ModelFixture()
        try fixture.write(
            TinyModel().vocabulary.reversed().joined(separator: "\n"),
            to: "vocab.txt"
        )
        #expect(try fixture.embedder().model.revision != base.revision)
        #expect(try fixture.embedder(.init(name: "tiny")).model.name == "tiny")
    }
}

@Suite struct ReferenceTests {
    struct Row {
        var text: String
        var ids: [Int32]
        var vector: [Double]
    }

    static let rows: [Row] = {
        guard let file = SharedData.file("embeddings/reference.jsonl"),
            let data = try? Data(contentsOf: file)
        else { return [] }
        return data.split(separator: 10).compactMap { line in
            guard let json = try? JSONParser.parse(Array(line)), let text = json["text"]?.string
            else { return nil }
            return Row(
                text: text,
                ids: (json["ids"]?.array ?? []).compactMap { $0.integer.map(Int32.init) },
                vector: (json["vector"]?.array ?? []).compactMap(\.double)
            )
        }
    }()

    /// Where a whole model lies: `PRELOOP_TEST_MODEL`, or where the fetch command puts it.
    static let modelPath: String? = {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["PRELOOP_HOME"] ?? NSHomeDirectory() + "/.preloop"
        let candidates = [environment["PRELOOP_TEST_MODEL"], home + "/models/all-MiniLM-L6-v2"]
        return candidates.compactMap { $0 }
            .first { FileManager.default.fileExists(atPath: $0 + "/model.safetensors") }
    }()

    @Test(.enabled(if: !rows.isEmpty && modelPath != nil, "needs the reference and its model"))
    func `ids equal the reference's and vectors point the same way`() async throws {
        let embedder = try LocalEmbedder(directory: try #require(Self.modelPath))
        let vectors = try await embedder.encode(Self.rows.map(\.text))
        for (index, row) in Self.rows.enumerated() {
            // The reference takes these spellings for special tokens; here text is text.
            if ["[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]"].contains(where: row.text.contains) {
                continue
            }
            #expect(embedder.tokenIDs(for: row.text) == row.ids, "row \(index)")
            #expect(cosine(vectors[index], row.vector) >= 0.9999, "row \(index)")
        }
    }
}
