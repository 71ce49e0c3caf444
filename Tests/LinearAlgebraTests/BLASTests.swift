import Testing

@testable import LinearAlgebra

@Suite struct BLASTests {
    @Test(arguments: [true, false])
    func `products of windows equal plain sums`(isTransposed: Bool) {
        let left = MatrixLayout(rows: 5, columns: 7, stride: 9, offset: 2)
        let right =
            isTransposed
            ? MatrixLayout(rows: 6, columns: 7, stride: 11, offset: 1)
            : MatrixLayout(rows: 7, columns: 6, stride: 11, offset: 1)
        let output = MatrixLayout(rows: 5, columns: 6, stride: 8, offset: 3)
        let a = (0..<64).map { Float($0 % 13) - 6 }
        let b = (0..<128).map { Float($0 % 7) - 3 }
        var c = [Float](repeating: 99, count: 64)
        let product = MatrixProduct(
            left: left,
            right: right,
            output: output,
            isRightTransposed: isTransposed,
            scale: 0.5
        )
        BLAS.multiply(product, left: a, right: b, into: &c)
        var plain = [Float](repeating: 99, count: 64)
        unsafe plain.withUnsafeMutableBufferPointer { output in
            guard let output = output.baseAddress else { return }
            unsafe BLAS.multiplyPlainly(product, a, b, into: output)
        }
        var expected = [Float](repeating: 99, count: 64)
        for row in 0..<5 {
            for column in 0..<6 {
                var sum: Float = 0
                for k in 0..<7 {
                    let x = a[2 + 9 * row + k]
                    sum += x * (isTransposed ? b[1 + 11 * column + k] : b[1 + 11 * k + column])
                }
                expected[3 + 8 * row + column] = sum / 2
            }
        }
        #expect(c == expected)
        #expect(plain == expected, "without a library")
    }

    @Test func `a layout outside its span stops the program`() async {
        await #expect(processExitsWith: .failure) {
            let layout = MatrixLayout(rows: 2, columns: 2)
            var output = [Float](repeating: 0, count: 4)
            BLAS.multiply(
                MatrixProduct(
                    left: layout,
                    right: layout,
                    output: layout,
                    isRightTransposed: false
                ),
                left: [1, 2, 3],
                right: [1, 2, 3, 4],
                into: &output
            )
        }
    }

    @Test func `the implementation is known by name`() {
        switch BLAS.implementation {
        case .openBLAS(let configuration): #expect(configuration.contains("OpenBLAS"))
        case .other: break
        case .absent: Issue.record("no BLAS is installed")
        }
    }
}
