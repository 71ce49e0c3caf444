import Glibc
import LinearAlgebra

/// How the inputs of a block's products become int8.
///
/// Inputs are multiplied by factors and weights divided by them, so products stay as they are, but
/// the error changes: a channel with large values and small weights loses range to one with small
/// values and large weights (SmoothQuant, Xiao et al. 2022, equation 4 with α = 0.5). A factor is
/// √(norm of the input's weights / largest activation). The two inputs that would still take the
/// most range stay float32 (LLM.int8, Dettmers et al. 2022, keeps such outliers too).
///
/// Largest activations are seen on a few texts, or said by the weights where those are larger: a
/// layer normalisation gives values round its shift with its scale as deviation, and a dense layer
/// passes moments on. Texts alone miss channels that few texts use; weights alone miss outliers.
struct Smoothing: Sendable {
    let projection: Quantization
    /// The factors are folded into the values' weights: the context is a mean of values.
    let context: Quantization
    let intermediate: Quantization
    /// The factors are applied with the activation.
    let output: Quantization

    /// How many standard deviations from its mean an activation goes.
    private static let reach: Float = 3
    /// The share of that which counts as seen.
    ///
    /// Of 0, 0.3 and 0.6 the last gave the best vectors (DESIGN.md).
    private static let share: Float = 0.6
    /// GELU is not below minus this.
    private static let leastActivation: Float = 0.17

    init(
        _ layer: EncoderWeights.Layer,
        input: NeuralKernels.Normalization,
        seen: ActivationExtents,
        level: KernelLevel
    ) {
        projection = Self.quantization(
            extents: (seen.input, Self.extents(of: input)),
            weights: [layer.query, layer.key, layer.value],
            isApplied: false,
            level
        )
        let value = Self.moments(of: layer.value, after: input, level)
        context = Self.quantization(
            extents: (
                seen.context, zip(value.mean, value.deviation).map { abs($0) + Self.reach * $1 }
            ),
            weights: [layer.attentionOutput],
            isApplied: true,
            level
        )
        intermediate = Self.quantization(
            extents: (seen.attended, Self.extents(of: layer.attentionNormalization)),
            weights: [layer.intermediate],
            isApplied: false,
            level
        )
        let wide = Self.moments(of: layer.intermediate, after: layer.attentionNormalization, level)
        let activated = zip(wide.mean, wide.deviation).map { mean, deviation in
            // All activations are about max(x, 0) where they are large.
            max(Self.leastActivation, mean + Self.reach * deviation)
        }
        output = Self.quantization(
            extents: (seen.activated, activated),
            weights: [layer.output],
            isApplied: true,
            level
        )
    }

    private static func extents(of normalization: NeuralKernels.Normalization) -> [Float] {
        zip(normalization.scale, normalization.shift).map { reach * abs($0) + abs($1) }
    }

    private static func moments(
        of layer: LinearLayer,
        after normalization: NeuralKernels.Normalization,
        _ level: KernelLevel
    ) -> (mean: [Float], deviation: [Float]) {
        let (mean, variance) = layer.weights.withSpan { weights in
            WeightStatistics.outputMoments(
                of: weights,
                mean: normalization.shift,
                variance: normalization.scale.map { $0 * $0 },
                level: level
            )
        }
        return (zip(mean, layer.bias).map { $0 + $1 }, variance.map { $0.squareRoot() })
    }

    private static func quantization(
        extents: (seen: [Float], expected: [Float]),
        weights: [LinearLayer],
        isApplied: Bool,
        _ level: KernelLevel
    ) -> Quantization {
        var squares = [Float](repeating: 0, count: extents.seen.count)
        for layer in weights {
            layer.weights.withSpan { span in
                WeightStatistics.addColumnSquares(of: span, to: &squares, level: level)
            }
        }
        let norms = squares.map { $0.squareRoot() }
        let extents = zip(extents.seen, extents.expected).map { max($0, share * $1) }
        // The range a channel takes is the root of this, its factor applied.
        let ranges = zip(norms, extents).map { $0 * $1 }
        let order = ranges.indices.sorted { left, right in
            (ranges[right], left) < (ranges[left], right)
        }
        return Quantization(
            factors: zip(norms, extents).map { factor($0 / $1) },
            exactColumns: (0..<Quantization.exactCount).map { order[min($0, order.count - 1)] },
            isApplied: isApplied
        )
    }

    /// √x to the next quarter of an octave, so that rounding on one kind of machine, which moves
    /// `x` a little, gives the weights of another.
    private static func factor(_ x: Float) -> Float {
        // An input without weights or without values has no range to trade.
        guard x > 0, x.isFinite else { return 1 }
        let quarters = Int((2 * log2(x)).rounded())
        let bounded = min(max(quarters, -60), 60)
        let whole = Int((Float(bounded) / 4).rounded(.down))
        let fractions: [Float] = [1, 1.189_207_1, 1.414_213_5, 1.681_792_8]
        return Float(sign: .plus, exponent: whole, significand: fractions[bounded - 4 * whole])
    }
}
