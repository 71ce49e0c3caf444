import Domain
package import Embeddings
import Store

/// Stands for a model whose vectors are stored while nobody needs new ones; or for none, where
/// texts are found by their words alone.
package struct AbsentEmbedder: Embedder {
    /// What stands in the place of a model where there is none; no vector is ever of it.
    package static let noModel = ModelIdentity(name: "none", revision: "", dimension: 1)

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

extension EmbeddingModelTable.Row {
    /// Whether it stands in the place of a model: nothing has vectors of that length.
    var isAbsent: Bool {
        haveEqualBytes(name, AbsentEmbedder.noModel.name)
            && dimension == AbsentEmbedder.noModel.dimension
    }
}
