import CKernels

/// Row-wise float32 kernels of a transformer encoder over dense row-major matrices.
///
/// Every function checks its lengths, then calls C code that exists for several levels
/// (``KernelLevel``), of which the one in force runs.
package enum NeuralKernels {
    /// The level whose functions run: the machine's or what `PRELOOP_KERNELS` lowers it to, at most
    /// ``KernelLevel/avx512``.
    package static var level: KernelLevel {
        KernelLevel(rawValue: preloop_nn_level()) ?? .portable
    }

    /// The function between the two products of a feed-forward block.
    package enum Activation: Sendable, Equatable {
        /// x · Φ(x), by the error function.
        case gelu
        /// The tanh form of GELU.
        case geluTanh
        case relu

        fileprivate var code: Int32 {
            switch self {
            case .gelu: Int32(preloop_nn_gelu)
            case .geluTanh: Int32(preloop_nn_gelu_tanh)
            case .relu: Int32(preloop_nn_relu)
            }
        }
    }

    /// Weights of a layer normalisation, each as long as a row.
    package struct Normalization: Sendable, Equatable {
        package let scale: [Float]
        package let shift: [Float]
        /// Added to the variance.
        package let epsilon: Float

        /// Wraps weights of equal length.
        package init(scale: [Float], shift: [Float], epsilon: Float) {
            precondition(scale.count == shift.count, "one scale and one shift a column")
            self.scale = scale
            self.shift = shift
            self.epsilon = epsilon
        }
    }

    /// Adds `bias` to each of the first `rows` rows.
    package static func add(_ bias: [Float], to x: inout [Float], rows: Int) {
        check(x.count, rows, bias.count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe bias.withUnsafeBufferPointer { bias in
                guard let x = x.baseAddress, let values = bias.baseAddress else { return }
                unsafe preloop_nn_bias(x, values, rows, bias.count)
            }
        }
    }

    /// x = activation(x + bias) for each of the first `rows` rows.
    package static func apply(
        _ activation: Activation,
        bias: [Float],
        to x: inout [Float],
        rows: Int
    ) {
        check(x.count, rows, bias.count)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe bias.withUnsafeBufferPointer { bias in
                guard let x = x.baseAddress, let values = bias.baseAddress else { return }
                unsafe preloop_nn_bias_activation(x, values, rows, bias.count, activation.code)
            }
        }
    }

    /// residual = normalised(x + bias + residual) for each of the first `rows` rows; `x` is
    /// scratch.
    package static func addAndNormalize(
        _ x: inout [Float],
        bias: [Float],
        residual: inout [Float],
        by normalization: Normalization,
        rows: Int
    ) {
        let columns = bias.count
        precondition(normalization.scale.count == columns, "one scale a column")
        check(x.count, rows, columns)
        check(residual.count, rows, columns)
        unsafe x.withUnsafeMutableBufferPointer { x in
            unsafe residual.withUnsafeMutableBufferPointer { residual in
                unsafe bias.withUnsafeBufferPointer { bias in
                    guard let x = x.baseAddress, let residual = residual.baseAddress,
                        let bias = bias.baseAddress
                    else { return }
                    unsafe preloop_nn_bias_residual_norm(
                        x,
                        bias,
                        residual,
                        normalization.scale,
                        normalization.shift,
                        normalization.epsilon,
                        rows,
                        columns
                    )
                }
            }
        }
    }

    /// Writes normalised(word + position + type) into row `row` of `output`.
    ///
    /// - Parameters:
    ///   - word: The token's row.
    ///   - positionAndType: The rows of the token's place and of its sentence, as wide as `word`.
    ///   - normalization: As wide as `word`.
    ///   - output: At least `row + 1` rows.
    ///   - row: Which row to write.
    package static func embed(
        word: Span<Float>,
        positionAndType: (Span<Float>, [Float]),
        by normalization: Normalization,
        into output: inout [Float],
        row: Int
    ) {
        let columns = word.count
        let (position, type) = positionAndType
        precondition(position.count == columns && type.count == columns, "parts are of one width")
        precondition(normalization.scale.count == columns, "one scale a column")
        check(output.count, row + 1, columns)
        unsafe output.withUnsafeMutableBufferPointer { output in
            unsafe word.withUnsafeBufferPointer { word in
                unsafe position.withUnsafeBufferPointer { position in
                    guard let output = output.baseAddress, let word = word.baseAddress,
                        let position = position.baseAddress
                    else { return }
                    unsafe preloop_nn_embed(
                        word,
                        position,
                        type,
                        normalization.scale,
                        normalization.shift,
                        normalization.epsilon,
                        columns,
                        output + row * columns
                    )
                }
            }
        }
    }

    /// The distance of rows a softmax over `columns` values needs: the next multiple of 16.
    package static func softmaxStride(columns: Int) -> Int {
        (columns + 15) / 16 * 16
    }

    /// Softmax of each row's first `columns` values; the rest of the row becomes 0.
    ///
    /// - Parameters:
    ///   - x: Shape `(rows, softmaxStride(columns))`.
    ///   - rows: How many rows to turn.
    ///   - columns: At least 1.
    package static func softmax(_ x: inout [Float], rows: Int, columns: Int) {
        let stride = softmaxStride(columns: columns)
        precondition(columns > 0, "a softmax of nothing has no sum")
        check(x.count, rows, stride)
        unsafe x.withUnsafeMutableBufferPointer { x in
            guard let x = x.baseAddress else { return }
            unsafe preloop_nn_softmax(x, rows, columns, stride)
        }
    }

    /// How the rows of a sequence become one.
    package enum Reduction: Sendable, Equatable {
        case mean
        case maximum
    }

    /// Reduces `rows` rows of `x` from `firstRow` on to one.
    ///
    /// - Parameters:
    ///   - x: Shape `(≥ firstRow + rows, output.count)`.
    ///   - firstRow: Where the sequence starts.
    ///   - rows: At least 1.
    ///   - reduction: What to compute.
    ///   - output: One row, which says how wide rows are.
    package static func reduce(
        _ x: [Float],
        firstRow: Int,
        rows: Int,
        by reduction: Reduction,
        into output: inout [Float]
    ) {
        let columns = output.count
        precondition(firstRow >= 0 && rows > 0, "a mean of nothing is undefined")
        check(x.count, firstRow + rows, columns)
        unsafe x.withUnsafeBufferPointer { x in
            unsafe output.withUnsafeMutableBufferPointer { output in
                guard let x = x.baseAddress, let output = output.baseAddress else { return }
                let start = unsafe x + firstRow * columns
                switch reduction {
                case .mean: unsafe preloop_nn_mean(start, rows, columns, output)
                case .maximum: unsafe preloop_nn_maximum(start, rows, columns, output)
                }
            }
        }
    }

    /// Divides `x` by its Euclidean norm; a zero vector stays zero.
    package static func normalize(_ x: inout [Float]) {
        let count = x.count
        unsafe x.withUnsafeMutableBufferPointer { x in
            guard let x = x.baseAddress else { return }
            unsafe preloop_nn_unit(x, count)
        }
    }

    private static func check(_ count: Int, _ rows: Int, _ columns: Int) {
        let (needed, overflow) = rows.multipliedReportingOverflow(by: columns)
        precondition(rows >= 0 && !overflow && needed <= count, "the rows lie in their span")
    }
}
