package import Embeddings

/// Stands for a model whose vectors are stored while nobody needs new ones.
package struct AbsentEmbedder: Embedder {
    /// The model whose vectors are stored.
    package let model: ModelIdentity

    /// Stands for this model.
    package init(model: ModelIdentity) {
        self.model = model
    }

    /// Refuses: there is nothing that could encode.
    package func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        throw .provider(
            status: nil,
            reason: "the model `\(model.name)` is not loaded",
            isRetryable: false
        )
    }

    /// None.
    package func windows(of text: String, maximumCount: Int) -> [Range<Int>] { [] }
}
