import CKernels

/// What the numbers of a matrix are made of.
package enum MatrixFormat: Int32, Sendable, CaseIterable {
    case float32 = 0
    /// Products need ``KernelLevel/vnni`` or more.
    case bfloat16 = 1
    /// Unsigned activations with a scale and a least value a row, signed weights with a scale an
    /// output.
    case int8 = 2

    /// Bytes of one number.
    package var elementByteCount: Int {
        switch self {
        case .float32: 4
        case .bfloat16: 2
        case .int8: 1
        }
    }

    /// Distance of rows of so many numbers.
    ///
    /// Rows that a product reads in whole lines of 64 bytes are padded to an odd number of them:
    /// sixteen rows below each other then lie in sixteen sets of the first cache, which made
    /// products with 1,536 inputs 15 % faster.
    func stride(of columns: Int) -> Int {
        guard self != .float32 else { return columns }
        let line = PRELOOP_GEMM_LINE / elementByteCount
        return ((columns + line - 1) / line | 1) * line
    }
}

/// The weights and bias of a dense layer in the order a product reads them.
package final class PackedMatrix: Sendable {
    package let format: MatrixFormat
    package let inputCount: Int
    package let outputCount: Int
    let weights: AlignedMemory
    /// Whole panels each: scales, scaled sums of weights, the exact inputs' weights one after the
    /// other (all int8 only), biases.
    let scales: [Float]
    let sums: [Float]
    let exactWeights: [Float]
    let biases: [Float]

    fileprivate init(_ packer: MatrixPacker) {
        precondition(packer.filled == packer.outputCount, "all outputs are packed")
        format = packer.format
        inputCount = packer.inputCount
        outputCount = packer.outputCount
        weights = packer.weights
        scales = packer.scales
        sums = packer.sums
        exactWeights = packer.exactWeights
        biases = packer.biases
    }

    typealias Place = UnsafePointer<Float>?

    /// Lends scales, sums, exact weights and biases.
    func withVectors(_ body: (Place, Place, Place, Place) -> Void) {
        unsafe scales.withUnsafeBufferPointer { scales in
            unsafe sums.withUnsafeBufferPointer { sums in
                unsafe exactWeights.withUnsafeBufferPointer { exact in
                    unsafe biases.withUnsafeBufferPointer { biases in
                        unsafe body(
                            scales.baseAddress,
                            sums.baseAddress,
                            exact.baseAddress,
                            biases.baseAddress
                        )
                    }
                }
            }
        }
    }

    /// Bytes of weights.
    package var byteCount: Int { weights.byteCount }

    /// `count` rounded up to whole panels.
    package static func wholePanels(_ count: Int) -> Int {
        let width = PRELOOP_GEMM_COLUMNS
        return (count + width - 1) / width * width
    }
}

