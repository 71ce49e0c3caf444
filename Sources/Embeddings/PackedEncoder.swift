import LinearAlgebra

/// The transformer over packed weights: token ids of several sequences in, one vector a sequence
/// out.
///
/// The tokens of a batch stand one after the other without padding. Attention runs sequence by
/// sequence; all else runs over stripes of rows that stay in the second cache from one product to
/// the next.
struct PackedEncoder: Sendable {
    let configuration: BERTConfiguration
    private let weights: EncoderWeights
    private let layers: [PackedLayer]
    private let format: MatrixFormat
    private let level: KernelLevel

    /// Rows that go through a block's products together: whole tiles, of 32 rows with tile
    /// registers and of 12 without, that stay in the second cache.
    private var stripe: Int { level == .amx && format != .float32 ? 64 : 48 }

    /// Packs the weights: some milliseconds a million.
    ///
    /// - Parameters:
    ///   - encoder: The model.
    ///   - samples: Token ids of ``ActivationExtents/sampleTexts``.
    ///   - precision: Of the products.
    ///   - level: The instructions to use.
    init(
        _ encoder: BERTEncoder,
        samples: [[Int32]],
        precision: EncodingPrecision,
        level: KernelLevel
    ) {
        (configuration, weights) = (encoder.configuration, encoder.weights)
        self.level = level
        let format: MatrixFormat =
            switch precision {
            case .float32: .float32
            case .bfloat16: level.hasBFloat16 ? .bfloat16 : .float32
            case .int8: .int8
            }
        self.format = format
        var input = weights.normalization
        var layers: [PackedLayer] = []
        let extents =
            format == .int8
            ? encoder.activationExtents(samples.flatMap { $0 }, lengths: samples.map(\.count))
            : []
        for (index, layer) in weights.layers.enumerated() {
            let smoothing =
                extents.isEmpty
                ? nil : Smoothing(layer, input: input, seen: extents[index], level: level)
            layers.append(
                PackedLayer(
                    layer,
                    smoothing: smoothing,
                    format: format,
                    configuration: configuration,
                    level: level
                )
            )
            input = layer.outputNormalization
        }
        self.layers = layers
    }

    /// The matrices of a batch.
    private struct Matrices {
        /// A block's input, then its output.
        let hidden: EncoderArena.Matrix
        /// Queries, keys and values.
        let projected: EncoderArena.Matrix
        let context: EncoderArena.Matrix
        /// Of a stripe: a product's input as the weights' format has it.
        let narrow: EncoderArena.Matrix
        /// Activations before they become int8; of one row where they need not.
        let wide: EncoderArena.Matrix
        let activated: EncoderArena.Matrix
        let scratch: EncoderArena.Matrix
        let layout: EncoderArena.Layout
    }

    /// Encodes one batch.
    ///
    /// - Parameters:
    ///   - ids: The sequences' tokens, one after the other, each below the vocabulary's size.
    ///   - lengths: Tokens of each sequence, at least 1, at most the model's window.
    ///   - arena: Scratch of the worker that calls.
    /// - Returns: Unit vectors, shape `(lengths.count, hidden)`.
    func encode(_ ids: [Int32], lengths: [Int], arena: inout EncoderArena) -> [Float] {
        precondition(lengths.reduce(0, +) == ids.count, "the lengths add up")
        guard let longest = lengths.max() else { return [] }
        let matrices = layOut(rows: ids.count, longest: longest)
        arena.reserve(matrices.layout)
        embed(ids, lengths: lengths, matrices, &arena)
        for rows in stripes(of: ids.count) {
            begin(rows, by: weights.normalization, layers.first, matrices, &arena)
        }
        for (index, layer) in layers.enumerated() {
            var first = 0
            for length in lengths {
                let rows = first..<first + length
                arena.attend(
                    .init(matrices.projected, rows),
                    headCount: configuration.headCount,
                    into: .init(matrices.context, rows),
                    scratch: matrices.scratch
                )
                first += length
            }
            let next = index + 1 < layers.count ? layers[index + 1] : nil
            for rows in stripes(of: ids.count) {
                finish(rows, layer, matrices, &arena)
                begin(rows, by: layer.outputNormalization, next, matrices, &arena)
            }
        }
        return pool(lengths: lengths, matrices, arena)
    }

    private func layOut(rows: Int, longest: Int) -> Matrices {
        let (hidden, wide) = (configuration.hiddenSize, configuration.intermediateSize)
        let stripe = min(rows, stripe)
        let usesBFloat16 =
            format != .float32 && level.hasBFloat16 && configuration.headSize % 2 == 0
        var layout = EncoderArena.Layout()
        let matrices = (
            layout.add(rows: rows, columns: hidden),
            layout.add(
                rows: rows,
                columns: 3 * hidden,
                format: usesBFloat16 ? .bfloat16 : .float32
            ),
            layout.add(
                rows: rows,
                columns: hidden,
                format: format == .bfloat16 ? .bfloat16 : .float32
            ),
            layout.add(rows: stripe, columns: hidden, format: format),
            layout.add(rows: format == .int8 ? stripe : 1, columns: wide),
            layout.add(rows: stripe, columns: wide, format: format),
            layout.addAttentionScratch(rows: longest, headSize: configuration.headSize)
        )
        return Matrices(
            hidden: matrices.0,
            projected: matrices.1,
            context: matrices.2,
            narrow: matrices.3,
            wide: matrices.4,
            activated: matrices.5,
            scratch: matrices.6,
            layout: layout
        )
    }

