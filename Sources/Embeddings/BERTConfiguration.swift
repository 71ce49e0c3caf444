import Domain
package import LinearAlgebra

/// What a model directory's JSON files say about a BERT-family sentence model, checked.
package struct BERTConfiguration: Sendable, Equatable {
    /// How token vectors become one.
    package enum Pooling: String, Sendable {
        case mean
        /// The vector of the first token.
        case firstToken
        case maximum
    }

    package var vocabularySize: Int
    package var hiddenSize: Int
    package var layerCount: Int
    package var headCount: Int
    package var intermediateSize: Int
    package var maximumPositions: Int
    package var tokenTypeCount: Int
    package var activation: NeuralKernels.Activation
    package var normalizationEpsilon: Float
    package var pooling: Pooling
    /// The window in tokens, the two special ones included.
    package var maximumTokens: Int

    /// Numbers of one attention head.
    package var headSize: Int { hiddenSize / headCount }
}

extension BERTConfiguration {
    /// Reads `config.json`, `modules.json`, the pooling module's and the tokenizer's files.
    ///
    /// - Throws: ``EmbeddingError`` when a needed one is missing or asks for something else than
    ///   this encoder does.
    package init(directory: ModelDirectory) throws(EmbeddingError) {
        let path = directory.transformerPath + "/config.json"
        let json = try readModelJSON(path)
        try Self.checkArchitecture(json)
        let fields = Fields(json: json, path: path)
        vocabularySize = try fields.size("vocab_size", limit: 2_000_000)
        hiddenSize = try fields.size("hidden_size", limit: 8192)
        layerCount = try fields.size("num_hidden_layers", limit: 128)
        headCount = try fields.size("num_attention_heads", limit: 256)
        intermediateSize = try fields.size("intermediate_size", limit: 65_536)
        maximumPositions = try fields.size("max_position_embeddings", limit: 65_536)
        tokenTypeCount = try fields.size("type_vocab_size", limit: 1024, default: 2)
        guard hiddenSize % headCount == 0 else {
            throw .invalidModel(path: path, reason: "hidden_size is no multiple of the heads")
        }
        activation = try Self.activation(json["hidden_act"]?.string ?? "gelu")
        let epsilon = json["layer_norm_eps"]?.double ?? 1e-12
        guard epsilon > 0, epsilon < 1 else {
            throw .invalidModel(path: path, reason: "layer_norm_eps is not between 0 and 1")
        }
        normalizationEpsilon = Float(epsilon)
        pooling = try directory.pooling(hiddenSize: hiddenSize)
        maximumTokens = try directory.maximumTokens(upTo: maximumPositions)
    }

    /// Refuses models whose tensors may look right but mean something else.
    private static func checkArchitecture(_ json: JSONValue) throws(EmbeddingError) {
        let type = json["model_type"]?.string ?? "bert"
        // RoBERTa and its kin count positions from the padding id on; MPNet has relative positions.
        guard type == "bert" else { throw .unsupportedModel(reason: "model_type `\(type)`") }
        let position = json["position_embedding_type"]?.string ?? "absolute"
        guard position == "absolute" else {
            throw .unsupportedModel(reason: "position_embedding_type `\(position)`")
        }
        guard json["is_decoder"]?.bool != true else {
            throw .unsupportedModel(reason: "a decoder attends to one side only")
        }
    }

    private static func activation(
        _ name: String
    ) throws(EmbeddingError) -> NeuralKernels.Activation {
        switch name {
        case "gelu": .gelu
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": .geluTanh
        case "relu": .relu
        default: throw .unsupportedModel(reason: "hidden_act `\(name)`")
        }
    }

    private struct Fields {
        let json: JSONValue
        let path: String

        /// A count between 1 and a limit that keeps products of two far from overflow.
        func size(
            _ key: String,
            limit: Int,
            default: Int? = nil
        ) throws(EmbeddingError) -> Int {
            guard let value = json[key] else {
                if let `default` { return `default` }
                throw .invalidModel(path: path, reason: "it has no `\(key)`")
            }
            guard let value = value.integer, value >= 1, value <= Int64(limit) else {
                throw .invalidModel(path: path, reason: "`\(key)` is not in 1...\(limit)")
            }
            return Int(value)
        }
    }
}
