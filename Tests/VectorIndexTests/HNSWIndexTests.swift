import TestSupport
import Testing

@testable import VectorIndex

@Suite struct HNSWIndexTests {
    @Test func `an empty index finds nothing`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 3), identity: "test")
        #expect(index.isEmpty)
        #expect(index.search([1, 0, 0], count: 5) == [])
        #expect(index.exactSearch([1, 0, 0], count: 5) == [])
        #expect(index.neighbours(ofKey: 1, count: 5) == nil)
        #expect(!index.remove(key: 1))
    }

    @Test func `equal scores come in order of keys`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 2), identity: "test")
        for key: Int64 in [9, -3, 5, 7] { try index.insert(key: key, vector: [1, 0]) }
        #expect(index.search([1, 0], count: 3).map(\.key) == [-3, 5, 7])
        #expect(index.exactSearch([1, 0], count: 3).map(\.key) == [-3, 5, 7])
    }

    @Test func `inserting a stored key replaces its vector`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 2), identity: "test")
        try index.insert(key: 1, vector: [1, 0])
        try index.insert(key: 2, vector: [0, 1])
        try index.insert(key: 1, vector: [0, -1])
        #expect(index.count == 2)
        #expect(isStored([0, -1], as: index.vector(forKey: 1)))
        let hit = try #require(index.search([0, -1], count: 1).first)
        #expect(hit.key == 1 && abs(hit.score - 1) < 1e-6)
        #expect(index.neighbours(ofKey: 1, count: 5)?.map(\.key) == [2])
        #expect(index.checkInvariants() == [])
    }

    @Test func `a vector without a direction is refused`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 2), identity: "test")
        #expect(throws: VectorIndexError.notUnitLength(key: 4, norm: 0)) {
            try index.insert(key: 4, vector: [0, 0])
        }
        #expect(throws: VectorIndexError.self) { try index.insert(key: 4, vector: [.nan, 0]) }
        #expect(throws: VectorIndexError.self) { try index.insert(key: 4, vector: [.infinity, 0]) }
        #expect(index.isEmpty)
    }

    @Test func `a vector of any length is stored as its direction`() throws {
        let index = try HNSWIndex(configuration: .init(dimension: 2), identity: "test")
        for (key, length) in [1e-6, 1, 1e6].enumerated() {
            try index.insert(key: Int64(key), vector: [Float(0.6 * length), Float(0.8 * length)])
            #expect(isStored([0.6, 0.8], as: index.vector(forKey: Int64(key))))
        }
        // A query's length scales the scores and changes nothing else.
        let hits = index.search([1.2, 1.6], count: 3)
        #expect(hits.map(\.key) == [0, 1, 2])
        #expect(hits.allSatisfy { abs($0.score - 2) < 1e-5 })
        #expect(index.search([.nan, 1], count: 3) == [])
        #expect(index.checkInvariants() == [])
    }

    @Test func `a full index says so and still updates`() throws {
        let configuration = HNSWIndex.Configuration(dimension: 2, capacity: 2)
        let index = try HNSWIndex(configuration: configuration, identity: "test")
        try index.insert(key: 1, vector: [1, 0])
        try index.insert(key: 2, vector: [0, 1])
        #expect(throws: VectorIndexError.full(capacity: 2)) {
            try index.insert(key: 3, vector: [-1, 0])
        }
        try index.insert(key: 2, vector: [-1, 0])
        index.remove(key: 1)
        try index.insert(key: 3, vector: [0, 1])
        #expect(index.keys == [2, 3])
    }

    @Test(arguments: [UInt64(1), 2, 3, 4])
    func `invariants hold after any sequence of operations`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var source = ClusteredVectors(dimension: 20, clusters: 8, seed: seed)
        let index = try HNSWIndex(
            configuration: .init(dimension: 20, m: 4, efConstruction: 24),
            identity: "test"
        )
        var model: [Int64: [Float]] = [:]
        for step in 0..<1500 {
            let key = Int64.random(in: 0..<150, using: &generator)
            if Int.random(in: 0..<5, using: &generator) < 3 {
                let vector = source.next()
                try index.insert(key: key, vector: vector)
                model[key] = vector
            } else {
                #expect(index.remove(key: key) == (model.removeValue(forKey: key) != nil))
            }
            if step % 10 == 0 {
                let violations = index.checkInvariants()
                try #require(violations == [], "seed \(seed), step \(step)")
            }
        }
        #expect(index.keys == model.keys.sorted())
        for (key, vector) in model { #expect(isStored(vector, as: index.vector(forKey: key))) }
        for key in model.keys { index.remove(key: key) }
        #expect(index.isEmpty && index.checkInvariants() == [])
    }

    @Test func `a broken link is reported`() throws {
        var source = ClusteredVectors(dimension: 20, clusters: 8, seed: 1)
        let index = try makeIndex(source.next(200))
        let first = index.graph.links(0, layer: 0)[0]
        index.graph.links(0, layer: 0).remove(first)
        #expect(
            index.checkInvariants()
                == [.oneWayLink(from: Int64(first), to: 0, layer: 0)]
        )
        for other in index.graph.links(first, layer: 0).links {
            index.graph.links(first, layer: 0).remove(other)
            index.graph.links(other, layer: 0).remove(first)
        }
        #expect(index.checkInvariants().contains(.unreachable(key: Int64(first), layer: 0)))
    }

    @Test func `searches run beside insertions and never see half of one`() async throws {
        var source = ClusteredVectors(dimension: 32, clusters: 30, seed: 3)
        let (base, later, queries) = (source.next(600), source.next(600), source.next(40))
        let index = try makeIndex(base)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in 0..<3 {
                group.addTask {
                    for round in 0..<20 {
                        for query in queries {
                            let hits = index.search(query, count: 10)
                            #expect(hits.count == 10, "reader \(reader), round \(round)")
                            #expect(Set(hits.map(\.key)).count == 10)
                            #expect(hits.allSatisfy { $0.score <= 1.0001 })
                        }
                    }
                }
            }
            group.addTask {
                for (offset, vector) in later.enumerated() {
                    // New keys, updates of old ones, and removals.
                    try index.insert(key: Int64(600 + offset), vector: vector)
                    if offset % 3 == 0 { try index.insert(key: Int64(offset), vector: vector) }
                    if offset % 5 == 1 { index.remove(key: Int64(offset)) }
                }
            }
            try await group.waitForAll()
        }
        #expect(index.checkInvariants() == [])
    }

    @Test func `key sets hold dense and sparse keys alike`() {
        let dense = KeySet((100..<300).map(Int64.init))
        let sparse: KeySet = [.min, -5, 0, 7, 7, .max]
        #expect(dense.count == 200 && sparse.count == 5)
        #expect(dense.contains(100) && dense.contains(299))
        #expect(!dense.contains(99) && !dense.contains(300) && !dense.contains(.min))
        #expect(sparse.contains(.min) && sparse.contains(.max) && !sparse.contains(1))
        var listed: [Int64] = []
        sparse.forEach { listed.append($0) }
        dense.forEach { listed.append($0) }
        #expect(listed == [.min, -5, 0, 7, .max] + (100..<300).map(Int64.init))
        #expect(KeySet([]).isEmpty && !KeySet([]).contains(0))
    }

    /// A set remembers where its keys were found, which holds only until something changes.
    @Test func `a filter that is used again finds what has come and not what has gone`() throws {
        var source = ClusteredVectors(dimension: 32, clusters: 8, seed: 21)
        let (base, query) = (source.next(400), source.next())
        let index = try makeIndex(base)
        let keys = KeySet(stride(from: Int64(0), to: 1_000, by: 10))
        func found(_ index: HNSWIndex) -> [Int64] {
            index.search(query, count: 5, filter: .only(keys)).map(\.key)
        }
        let first = found(index)
        #expect(keys.found.slots(in: index.graph)?.count == 40)
        #expect(found(index) == first)
        try index.insert(key: 500, vector: query)
        #expect(keys.found.slots(in: index.graph) == nil)
        #expect(found(index) == [Int64(500)] + first.prefix(4))
        // The freed slot goes to a key outside the set.
        index.remove(key: 500)
        try index.insert(key: 501, vector: query)
        #expect(found(index) == first)
        try index.insert(key: first[1], vector: query)
        #expect(found(index).first == first[1])
        let other = try makeIndex(Array(base[..<300]))
        #expect(found(other).allSatisfy { $0 < 300 } && found(other).count == 5)
        #expect(found(index).first == first[1])
        #expect(keys == KeySet(stride(from: Int64(0), to: 1_000, by: 10)))
    }

    @Test func `a query of another dimension is a programmer's error`() async {
        await #expect(processExitsWith: .failure) {
            let index = try HNSWIndex(configuration: .init(dimension: 3), identity: "test")
            _ = index.search([1, 0], count: 1)
        }
        await #expect(processExitsWith: .failure) {
            let index = try HNSWIndex(configuration: .init(dimension: 3), identity: "test")
            try index.insert(key: 1, vector: [1])
        }
        await #expect(processExitsWith: .failure) {
            _ = HNSWIndex.Configuration(dimension: 0)
        }
    }
}
