import Foundation
import LinearAlgebra
import Testing

/// Levels of this machine; the others would run as these.
private let levels = KernelLevel.allCases.filter { $0 <= .machine }

private func values(_ count: Int, seed: Int, spread: Float = 1) -> [Float] {
    (0..<count).map { spread * Float(sin(Double(($0 + seed) * ($0 + 7 * seed) % 10_007) * 0.37)) }
}

/// A product in an arena: rows of floats in, rows of floats out.
private struct Layer {
    var rows: Int
    var inputs: Int
    var outputs: Int
    var format: MatrixFormat
    var factors: [Float]
    var exact: [Int] = [0, 0]

    var weights: [Float] { values(outputs * inputs, seed: 3) }
    var bias: [Float] { values(outputs, seed: 5) }
    var x: [Float] { values(rows * inputs, seed: 11, spread: 3) }

    init(_ rows: Int, _ inputs: Int, _ outputs: Int, _ format: MatrixFormat) {
        (self.rows, self.inputs, self.outputs, self.format) = (rows, inputs, outputs, format)
        factors = (0..<inputs).map { 0.5 + Float($0 % 3) }
        exact = [inputs - 1, inputs / 2]
    }

    func run(
        _ level: KernelLevel,
        _ epilogue: EncoderArena.Epilogue,
        start: Float = 0,
        output: MatrixFormat = .float32
    ) -> [Float] {
        let quantization = Quantization(factors: factors, exactColumns: exact, isApplied: false)
        var packer = MatrixPacker(
            format: format,
            inputCount: inputs,
            outputCount: outputs,
            quantization: format == .int8 ? quantization : nil,
            level: level
        )
        // In two parts, which need not be whole panels.
        let first = (outputs + 1) / 2
        for part in [0..<first, first..<outputs] where !part.isEmpty {
            let rows = Array(weights[part.lowerBound * inputs..<part.upperBound * inputs])
            packer.append(rows.span, bias: Array(bias[part]))
        }
        let matrix = packer.finish()
        var layout = EncoderArena.Layout()
        let source = layout.add(rows: rows, columns: inputs)
        let converted = layout.add(rows: rows, columns: inputs, format: format)
        let result = layout.add(rows: rows, columns: outputs, format: output)
        let widened = layout.add(rows: rows, columns: outputs)
        var arena = EncoderArena(level: level)
        arena.reserve(layout)
        arena.fill(source, with: x)
        if output == .float32 {
            arena.fill(result, with: Array(repeating: start, count: rows * outputs))
        }
        var input = EncoderArena.Rows(source)
        switch format {
        case .float32: break
        case .bfloat16:
            input = .init(converted)
            arena.round(.init(source), into: input)
        case .int8:
            input = .init(converted)
            arena.quantize(.init(source), by: quantization, into: input)
        }
        arena.multiply(input, by: matrix, epilogue, into: .init(result))
        #expect(arena.contents(of: source) == x, "the input is as before")
        return output == .float32
            ? arena.contents(of: result) : arena.widen(result, into: widened)
    }

    /// Sums in double, and for each the sum of absolute products.
    var expected: (sums: [Double], sizes: [Double]) {
        var (sums, sizes): ([Double], [Double]) = ([], [])
        let (x, weights, bias) = (x, weights, bias)
        for row in 0..<rows {
            for output in 0..<outputs {
                var (sum, size) = (Double(bias[output]), 0.0)
                for k in 0..<inputs {
                    let product =
                        Double(x[row * inputs + k]) * Double(weights[output * inputs + k])
                    sum += product
                    size += abs(product)
                }
                sums.append(sum)
                sizes.append(size)
            }
        }
        return (sums, sizes)
    }
}

@Suite struct PackedMatrixTests {
    private static let shapes = [
        (1, 1, 1), (2, 3, 31), (12, 33, 32), (13, 64, 33), (25, 384, 70), (50, 130, 96),
        (33, 70, 64), (170, 40, 65),
    ]

    /// Largest errors relative to the sum of absolute products; 8 bits have steps of 1/255 of the
    /// range on one side and 1/254 on the other.
    private static let tolerances: [MatrixFormat: Double] = [
        .float32: 1e-6, .bfloat16: 0.008, .int8: 0.02,
    ]

    @Test(arguments: levels, MatrixFormat.allCases)
    func `products of any shape are those of plain sums`(level: KernelLevel, format: MatrixFormat) {
        guard format != .bfloat16 || level.hasBFloat16 else { return }
        for (rows, inputs, outputs) in Self.shapes {
            let layer = Layer(rows, inputs, outputs, format)
            let found = layer.run(level, .store)
            let (sums, sizes) = layer.expected
            let tolerance = Self.tolerances[format] ?? 0
            let wrong = found.indices.filter { index in
                abs(Double(found[index]) - sums[index]) > tolerance * (sizes[index] + 1)
            }
            #expect(wrong.isEmpty, "\(rows) x \(inputs) x \(outputs)")
        }
    }

