import Domain

/// A sentence-transformers model directory: which module lies where.
package struct ModelDirectory: Sendable {
    /// The directory itself.
    package let path: String
    /// Where the encoder's files lie; as a rule `path` itself.
    let transformerPath: String
    /// The pooling module's configuration; nil when the directory says nothing, which means the
    /// mean.
    private let poolingPath: String?

    /// Reads `modules.json`; without one the directory is a plain encoder with mean pooling.
    ///
    /// - Throws: ``EmbeddingError`` for a damaged file or a module this encoder does not have.
    package init(path: String) throws(EmbeddingError) {
        self.path = path
        let modulesPath = path + "/modules.json"
        guard let json = try readOptionalModelJSON(modulesPath) else {
            transformerPath = path
            poolingPath = nil
            return
        }
        guard let modules = json.array else {
            throw .invalidModel(path: modulesPath, reason: "it is not a list")
        }
        var (transformer, pooling): (String?, String?) = (nil, nil)
        for module in modules {
            let place = try Self.place(of: module, modulesPath: modulesPath)
            let full = place.isEmpty ? path : path + "/" + place
            // The part behind the last full stop: the package's name has changed over the years.
            let type = module["type"]?.string ?? ""
            switch type.split(separator: ".").last {
            case "Transformer" where transformer == nil: transformer = full
            case "Pooling" where pooling == nil: pooling = full
            // Vectors are always normalised (``Embedder``), so the module's presence changes
            // nothing.
            case "Normalize": break
            default: throw .unsupportedModel(reason: "module `\(type.prefix(100))`")
            }
        }
        transformerPath = transformer ?? path
        poolingPath = pooling
    }

    /// A module's folder: a relative path that stays within the model.
    private static func place(
        of module: JSONValue,
        modulesPath: String
    ) throws(EmbeddingError) -> String {
        let place = module["path"]?.string ?? ""
        let isInside =
            !place.utf8.starts(with: "/".utf8) && !place.utf8.contains(0)
            && !place.utf8.split(separator: UInt8(ascii: "/")).contains {
                $0.elementsEqual("..".utf8)
            }
        guard isInside else {
            throw .invalidModel(path: modulesPath, reason: "a module lies outside the model")
        }
        return place
    }

    /// The pooling mode; the mean when there is no pooling module.
    func pooling(hiddenSize: Int) throws(EmbeddingError) -> BERTConfiguration.Pooling {
        guard let poolingPath else { return .mean }
        let json = try readModelJSON(poolingPath + "/config.json")
        if let dimension = json["word_embedding_dimension"]?.integer, dimension != hiddenSize {
            let reason = "the pooling's dimension \(dimension) is not the encoder's \(hiddenSize)"
            throw .invalidModel(path: poolingPath + "/config.json", reason: reason)
        }
        // Of a repeated key the last member counts, as everywhere.
        let keys = Set((json.object?.members ?? []).map(\.key))
        let modes = keys.filter { key in
            key.utf8.starts(with: "pooling_mode_".utf8) && json[key]?.bool == true
        }
        guard modes.count == 1, let mode = modes.first else {
            throw .unsupportedModel(reason: "\(modes.count) pooling modes at once")
        }
        switch mode {
        // Dividing by the root of the count instead of the count is the same once normalised.
        case "pooling_mode_mean_tokens", "pooling_mode_mean_sqrt_len_tokens": return .mean
        case "pooling_mode_cls_token": return .firstToken
        case "pooling_mode_max_tokens": return .maximum
        default: throw .unsupportedModel(reason: "`\(mode.prefix(100))`")
        }
    }

    /// The window: what `sentence_bert_config.json` says, else the tokenizer's, else all positions.
    func maximumTokens(upTo positions: Int) throws(EmbeddingError) -> Int {
        let sentencePath = transformerPath + "/sentence_bert_config.json"
        let tokenizerPath = transformerPath + "/tokenizer_config.json"
        var stated = try readOptionalModelJSON(sentencePath)?["max_seq_length"]
        if stated == nil {
            stated = try readOptionalModelJSON(tokenizerPath)?["model_max_length"]
        }
        // Room for the two special tokens and one of the text.
        guard positions >= 3 else {
            let path = transformerPath + "/config.json"
            throw .invalidModel(path: path, reason: "max_position_embeddings is below 3")
        }
        // "No limit" is written as 1e30, which is no Int64.
        guard let stated, !stated.isNull, let limit = stated.integer else { return positions }
        guard limit >= 3 else {
            throw .invalidModel(path: sentencePath, reason: "max_seq_length is below 3")
        }
        return min(positions, Int(clamping: limit))
    }

    /// What the tokenizer's files say.
    func tokenizerOptions() throws(EmbeddingError) -> WordPieceTokenizer.Options {
        var options = WordPieceTokenizer.Options()
        let sentence = try readOptionalModelJSON(transformerPath + "/sentence_bert_config.json")
        if let json = try readOptionalModelJSON(transformerPath + "/tokenizer_config.json") {
            options.lowercases = json["do_lower_case"]?.bool ?? true
            options.stripsAccents = json["strip_accents"]?.bool ?? options.lowercases
            options.splitsIdeographs = json["tokenize_chinese_chars"]?.bool ?? true
            options.unknownToken = Self.token("unk_token", in: json) ?? options.unknownToken
            options.firstToken = Self.token("cls_token", in: json) ?? options.firstToken
            options.lastToken = Self.token("sep_token", in: json) ?? options.lastToken
        }
        if sentence?["do_lower_case"]?.bool == true { options.lowercases = true }
        return options
    }

    /// A special token's spelling, given plainly or as an object with `content`.
    private static func token(_ key: String, in json: JSONValue) -> String? {
        json[key]?.string ?? json[key]?["content"]?.string
    }
}
