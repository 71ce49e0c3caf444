import Testing

@testable import VectorIndex

@Suite struct BuildTests {
    static let vectors: ([[Float]], [[Float]]) = {
        var source = ClusteredVectors(dimension: 48, clusters: 60, seed: 21)
        return (source.next(3000), source.next(60))
    }()

    @Test func `threads do not change what is built`() throws {
        let (base, queries) = Self.vectors
        let indexes = try [1, 2, 3].map { threads in
            let index = try HNSWIndex(configuration: .init(dimension: 48), identity: "test")
            try index.build(keys: base.indices.map(Int64.init), vectors: base, threads: threads)
            return index
        }
        #expect(indexes[0].checkInvariants() == [])
        #expect(recall(indexes[0], queries) >= 0.99)
        for other in indexes.dropFirst() {
            for slot in 0..<UInt32(base.count) {
                #expect(
                    other.graph.links(slot, layer: 0).links
                        == indexes[0].graph.links(slot, layer: 0).links
                )
            }
        }
    }

    /// With this seed slots 38 and 39, which are planned side by side, are higher than all before.
    @Test func `vectors of one batch that are higher than the graph find each other`() throws {
        let (base, _) = Self.vectors
        let index = try HNSWIndex(configuration: .init(dimension: 48, seed: 151), identity: "test")
        let keys = (0..<64).map(Int64.init)
        try index.build(keys: keys, vectors: Array(base.prefix(64)), threads: 2)
        #expect(index.count == 64 && index.checkInvariants() == [])
    }

    @Test func `a build adds to what is there and replaces equal keys`() throws {
        let (base, queries) = Self.vectors
        let index = try makeIndex(Array(base.prefix(500)))
        for key in stride(from: Int64(0), to: 500, by: 3) { index.remove(key: key) }
        // Keys 400 and above are stored already; 900 comes twice.
        let keys = (400..<2000).map(Int64.init) + [900]
        let vectors = Array(base[1000..<2600]) + [base[2800]]
        try index.build(keys: keys, vectors: vectors, threads: 2)
        #expect(isStored(base[1000], as: index.vector(forKey: 400)))
        #expect(isStored(base[2800], as: index.vector(forKey: 900)))
        #expect(index.vector(forKey: 0) == nil)
        #expect(isStored(base[1], as: index.vector(forKey: 1)))
        #expect(index.count == 2000 - 134)
        #expect(index.checkInvariants() == [])
        #expect(recall(index, queries) >= 0.99)
    }

    @Test func `the bytes of a vector are counted`() throws {
        var source = ClusteredVectors(dimension: 384, clusters: 20, seed: 1)
        let index = try makeIndex(source.next(1000))
        let memory = index.memory
        // Two planes, 32 links of 16 bits, length, key, state; upper links and the table of keys.
        let fixed = 1000 * (2 * 384 + 64 + 4 + 8 + 1)
        #expect((fixed..<(fixed + 1000 * 20)).contains(memory.total))
        #expect(memory.walk < 1000 * 460)
        // A snapshot has the same bytes but for the table of keys, each section in whole pages.
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let pages = SnapshotHeader.parts.count * 4096
            let difference = readFile(path).count - memory.total
            #expect((-1000 * 11 - 200..<pages).contains(difference))
        }
    }

    @Test func `a build with a vector that has no direction stores nothing`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 2), identity: "test")
        #expect(throws: VectorIndexError.notUnitLength(key: 2, norm: 0)) {
            try index.build(keys: [1, 2], vectors: [[1, 0], [0, 0]])
        }
        #expect(index.isEmpty)
    }

    @Test func `a build stops at the capacity`() throws {
        let (base, _) = Self.vectors
        let index = try HNSWIndex(
            configuration: .init(dimension: 48, m: 4, efConstruction: 16, capacity: 300),
            identity: "test"
        )
        let keys = base.indices.map(Int64.init)
        #expect(throws: VectorIndexError.full(capacity: 300)) {
            try index.build(keys: keys, vectors: base, threads: 2)
        }
        #expect(index.count <= 300 && index.checkInvariants() == [])
    }

    @Test func `searches run beside a build on two threads`() async throws {
        let (base, queries) = Self.vectors
        let index = try makeIndex(Array(base.prefix(300)))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try index.build(keys: base.indices.map(Int64.init), vectors: base, threads: 2)
            }
            group.addTask {
                for query in queries {
                    #expect(index.search(query, count: 10).count == 10)
                    #expect(index.exactSearch(query, count: 10).count == 10)
                }
            }
            try await group.waitForAll()
        }
        #expect(index.count == base.count && index.checkInvariants() == [])
    }
}
