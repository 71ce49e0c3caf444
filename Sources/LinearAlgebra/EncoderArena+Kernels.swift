import CKernels

extension EncoderArena {
    /// Some rows of a matrix, one behind the other.
    package struct Rows: Sendable {
        let matrix: Matrix
        let range: Range<Int>

        /// Rows `range` of `matrix`.
        package init(_ matrix: Matrix, _ range: Range<Int>) {
            matrix.check(range)
            self.matrix = matrix
            self.range = range
        }

        /// All rows.
        package init(_ matrix: Matrix) {
            self.init(matrix, 0..<matrix.rowCount)
        }

        package var count: Int { range.count }
    }

    /// What becomes of the sums of a product.
    package enum Epilogue: Sendable {
        /// They replace the output.
        case store
        /// They are added to the output.
        case add
        /// They go through an activation and are multiplied by factors, one an output in whole
        /// panels. `isExact` chooses the longer of two approximations of the exact GELU.
        case activate(NeuralKernels.Activation, factors: [Float], isExact: Bool)

        fileprivate var code: Int32 {
            switch self {
            case .store: Int32(preloop_gemm_store)
            case .add: Int32(preloop_gemm_add)
            case .activate(.gelu, _, true): Int32(preloop_gemm_gelu)
            case .activate(.gelu, _, false): Int32(preloop_gemm_gelu_short)
            case .activate(.geluTanh, _, _): Int32(preloop_gemm_gelu_tanh)
            case .activate(.relu, _, _): Int32(preloop_gemm_relu)
            }
        }
    }

    /// Rounds rows of floats to bfloat16; both have as many rows as wide.
    package mutating func round(_ source: Rows, into target: Rows) {
        let (columns, output) = (source.matrix.columnCount, target.matrix)
        precondition(source.count == target.count && columns == output.columnCount, "equal shapes")
        precondition(output.format == .bfloat16, "bfloat16")
        guard source.count > 0 else { return }
        let out = unsafe pointer(output, output.place(of: target.range.lowerBound))
        unsafe preloop_rows_bfloat16(
            level.rawValue,
            floats(source.matrix, source.range.lowerBound),
            source.count,
            columns,
            out.assumingMemoryBound(to: UInt16.self),
            output.stride
        )
    }

    /// Quantises rows of floats to int8; both have as many rows as wide.
    package mutating func quantize(
        _ source: Rows,
        by quantization: Quantization,
        into target: Rows
    ) {
        let (columns, level) = (source.matrix.columnCount, level.rawValue)
        guard source.count > 0 else { return }
        let x = unsafe floats(source.matrix, source.range.lowerBound)
        unsafe withQuantized(source, by: quantization, into: target) { factors, exact, result in
            unsafe preloop_rows_quantize(level, x, source.count, columns, factors, exact, result)
        }
    }

    private typealias Floats = UnsafePointer<Float>?
    private typealias Columns = UnsafePointer<Int>?

    /// Lends what the C functions that quantise `source` want: factors, exact columns, the places
    /// of the result.
    private func withQuantized(
        _ source: Rows,
        by quantization: Quantization,
        into target: Rows,
        _ body: (Floats, Columns, UnsafePointer<preloop_quantized>) -> Void
    ) {
        let (columns, output) = (source.matrix.columnCount, target.matrix)
        precondition(source.count == target.count && columns == output.columnCount, "equal shapes")
        precondition(output.format == .int8, "int8")
        precondition(quantization.factors.count == columns, "a factor a column")
        let first = target.range.lowerBound
        var result = unsafe preloop_quantized(
            codes: pointer(output, output.place(of: first)).assumingMemoryBound(to: UInt8.self),
            stride: output.stride,
            scale: pointer(output, output.scalePlace(of: first))
                .assumingMemoryBound(to: Float.self),
            low: pointer(output, output.lowPlace(of: first)).assumingMemoryBound(to: Float.self),
            exact: pointer(output, output.exactPlace(of: first))
                .assumingMemoryBound(to: Float.self)
        )
        unsafe withOptionalPointer(to: quantization.factorsInConversion) { factors in
            unsafe quantization.exactColumns.withUnsafeBufferPointer { exact in
                unsafe body(factors, exact.baseAddress, &result)
            }
        }
    }

