import LinearAlgebra

/// The transformer: token ids of several sequences in, one vector a sequence out.
///
/// The tokens of a batch stand one after the other without padding in one matrix, so every product
/// but attention's runs over all of them at once; attention runs sequence by sequence, head by
/// head.
struct BERTEncoder: Sendable {
    let configuration: BERTConfiguration
    let weights: EncoderWeights

    /// Encodes one batch.
    ///
    /// - Parameters:
    ///   - ids: The sequences' tokens, one after the other, each below the vocabulary's size.
    ///   - lengths: Tokens of each sequence, at least 1, at most the model's window.
    ///   - workspace: Scratch of the worker that calls.
    /// - Returns: Unit vectors, shape `(lengths.count, hidden)`.
    func encode(
        _ ids: [Int32],
        lengths: [Int],
        workspace: inout EncoderWorkspace
    ) -> [Float] {
        precondition(lengths.reduce(0, +) == ids.count, "the lengths add up")
        workspace.reserve(
            tokens: ids.count,
            longest: lengths.max() ?? 0,
            configuration: configuration
        )
        embed(ids, lengths: lengths, workspace: &workspace)
        for layer in weights.layers {
            attend(layer, lengths: lengths, workspace: &workspace)
            feedForward(layer, rows: ids.count, workspace: &workspace)
        }
        return pool(lengths: lengths, workspace: workspace)
    }

    func embed(_ ids: [Int32], lengths: [Int], workspace: inout EncoderWorkspace) {
        let width = configuration.hiddenSize
        weights.words.withSpan { words in
            weights.positions.withSpan { positions in
                var row = 0
                for length in lengths {
                    for position in 0..<length {
                        let (word, place) = (Int(ids[row]) * width, position * width)
                        NeuralKernels.embed(
                            word: words.extracting(word..<word + width),
                            positionAndType: (
                                positions.extracting(place..<place + width), weights.tokenType
                            ),
                            by: weights.normalization,
                            into: &workspace.hidden,
                            row: row
                        )
                        row += 1
                    }
                }
            }
        }
    }

    func attend(
        _ layer: EncoderWeights.Layer,
        lengths: [Int],
        workspace: inout EncoderWorkspace
    ) {
        let rows = lengths.reduce(0, +)
        Self.project(layer.query, workspace.hidden, rows, &workspace.query)
        Self.project(layer.key, workspace.hidden, rows, &workspace.key)
        Self.project(layer.value, workspace.hidden, rows, &workspace.value)
        var first = 0
        for length in lengths {
            for head in 0..<configuration.headCount {
                attend(head: head, firstRow: first, length: length, workspace: &workspace)
            }
            first += length
        }
        layer.attentionOutput.multiply(workspace.context, rows: rows, into: &workspace.query)
        NeuralKernels.addAndNormalize(
            &workspace.query,
            bias: layer.attentionOutput.bias,
            residual: &workspace.hidden,
            by: layer.attentionNormalization,
            rows: rows
        )
    }

    /// context = softmax(query · keyᵀ / √size) · value for one head of one sequence.
    private func attend(
        head: Int,
        firstRow: Int,
        length: Int,
        workspace: inout EncoderWorkspace
    ) {
        let (size, width) = (configuration.headSize, configuration.hiddenSize)
        let window = MatrixLayout(
            rows: length,
            columns: size,
            stride: width,
            offset: firstRow * width + head * size
        )
        let square = MatrixLayout(
            rows: length,
            columns: length,
            stride: NeuralKernels.softmaxStride(columns: length)
        )
        BLAS.multiply(
            MatrixProduct(
                left: window,
                right: window,
                output: square,
                isRightTransposed: true,
                scale: 1 / Float(size).squareRoot()
            ),
            left: workspace.query,
            right: workspace.key,
            into: &workspace.scores
        )
        NeuralKernels.softmax(&workspace.scores, rows: length, columns: length)
        BLAS.multiply(
            MatrixProduct(left: square, right: window, output: window, isRightTransposed: false),
            left: workspace.scores,
            right: workspace.value,
            into: &workspace.context
        )
    }

    func feedForward(
        _ layer: EncoderWeights.Layer,
        rows: Int,
        workspace: inout EncoderWorkspace
    ) {
        layer.intermediate.multiply(workspace.hidden, rows: rows, into: &workspace.intermediate)
        NeuralKernels.apply(
            configuration.activation,
            bias: layer.intermediate.bias,
            to: &workspace.intermediate,
            rows: rows
        )
        layer.output.multiply(workspace.intermediate, rows: rows, into: &workspace.query)
        NeuralKernels.addAndNormalize(
            &workspace.query,
            bias: layer.output.bias,
            residual: &workspace.hidden,
            by: layer.outputNormalization,
            rows: rows
        )
    }

    private func pool(lengths: [Int], workspace: EncoderWorkspace) -> [Float] {
        let width = configuration.hiddenSize
        var vectors: [Float] = []
        vectors.reserveCapacity(lengths.count * width)
        var row = [Float](repeating: 0, count: width)
        var first = 0
        for length in lengths {
            NeuralKernels.reduce(
                workspace.hidden,
                firstRow: first,
                rows: configuration.pooling == .firstToken ? 1 : length,
                by: configuration.pooling == .maximum ? .maximum : .mean,
                into: &row
            )
            NeuralKernels.normalize(&row)
            vectors += row
            first += length
        }
        return vectors
    }

    private static func project(
        _ layer: LinearLayer,
        _ input: [Float],
        _ rows: Int,
        _ output: inout [Float]
    ) {
        layer.multiply(input, rows: rows, into: &output)
        NeuralKernels.add(layer.bias, to: &output, rows: rows)
    }
}
