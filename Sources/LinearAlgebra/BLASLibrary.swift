import Glibc

/// A BLAS opened at run time.
@safe struct BLASLibrary: Sendable {
    /// `cblas_sgemm` as every implementation offers it: order, transpositions, sides, and three
    /// matrices with their strides.
    typealias SGEMM =
        @convention(c) (
            CInt, CInt, CInt, CInt, CInt, CInt, Float, UnsafePointer<Float>, CInt,
            UnsafePointer<Float>, CInt, Float, UnsafeMutablePointer<Float>, CInt
        ) -> Void

    /// Debian's alternative for any BLAS first, then OpenBLAS by its own name.
    private static let names = ["libblas.so.3", "libopenblas.so.0"]

    /// `dlopen`'s handle as a number, which may cross threads as `dlsym` may.
    private let handle: UInt
    /// The product itself.
    let sgemm: SGEMM

    /// The library to use, with one thread.
    ///
    /// Callers parallelise over independent products instead, and OpenBLAS takes one lock for a
    /// threaded product, so two callers would wait for each other.
    ///
    /// - Returns: nil when there is none that computes what it should.
    static func open() -> BLASLibrary? {
        for name in names {
            guard let library = BLASLibrary(named: name), library.isRight else { continue }
            if let symbol = unsafe library.symbol("openblas_set_num_threads") {
                typealias Function = @convention(c) (CInt) -> Void
                unsafe unsafeBitCast(symbol, to: Function.self)(1)
            }
            return library
        }
        return nil
    }

    /// Opens the library unless it is not there or lacks the C interface.
    private init?(named name: String) {
        guard let opened = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL) else { return nil }
        guard let symbol = unsafe dlsym(opened, "cblas_sgemm") else {
            unsafe dlclose(opened)
            return nil
        }
        handle = UInt(bitPattern: opened)
        unsafe sgemm = unsafe unsafeBitCast(symbol, to: SGEMM.self)
    }

    /// The text a function without arguments gives; nil when the library lacks it.
    func text(of function: String) -> String? {
        guard let symbol = unsafe symbol(function) else { return nil }
        typealias Function = @convention(c) () -> UnsafePointer<CChar>?
        guard let text = unsafe unsafeBitCast(symbol, to: Function.self)() else { return nil }
        return unsafe String(cString: text)
    }

    func symbol(_ name: String) -> UnsafeMutableRawPointer? {
        unsafe dlsym(UnsafeMutableRawPointer(bitPattern: handle), name)
    }

    /// Whether a product of small whole numbers, which floats hold exactly, is what it should be.
    ///
    /// Its sides are odd, so that the kernels' edges are used too. Builds older than their
    /// processor have been seen to compute nonsense.
    private var isRight: Bool {
        let (rows, columns, depth) = (37, 51, 67)
        let a = (0..<rows * depth).map { Float($0 % 11) - 5 }
        let b = (0..<depth * columns).map { Float($0 % 7) - 3 }
        var c = [Float](repeating: 0, count: rows * columns)
        let (m, n, k) = (CInt(rows), CInt(columns), CInt(depth))
        unsafe sgemm(101, 111, 111, m, n, k, 1, a, k, b, n, 0, &c, n)
        for row in 0..<rows {
            for column in 0..<columns {
                var sum: Float = 0
                for place in 0..<depth {
                    sum += a[row * depth + place] * b[place * columns + column]
                }
                guard c[row * columns + column] == sum else { return false }
            }
        }
        return true
    }
}
