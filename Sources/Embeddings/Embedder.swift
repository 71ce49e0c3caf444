/// Turns texts into unit vectors; the local model and the remote providers implement it.
///
/// Contract: `encode` is deterministic, a batch equals its single texts (to a cosine of 0.997 where
/// large batches run in a lower precision, docs/decisions/0005-precision.md), vectors have
/// Euclidean norm 1 (or are all zero for a text without any token).
package protocol Embedder: Sendable {
    /// Which vectors this makes. Vectors of different identities never mix.
    var model: ModelIdentity { get }

    /// Encodes texts; those longer than the model's window are cut.
    ///
    /// - Returns: One row a text, in the texts' order.
    /// - Throws: ``EmbeddingError``.
    func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix

    /// Splits a text into windows that fit the model, with a small overlap, at word boundaries.
    ///
    /// - Parameters:
    ///   - text: Any text.
    ///   - maximumCount: At most so many windows; what lies behind the last is not embedded.
    /// - Returns: UTF-8 byte ranges on scalar boundaries, in order; empty for a text without
    ///   tokens.
    func windows(of text: String, maximumCount: Int) -> [Range<Int>]
}

/// What makes two vectors comparable.
package struct ModelIdentity: Sendable, Hashable {
    /// For example `all-MiniLM-L6-v2`, `openai/text-embedding-3-small`.
    package var name: String
    /// A digest of everything that changes the vectors (weights, pooling, window), in hex.
    package var revision: String
    package var dimension: Int

    package init(name: String, revision: String, dimension: Int) {
        self.name = name
        self.revision = revision
        self.dimension = dimension
    }
}

/// Row-major vectors, shape `(count, dimension)`.
package struct EmbeddingMatrix: Sendable, Equatable {
    package let dimension: Int
    package private(set) var values: [Float]

    /// Wraps `values`, whose count is a multiple of `dimension`.
    package init(dimension: Int, values: [Float]) {
        precondition(dimension > 0 && values.count % dimension == 0, "rows must be complete")
        self.dimension = dimension
        self.values = values
    }

    package var count: Int { values.count / dimension }

    /// Row `index`, a copy.
    package subscript(index: Int) -> [Float] {
        Array(values[index * dimension..<(index + 1) * dimension])
    }
}