    /// Multiplies rows with packed weights and adds the bias.
    ///
    /// - Parameters:
    ///   - input: In the weights' format.
    ///   - weights: As many inputs as the rows are wide.
    ///   - epilogue: What becomes of the sums; nothing is added to bfloat16.
    ///   - output: As many rows, of as many columns as there are outputs; float32 or bfloat16.
    package mutating func multiply(
        _ input: Rows,
        by weights: PackedMatrix,
        _ epilogue: Epilogue,
        into output: Rows
    ) {
        let (left, result) = (input.matrix, output.matrix)
        precondition(left.format == weights.format, "one format")
        precondition(left.columnCount == weights.inputCount, "a column an input")
        precondition(result.columnCount == weights.outputCount, "a column an output")
        precondition(input.count == output.count, "a row a row")
        precondition(weights.format != .bfloat16 || level.hasBFloat16, "bfloat16 has its levels")
        if result.format == .bfloat16, case .add = epilogue {
            preconditionFailure("sums are kept in float32")
        }
        precondition(result.format != .int8, "int8 is made by converting")
        guard input.count > 0 else { return }
        var product = unsafe preloop_gemm()
        unsafe product.rows = input.count
        unsafe product.inputs = weights.inputCount
        unsafe product.outputs = weights.outputCount
        unsafe product.format = weights.format.rawValue
        unsafe product.epilogue = epilogue.code
        unsafe product.output_is_bfloat16 = result.format == .bfloat16 ? 1 : 0
        let (first, target) = (input.range.lowerBound, output.range.lowerBound)
        unsafe product.activations = UnsafeRawPointer(pointer(left, left.place(of: first)))
        unsafe product.activation_stride = left.stride
        if left.format == .int8 {
            let scale = unsafe pointer(left, left.scalePlace(of: first))
            let low = unsafe pointer(left, left.lowPlace(of: first))
            unsafe product.row_scale = UnsafePointer(scale.assumingMemoryBound(to: Float.self))
            let exact = unsafe pointer(left, left.exactPlace(of: first))
            unsafe product.row_low = UnsafePointer(low.assumingMemoryBound(to: Float.self))
            unsafe product.row_exact = UnsafePointer(exact.assumingMemoryBound(to: Float.self))
        }
        unsafe product.weights = UnsafeRawPointer(weights.weights.pointer())
        unsafe product.output = pointer(result, result.place(of: target))
        unsafe product.output_stride = result.stride
        var factors: [Float]?
        if case .activate(_, let given, _) = epilogue {
            precondition(given.count == weights.biases.count, "a factor an output, whole panels")
            factors = given
        }
        let level = level.rawValue
        unsafe withOptionalPointer(to: factors) { factors in
            unsafe weights.withVectors { scales, sums, exactWeights, biases in
                unsafe product.factors = factors
                unsafe product.weight_scale = scales
                unsafe product.weight_sum = sums
                unsafe product.exact_weights = exactWeights
                unsafe product.bias = biases
                unsafe preloop_gemm_run(level, &product)
            }
        }
    }

    /// Layer normalisation in place.
    package mutating func normalize(_ rows: Rows, by normalization: NeuralKernels.Normalization) {
        unsafe withNormalization(normalization, of: rows) { x, columns, normalization in
            unsafe preloop_rows_normalize(level.rawValue, x, rows.count, columns, normalization)
        }
    }

    /// Layer normalisation in place, and the result as a product wants it, each row while it is at
    /// hand: equal to normalising and then converting.
    ///
    /// - Parameters:
    ///   - rows: Of floats.
    ///   - normalization: As wide as the rows.
    ///   - quantization: For an int8 target; nil for one of bfloat16.
    ///   - target: As many rows as wide.
    package mutating func normalize(
        _ rows: Rows,
        by normalization: NeuralKernels.Normalization,
        converting quantization: Quantization?,
        into target: Rows
    ) {
        let (count, output, level) = (rows.count, target.matrix, level.rawValue)
        precondition((output.format == .int8) == (quantization != nil), "int8 is quantised")
        unsafe withNormalization(normalization, of: rows) { x, columns, normalization in
            guard let quantization else {
                precondition(output.format == .bfloat16, "bfloat16")
                precondition(count == target.count && columns == output.columnCount, "one shape")
                let out = unsafe pointer(output, output.place(of: target.range.lowerBound))
                unsafe preloop_rows_normalize_bfloat16(
                    level,
                    x,
                    count,
                    columns,
                    normalization,
                    out.assumingMemoryBound(to: UInt16.self),
                    output.stride
                )
                return
            }
            unsafe withQuantized(rows, by: quantization, into: target) { factors, exact, result in
                unsafe preloop_rows_normalize_quantize(
                    level,
                    x,
                    count,
                    columns,
                    normalization,
                    factors,
                    exact,
                    result
                )
            }
        }
    }

