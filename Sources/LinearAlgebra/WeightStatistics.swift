import CKernels

/// Sums over weights that say how large their inputs and outputs are.
package enum WeightStatistics {
    /// Adds the squares of each input's weights.
    ///
    /// - Parameters:
    ///   - weights: Shape `(outputs, squares.count)`.
    ///   - squares: One value an input.
    ///   - level: The instructions to use.
    package static func addColumnSquares(
        of weights: Span<Float>,
        to squares: inout [Float],
        level: KernelLevel
    ) {
        let inputs = squares.count
        precondition(inputs > 0 && weights.count % inputs == 0, "whole rows")
        unsafe weights.withUnsafeBufferPointer { weights in
            unsafe squares.withUnsafeMutableBufferPointer { squares in
                unsafe preloop_gemm_column_squares(
                    level.rawValue,
                    weights.baseAddress,
                    weights.count / inputs,
                    inputs,
                    squares.baseAddress
                )
            }
        }
    }

    /// The means and variances of a dense layer's outputs, without bias, for independent inputs.
    ///
    /// - Parameters:
    ///   - weights: Shape `(outputs, mean.count)`.
    ///   - mean: One value an input.
    ///   - variance: One value an input.
    ///   - level: The instructions to use.
    /// - Returns: One mean and one variance an output.
    package static func outputMoments(
        of weights: Span<Float>,
        mean: [Float],
        variance: [Float],
        level: KernelLevel
    ) -> (mean: [Float], variance: [Float]) {
        let inputs = mean.count
        precondition(inputs > 0 && weights.count % inputs == 0, "whole rows")
        precondition(variance.count == inputs, "a variance an input")
        let outputs = weights.count / inputs
        var means = [Float](repeating: 0, count: outputs)
        var variances = means
        unsafe weights.withUnsafeBufferPointer { weights in
            unsafe means.withUnsafeMutableBufferPointer { means in
                unsafe variances.withUnsafeMutableBufferPointer { variances in
                    unsafe preloop_gemm_moments(
                        level.rawValue,
                        weights.baseAddress,
                        outputs,
                        inputs,
                        mean,
                        variance,
                        means.baseAddress,
                        variances.baseAddress
                    )
                }
            }
        }
        return (means, variances)
    }
}
