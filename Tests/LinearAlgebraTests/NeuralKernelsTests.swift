import Foundation
import LinearAlgebra
import Testing

@Suite struct NeuralKernelsTests {
    private static func values(_ count: Int, spread: Float = 4) -> [Float] {
        (0..<count).map { spread * Float(sin(Double($0 * $0 % 1009) * 0.37)) }
    }

    @Test(arguments: [1, 5, 16, 33, 384])
    func `activations agree with the math library`(columns: Int) {
        let bias = Self.values(columns, spread: 0.5)
        let x = Self.values(3 * columns, spread: 9)
        let functions: [(NeuralKernels.Activation, (Double) -> Double)] = [
            (.gelu, { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
            (
                .geluTanh,
                { v in
                    0.5 * v * (1 + tanh((2 / Double.pi).squareRoot() * (v + 0.044715 * v * v * v)))
                }
            ),
            (.relu, { max(0, $0) }),
        ]
        for (activation, function) in functions {
            var y = x
            NeuralKernels.apply(activation, bias: bias, to: &y, rows: 3)
            for index in y.indices {
                let expected = function(Double(x[index] + bias[index % columns]))
                #expect(abs(Double(y[index]) - expected) < 1.5e-6)
            }
        }
    }

    @Test(arguments: [1, 7, 16, 18, 128, 255])
    func `softmax sums to one, agrees with the math library and clears the padding`(columns: Int) {
        let stride = NeuralKernels.softmaxStride(columns: columns)
        let x = Self.values(2 * stride, spread: 30)
        var y = x
        NeuralKernels.softmax(&y, rows: 2, columns: columns)
        for row in 0..<2 {
            let exponents = (0..<columns).map { Double(x[row * stride + $0]) }
            let largest = exponents.max() ?? 0
            let sum = exponents.reduce(0) { $0 + exp($1 - largest) }
            for column in 0..<columns {
                let expected = exp(exponents[column] - largest) / sum
                #expect(abs(Double(y[row * stride + column]) - expected) < 1e-6)
            }
            #expect(y[row * stride + columns..<(row + 1) * stride].allSatisfy { $0 == 0 })
        }
    }

    @Test(arguments: [3, 16, 50, 384])
    func `layer normalisation adds bias and residual first`(columns: Int) {
        let (bias, shift) = (Self.values(columns), Self.values(columns, spread: 0.2))
        let scale = Self.values(columns).map { $0 + 5 }
        let start = Self.values(2 * columns)
        var (x, residual) = (start.map { $0 * 0.7 }, start)
        let normalization = NeuralKernels.Normalization(scale: scale, shift: shift, epsilon: 1e-12)
        NeuralKernels.addAndNormalize(
            &x,
            bias: bias,
            residual: &residual,
            by: normalization,
            rows: 2
        )
        for row in 0..<2 {
            let sums = (0..<columns).map { c in
                Double(start[row * columns + c]) * 1.7 + Double(bias[c])
            }
            let mean = sums.reduce(0, +) / Double(columns)
            let variance = sums.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
            for c in 0..<columns {
                let unit = (sums[c] - mean) / (variance + 1e-12).squareRoot()
                let expected = unit * Double(scale[c]) + Double(shift[c])
                #expect(abs(Double(residual[row * columns + c]) - expected) < 1e-4)
            }
        }
    }

    @Test func `every half-precision number widens to its value`() {
        let bytes = (0...UInt16.max).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
        let wide = HalfPrecision.binary16.widen(bytes.span.bytes)
        let upper = HalfPrecision.bfloat16.widen(bytes.span.bytes)
        for pattern in 0...UInt16.max {
            let expected = Self.value(ofHalf: pattern)
            let found = wide[Int(pattern)]
            #expect(found.bitPattern == expected.bitPattern || (found.isNaN && expected.isNaN))
            #expect(upper[Int(pattern)].bitPattern == UInt32(pattern) << 16)
        }
    }

    private static func value(ofHalf pattern: UInt16) -> Float {
        let sign: Float = pattern & 0x8000 == 0 ? 1 : -1
        let (exponent, fraction) = (Int(pattern >> 10 & 31), Float(pattern & 0x3FF))
        switch exponent {
        case 0: return sign * fraction * Float(sign: .plus, exponent: -24, significand: 1)
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default:
            return sign
                * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
        }
    }

    @Test func `reductions and the unit norm`() {
        var row: [Float] = [0, 0]
        NeuralKernels.reduce([9, 9, 1, 4, 3, -2], firstRow: 1, rows: 2, by: .mean, into: &row)
        #expect(row == [2, 1])
        NeuralKernels.reduce([9, 9, 1, 4, 3, -2], firstRow: 1, rows: 2, by: .maximum, into: &row)
        #expect(row == [3, 4])
        NeuralKernels.normalize(&row)
        #expect(abs(row[0] - 0.6) < 1e-7 && abs(row[1] - 0.8) < 1e-7)
        row = [0, 0]
        NeuralKernels.normalize(&row)
        #expect(row == [0, 0])
    }
}
