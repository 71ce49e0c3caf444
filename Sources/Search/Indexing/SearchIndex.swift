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

    /// What the user may choose.
    package struct Options: Sendable, Equatable {
        /// Share of the nearest windows that a search finds on average, 0 to 1; more takes longer.
        package var recall = HNSWIndex.defaultRecall
        /// Most windows that the index takes, 1 to 1,073,741,824.
        ///
        /// Reserves addresses, about 1 KB a window at 384 numbers, and no memory. The default is
        /// enough for millions of issues and fits beside many others into any address space.
        package var capacity = 1 << 24
        /// How many links a vector has.
        package var density = Density.standard

        package init() {}
    }

    /// What the index in memory is made for.
    package enum Density: String, Sendable, CaseIterable {
        /// As little memory as finds everything.
        case standard
        /// Half as many links again: most in the least time where a recall of 0.999 is asked for,
        /// for some memory and twice the time to build.
        case dense

        /// The shape of an index of so many numbers a vector.
        func configuration(dimension: Int, capacity: Int) -> HNSWIndex.Configuration {
            switch self {
            case .standard: .init(dimension: dimension, capacity: capacity)
            case .dense: .init(dimension: dimension, m: 24, efConstruction: 200, capacity: capacity)
            }
        }
    }

    /// Changes a reader keeps aside: comparing so many takes about a millisecond.
    private static let asideLimit = 4_096
    /// Changes read from the store at a time.
    private static let pageSize = 1_000
    /// So many new vectors are put into the graph side by side, on several threads; fewer are done
    /// as soon as threads would be.
    static let batchMinimum = 256
    /// Threads they are put in by: more than these wait for the one that changes links.
    private static let buildThreads = max(1, min(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 8))
    /// A snapshot is worth writing when a reader would have more than this to catch up with.
    package static let saveThreshold = 64

    let store: Store
    private let role: Role
    private let options: Options
    private let dimension: Int
    private let identity: String
    /// Where the snapshot is.
    package nonisolated let path: String
    /// The model whose vectors are indexed.
    package nonisolated let model: EmbeddingModelID

    /// What searches have asked the store about windows.
    nonisolated let owners = WindowOwners()
    package nonisolated let filters = FilterCache()
    private var index: HNSWIndex
    /// The last revision that is in the index or aside.
    private var revision: Revision
    /// The end of the feed as it was when nothing was waiting; nil when something may be.
    private var seenHead: Revision?
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
    ///   - options: What the user has chosen.
    /// - Throws: ``VectorIndexError/outOfMemory(byteCount:)`` and what the store refuses.
    package init(
        store: Store,
        identity: ModelIdentity,
        model: EmbeddingModelID,
        directory: String,
        role: Role,
        options: Options = Options()
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
        self.options = options
        self.model = model
        dimension = identity.dimension
        path = Self.path(in: directory)
        let opened = Self.open(
            path,
            identity: self.identity,
            dimension: dimension,
            capacity: options.capacity
        )
        if let opened, opened.revision <= head.rawValue, options.suits(opened, in: role) {
            index = opened
        } else {
            // Missing, damaged, foreign, or of a future that a restored backup does not know.
            index = try Self.empty(
                identity: self.identity,
                dimension: dimension,
                options: options
            )
        }
        revision = Revision(index.revision)
    }

    /// The index as the store is now.
    ///
    /// - Parameter head: Where the caller has just seen the end of the feed; nil has it looked up.
    /// - Returns: The same vectors for as long as it is held.
    /// - Throws: As ``refresh()``.
    package func view(at head: Revision? = nil) async throws -> IndexView {
        if head == nil || head != seenHead { try await refresh() }
        return IndexView(
            index: index,
            aside: aside,
            hidden: hidden,
            revision: revision,
            recall: options.recall
        )
    }

    /// Follows the feed of vectors to its end.
    ///
    /// - Throws: ``SearchError/indexFull(capacity:)``, and what the store refuses.
    package func refresh() async throws {
        let (model, dimension) = (model, dimension)
        while true {
            try Task.checkCancellation()
            let (from, seen) = (revision, seenHead)
            let page = try await store.read { connection, account -> Page in
                let head = try AccountTable.currentRevision(account: account, on: connection)
                if head == seen { return Page(head: head) }
                return Page(
                    head: head,
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
            if let orphans = page.orphans { hidden = Set(orphans.map(\.rawValue)) }
            try apply(page.changes)
            guard page.changes.count == Self.pageSize else {
                seenHead = page.head
                break
            }
        }
        // A reader without a usable snapshot has built one: the next need not.
        if role == .reader, changesSinceSnapshot > Self.asideLimit, aside.isEmpty { try save() }
    }

    private struct Page: Sendable {
        var head: Revision
        var changes: [PassageTable.VectorChange] = []
        /// Nil when they are those that were known.
        var orphans: [PassageID]?
    }

    private func apply(_ changes: [PassageTable.VectorChange]) throws {
        guard let last = changes.last else { return }
        changesSinceSnapshot += changes.count
        if role == .reader, aside.count + changes.count <= Self.asideLimit {
            // An empty vector stands for a key that is gone.
            for change in changes { aside[change.id.rawValue] = change.vector ?? [] }
        } else {
            try putAside()
            try put(changes.map { ($0.id.rawValue, $0.vector ?? []) })
        }
        revision = last.revision
    }

    /// Brings what is kept aside into the graph.
    private func putAside() throws {
        try put(aside.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        aside = [:]
    }

    /// Brings changes into the graph; an empty vector stands for a key that is gone.
    ///
    /// No key may come twice.
    private func put(_ changes: [(key: Int64, vector: [Float])]) throws {
        let stored = changes.filter { !$0.vector.isEmpty }
        for change in changes where change.vector.isEmpty { index.remove(key: change.key) }
        do throws(VectorIndexError) {
            guard stored.count >= Self.batchMinimum else {
                for change in stored { try index.insert(key: change.key, vector: change.vector) }
                return
            }
            try index.build(
                keys: stored.map { $0.key },
                vectors: stored.map { $0.vector },
                threads: Self.buildThreads
            )
        } catch {
            guard case .full(let capacity) = error else { throw error }
            throw SearchError.indexFull(capacity: capacity)
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
        try putAside()
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
        index = try Self.empty(
            identity: identity,
            dimension: dimension,
            options: options
        )
        revision = .zero
        seenHead = nil
        aside = [:]
        changesSinceSnapshot = 0
    }

    private static func empty(
        identity: String,
        dimension: Int,
        options: Options
    ) throws -> HNSWIndex {
        try HNSWIndex(
            configuration: options.density.configuration(
                dimension: dimension,
                capacity: options.capacity
            ),
            identity: identity
        )
    }

    /// Nil for anything that cannot be used: the index is then made anew.
    private static func open(
        _ path: String,
        identity: String,
        dimension: Int,
        capacity: Int
    ) -> HNSWIndex? {
        // Which way the file is unusable makes no difference to what is done about it.
        try? HNSWIndex.open(
            path: path,
            expecting: identity,
            dimension: dimension,
            capacity: capacity
        )
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

extension SearchIndex.Options {
    /// Whether a snapshot has the links that were chosen.
    ///
    /// Readers take what there is: whoever writes the next one makes it anew.
    fileprivate func suits(_ index: HNSWIndex, in role: SearchIndex.Role) -> Bool {
        guard role == .writer else { return true }
        let found = index.configuration
        let chosen = density.configuration(dimension: found.dimension, capacity: capacity)
        return (found.m, found.efConstruction) == (chosen.m, chosen.efConstruction)
    }
}