    private func withNormalization(
        _ normalization: NeuralKernels.Normalization,
        of rows: Rows,
        _ body: (UnsafeMutablePointer<Float>, Int, UnsafePointer<preloop_normalization>) -> Void
    ) {
        let columns = rows.matrix.columnCount
        precondition(normalization.scale.count == columns, "one scale a column")
        guard rows.count > 0 else { return }
        let x = unsafe floats(rows.matrix, rows.range.lowerBound)
        unsafe normalization.scale.withUnsafeBufferPointer { scale in
            unsafe normalization.shift.withUnsafeBufferPointer { shift in
                var by = unsafe preloop_normalization(
                    scale: scale.baseAddress,
                    shift: shift.baseAddress,
                    epsilon: normalization.epsilon
                )
                unsafe body(x, columns, &by)
            }
        }
    }

    /// Attention of one sequence, all heads.
    ///
    /// - Parameters:
    ///   - projected: Queries, keys and values side by side, in float32 or bfloat16; the queries
    ///     times log₂ e / √(head size).
    ///   - headCount: Divides the context's columns.
    ///   - context: As many rows of float32 or bfloat16, of a third of the columns.
    ///   - scratch: From ``Layout/addAttentionScratch(rows:headSize:)``.
    package mutating func attend(
        _ projected: Rows,
        headCount: Int,
        into context: Rows,
        scratch: Matrix
    ) {
        let (input, output) = (projected.matrix, context.matrix)
        let width = output.columnCount
        let size = width / headCount
        precondition(width % headCount == 0 && input.columnCount == 3 * width, "three parts")
        precondition(projected.count == context.count, "a row a row")
        precondition(output.format != .int8 && input.format != .int8, "formats of attention")
        let isBFloat16 = input.format == .bfloat16
        precondition(!isBFloat16 || (level.hasBFloat16 && size % 2 == 0), "bfloat16 has its levels")
        guard projected.count > 0 else { return }
        let needed = preloop_attention_scratch(projected.count, size)
        precondition(needed <= 4 * scratch.columnCount, "scratch for so many rows")
        let start = unsafe pointer(input, input.place(of: projected.range.lowerBound))
        let part = width * input.format.elementByteCount
        var attention = unsafe preloop_attention(
            rows: projected.count,
            heads: headCount,
            head_size: size,
            is_bfloat16: isBFloat16 ? 1 : 0,
            query: UnsafeRawPointer(start),
            key: UnsafeRawPointer(start + part),
            value: UnsafeRawPointer(start + 2 * part),
            stride: input.stride,
            context_is_bfloat16: output.format == .bfloat16 ? 1 : 0,
            context: pointer(output, output.place(of: context.range.lowerBound)),
            context_stride: output.stride,
            scratch: pointer(scratch, scratch.place(of: 0))
        )
        unsafe preloop_attention_run(level.rawValue, &attention)
    }

    /// Writes word + position + type into one row of floats.
    package mutating func embed(
        word: Span<Float>,
        position: Span<Float>,
        type: [Float],
        into row: Rows
    ) {
        let columns = row.matrix.columnCount
        precondition(row.count == 1, "one row")
        precondition(
            word.count == columns && position.count == columns && type.count == columns,
            "parts are as wide as the row"
        )
        let start = unsafe floats(row.matrix, row.range.lowerBound)
        for index in 0..<columns {
            unsafe start[index] = word[index] + position[index] + type[index]
        }
    }

    /// Writes one row of floats.
    package mutating func write(_ values: Span<Float>, to row: Rows) {
        let columns = row.matrix.columnCount
        precondition(row.count == 1 && values.count == columns, "one row as wide")
        let start = unsafe floats(row.matrix, row.range.lowerBound)
        for index in 0..<columns { unsafe start[index] = values[index] }
    }

    /// Reduces rows of floats to one.
    ///
    /// - Parameters:
    ///   - rows: At least one.
    ///   - reduction: What to compute.
    ///   - output: As wide as the rows.
    package func reduce(
        _ rows: Rows,
        by reduction: NeuralKernels.Reduction,
        into output: inout [Float]
    ) {
        let columns = rows.matrix.columnCount
        precondition(rows.count > 0 && output.count == columns, "rows as wide as the output")
        let start = unsafe floats(rows.matrix, rows.range.lowerBound)
        unsafe output.withUnsafeMutableBufferPointer { output in
            guard let output = output.baseAddress else { return }
            switch reduction {
            case .mean: unsafe preloop_nn_mean(start, rows.count, columns, output)
            case .maximum: unsafe preloop_nn_maximum(start, rows.count, columns, output)
            }
        }
    }
}
