import Domain
import Embeddings
import Store

// Whose vectors an account has, and who may change that.
//
// The vectors of one model are searched, and those of others are dropped once nothing is waiting.
// Two hosts with different models would drop each other's, and embed everything again at every
// scan. So who indexes notes that it uses the model, and who comes with another one is refused
// while somebody else may still have the first.

extension Indexer {
    /// How long the use of a model matters to others: hosts index more often than that.
    private static let useLifetime = Duration.seconds(86_400)

    /// The note of who used a model last.
    static func noteName(of model: EmbeddingModelID) -> String { "embedding-model-\(model)" }

    /// The identifier of the embedder's model in the store, made current.
    ///
    /// - Parameters:
    ///   - embedder: Makes the vectors.
    ///   - store: Whose vectors.
    ///   - isReplacing: Whether another model gives way whoever uses it.
    ///   - process: Who comes with the model.
    /// - Returns: The model's identifier.
    /// - Throws: ``SearchError/otherModel(current:own:user:)`` where another process uses another
    ///   one, and what the store refuses.
    static func registerModel(
        of embedder: any Embedder,
        in store: Store,
        replacing isReplacing: Bool = false,
        as process: LeaseHolder = .current()
    ) async throws -> EmbeddingModelID {
        let identity = embedder.model
        let now = store.clock.now()
        return try await store.write { connection, account in
            let current = try EmbeddingModelTable.all(account: account, on: connection)
                .first(where: \.isCurrent)
            if let current, !isReplacing, !Self.isSame(current, identity) {
                let use = try LeaseTable.noted(
                    Self.noteName(of: current.id),
                    now: now,
                    atMost: Self.useLifetime,
                    account: account,
                    on: connection
                )
                if let user = use?.holder, Self.mayStillUse(user, asSeenBy: process) {
                    throw SearchError.otherModel(
                        current: Self.name(ModelIdentity(current)),
                        own: Self.name(identity),
                        user: user.description
                    )
                }
            }
            let model = try EmbeddingModelTable.makeCurrent(
                name: identity.name,
                revision: identity.revision,
                dimension: identity.dimension,
                at: now,
                account: account,
                on: connection
            )
            try LeaseTable.note(
                Self.noteName(of: model),
                by: process,
                until: now.advanced(by: Self.useLifetime),
                account: account,
                on: connection
            )
            return model
        }
    }

    /// Whether who used a model may use it again with the variables it has.
    ///
    /// On one machine a change of the model needs nothing but the change: a process that has ended
    /// there comes back with the new one, and only one that still runs has the old. A machine is
    /// known by its boot, or after the next one by its name, for containers have names of their
    /// own.
    static func mayStillUse(_ user: LeaseHolder, asSeenBy process: LeaseHolder) -> Bool {
        let hasSameBoot = !process.bootID.isEmpty && haveEqualBytes(user.bootID, process.bootID)
        guard hasSameBoot || haveEqualBytes(user.host, process.host) else { return true }
        guard hasSameBoot, haveEqualBytes(user.namespace, process.namespace),
            user.processID != process.processID
        else { return false }
        return !user.isKnownDead
    }

    private static func isSame(
        _ row: EmbeddingModelTable.Row,
        _ identity: ModelIdentity
    ) -> Bool {
        haveEqualBytes(row.name, identity.name) && haveEqualBytes(row.revision, identity.revision)
            && row.dimension == identity.dimension
    }

    /// A model in words: of two with one name the revisions or lengths differ.
    private static func name(_ model: ModelIdentity) -> String {
        let revision = model.revision.isEmpty ? "" : "revision \(model.revision.prefix(12)), "
        return "`\(model.name)` (\(revision)\(model.dimension) numbers)"
    }
}
