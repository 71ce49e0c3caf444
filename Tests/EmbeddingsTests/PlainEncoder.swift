import Foundation
import TestSupport

/// BERT written down as in the paper, in double precision, one token after the other.
///
/// The oracle for the encoder on any machine: Devlin et al. 2018; Vaswani et al. 2017, sections 3.1
/// to 3.3.
struct PlainEncoder {
    private let model: TinyModel
    private let tensors: [String: [Double]]

    init(_ model: TinyModel) {
        self.model = model
        tensors = Dictionary(
            uniqueKeysWithValues: model.tensors.map { tensor in
                (tensor.name, tensor.values.map(Double.init))
            }
        )
    }

    func encode(_ ids: [Int32]) -> [Double] {
        var rows = ids.enumerated().map { position, id in
            let parts = [
                row("word_embeddings", Int(id)), row("position_embeddings", position),
                row("token_type_embeddings", 0),
            ]
            return normalized(
                (0..<model.hiddenSize).map { i in
                    parts.reduce(0) { $0 + $1[i] }
                },
                "embeddings.LayerNorm"
            )
        }
        for layer in 0..<model.layerCount { rows = apply("encoder.layer.\(layer).", to: rows) }
        let pooled = pool(rows)
        let norm = pooled.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return pooled.map { $0 / norm }
    }

    private func apply(_ block: String, to rows: [[Double]]) -> [[Double]] {
        let attention = block + "attention."
        let query = rows.map { dense(attention + "self.query", $0) }
        let key = rows.map { dense(attention + "self.key", $0) }
        let value = rows.map { dense(attention + "self.value", $0) }
        let size = model.hiddenSize / model.headCount
        return rows.indices.map { i in
            var context: [Double] = []
            for head in 0..<model.headCount {
                let range = head * size..<(head + 1) * size
                let scores = rows.indices.map { j in
                    exp(
                        range.reduce(0) { $0 + query[i][$1] * key[j][$1] }
                            / Double(size).squareRoot()
                    )
                }
                let sum = scores.reduce(0, +)
                context += range.map { c in
                    rows.indices.reduce(0) { $0 + scores[$1] / sum * value[$1][c] }
                }
            }
            let attended = normalized(
                plus(rows[i], dense(attention + "output.dense", context)),
                attention + "output.LayerNorm"
            )
            let wide = dense(block + "intermediate.dense", attended).map(activation)
            return normalized(
                plus(attended, dense(block + "output.dense", wide)),
                block + "output.LayerNorm"
            )
        }
    }

    private func activation(_ x: Double) -> Double {
        switch model.activation {
        case "relu": max(0, x)
        case "gelu_new":
            0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        default: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
        }
    }

    private func pool(_ rows: [[Double]]) -> [Double] {
        (0..<model.hiddenSize).map { c in
            switch model.pooling {
            case "cls": rows[0][c]
            case "max": rows.reduce(-Double.infinity) { max($0, $1[c]) }
            default: rows.reduce(0) { $0 + $1[c] } / Double(rows.count)
            }
        }
    }

    private func dense(_ name: String, _ x: [Double]) -> [Double] {
        let weights = values(name + ".weight")
        return values(name + ".bias").enumerated().map { output, bias in
            x.indices.reduce(bias) { $0 + x[$1] * weights[output * x.count + $1] }
        }
    }

    private func normalized(_ x: [Double], _ name: String) -> [Double] {
        let mean = x.reduce(0, +) / Double(x.count)
        let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
        let (scale, shift) = (values(name + ".weight"), values(name + ".bias"))
        return x.indices.map {
            (x[$0] - mean) / (variance + 1e-12).squareRoot() * scale[$0] + shift[$0]
        }
    }

    private func row(_ table: String, _ index: Int) -> [Double] {
        let all = values("embeddings.\(table).weight")
        return Array(all[index * model.hiddenSize..<(index + 1) * model.hiddenSize])
    }

    private func values(_ name: String) -> [Double] {
        tensors[name] ?? []
    }

    private func plus(_ left: [Double], _ right: [Double]) -> [Double] {
        zip(left, right).map { $0 + $1 }
    }
}

/// Cosine of two vectors of equal length.
func cosine(_ left: [Float], _ right: [Double]) -> Double {
    var (dot, a, b) = (0.0, 0.0, 0.0)
    for (x, y) in zip(left, right) {
        dot += Double(x) * y
        a += Double(x) * Double(x)
        b += y * y
    }
    return dot / (a * b).squareRoot()
}
