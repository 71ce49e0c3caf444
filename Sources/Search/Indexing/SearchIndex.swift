package import Domain
package import Embeddings
import Glibc
package import Store
import VectorIndex

/// The vector index of one account and model: a snapshot file and what the feed tells since.
///
/// A cache: a file that is missing, damaged, of another model or of another store is made anew from
/// the stored vectors. All answers come from an ``IndexView``, which is up to date with the store
/// when it is handed out.
package actor SearchIndex {
    /// What a process does with the index.
    package enum Role: Sendable {
        /// Asks now and then: the few changes since the snapshot are kept aside and compared
        /// exactly, which takes no building.
        case reader
        /// Follows the feed for long and saves snapshots: changes go into the graph.
        case writer
    }

    /// Changes a reader keeps aside: comparing so many takes about a millisecond.
    private static let asideLimit = 4_096
    /// Changes read from the store at a time.
    private static let pageSize = 1_000
    /// A snapshot is worth writing when a reader would have more than this to catch up with.
    package static let saveThreshold = 64

    let store: Store
    private let role: Role
    private let dimension: Int
    private let identity: String
    /// Where the snapshot is.
    package nonisolated let path: String
    /// The model whose vectors are indexed.
    package nonisolated let model: EmbeddingModelID

    private var index: HNSWIndex
    /// The last revision that is in the index or aside.
    private var revision: Revision
    private var aside: [Int64: [Float]] = [:]
    private var hidden: Set<Int64> = []
    private var changesSinceSnapshot = 0

    /// Opens the snapshot of a model, or begins with an empty index.
    ///
    /// - Parameters:
    ///   - store: Whose vectors are indexed.
    ///   - identity: The model.
    ///   - model: Its row in the store.
    ///   - directory: Where the account's index files are; exists.
    ///   - role: What the process does with it.
    /// - Throws: ``VectorIndexError/outOfMemory(byteCount:)`` and what the store refuses.
    package init(
        store: Store,
        identity: ModelIdentity,
        model: EmbeddingModelID,
        directory: String,
        role: Role
    ) async throws {
        let (owner, head) = try await store.read { connection, account in
            (
                try StoreIdentity.text(account: account, on: connection),
                try AccountTable.currentRevision(account: account, on: connection)
            )
        }
        self.identity = Self.name(owner, model, identity)
        self.store = store
        self.role = role
        self.model = model
        dimension = identity.dimension
        path = Self.path(in: directory)
        let opened = Self.open(path, identity: self.identity, dimension: dimension)
        if let opened, opened.revision <= head.rawValue {
            index = opened
        } else {
            // Missing, damaged, foreign, or of a future that a restored backup does not know.
            index = try Self.empty(identity: self.identity, dimension: dimension)
        }
        revision = Revision(index.revision)
    }

    /// The index as the store is now.
    package func view() async throws -> IndexView {
        try await refresh()
        return IndexView(index: index, aside: aside, hidden: hidden)
    }

    /// Follows the feed of vectors to its end.
    package func refresh() async throws {
        let (model, dimension) = (model, dimension)
        while true {
            try Task.checkCancellation()
            let from = revision
            let page = try await store.read { connection, account in
                Page(
                    head: try AccountTable.currentRevision(account: account, on: connection),
                    changes: try PassageTable.vectorChanges(
                        after: from,
                        model: model,
                        dimension: dimension,
                        limit: Self.pageSize,
                        account: account,
                        on: connection
                    ),
                    orphans: try PassageTable.orphans(
                        after: try FollowerTable.revision(
                            of: Indexer.follower(of: model),
                            account: account,
                            on: connection
                        ),
                        model: model,
                        account: account,
                        on: connection
                    )
                )
            }
            // Another call may have read the same page while this one waited.
            guard from == revision else { continue }
            if page.head < revision {
                try clear()
                continue
            }
            hidden = Set(page.orphans.map(\.rawValue))
            try apply(page.changes)
            guard page.changes.count == Self.pageSize else { break }
        }
        // A reader without a usable snapshot has built one: the next need not.
        if role == .reader, changesSinceSnapshot > Self.asideLimit, aside.isEmpty { try save() }
    }

    private struct Page: Sendable {
        var head: Revision
        var changes: [PassageTable.VectorChange]
        var orphans: [PassageID]
    }

    private func apply(_ changes: [PassageTable.VectorChange]) throws {
        guard let last = changes.last else { return }
        changesSinceSnapshot += changes.count
        if role == .reader, aside.count + changes.count <= Self.asideLimit {
            // An empty vector stands for a key that is gone.
            for change in changes { aside[change.id.rawValue] = change.vector ?? [] }
        } else {
            for (key, vector) in aside.sorted(by: { $0.key < $1.key }) {
                try put(key, vector.isEmpty ? nil : vector)
            }
            aside = [:]
            for change in changes { try put(change.id.rawValue, change.vector) }
        }
        revision = last.revision
    }

    private func put(_ key: Int64, _ vector: [Float]?) throws {
        if let vector {
            try index.insert(key: key, vector: vector)
        } else {
            _ = index.remove(key: key)
        }
    }

    // MARK: - Snapshot

    /// Writes a snapshot when a reader would otherwise have much to catch up with.
    ///
    /// `changes` is how much: a reader compares a few without any building.
    ///
    /// - Returns: Whether one was written.
    @discardableResult
    package func saveIfWorthwhile(after changes: Int) throws -> Bool {
        let exists = Self.hasFile(at: path)
        guard changesSinceSnapshot > changes || (!exists && changesSinceSnapshot > 0)
        else { return false }
        try save()
        return true
    }

    /// Writes a snapshot; what is kept aside goes into the graph first.
    package func save() throws {
        for (key, vector) in aside.sorted(by: { $0.key < $1.key }) {
            try put(key, vector.isEmpty ? nil : vector)
        }
        aside = [:]
        try index.save(to: path, revision: revision.rawValue)
        changesSinceSnapshot = 0
    }

    /// Makes the index anew from the store and saves it.
    package func rebuild() async throws {
        try clear()
        try await refresh()
        try save()
    }

    private func clear() throws {
        index = try Self.empty(identity: identity, dimension: dimension)
        revision = .zero
        aside = [:]
        changesSinceSnapshot = 0
    }

    private static func empty(identity: String, dimension: Int) throws -> HNSWIndex {
        try HNSWIndex(configuration: .init(dimension: dimension), identity: identity)
    }

    /// Nil for anything that cannot be used: the index is then made anew.
    private static func open(_ path: String, identity: String, dimension: Int) -> HNSWIndex? {
        // Which way the file is unusable makes no difference to what is done about it.
        try? HNSWIndex.open(path: path, expecting: identity, dimension: dimension)
    }

    /// The snapshot's file.
    static func path(in directory: String) -> String { "\(directory)/vectors.snapshot" }

    static func hasFile(at path: String) -> Bool { unsafe access(path, R_OK) == 0 }

    /// What a snapshot is recognised by: the account of one store, and a model.
    static func name(
        _ owner: String,
        _ model: EmbeddingModelID,
        _ identity: ModelIdentity
    ) -> String {
        let maker = "\(identity.dimension)/\(identity.revision)/\(identity.name)"
        return shortened("\(owner)/\(model)/\(maker)")
    }

    /// The start of a text, within what a snapshot's header holds.
    private static func shortened(_ text: String) -> String {
        let limit = HNSWIndex.maximumIdentityByteCount
        var bytes = text.utf8.prefix(limit)
        while String(bytes) == nil { bytes = bytes.dropLast() }
        return String(bytes) ?? ""
    }
}
