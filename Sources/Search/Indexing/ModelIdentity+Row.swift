package import Embeddings
package import Store

extension ModelIdentity {
    /// The model that a row of the store stands for.
    package init(_ row: EmbeddingModelTable.Row) {
        self.init(name: row.name, revision: row.revision, dimension: row.dimension)
    }
}