    private func embed(
        _ ids: [Int32],
        lengths: [Int],
        _ matrices: Matrices,
        _ arena: inout EncoderArena
    ) {
        let width = configuration.hiddenSize
        weights.words.withSpan { words in
            weights.positions.withSpan { positions in
                var row = 0
                for length in lengths {
                    for position in 0..<length {
                        let (word, place) = (Int(ids[row]) * width, position * width)
                        arena.embed(
                            word: words.extracting(word..<word + width),
                            position: positions.extracting(place..<place + width),
                            type: weights.tokenType,
                            into: .init(matrices.hidden, row..<row + 1)
                        )
                        row += 1
                    }
                }
            }
        }
    }

    /// Normalises the input of `layer` and projects it to queries, keys and values; behind the last
    /// layer there is none.
    private func begin(
        _ rows: Range<Int>,
        by normalization: NeuralKernels.Normalization,
        _ layer: PackedLayer?,
        _ matrices: Matrices,
        _ arena: inout EncoderArena
    ) {
        let hidden = EncoderArena.Rows(matrices.hidden, rows)
        guard let layer else {
            arena.normalize(hidden, by: normalization)
            return
        }
        let input = normalize(
            hidden,
            by: normalization,
            converting: layer.smoothing?.projection,
            into: matrices.narrow,
            &arena
        )
        arena.multiply(
            input,
            by: layer.projection,
            .store,
            into: .init(matrices.projected, rows)
        )
    }

    /// From the context to the block's output before its normalisation.
    private func finish(
        _ rows: Range<Int>,
        _ layer: PackedLayer,
        _ matrices: Matrices,
        _ arena: inout EncoderArena
    ) {
        let hidden = EncoderArena.Rows(matrices.hidden, rows)
        let context = convert(
            .init(matrices.context, rows),
            layer.smoothing?.context,
            into: matrices.narrow,
            &arena
        )
        arena.multiply(context, by: layer.attentionOutput, .add, into: hidden)
        let input = normalize(
            hidden,
            by: layer.attentionNormalization,
            converting: layer.smoothing?.intermediate,
            into: matrices.narrow,
            &arena
        )
        let wide = EncoderArena.Rows(
            format == .int8 ? matrices.wide : matrices.activated,
            0..<rows.count
        )
        arena.multiply(
            input,
            by: layer.intermediate,
            .activate(
                configuration.activation,
                factors: layer.outputFactors,
                isExact: format == .float32
            ),
            into: wide
        )
        let activated = convert(
            wide,
            layer.smoothing?.output,
            into: matrices.activated,
            &arena
        )
        arena.multiply(activated, by: layer.output, .add, into: hidden)
    }

    /// Normalises rows in place and gives them as the weights' format has them.
    private func normalize(
        _ rows: EncoderArena.Rows,
        by normalization: NeuralKernels.Normalization,
        converting quantization: Quantization?,
        into target: EncoderArena.Matrix,
        _ arena: inout EncoderArena
    ) -> EncoderArena.Rows {
        guard format != .float32 else {
            arena.normalize(rows, by: normalization)
            return rows
        }
        let result = EncoderArena.Rows(target, 0..<rows.count)
        arena.normalize(rows, by: normalization, converting: quantization, into: result)
        return result
    }

    /// Rows as the weights' format has them: those that are so already are used where they are.
    private func convert(
        _ rows: EncoderArena.Rows,
        _ quantization: Quantization?,
        into target: EncoderArena.Matrix,
        _ arena: inout EncoderArena
    ) -> EncoderArena.Rows {
        guard let quantization else { return rows }
        let result = EncoderArena.Rows(target, 0..<rows.count)
        arena.quantize(rows, by: quantization, into: result)
        return result
    }

    private func stripes(of count: Int) -> [Range<Int>] {
        let length = stripe
        return stride(from: 0, to: count, by: length).map { $0..<min(count, $0 + length) }
    }

    private func pool(
        lengths: [Int],
        _ matrices: Matrices,
        _ arena: EncoderArena
    ) -> [Float] {
        let width = configuration.hiddenSize
        var vectors: [Float] = []
        vectors.reserveCapacity(lengths.count * width)
        var row = [Float](repeating: 0, count: width)
        var first = 0
        for length in lengths {
            let count = configuration.pooling == .firstToken ? 1 : length
            arena.reduce(
                .init(matrices.hidden, first..<first + count),
                by: configuration.pooling == .maximum ? .maximum : .mean,
                into: &row
            )
            NeuralKernels.normalize(&row)
            vectors += row
            first += length
        }
        return vectors
    }
}
