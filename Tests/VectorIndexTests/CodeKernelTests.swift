import LinearAlgebra
import TestSupport
import Testing

@testable import VectorIndex

/// Every set of instructions gives the same bits, and those are right.
@Suite struct CodeKernelTests {
    /// Sets of instructions of this machine but the portable one, which they are compared with;
    /// what the machine lacks would run as its best.
    static let levels = CodeKernels.Level.allCases.map(\.rawValue).filter {
        $0 > 0 && $0 <= CodeKernels.level.rawValue
    }

    @Test(arguments: [1, 3, 48, 64, 65, 200, 384, 500, 768])
    func `scores are inner products to 16 bits`(dimension: Int) throws {
        var source = ClusteredVectors(dimension: dimension, clusters: 5, seed: 4)
        let (base, queries) = (source.next(40), source.next(5))
        let index = try makeIndex(base)
        for query in queries {
            for hit in index.exactSearch(query, count: 40) {
                let exact = zip(query, base[Int(hit.key)]).reduce(0) { $0 + Double($1.0 * $1.1) }
                // Few numbers are large numbers, whose sixteen bits are coarser.
                let tolerance = dimension < 100 ? 4e-5 : 1e-5
                #expect(abs(Double(hit.score) - exact) < tolerance, "dimension \(dimension)")
            }
        }
    }

    @Test(arguments: [20, 48, 384, 500], levels)
    func `every set of instructions builds the same graph and finds the same`(
        dimension: Int,
        level: Int32
    ) throws {
        var source = ClusteredVectors(dimension: dimension, clusters: 9, seed: 6)
        let (base, queries) = (source.next(500), source.next(20))
        let shape = HNSWIndex.Configuration(dimension: dimension, m: 7, efConstruction: 40)
        let plain = try HNSWIndex(configuration: shape, identity: "test", level: 0)
        let index = try HNSWIndex(configuration: shape, identity: "test", level: level)
        for (key, vector) in base.enumerated() {
            try plain.insert(key: Int64(key), vector: vector)
            try index.insert(key: Int64(key), vector: vector)
        }
        for key in stride(from: Int64(0), to: 500, by: 9) {
            plain.remove(key: key)
            index.remove(key: key)
        }
        #expect(index.checkInvariants() == [])
        for slot in 0..<UInt32(500) where index.graph.isLive(slot) {
            #expect(
                index.graph.links(slot, layer: 0).links == plain.graph.links(slot, layer: 0).links
            )
        }
        let some = KeySet(stride(from: 0, to: 500, by: 3))
        for query in queries {
            #expect(index.search(query, count: 10) == plain.search(query, count: 10))
            #expect(index.exactSearch(query, count: 10) == plain.exactSearch(query, count: 10))
            let filtered = index.search(query, count: 10, filter: .only(some))
            #expect(filtered == plain.search(query, count: 10, filter: .only(some)))
        }
        let pairs = [index, plain].map { Set($0.pairs(atLeast: 0.5, limit: 1_000_000)) }
        #expect(pairs[0] == pairs[1] && !pairs[0].isEmpty)
        let built = try [level, 0].map { level in
            let built = try HNSWIndex(configuration: shape, identity: "test", level: level)
            try built.build(keys: base.indices.map(Int64.init), vectors: base, threads: 2)
            return built
        }
        for slot in 0..<UInt32(500) {
            let links = built.map { $0.graph.links(slot, layer: 0).links }
            #expect(links[0] == links[1])
        }
    }

    /// A crowd larger than what a scan keeps is the case in which scores alone do not tell which of
    /// its rows are the hits.
    @Test(arguments: [0] + levels)
    func `a scan finds what exact search finds, in a crowd too`(level: Int32) throws {
        var source = ClusteredVectors(dimension: 128, clusters: 9, seed: 8)
        let template = source.next()
        let base = source.next(400) + [[Float]](repeating: template, count: 1_100)
        let index = try HNSWIndex(
            configuration: .init(dimension: 128, m: 7, efConstruction: 40),
            identity: "test",
            level: level
        )
        try index.build(keys: base.indices.map(Int64.init), vectors: base)
        let crowd = SearchFilter.only(KeySet(Int64(400)..<1_500))
        let some = SearchFilter.only(KeySet(stride(from: Int64(0), to: 1_500, by: 2)))
        let few = SearchFilter.only(KeySet(stride(from: Int64(0), to: 400, by: 20)))
        for count in [1, 10, 300] {
            for filter in [crowd, some, few] {
                let hits = index.search(template, count: count, filter: filter)
                #expect(hits == index.exactSearch(template, count: count, filter: filter))
            }
            for query in source.next(5) {
                let hits = index.search(query, count: count, filter: some)
                let exact = index.exactSearch(query, count: count, filter: some)
                #expect(hits.count == exact.count)
                let common = Set(hits.map(\.key)).intersection(exact.map(\.key)).count
                #expect(Double(common) >= 0.98 * Double(count))
            }
        }
    }

    @Test func `links grow to 32 bits when slots outgrow 16`() throws {
        var source = ClusteredVectors(dimension: 8, clusters: 300, seed: 2)
        let index = try HNSWIndex(
            configuration: .init(dimension: 8, m: 4, efConstruction: 8),
            identity: "test"
        )
        let count = Graph.narrowLimit + 200
        for key in 0..<count { try index.insert(key: Int64(key), vector: source.next()) }
        #expect(index.graph.hasWideLinks && index.count == count)
        #expect(index.checkInvariants() == [])
        let queries = source.next(20)
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 8)
            for query in queries {
                #expect(opened.search(query, count: 10) == index.search(query, count: 10))
            }
            try opened.insert(key: -1, vector: queries[0])
            #expect(opened.search(queries[0], count: 1).map(\.key) == [-1])
            #expect(opened.checkInvariants() == [])
        }
    }

    @Test func `the table of keys agrees with a dictionary`() {
        var generator = SeededGenerator(seed: 12)
        let keys = UnsafeMutablePointer<Int64>.allocate(capacity: 500)
        defer { keys.deallocate() }
        for slot in 0..<500 { keys[slot] = Int64(slot * slot * slot - 1000) }
        var table = KeyTable(keys: keys)
        var model: Set<UInt32> = []
        for _ in 0..<20_000 {
            let slot = UInt32.random(in: 0..<500, using: &generator)
            if model.contains(slot) {
                table.remove(slot)
                model.remove(slot)
            } else {
                let isNew = table.insert(slot)
                #expect(isNew)
                model.insert(slot)
            }
        }
        #expect(table.count == model.count)
        for slot in 0..<UInt32(500) {
            let found = table.slot(of: keys[Int(slot)])
            #expect(found == (model.contains(slot) ? slot : nil))
        }
        let isNew = model.first.map { table.insert($0) }
        #expect(isNew == false)
        // 50,000 vectors need no more than 65,536 places of four bytes.
        table.reserve(50_000)
        let byteCount = table.byteCount
        #expect(byteCount == 65_536 * 4)
        for slot in model {
            let found = table.slot(of: keys[Int(slot)])
            #expect(found == slot)
        }
    }
}
