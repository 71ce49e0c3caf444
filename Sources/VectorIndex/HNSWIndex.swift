import LinearAlgebra
import Synchronization

/// An index of unit vectors under integer keys that finds the nearest by inner product (cosine).
///
/// Hierarchical navigable small world graph (Malkov & Yashunin, arXiv:1603.09320) with two-way
/// links, true deletion, filters inside the search and a snapshot file that opens in milliseconds:
///
///     let index = try HNSWIndex(configuration: .init(dimension: 384), identity: "MiniLM/384")
///     try index.insert(key: 7, vector: unitVector)
///     let hits = index.search(query, count: 10, filter: .only([7, 8, 9]))
///     try index.save(to: path, revision: 42)
///
/// **Threads.** Any number of searches run side by side. Writers wait for one another; an
/// insertion, an update or a removal does its work beside the readers and holds them up only while
/// it puts lists of links into place. A search sees each insertion, update or removal entirely or
/// not at all.
/// Sharing it unchecked is safe because every access to `graph` (plain and mapped memory) happens
/// inside `lock.read`, inside `lock.write`, or by the only writer, which holds `writer` and outside
/// `lock.write` writes nothing but rows of free slots and what only writers read; `pool` is used
/// inside `poolLock`.
///
/// **Exactness.** `search` is approximate (DESIGN.md has recall and speed per `effort`);
/// `exactSearch` is not, and `search` uses it by itself when a filter passes so few rows that
/// scanning them is cheaper.
package final class HNSWIndex: @unchecked Sendable {
    /// Shape of an index; fixed for its life and kept in its snapshots.
    package struct Configuration: Equatable, Sendable {
        /// Numbers per vector, 1 to 65,536.
        package let dimension: Int
        /// Links a new node makes per layer, `M` in the paper, 4 to 64; layer 0 holds up to
        /// `2 m`.
        package let m: Int
        /// Search list length while inserting, `efConstruction` in the paper, `m` to 4,096.
        package let efConstruction: Int
        /// Seed of the levels: equal seeds and equal operations give equal graphs.
        package let seed: UInt64
        /// Most vectors the index takes; reserves addresses, not memory.
        package let capacity: Int

        /// Largest dimension: a row then is 256 KiB, far beyond any sentence model.
        package static let maximumDimension = 65_536
        /// Largest capacity: slot numbers keep their top bit free for the search list's mark.
        package static let maximumCapacity = 1 << 30

        /// Describes an index; values out of range are a programmer's error and trap.
        ///
        /// - Parameters:
        ///   - dimension: Numbers per vector.
        ///   - m: Links per node and layer; 16 is the middle of the paper's 5 to 48.
        ///   - efConstruction: with 200 the build takes half as long again, and a recall of 0.999
        ///     two thirds of the rows; 0.99 and less cost the same (DESIGN.md).
        ///   - seed: Any number.
        ///   - capacity: Default 4,194,304, about 3.5 GB at dimension 384.
        package init(
            dimension: Int,
            m: Int = 16,
            efConstruction: Int = 120,
            seed: UInt64 = 0x5EED,
            capacity: Int = 1 << 22
        ) {
            precondition(
                Self.isValid(dimension, m, efConstruction, capacity),
                "index configuration out of range"
            )
            self.dimension = dimension
            self.m = m
            self.efConstruction = efConstruction
            self.seed = seed
            self.capacity = capacity
        }

        /// Whether the numbers are inside the documented ranges.
        static func isValid(_ dimension: Int, _ m: Int, _ ef: Int, _ capacity: Int) -> Bool {
            (1...maximumDimension).contains(dimension) && (4...64).contains(m)
                && (m...4096).contains(ef) && (1...maximumCapacity).contains(capacity)
        }
    }

    /// Shape of this index.
    package let configuration: Configuration
    /// What the vectors are, for example model and dimension; a snapshot of another identity is
    /// refused.
    package let identity: String

    let graph: Graph
    /// Recall of the search settings.
    let calibration = Mutex(Calibration())
    /// What the threads of a build work on; set and cleared by the one that holds `writer`.
    var batchInWork: BuildBatch?
    /// Scratch of searches that are over.
    private var pool: [SearchScratch] = []
    private let poolLock = Mutex<Void>(())
    let lock = ReadWriteLock()
    /// Held by the one thread that changes the graph or saves it.
    let writer = Mutex<Void>(())
    /// Called by a writer that has prepared a change and not yet taken the write lock; nil but in
    /// tests, which set it before there are writers, and search from it.
    var whenStaged: (@Sendable () -> Void)?
    /// Last revision saved to or opened from a snapshot.
    let savedRevision = Atomic<Int64>(0)

    /// Longest identity in UTF-8 bytes, so that it fits the snapshot's header page.
    package static let maximumIdentityByteCount = 1024

    /// Makes an empty index.
    ///
    /// - Parameters:
    ///   - configuration: Its shape.
    ///   - identity: At most 1,024 bytes; longer is a programmer's error and traps.
    /// - Throws: `outOfMemory` when the address space for `capacity` cannot be reserved.
    package convenience init(
        configuration: Configuration,
        identity: String
    ) throws(VectorIndexError) {
        self.init(graph: try Graph(configuration), identity: identity, revision: 0)
    }

    /// Makes an empty index that uses the kernels of one set of instructions, for tests.
    convenience init(
        configuration: Configuration,
        identity: String,
        level: Int32
    ) throws(VectorIndexError) {
        self.init(
            graph: try Graph(
                configuration,
                level: CodeKernels.Level(rawValue: level) ?? .portable
            ),
            identity: identity,
            revision: 0
        )
    }

    /// Wraps a validated graph.
    init(
        graph: Graph,
        identity: String,
        revision: Int64,
        calibration: Calibration = Calibration()
    ) {
        precondition(
            identity.utf8.count <= Self.maximumIdentityByteCount,
            "index identity is too long"
        )
        self.graph = graph
        self.configuration = graph.configuration
        self.identity = identity
        savedRevision.store(revision, ordering: .relaxed)
        self.calibration.withLock { $0 = calibration }
    }

    /// Runs `body` with scratch that nobody else uses.
    func withScratch<Result>(_ body: (SearchScratch) -> Result) -> Result {
        var pooled: SearchScratch?
        poolLock.withLock { _ in pooled = pool.popLast() }
        let scratch = pooled ?? graph.makeScratch()
        defer {
            poolLock.withLock { _ in
                if pool.count < Self.poolLimit { pool.append(scratch) }
            }
        }
        return body(scratch)
    }

    /// Scratch kept for later searches: as many as processors may search at once.
    private static let poolLimit = 64

    /// Number of stored vectors.
    package var count: Int { lock.read { graph.liveCount } }

    /// Whether nothing is stored.
    package var isEmpty: Bool { count == 0 }

    /// Revision of the snapshot this index was opened from or last saved to; 0 before either.
    package var revision: Int64 { savedRevision.load(ordering: .relaxed) }

    /// Keys of all stored vectors, ascending.
    ///
    /// O(n log n).
    package var keys: [Int64] { lock.read { graph.sortedKeys } }

    /// Whether a vector is stored under `key`.
    package func contains(_ key: Int64) -> Bool {
        lock.read { graph.table.slot(of: key) != nil }
    }

    /// The vector stored under `key`, `(dimension)` numbers of unit length, each within 1e-5 of
    /// what was stored (largest number 1; smaller ones are kept more exactly); nil when there is
    /// none.
    package func vector(forKey key: Int64) -> [Float]? {
        lock.read { graph.table.slot(of: key).map { graph.vector($0) } }
    }
}