/// Packs one or more matrices of equal inputs, one behind the other, into a ``PackedMatrix``.
package struct MatrixPacker {
    let format: MatrixFormat
    let inputCount: Int
    let outputCount: Int
    let weights: AlignedMemory
    private let level: KernelLevel
    fileprivate var scales: [Float]
    fileprivate var sums: [Float]
    fileprivate var exactWeights: [Float]
    fileprivate var biases: [Float]
    fileprivate var filled = 0
    private var scratch: [Float]
    private let exactInputs: [Int]
    /// What the weights of each input are multiplied by.
    private let inputFactors: [Float]?

    /// Makes room.
    ///
    /// - Parameters:
    ///   - format: Of the packed weights.
    ///   - inputCount: Columns of each matrix, at least 1.
    ///   - outputCount: Rows of all matrices, at least 1.
    ///   - quantization: Of the inputs; nil unless the format is int8. The weights of each input
    ///     are divided by its factor.
    ///   - level: The instructions to pack with.
    package init(
        format: MatrixFormat,
        inputCount: Int,
        outputCount: Int,
        quantization: Quantization?,
        level: KernelLevel
    ) {
        precondition(inputCount > 0 && outputCount > 0, "a layer has inputs and outputs")
        precondition((format == .int8) == (quantization != nil), "int8 inputs are quantised")
        precondition(inputCount <= 1 << 16, "the sums of int8 products fit 32 bits")
        self.format = format
        self.inputCount = inputCount
        self.outputCount = outputCount
        self.level = level
        weights = AlignedMemory(
            byteCount: preloop_gemm_packed_size(format.rawValue, outputCount, inputCount)
        )
        let panels = PackedMatrix.wholePanels(outputCount)
        scales = Array(repeating: 0, count: panels)
        sums = scales
        biases = scales
        exactInputs = quantization?.exactColumns ?? []
        exactWeights = Array(repeating: 0, count: exactInputs.count * panels)
        precondition(exactInputs.allSatisfy { $0 < inputCount }, "exact inputs are inputs")
        inputFactors = quantization?.factors.map { 1 / $0 }
        precondition(inputFactors.map { $0.count == inputCount } ?? true, "a factor an input")
        scratch = Array(repeating: 0, count: inputCount)
    }

    /// Packs the next outputs.
    ///
    /// - Parameters:
    ///   - matrix: Shape `(bias.count, inputCount)`.
    ///   - bias: One value an output.
    ///   - outputFactors: What each output is multiplied by, its bias too; nil for 1.
    package mutating func append(
        _ matrix: Span<Float>,
        bias: [Float],
        outputFactors: [Float]? = nil
    ) {
        let count = bias.count
        precondition(matrix.count == count * inputCount, "a row an output")
        precondition(outputFactors.map { $0.count == count } ?? true, "a factor an output")
        precondition(filled + count <= outputCount, "not more outputs than there is room for")
        for output in 0..<count {
            biases[filled + output] = bias[output] * (outputFactors?[output] ?? 1)
        }
        let (first, level) = (filled, level.rawValue)
        unsafe Self.withPointers(&scales, &sums, &exactWeights, &scratch) { places in
            unsafe exactInputs.withUnsafeBufferPointer { exact in
                var packing = unsafe preloop_gemm_packing(
                    format: format.rawValue,
                    inputs: inputCount,
                    packed: weights.pointer(),
                    weight_scale: places.0,
                    weight_sum: places.1,
                    exact_weights: places.2,
                    exact: exact.baseAddress,
                    outputs: outputCount,
                    scratch: places.3
                )
                unsafe withOptionalPointer(to: outputFactors) { outputFactors in
                    unsafe withOptionalPointer(to: inputFactors) { inputFactors in
                        unsafe matrix.withUnsafeBufferPointer { matrix in
                            unsafe preloop_gemm_pack(
                                level,
                                &packing,
                                matrix.baseAddress,
                                first,
                                count,
                                outputFactors,
                                inputFactors
                            )
                        }
                    }
                }
            }
        }
        filled += count
    }

    /// The packed matrix; every output has been appended.
    package func finish() -> PackedMatrix {
        PackedMatrix(self)
    }

    private typealias Place = UnsafeMutablePointer<Float>?

    private static func withPointers(
        _ first: inout [Float],
        _ second: inout [Float],
        _ third: inout [Float],
        _ fourth: inout [Float],
        _ body: ((Place, Place, Place, Place)) -> Void
    ) {
        unsafe first.withUnsafeMutableBufferPointer { first in
            unsafe second.withUnsafeMutableBufferPointer { second in
                unsafe third.withUnsafeMutableBufferPointer { third in
                    unsafe fourth.withUnsafeMutableBufferPointer { fourth in
                        unsafe body(
                            (
                                first.baseAddress, second.baseAddress, third.baseAddress,
                                fourth.baseAddress
                            )
                        )
                    }
                }
            }
        }
    }
}

/// How rows of floats become int8.
package struct Quantization: Sendable, Equatable {
    /// What each column is multiplied by before; nil when whoever made the rows has done so.
    package let factorsInConversion: [Float]?
    /// What each column is multiplied by, here or before.
    package let factors: [Float]
    /// The columns that stay floats, as many as ``exactCount``.
    package let exactColumns: [Int]

    /// Columns of a row that stay floats.
    package static var exactCount: Int { PRELOOP_GEMM_EXACT }

    /// Makes the description of a conversion.
    ///
    /// - Parameters:
    ///   - factors: Greater than 0, one a column.
    ///   - exactColumns: As many as ``exactCount``; one that is there twice counts once.
    ///   - isApplied: Whether the rows come multiplied by the factors.
    package init(factors: [Float], exactColumns: [Int], isApplied: Bool) {
        precondition(exactColumns.count == Self.exactCount, "a fixed number of exact columns")
        precondition(exactColumns.allSatisfy(factors.indices.contains), "exact columns exist")
        self.factors = factors
        self.exactColumns = exactColumns
        factorsInConversion = isApplied ? nil : factors
    }
}

/// Lends the values, or nil.
func withOptionalPointer(
    to values: [Float]?,
    _ body: (UnsafePointer<Float>?) -> Void
) {
    guard let values else {
        body(nil)
        return
    }
    unsafe values.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
}
