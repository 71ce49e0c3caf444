import Embeddings
import Foundation
import TestSupport
import Testing

@Suite struct DamagedModelTests {
    @Test(arguments: ["config.json", "vocab.txt", "model.safetensors", "1_Pooling/config.json"])
    func `a missing file is named`(name: String) throws {
        let fixture = try ModelFixture()
        try fixture.remove(name)
        #expect(throws: EmbeddingError.missingFile(path: fixture.path + "/" + name)) {
            try fixture.embedder()
        }
    }

    @Test(arguments: ["modules.json", "sentence_bert_config.json", "tokenizer_config.json"])
    func `files that say the default may be absent`(name: String) throws {
        let fixture = try ModelFixture()
        try fixture.remove(name)
        _ = try fixture.embedder()
    }

    @Test func `weights cut anywhere are refused`() throws {
        let fixture = try ModelFixture()
        let whole = TinyModel().safetensors
        for count in [0, 1, 7, 8, 9, 100, 2000, whole.count / 2, whole.count - 1] {
            try fixture.write(Array(whole[..<count]), to: "model.safetensors")
            expectInvalid(fixture)
        }
        try fixture.write(whole + [0], to: "model.safetensors")
        expectInvalid(fixture)
    }

    @Test(arguments: [
        ("hidden_size", "31"), ("hidden_size", "0"), ("hidden_size", "-32"),
        ("hidden_size", "9000000000000000000"), ("num_attention_heads", "5"),
        ("num_hidden_layers", "3"), ("vocab_size", "10"), ("layer_norm_eps", "0"),
        ("intermediate_size", "\"64\""),
    ])
    func `a configuration that does not fit is refused`(key: String, value: String) throws {
        let fixture = try ModelFixture()
        try fixture.change("config.json", key, to: value)
        expectInvalid(fixture)
    }

    @Test(arguments: [1, 2])
    func `a window without room for a word is refused`(positions: Int) throws {
        let fixture = try ModelFixture()
        try fixture.change("config.json", "max_position_embeddings", to: "\(positions)")
        let path = fixture.path + "/config.json"
        let reason = "max_position_embeddings is below 3"
        #expect(throws: EmbeddingError.invalidModel(path: path, reason: reason)) {
            _ = try BERTConfiguration(directory: try ModelDirectory(path: fixture.path))
        }
    }

    @Test(arguments: [
        ("config.json", "model_type", "\"roberta\""), ("config.json", "hidden_act", "\"swish\""),
        ("config.json", "is_decoder", "true"),
        ("config.json", "position_embedding_type", "\"relative_key\""),
        ("1_Pooling/config.json", "pooling_mode_cls_token", "true"),
        ("1_Pooling/config.json", "pooling_mode_mean_tokens", "false"),
    ])
    func `another architecture is refused as such`(
        file: String,
        key: String,
        value: String
    ) throws {
        let fixture = try ModelFixture()
        try fixture.change(file, key, to: value)
        #expect {
            try fixture.embedder()
        } throws: { error in
            if case EmbeddingError.unsupportedModel = error { true } else { false }
        }
    }

    @Test(arguments: ["../1_Pooling", "/etc", "a/../../b", "a\\u0000b"])
    func `a module outside the model is refused`(place: String) throws {
        let fixture = try ModelFixture()
        try fixture.write(#"[{"path":"\#(place)","type":"x.Pooling"}]"#, to: "modules.json")
        expectInvalid(fixture)
    }

    @Test func `weights that are not numbers give an error instead of vectors`() async throws {
        let fixture = try ModelFixture()
        var bytes = TinyModel().safetensors
        // The last tensor is a layer's shift: one NaN there reaches every vector.
        bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [0, 0, 0xC0, 0x7F])
        try fixture.write(bytes, to: "model.safetensors")
        let embedder = try fixture.embedder()
        await #expect(throws: EmbeddingError.self) { try await embedder.encode(["a"]) }
    }

    @Test func `mutated weights files load or are refused, and never stop the program`()
        async throws
    {
        let fixture = try ModelFixture()
        let whole = TinyModel().safetensors
        let headerEnd =
            8 + whole[..<8].enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        var refused = 0
        for seed in 0..<400 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var bytes = whole
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                // Mostly the header; digits often, as these become offsets.
                let place = Int.random(in: 0..<headerEnd, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] = UInt8.random(in: 48...57, using: &random)
                case 2: bytes.remove(at: place)
                case 3: bytes.insert(UInt8.random(in: 32...126, using: &random), at: place)
                default: bytes.removeLast(Int.random(in: 0..<bytes.count / 2, using: &random))
                }
                if bytes.count < headerEnd { break }
            }
            try fixture.write(bytes, to: "model.safetensors")
            do throws(EmbeddingError) {
                _ = try await fixture.embedder().encode(["crash é"])
            } catch {
                #expect(!"\(error)".isEmpty, "seed \(seed)")
                refused += 1
            }
        }
        #expect(refused > 200)
    }

    @Test func `random bytes in the small files load or are refused`() async throws {
        let names = ["config.json", "modules.json", "1_Pooling/config.json", "vocab.txt"]
        let fixture = try ModelFixture()
        for seed in 0..<200 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            let name = names[Int(seed) % names.count]
            let whole = Array(try Data(contentsOf: fixture.directory.appendingPathComponent(name)))
            defer { try? fixture.write(whole, to: name) }
            var bytes = whole
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            try fixture.write(bytes, to: name)
            // Either outcome is right; what must not happen is a trap.
            do throws(EmbeddingError) {
                _ = try await fixture.embedder().encode(["crash é"])
            } catch {
                #expect(!"\(error)".isEmpty, "seed \(seed)")
            }
        }
    }

    private func expectInvalid(_ fixture: ModelFixture) {
        #expect {
            try fixture.embedder()
        } throws: { error in
            if case EmbeddingError.invalidModel = error { true } else { false }
        }
    }
}

extension ModelFixture {
    /// Adds a member behind all others of a JSON object; the last of equal keys counts.
    func change(_ name: String, _ key: String, to value: String) throws {
        let file = directory.appendingPathComponent(name)
        let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        try write(text.dropLast() + ",\"\(key)\":\(value)}", to: name)
    }

    private func write(_ text: Substring, to name: String) throws {
        try write(String(text), to: name)
    }
}
