import Testing

@testable import VectorIndex

@Suite struct JoinTests {
    @Test(arguments: [Float(0.5), 0.7, 0.9])
    func `a join finds what comparing each with each finds`(threshold: Float) throws {
        var source = ClusteredVectors(dimension: 48, clusters: 40, seed: 3)
        let base = source.next(1100)
        let index = try makeIndex(base)
        for key in stride(from: Int64(0), to: 1100, by: 11) { index.remove(key: key) }
        var expected: Set<[Int64]> = []
        for first in base.indices where first % 11 != 0 {
            let vector = try #require(index.vector(forKey: Int64(first)))
            for hit in index.exactSearch(vector, count: 1100)
            where hit.key > first && hit.score >= threshold + 1e-5 {
                expected.insert([Int64(first), hit.key])
            }
        }
        let pairs = index.pairs(atLeast: threshold, limit: 1_000_000)
        let found = Set(pairs.map { [$0.first, $0.second] })
        #expect(found.count == pairs.count && expected.isSubset(of: found))
        #expect(pairs.allSatisfy { $0.score >= threshold && $0.first < $0.second })
        let approximate = index.approximatePairs(atLeast: threshold, limit: 1_000_000)
        #expect(Set(approximate.map { [$0.first, $0.second] }).isSubset(of: found))
        #expect(Double(approximate.count) >= 0.98 * Double(pairs.count))
        #expect(index.pairs(atLeast: threshold, limit: 3).count <= 3)
    }
}
