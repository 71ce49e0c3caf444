import Glibc

/// The system's BLAS: what it is, and its matrix product.
///
/// The library is opened by the first product. Programs that need none, such as a scan in which
/// nothing has changed, pay neither for its 35 MB nor for the threads that OpenBLAS starts as it
/// is opened, which spin for 25 ms each before they sleep.
package enum BLAS {
    /// Which library answers to the name libblas.
    package enum Implementation: Sendable, Equatable {
        /// OpenBLAS with its build description (version, kernels, threading).
        case openBLAS(configuration: String)
        /// Something else: the reference BLAS as a rule, which is forty times slower.
        case other
        /// There is none; products are computed by the plainest of loops.
        case absent
    }

    /// The library in use, found by a symbol only OpenBLAS has.
    package static var implementation: Implementation {
        guard let library else { return .absent }
        guard let text = library.text(of: "openblas_get_config") else { return .other }
        let kernels = library.text(of: "openblas_get_corename") ?? "unknown"
        return .openBLAS(configuration: "\(text), kernels \(kernels)")
    }

    /// Tells OpenBLAS how to open: without threads, and with the kernels of this processor.
    ///
    /// A version older than the processor does not know it and would take the kernels of 2006: 28
    /// GFLOP/s where it has 115 (OpenBLAS 0.3.21 on an Intel of 2023). The named ones need nothing
    /// but the instructions that were looked for, and are those newer versions choose. What the
    /// user has set stays. Other libraries do not read these variables.
    ///
    /// Writes into the environment, so it is called before the program has threads that read it.
    package static func prepare() {
        _ = unsafe setenv("OPENBLAS_NUM_THREADS", "1", 1)
        switch KernelLevel.machine {
        case .avx512, .vnni, .amx: _ = unsafe setenv("OPENBLAS_CORETYPE", "SkylakeX", 0)
        case .avx2: _ = unsafe setenv("OPENBLAS_CORETYPE", "Haswell", 0)
        case .portable: break
        }
    }

    /// The values of the enumerations in cblas.h.
    private enum Layout {
        static let rowMajor: CInt = 101
        static let plain: CInt = 111
        static let transposed: CInt = 112
    }

    /// Opened by the first use, once.
    private static let library = BLASLibrary.open()

    // MARK: - Products

    /// Computes `product`; what the output held is overwritten.
    ///
    /// - Parameters:
    ///   - product: Layouts that lie within the spans, and whose sides agree.
    ///   - left: Holds the left matrix.
    ///   - right: Holds the right matrix.
    ///   - output: Receives the product; elements outside its layout stay as they are.
    /// - Complexity: 2 · rows · columns · depth operations.
    package static func multiply(
        _ product: MatrixProduct,
        left: Span<Float>,
        right: Span<Float>,
        into output: inout MutableSpan<Float>
    ) {
        let (a, b, c) = (product.left, product.right, product.output)
        a.check(count: left.count)
        b.check(count: right.count)
        c.check(count: output.count)
        precondition(a.rows == c.rows, "left has as many rows as the output")
        precondition((product.isRightTransposed ? b.columns : b.rows) == a.columns, "depths agree")
        precondition((product.isRightTransposed ? b.rows : b.columns) == c.columns, "columns agree")
        guard c.rows > 0, c.columns > 0, a.columns > 0 else { return }
        unsafe left.withUnsafeBufferPointer { left in
            unsafe right.withUnsafeBufferPointer { right in
                unsafe output.withUnsafeMutableBufferPointer { output in
                    guard let left = left.baseAddress, let right = right.baseAddress,
                        let output = output.baseAddress
                    else { return }
                    guard let library else {
                        unsafe multiplyPlainly(product, left, right, into: output)
                        return
                    }
                    unsafe library.sgemm(
                        Layout.rowMajor,
                        Layout.plain,
                        product.isRightTransposed ? Layout.transposed : Layout.plain,
                        int(c.rows),
                        int(c.columns),
                        int(a.columns),
                        product.scale,
                        left + a.offset,
                        int(a.stride),
                        right + b.offset,
                        int(b.stride),
                        0,
                        output + c.offset,
                        int(c.stride)
                    )
                }
            }
        }
    }

    /// As ``multiply(_:left:right:into:)-(_,Span<Float>,_,_)``, between arrays.
    package static func multiply(
        _ product: MatrixProduct,
        left: [Float],
        right: [Float],
        into output: inout [Float]
    ) {
        var output = output.mutableSpan
        multiply(product, left: left.span, right: right.span, into: &output)
    }

    /// The product by three loops, where there is no library: slow and right.
    static func multiplyPlainly(
        _ product: MatrixProduct,
        _ left: UnsafePointer<Float>,
        _ right: UnsafePointer<Float>,
        into output: UnsafeMutablePointer<Float>
    ) {
        let (a, b, c) = (product.left, product.right, product.output)
        for row in 0..<c.rows {
            for column in 0..<c.columns {
                var sum: Float = 0
                for place in 0..<a.columns {
                    let (line, offset) =
                        product.isRightTransposed ? (column, place) : (place, column)
                    let factor = unsafe right[b.offset + line * b.stride + offset]
                    sum += unsafe left[a.offset + row * a.stride + place] * factor
                }
                unsafe output[c.offset + row * c.stride + column] = product.scale * sum
            }
        }
    }

    /// A length as BLAS takes it; one that does not fit is a programmer's error.
    private static func int(_ value: Int) -> Int32 {
        guard let value = Int32(exactly: value) else {
            preconditionFailure("a matrix side above 2^31 does not fit BLAS")
        }
        return value
    }
}