    @Test(arguments: levels, MatrixFormat.allCases)
    func `what follows a sum is applied to it`(level: KernelLevel, format: MatrixFormat) {
        guard format != .bfloat16 || level.hasBFloat16 else { return }
        let layer = Layer(13, 40, 45, format)
        let plain = layer.run(level, .store)
        let added = layer.run(level, .add, start: 2)
        let isAdded = zip(added, plain).allSatisfy { abs($0 - $1 - 2) < 1e-5 }
        #expect(isAdded)
        let factors = (0..<PackedMatrix.wholePanels(45)).map { 1 + Float($0 % 2) }
        let functions: [(NeuralKernels.Activation, Bool, Double, (Double) -> Double)] = [
            (.gelu, true, 4e-6, { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
            (.gelu, false, 1.2e-4, { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
            (
                .geluTanh, true, 3e-6,
                { v in
                    0.5 * v * (1 + tanh((2 / Double.pi).squareRoot() * (v + 0.044715 * v * v * v)))
                }
            ),
            (.relu, true, 1e-6, { max(0, $0) }),
        ]
        for (activation, isExact, tolerance, function) in functions {
            let found = layer.run(level, .activate(activation, factors: factors, isExact: isExact))
            let wrong = found.indices.filter { index in
                let expected = function(Double(plain[index])) * Double(factors[index % 45])
                let bound = tolerance * (1 + abs(Double(plain[index])))
                return abs(Double(found[index]) - expected) > bound
            }
            #expect(wrong.isEmpty, "\(activation)")
        }
    }

    @Test(arguments: levels, [MatrixFormat.bfloat16, .int8])
    func `bfloat16 output is the float32 output rounded`(level: KernelLevel, format: MatrixFormat) {
        guard level.hasBFloat16 else { return }
        let layer = Layer(37, 70, 45, format)
        let factors = [Float](repeating: 1.5, count: PackedMatrix.wholePanels(45))
        for epilogue in [
            EncoderArena.Epilogue.store, .activate(.gelu, factors: factors, isExact: false),
        ] {
            let whole = layer.run(level, epilogue)
            let short = layer.run(level, epilogue, output: .bfloat16)
            #expect(short == whole.map(rounded))
        }
    }

    @Test(.enabled(if: KernelLevel.machine >= .amx, "this level or machine has no tile registers"))
    func `tile registers give the integers and the output of vectors`() {
        for (rows, inputs, outputs) in Self.shapes {
            let layer = Layer(rows, inputs, outputs, .int8)
            #expect(layer.run(.amx, .store) == layer.run(.vnni, .store))
        }
    }

    @Test func `a process that may not use tile registers uses vectors`() async {
        // Linux refuses where a thread's signal stack is too small for the registers' state.
        await #expect(processExitsWith: .success) {
            let small = 8192
            var stack = stack_t()
            stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: small, alignment: 64)
            stack.ss_size = small
            guard sigaltstack(&stack, nil) == 0 else { return }
            precondition(KernelLevel.machine <= .vnni, "the kernel has refused")
            let layer = Layer(5, 40, 3, .int8)
            precondition(layer.run(.amx, .store) == layer.run(.vnni, .store), "vectors work")
        }
    }

    @Test func `int8 products differ between levels by rounding only`() {
        let layer = Layer(30, 384, 100, .int8)
        let plain = layer.run(.portable, .store)
        for level in levels {
            let found = layer.run(level, .store)
            let difference = zip(found, plain).map { abs($0 - $1) }.max() ?? 0
            #expect(difference < 2e-4)
        }
    }

    @Test(arguments: levels)
    func `the largest inputs do not cost the others their precision`(level: KernelLevel) {
        var layer = Layer(12, 64, 32, .int8)
        layer.factors = Array(repeating: 1, count: 64)
        // Weights of two inputs are as large as what the others sum up to.
        layer.factors[layer.exact[0]] = 1000
        layer.factors[layer.exact[1]] = 1000
        let (sums, sizes) = layer.expected
        let found = layer.run(level, .store)
        let wrong = found.indices.filter { index in
            abs(Double(found[index]) - sums[index]) > 0.02 * sizes[index]
        }
        #expect(wrong.isEmpty)
    }

    @Test(arguments: levels, [Float.nan, .infinity])
    func `rows and weights that are not finite stay so`(level: KernelLevel, value: Float) {
        let quantization = Quantization(
            factors: [1, 1, 1],
            exactColumns: [0, 0],
            isApplied: false
        )
        var packer = MatrixPacker(
            format: .int8,
            inputCount: 3,
            outputCount: 2,
            quantization: quantization,
            level: level
        )
        let weights = [1, 2, 3, 4, value, 6]
        packer.append(weights.span, bias: [0, 0])
        let matrix = packer.finish()
        var layout = EncoderArena.Layout()
        let source = layout.add(rows: 2, columns: 3)
        let codes = layout.add(rows: 2, columns: 3, format: .int8)
        let result = layout.add(rows: 2, columns: 2)
        var arena = EncoderArena(level: level)
        arena.reserve(layout)
        arena.fill(source, with: [1, 2, 3, 1, 2, value])
        arena.quantize(.init(source), by: quantization, into: .init(codes))
        arena.multiply(.init(codes), by: matrix, .store, into: .init(result))
        let found = arena.contents(of: result)
        #expect(abs(found[0] - 14) < 0.2)
        #expect(found[1...].allSatisfy { !$0.isFinite })
    }

    @Test func `rows outside their matrix stop the program`() async {
        await #expect(processExitsWith: .failure) {
            var layout = EncoderArena.Layout()
            let matrix = layout.add(rows: 4, columns: 4)
            _ = EncoderArena.Rows(matrix, 2..<5)
        }
        await #expect(processExitsWith: .failure) {
            var layout = EncoderArena.Layout()
            let matrix = layout.add(rows: 4, columns: 4)
            var arena = EncoderArena(level: .portable)
            arena.normalize(
                .init(matrix),
                by: .init(scale: [1, 1, 1, 1], shift: [0, 0, 0, 0], epsilon: 1e-12)
            )
        }
    }
}

