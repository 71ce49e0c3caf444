import LinearAlgebra

/// One transformer block with packed weights and what is folded into them.
struct PackedLayer: Sendable {
    /// Queries, keys and values side by side; queries times log₂ e / √(head size).
    let projection: PackedMatrix
    /// How inputs become int8; nil for other formats.
    let smoothing: Smoothing?
    let attentionOutput: PackedMatrix
    let attentionNormalization: NeuralKernels.Normalization
    let intermediate: PackedMatrix
    /// The activations are multiplied by these; whole panels.
    let outputFactors: [Float]
    let output: PackedMatrix
    let outputNormalization: NeuralKernels.Normalization

    /// Packs a block.
    ///
    /// - Parameters:
    ///   - layer: The block's weights.
    ///   - smoothing: How inputs become int8; nil unless the format is that.
    ///   - format: Of the packed weights.
    ///   - configuration: The model's.
    ///   - level: The instructions to use.
    init(
        _ layer: EncoderWeights.Layer,
        smoothing: Smoothing?,
        format: MatrixFormat,
        configuration: BERTConfiguration,
        level: KernelLevel
    ) {
        let hidden = configuration.hiddenSize
        let queryFactor = 1.442_695_04 / Float(configuration.headSize).squareRoot()
        var packer = MatrixPacker(
            format: format,
            inputCount: hidden,
            outputCount: 3 * hidden,
            quantization: smoothing?.projection,
            level: level
        )
        let parts: [(LinearLayer, [Float]?)] = [
            (layer.query, Array(repeating: queryFactor, count: hidden)),
            (layer.key, nil),
            (layer.value, smoothing?.context.factors),
        ]
        for (part, factors) in parts {
            packer.append(part, outputFactors: factors)
        }
        projection = packer.finish()
        self.smoothing = smoothing
        attentionOutput = Self.pack(
            layer.attentionOutput,
            format,
            smoothing?.context,
            level
        )
        attentionNormalization = layer.attentionNormalization
        intermediate = Self.pack(
            layer.intermediate,
            format,
            smoothing?.intermediate,
            level
        )
        let wide = configuration.intermediateSize
        let panels = PackedMatrix.wholePanels(wide)
        outputFactors =
            (smoothing?.output.factors ?? Array(repeating: 1, count: wide))
            + Array(repeating: 1, count: panels - wide)
        output = Self.pack(
            layer.output,
            format,
            smoothing?.output,
            level
        )
        outputNormalization = layer.outputNormalization
    }

    private static func pack(
        _ layer: LinearLayer,
        _ format: MatrixFormat,
        _ quantization: Quantization?,
        _ level: KernelLevel
    ) -> PackedMatrix {
        var packer = MatrixPacker(
            format: format,
            inputCount: layer.inputCount,
            outputCount: layer.outputCount,
            quantization: quantization,
            level: level
        )
        packer.append(layer, outputFactors: nil)
        return packer.finish()
    }
}

extension MatrixPacker {
    fileprivate mutating func append(
        _ layer: LinearLayer,
        outputFactors: [Float]?
    ) {
        layer.weights.withSpan { weights in
            append(weights, bias: layer.bias, outputFactors: outputFactors)
        }
    }
}
