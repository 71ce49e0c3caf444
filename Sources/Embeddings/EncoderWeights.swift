import LinearAlgebra

/// The weights of an encoder, checked against its configuration; matrices stay mapped where they
/// can.
struct EncoderWeights: Sendable {
    let words: FloatTensor
    let positions: FloatTensor
    /// Row 0 of the token types: sentence models have one sentence a text.
    let tokenType: [Float]
    let normalization: NeuralKernels.Normalization
    let layers: [Layer]

    /// One transformer block.
    struct Layer: Sendable {
        let query: LinearLayer
        let key: LinearLayer
        let value: LinearLayer
        let attentionOutput: LinearLayer
        let attentionNormalization: NeuralKernels.Normalization
        let intermediate: LinearLayer
        let output: LinearLayer
        let outputNormalization: NeuralKernels.Normalization
    }

    /// Takes the tensors out of `file`, with or without `bert.` in front of their names.
    init(
        _ file: SafetensorsFile,
        configuration: BERTConfiguration
    ) throws(EmbeddingError) {
        let reader = Reader(file: file, configuration: configuration)
        let hidden = configuration.hiddenSize
        words = try reader.matrix(
            "embeddings.word_embeddings",
            configuration.vocabularySize,
            hidden
        )
        positions = try reader.matrix(
            "embeddings.position_embeddings",
            configuration.maximumPositions,
            hidden
        )
        let types = try reader.matrix(
            "embeddings.token_type_embeddings",
            configuration.tokenTypeCount,
            hidden
        )
        tokenType = Array(types.values.prefix(hidden))
        normalization = try reader.normalization("embeddings.LayerNorm")
        var layers: [Layer] = []
        for index in 0..<configuration.layerCount {
            layers.append(try reader.layer("encoder.layer.\(index)."))
        }
        self.layers = layers
    }

    private struct Reader {
        let file: SafetensorsFile
        let configuration: BERTConfiguration

        func layer(_ prefix: String) throws(EmbeddingError) -> Layer {
            let (hidden, wide) = (configuration.hiddenSize, configuration.intermediateSize)
            let attention = prefix + "attention."
            return Layer(
                query: try linear(attention + "self.query", from: hidden, to: hidden),
                key: try linear(attention + "self.key", from: hidden, to: hidden),
                value: try linear(attention + "self.value", from: hidden, to: hidden),
                attentionOutput: try linear(attention + "output.dense", from: hidden, to: hidden),
                attentionNormalization: try normalization(attention + "output.LayerNorm"),
                intermediate: try linear(prefix + "intermediate.dense", from: hidden, to: wide),
                output: try linear(prefix + "output.dense", from: wide, to: hidden),
                outputNormalization: try normalization(prefix + "output.LayerNorm")
            )
        }

        func matrix(
            _ name: String,
            _ rows: Int,
            _ columns: Int
        ) throws(EmbeddingError) -> FloatTensor {
            try file.floats(spellings(name + ".weight"), shape: [rows, columns])
        }

        func linear(
            _ name: String,
            from inputs: Int,
            to outputs: Int
        ) throws(EmbeddingError) -> LinearLayer {
            LinearLayer(
                weights: try matrix(name, outputs, inputs),
                bias: try file.floats(spellings(name + ".bias"), shape: [outputs]).values,
                inputCount: inputs
            )
        }

        /// `gamma` and `beta` are the names TensorFlow's checkpoints had.
        func normalization(
            _ name: String
        ) throws(EmbeddingError) -> NeuralKernels.Normalization {
            let shape = [configuration.hiddenSize]
            let scales = spellings(name + ".weight") + spellings(name + ".gamma")
            let shifts = spellings(name + ".bias") + spellings(name + ".beta")
            return NeuralKernels.Normalization(
                scale: try file.floats(scales, shape: shape).values,
                shift: try file.floats(shifts, shape: shape).values,
                epsilon: configuration.normalizationEpsilon
            )
        }

        private func spellings(_ name: String) -> [String] { [name, "bert." + name] }
    }
}

/// A dense layer, y = x Wᵀ + b.
///
/// The product and the bias are apart, because the kernel behind adds the bias in its pass.
struct LinearLayer: Sendable {
    /// Shape `(outputs, inputs)`, as the file has it.
    let weights: FloatTensor
    /// One value an output.
    let bias: [Float]
    let inputCount: Int

    var outputCount: Int { bias.count }

    /// Writes x Wᵀ into the first rows of `output`, without the bias.
    func multiply(_ input: [Float], rows: Int, into output: inout [Float]) {
        let product = MatrixProduct(
            left: MatrixLayout(rows: rows, columns: inputCount),
            right: MatrixLayout(rows: outputCount, columns: inputCount),
            output: MatrixLayout(rows: rows, columns: outputCount),
            isRightTransposed: true
        )
        var output = output.mutableSpan
        weights.withSpan { weights in
            BLAS.multiply(product, left: input.span, right: weights, into: &output)
        }
    }
}