@Suite struct ArenaKernelTests {
    @Test(arguments: levels, [1, 3, 16, 50, 384])
    func `layer normalisation gives its scale and shift`(level: KernelLevel, columns: Int) {
        let x = values(3 * columns, seed: 1, spread: 5)
        let (scale, shift) = (values(columns, seed: 2), values(columns, seed: 4))
        var layout = EncoderArena.Layout()
        let matrix = layout.add(rows: 3, columns: columns)
        var arena = EncoderArena(level: level)
        arena.reserve(layout)
        arena.fill(matrix, with: x)
        arena.normalize(
            .init(matrix),
            by: .init(scale: scale, shift: shift, epsilon: 1e-5)
        )
        let found = arena.contents(of: matrix)
        for row in 0..<3 {
            let part = x[row * columns..<(row + 1) * columns].map(Double.init)
            let mean = part.reduce(0, +) / Double(columns)
            let variance = part.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
            let wrong = (0..<columns).filter { c in
                let unit = (part[c] - mean) / (variance + 1e-5).squareRoot()
                let expected = unit * Double(scale[c]) + Double(shift[c])
                return abs(Double(found[row * columns + c]) - expected) > 1e-4
            }
            #expect(wrong.isEmpty)
        }
    }

    @Test(arguments: levels, [1, 40, 384])
    func `normalising and converting at once is doing both`(level: KernelLevel, columns: Int) {
        let x = values(35 * columns, seed: 1, spread: 5)
        let normalization = NeuralKernels.Normalization(
            scale: values(columns, seed: 2),
            shift: values(columns, seed: 4),
            epsilon: 1e-5
        )
        let quantization = Quantization(
            factors: (0..<columns).map { 0.5 + Float($0 % 3) },
            exactColumns: [columns - 1, columns / 2],
            isApplied: false
        )
        for format in [MatrixFormat.bfloat16, .int8] {
            guard format == .int8 || level.hasBFloat16 else { continue }
            var layout = EncoderArena.Layout()
            let result = layout.add(rows: 35, columns: columns)
            let matrices = (0..<2).map { _ in
                (
                    layout.add(rows: 35, columns: columns),
                    layout.add(rows: 35, columns: columns, format: format)
                )
            }
            var arena = EncoderArena(level: level)
            arena.reserve(layout)
            for (source, _) in matrices { arena.fill(source, with: x) }
            let factors = format == .int8 ? quantization : nil
            arena.normalize(
                .init(matrices[0].0),
                by: normalization,
                converting: factors,
                into: .init(matrices[0].1)
            )
            arena.normalize(.init(matrices[1].0), by: normalization)
            if let factors {
                arena.quantize(.init(matrices[1].0), by: factors, into: .init(matrices[1].1))
            } else {
                arena.round(.init(matrices[1].0), into: .init(matrices[1].1))
            }
            #expect(arena.contents(of: matrices[0].0) == arena.contents(of: matrices[1].0))
            let converted = matrices.map {
                arena.widen($0.1, quantization: factors, into: result)
            }
            #expect(converted[0] == converted[1])
        }
    }

