import Domain
package import Foundation

/// Writes a small random sentence model in the layout of sentence-transformers.
///
/// 32 wide, two layers, 130 kilobytes, a text in microseconds. Its vectors mean nothing but differ
/// from text to text.
package struct TinyModel: Sendable {
    package var hiddenSize = 32
    package var layerCount = 2
    package var headCount = 4
    package var intermediateSize = 64
    package var maximumTokens = 64
    package var activation = "gelu"
    /// `mean`, `cls` or `max`.
    package var pooling = "mean"
    /// `F32`, `F16` or `BF16`.
    package var elementType = "F32"
    /// What stands in front of tensor names; `bert.` in some models.
    package var prefix = ""
    /// Spaces behind the header; 1 to 3 of them misalign the floats.
    package var headerPadding = 0
    /// Another seed gives another model.
    package var seed: UInt64 = 1

    package init() {}

    /// A shape and its values.
    package struct Tensor: Sendable {
        package var name: String
        package var shape: [Int]
        package var values: [Float]
    }

    /// The vocabulary: special tokens, printable ASCII alone and as continuation, and some words.
    package var vocabulary: [String] {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        let characters = (33..<127).filter { !(65...90).contains($0) }.map { code in
            String(Character(Unicode.Scalar(UInt8(code))))
        }
        let words = """
            the a to of in is not on with for and when error crash fails build test file open \
            close window memory leak slow search index page login token user request server client
            """
        let list = words.split { $0 == " " || $0 == "\n" }.map(String.init).filter { $0.count > 1 }
        return special + characters + characters.map { "##" + $0 } + list + [
            "##s", "##ing", "##ed",
        ]
    }

    /// All tensors of the encoder, the same for the same settings on every machine.
    package var tensors: [Tensor] {
        var source = Source(state: seed)
        var tensors: [Tensor] = []
        func matrix(_ name: String, _ rows: Int, _ columns: Int) {
            let spread = 1 / Float(columns).squareRoot()
            let values = (0..<rows * columns).map { _ in source.next() * spread }
            tensors.append(Tensor(name: name + ".weight", shape: [rows, columns], values: values))
        }
        func vector(_ name: String, _ count: Int, around center: Float) {
            let values = (0..<count).map { _ in center + 0.1 * source.next() }
            tensors.append(Tensor(name: name, shape: [count], values: values))
        }
        func dense(_ name: String, from inputs: Int, to outputs: Int) {
            matrix(name, outputs, inputs)
            vector(name + ".bias", outputs, around: 0)
        }
        func normalization(_ name: String) {
            vector(name + ".weight", hiddenSize, around: 1)
            vector(name + ".bias", hiddenSize, around: 0)
        }
        matrix("embeddings.word_embeddings", vocabulary.count, hiddenSize)
        matrix("embeddings.position_embeddings", maximumTokens, hiddenSize)
        matrix("embeddings.token_type_embeddings", 2, hiddenSize)
        normalization("embeddings.LayerNorm")
        for layer in 0..<layerCount {
            let block = "encoder.layer.\(layer)."
            for part in ["query", "key", "value"] {
                dense(block + "attention.self." + part, from: hiddenSize, to: hiddenSize)
            }
            dense(block + "attention.output.dense", from: hiddenSize, to: hiddenSize)
            normalization(block + "attention.output.LayerNorm")
            dense(block + "intermediate.dense", from: hiddenSize, to: intermediateSize)
            dense(block + "output.dense", from: intermediateSize, to: hiddenSize)
            normalization(block + "output.LayerNorm")
        }
        return tensors
    }

    /// The bytes of `model.safetensors`.
    package var safetensors: [UInt8] {
        var header = JSONObject()
        header.append(key: "__metadata__", value: ["format": "pt"])
        var data: [UInt8] = []
        for tensor in tensors {
            let start = data.count
            for value in tensor.values { append(value, to: &data) }
            header.append(
                key: prefix + tensor.name,
                value: [
                    "dtype": .string(elementType),
                    "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
                    "data_offsets": [.integer(Int64(start)), .integer(Int64(data.count))],
                ]
            )
        }
        var text = Array("\(Self.text(.object(header)))".utf8)
        while text.count % 8 != 0 { text.append(0x20) }
        text += [UInt8](repeating: 0x20, count: headerPadding)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return length + text + data
    }

    /// Writes the model's files below `directory`, which is made if need be.
    package func write(to directory: URL) throws {
        let pooling = directory.appendingPathComponent("1_Pooling")
        try FileManager.default.createDirectory(at: pooling, withIntermediateDirectories: true)
        for (name, json) in configuration {
            try Data(Self.text(json).utf8).write(to: directory.appendingPathComponent(name))
        }
        let lines = vocabulary.joined(separator: "\n") + "\n"
        try Data(lines.utf8).write(to: directory.appendingPathComponent("vocab.txt"))
        try Data(safetensors).write(to: directory.appendingPathComponent("model.safetensors"))
    }

    private var configuration: [(String, JSONValue)] {
        [
            (
                "config.json",
                [
                    "model_type": "bert", "hidden_act": .string(activation),
                    "hidden_size": .integer(Int64(hiddenSize)),
                    "num_hidden_layers": .integer(Int64(layerCount)),
                    "num_attention_heads": .integer(Int64(headCount)),
                    "intermediate_size": .integer(Int64(intermediateSize)),
                    "max_position_embeddings": .integer(Int64(maximumTokens)),
                    "vocab_size": .integer(Int64(vocabulary.count)), "type_vocab_size": 2,
                    "layer_norm_eps": 1e-12,
                ]
            ),
            (
                "modules.json",
                [
                    ["idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"],
                    [
                        "idx": 1, "path": "1_Pooling",
                        "type": "sentence_transformers.models.Pooling",
                    ],
                    ["idx": 2, "path": "2_Normalize", "type": "x.models.Normalize"],
                ]
            ),
            (
                "1_Pooling/config.json",
                [
                    "word_embedding_dimension": .integer(Int64(hiddenSize)),
                    "pooling_mode_cls_token": .bool(pooling == "cls"),
                    "pooling_mode_mean_tokens": .bool(pooling == "mean"),
                    "pooling_mode_max_tokens": .bool(pooling == "max"),
                ]
            ),
            ("sentence_bert_config.json", ["max_seq_length": .integer(Int64(maximumTokens))]),
            ("tokenizer_config.json", ["do_lower_case": true]),
        ]
    }

    private func append(_ value: Float, to data: inout [UInt8]) {
        let bits = value.bitPattern
        switch elementType {
        case "F16": Self.append(UInt64(Self.half(value)), bytes: 2, to: &data)
        case "BF16": Self.append(UInt64(bits >> 16), bytes: 2, to: &data)
        default: Self.append(UInt64(bits), bytes: 4, to: &data)
        }
    }

    private static func append(_ value: UInt64, bytes: Int, to data: inout [UInt8]) {
        for index in 0..<bytes { data.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }

    /// Half precision of a number between 2^-14 and 65504 in size, cut; smaller ones become 0.
    private static func half(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let exponent = Int(bits >> 23 & 0xFF) - 112
        let sign = UInt16(bits >> 16 & 0x8000)
        guard exponent > 0 else { return sign }
        return sign | UInt16(exponent) << 10 | UInt16(bits >> 13 & 0x3FF)
    }

    private static func text(_ json: JSONValue) -> String {
        switch json {
        case .null: return "null"
        case .bool(let value): return "\(value)"
        case .integer(let value): return "\(value)"
        case .double(let value): return "\(value)"
        case .string(let value): return "\"\(value)\""
        case .array(let values): return "[" + values.map(text).joined(separator: ",") + "]"
        case .object(let object):
            return "{"
                + object.members.map { "\"\($0.key)\":\(text($0.value))" }.joined(separator: ",")
                + "}"
        }
    }

    /// SplitMix64, as numbers between -1 and 1.
    private struct Source {
        var state: UInt64

        mutating func next() -> Float {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
            z ^= z >> 31
            return Float(z >> 40) / Float(1 << 23) - 1
        }
    }
}
