import CKernels

/// Sixteen-bit floating-point formats in which models store weights.
package enum HalfPrecision: Sendable, Equatable {
    /// IEEE 754 binary16.
    case binary16
    /// The upper half of a binary32.
    case bfloat16

    /// Widens little-endian values of two bytes each; exact.
    ///
    /// - Parameter bytes: An even number of bytes.
    /// - Returns: One float for two bytes.
    package func widen(_ bytes: RawSpan) -> [Float] {
        precondition(bytes.byteCount % 2 == 0, "two bytes a value")
        let count = bytes.byteCount / 2
        guard count > 0 else { return [] }
        return unsafe [Float](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            unsafe bytes.withUnsafeBytes { bytes in
                guard let output = buffer.baseAddress, let input = bytes.baseAddress else { return }
                let source = unsafe input.assumingMemoryBound(to: UInt8.self)
                switch self {
                case .binary16: unsafe preloop_nn_widen_f16(source, count, output)
                case .bfloat16: unsafe preloop_nn_widen_bf16(source, count, output)
                }
            }
            initializedCount = count
        }
    }
}