    @Test(arguments: levels, [(1, 1), (2, 5), (3, 32), (2, 64), (1, 40)])
    func `attention weighs values by the softmax of scores`(
        level: KernelLevel,
        heads: (count: Int, size: Int)
    ) {
        let width = heads.count * heads.size
        for format in [MatrixFormat.float32, .bfloat16] {
            guard format == .float32 || (level.hasBFloat16 && heads.size % 2 == 0) else { continue }
            for rows in [1, 2, 13, 31, 50, 65] {
                // Between other sequences, whose rows must not count.
                let x = values((rows + 4) * 3 * width, seed: 9)
                let found = Self.attend(x, rows: rows, width, heads.count, format, level)
                if format == .bfloat16 {
                    let short = Self.attend(
                        x,
                        rows: rows,
                        width,
                        heads.count,
                        format,
                        level,
                        output: .bfloat16
                    )
                    #expect(short == found.map(rounded), "\(rows) rows")
                }
                let expected = Self.plain(x, rows: rows, heads: heads)
                let tolerance = format == .float32 ? 1e-5 : 0.03
                let error = zip(found, expected).map { abs(Double($0) - $1) }.max() ?? 1
                #expect(error < tolerance, "\(format), \(rows) rows")
            }
        }
    }

    private static func attend(
        _ x: [Float],
        rows: Int,
        _ width: Int,
        _ heads: Int,
        _ format: MatrixFormat,
        _ level: KernelLevel,
        output: MatrixFormat = .float32
    ) -> [Float] {
        var layout = EncoderArena.Layout()
        let all = layout.add(rows: rows + 4, columns: 3 * width)
        let rounded = layout.add(rows: rows + 4, columns: 3 * width, format: .bfloat16)
        let context = layout.add(rows: rows, columns: width, format: output)
        let widened = layout.add(rows: rows, columns: width)
        let scratch = layout.addAttentionScratch(rows: rows, headSize: width / heads)
        var arena = EncoderArena(level: level)
        arena.reserve(layout)
        arena.fill(all, with: x)
        arena.round(.init(all), into: .init(rounded))
        arena.attend(
            .init(format == .float32 ? all : rounded, 2..<rows + 2),
            headCount: heads,
            into: .init(context),
            scratch: scratch
        )
        return output == .float32
            ? arena.contents(of: context) : arena.widen(context, into: widened)
    }

    /// Queries come with log₂ e in them, so weights are powers of two.
    private static func plain(
        _ x: [Float],
        rows: Int,
        heads: (count: Int, size: Int)
    ) -> [Double] {
        let width = heads.count * heads.size
        func value(_ row: Int, _ part: Int, _ column: Int) -> Double {
            Double(x[(row + 2) * 3 * width + part * width + column])
        }
        return (0..<rows).flatMap { row in
            (0..<heads.count).flatMap { head in
                let columns = head * heads.size..<(head + 1) * heads.size
                let scores = (0..<rows).map { key in
                    columns.reduce(0) { $0 + value(row, 0, $1) * value(key, 1, $1) }
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp2($0 - largest) }
                let sum = weights.reduce(0, +)
                return columns.map { column in
                    (0..<rows).reduce(0) { $0 + weights[$1] / sum * value($1, 2, column) }
                }
            }
        }
    }
}

/// To bfloat16 and back, ties to even.
private func rounded(_ value: Float) -> Float {
    let bits = value.bitPattern
    return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}

extension EncoderArena {
    /// Rows of another format than float32 in `result`, by a product with the identity: numbers of
    /// bfloat16 stay as they are, if what is behind their last column is zero.
    fileprivate mutating func widen(
        _ matrix: Matrix,
        quantization: Quantization? = nil,
        into result: Matrix
    ) -> [Float] {
        let columns = matrix.columnCount
        var packer = MatrixPacker(
            format: matrix.format,
            inputCount: columns,
            outputCount: columns,
            quantization: quantization,
            level: level
        )
        var identity = [Float](repeating: 0, count: columns * columns)
        for column in 0..<columns { identity[column * (columns + 1)] = 1 }
        packer.append(identity.span, bias: Array(repeating: 0, count: columns))
        multiply(.init(matrix), by: packer.finish(), .store, into: .init(result))
        return contents(of: result)
    }

    fileprivate mutating func fill(_ matrix: Matrix, with values: [Float]) {
        for row in 0..<matrix.rowCount {
            let first = row * matrix.columnCount
            let part = Array(values[first..<first + matrix.columnCount])
            write(part.span, to: .init(matrix, row..<row + 1))
        }
    }

    fileprivate func contents(of matrix: Matrix) -> [Float] {
        var row = [Float](repeating: 0, count: matrix.columnCount)
        return (0..<matrix.rowCount).flatMap { index in
            reduce(.init(matrix, index..<index + 1), by: .mean, into: &row)
            return row
        }
    }
}
