import CBLAS
import Glibc

/// The system's BLAS: what it is, how many threads it uses, and its matrix product.
package enum BLAS {
    /// Which library answers to the name libblas.
    package enum Implementation: Sendable, Equatable {
        /// OpenBLAS with its build description (version, kernels, threading).
        case openBLAS(configuration: String)
        /// Something else: the reference BLAS as a rule, which is forty times slower.
        case other
    }

    /// The library in use, found by a symbol only OpenBLAS has.
    package static var implementation: Implementation {
        guard let symbol = unsafe dlsym(nil, "openblas_get_config") else { return .other }
        typealias Function = @convention(c) () -> UnsafePointer<CChar>?
        guard let text = unsafe unsafeBitCast(symbol, to: Function.self)() else { return .other }
        return .openBLAS(configuration: unsafe String(cString: text))
    }

    /// Makes every product run on the thread that asks for it; does nothing on other libraries.
    ///
    /// Callers parallelise over independent products instead: OpenBLAS takes one lock for a
    /// threaded product, so two callers would wait for each other.
    package static func useOneThread() {
        guard let symbol = unsafe dlsym(nil, "openblas_set_num_threads") else { return }
        typealias Function = @convention(c) (CInt) -> Void
        unsafe unsafeBitCast(symbol, to: Function.self)(1)
    }

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
                    unsafe cblas_sgemm(
                        CblasRowMajor,
                        CblasNoTrans,
                        product.isRightTransposed ? CblasTrans : CblasNoTrans,
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

    /// A length as BLAS takes it; one that does not fit is a programmer's error.
    private static func int(_ value: Int) -> Int32 {
        guard let value = Int32(exactly: value) else {
            preconditionFailure("a matrix side above 2^31 does not fit BLAS")
        }
        return value
    }
}
