import TestSupport
import Testing

@testable import VectorIndex

@Suite struct RecallTests {
    static let vectors: ([[Float]], [[Float]]) = {
        var source = ClusteredVectors(dimension: 48, clusters: 60, seed: 11)
        return (source.next(4000), source.next(100))
    }()

    /// So many that a difference of ``loss`` is not chance: 5,000 hits.
    static let moreQueries: [[Float]] = {
        var source = ClusteredVectors(dimension: 48, clusters: 60, seed: 11)
        _ = source.next(4100)
        return source.next(500)
    }()

    /// What changes of the index may cost against one built anew.
    static let loss = 0.005

    @Test func `a built index finds what exact search finds`() throws {
        let (base, queries) = Self.vectors
        let index = try makeIndex(base)
        #expect(recall(index, queries, effort: 96) >= 0.99)
        #expect(index.checkInvariants() == [])
    }

    @Test func `recall survives 30 % deletions and re-insertion`() throws {
        let (base, queries) = (Self.vectors.0, Self.moreQueries)
        let index = try makeIndex(base)
        let fresh = recall(index, queries, effort: 96)
        let removed = base.indices.filter { $0 % 10 < 3 }
        for key in removed { #expect(index.remove(key: Int64(key))) }
        #expect(index.count == base.count - removed.count)
        let rest = try makeIndex(base.indices.filter { $0 % 10 >= 3 }.map { base[$0] })
        let kept = recall(rest, queries, effort: 96)
        #expect(recall(index, queries, effort: 96) >= kept - Self.loss)
        #expect(index.checkInvariants() == [])
        for key in removed { try index.insert(key: Int64(key), vector: base[key]) }
        #expect(index.count == base.count)
        #expect(recall(index, queries, effort: 96) >= fresh - Self.loss)
        #expect(index.checkInvariants() == [])
    }

    @Test func `recall survives an update of every vector`() throws {
        let (base, queries) = (Self.vectors.0, Self.moreQueries)
        let half = base.count / 2
        let index = try makeIndex(Array(base[..<half]))
        for key in 0..<half { try index.insert(key: Int64(key), vector: base[half + key]) }
        #expect(index.count == half && index.checkInvariants() == [])
        for key in 0..<half {
            #expect(isStored(base[half + key], as: index.vector(forKey: Int64(key))))
        }
        let fresh = try makeIndex(Array(base[half...]))
        let wanted = recall(fresh, queries, effort: 96) - Self.loss
        #expect(recall(index, queries, effort: 96) >= wanted)
    }

    @Test(arguments: [1, 10, 50])
    func `filters act inside the search`(percent: Int) throws {
        let (base, queries) = Self.vectors
        let index = try makeIndex(base)
        var generator = SeededGenerator(seed: UInt64(percent))
        let keys = KeySet(
            base.indices.map(Int64.init).filter { _ in
                Int.random(in: 0..<100, using: &generator) < percent
            }
        )
        #expect(recall(index, queries, effort: 96, filter: .only(keys)) >= 0.99)
        for query in queries.prefix(20) {
            let hits = index.search(query, count: 10, filter: .only(keys))
            #expect(hits.count == min(10, keys.count))
            #expect(hits.allSatisfy { keys.contains($0.key) })
        }
    }

    /// The filter passes only rows far from the query, the case a widening walk finds last.
    @Test
    func `a filter that excludes the query's surroundings finds the nearest passing`() throws {
        let (base, queries) = Self.vectors
        let index = try makeIndex(base)
        for query in queries.prefix(10) {
            let near = Set(index.exactSearch(query, count: 2000).map(\.key))
            let far = KeySet(index.keys.filter { !near.contains($0) })
            #expect(recall(index, [query], effort: 10, filter: .only(far)) >= 0.9)
        }
    }

    @Test func `hundreds of identical vectors do not cut the graph`() throws {
        var source = ClusteredVectors(dimension: 32, clusters: 20, seed: 5)
        let template = source.next()
        var base = source.next(600)
        for position in stride(from: 0, to: 600, by: 2) { base[position] = template }
        let index = try makeIndex(base)
        #expect(index.checkInvariants() == [])
        // Half of the vectors are one crowd: a list of 64 entries can fill up inside it (recall
        // 0.96).
        #expect(recall(index, source.next(50), effort: 200) >= 0.98)
        let hits = index.search(template, count: 5, effort: 400)
        #expect(hits.map(\.key) == [0, 2, 4, 6, 8])
    }

    @Test func `small degrees keep every node reachable`() throws {
        let (base, _) = Self.vectors
        let index = try makeIndex(Array(base.prefix(1500)), m: 4)
        #expect(index.checkInvariants() == [])
        for key in stride(from: Int64(0), to: 1500, by: 2) { index.remove(key: key) }
        #expect(index.checkInvariants() == [])
    }
}
