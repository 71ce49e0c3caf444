private import CKernels

/// Inner products over float32 by the best kernel of this machine (AVX-512, AVX2 or portable).
///
/// The batch functions take pointers because their callers are inner loops over mapped memory:
/// they are marked `@unsafe`, and the caller proves the bounds.
package enum DistanceKernels {
    /// Instruction sets there are kernels for; larger ones are faster.
    package enum Level: Int32, CaseIterable, Sendable {
        case portable = 0
        case avx2 = 1
        case avx512 = 2
    }

    /// The instruction set in use, read from the processor when the program was loaded.
    package static var level: Level {
        Level(rawValue: preloop_distance_level()) ?? .portable
    }

    /// Inner product of two vectors of equal length.
    ///
    /// - Parameters:
    ///   - a: First vector, any length.
    ///   - b: Second vector, as long as `a` (anything else is a programmer's error and traps).
    ///   - level: Kernel to use, for tests; a level this machine lacks means its best one.
    /// - Returns: The sum of the products; 0 for empty vectors.
    package static func dot(_ a: Span<Float>, _ b: Span<Float>, level: Level = .avx512) -> Float {
        precondition(a.count == b.count, "inner product of vectors of different lengths")
        return unsafe a.withUnsafeBufferPointer { first in
            unsafe b.withUnsafeBufferPointer { second in
                guard let first = first.baseAddress, let second = second.baseAddress else {
                    return 0
                }
                return unsafe preloop_dot_f32_at(level.rawValue, first, second, a.count)
            }
        }
    }

    /// Inner product of two vectors of `count` floats in memory the caller vouches for.
    @unsafe package static func dot(
        _ a: UnsafePointer<Float>,
        _ b: UnsafePointer<Float>,
        count: Int
    ) -> Float {
        unsafe preloop_dot_f32(a, b, count)
    }

    /// Inner products of a query with gathered rows of a matrix, rows prefetched two ahead.
    ///
    /// - Parameters:
    ///   - query: `(stride)` floats.
    ///   - rows: Matrix of `(any, stride)` floats.
    ///   - stride: Floats per row; all of them enter the product.
    ///   - ids: `(count)` row numbers, each inside the matrix.
    ///   - count: Rows to score.
    ///   - scores: Receives `(count)` inner products.
    @unsafe package static func dotGathered(
        query: UnsafePointer<Float>,
        rows: UnsafePointer<Float>,
        stride: Int,
        ids: UnsafePointer<UInt32>,
        count: Int,
        into scores: UnsafeMutablePointer<Float>
    ) {
        unsafe preloop_dot_gathered_f32(query, rows, stride, stride, ids, count, scores)
    }

    /// Inner products of a query with `count` consecutive rows of `stride` floats.
    @unsafe package static func dotRows(
        query: UnsafePointer<Float>,
        rows: UnsafePointer<Float>,
        stride: Int,
        count: Int,
        into scores: UnsafeMutablePointer<Float>
    ) {
        unsafe preloop_dot_rows_f32(query, rows, stride, stride, count, scores)
    }
}
