import Synchronization
import Testing

@testable import VectorIndex

@Suite struct CalibrationTests {
    @Test func `a recall that is asked for is reached, and kept in the snapshot`() throws {
        let (base, queries) = RecallTests.vectors
        let index = try HNSWIndex(configuration: .init(dimension: 48), identity: "test")
        try index.build(keys: base.indices.map(Int64.init), vectors: base)
        index.calibrate()
        let truth = queries.map { index.exactSearch($0, count: 10) }
        func found(_ search: ([Float]) -> [IndexHit]) -> Double {
            var found = 0
            for (query, exact) in zip(queries, truth) {
                let floor = (exact.last?.score ?? 1) - 1e-6
                found += search(query).count { $0.score >= floor }
            }
            return Double(found) / Double(10 * queries.count)
        }
        for wanted in [0.8, 0.9, 0.98] {
            // The sample is two thousand hits and these queries are a thousand.
            let share = found { index.search($0, count: 10, recall: wanted) }
            #expect(share >= wanted - 0.02)
        }
        // Also for many more hits than it was measured with, without that many times the work.
        for wanted in [0.9, 0.98] {
            var share = 0.0
            for query in queries {
                let floor = (index.exactSearch(query, count: 200).last?.score ?? 1) - 1e-6
                let hits = index.search(query, count: 200, recall: wanted)
                share += Double(hits.count { $0.score >= floor }) / Double(200 * queries.count)
            }
            #expect(share >= wanted - 0.02)
        }
        for rung in Calibration.ladder {
            #expect(rung.effort(for: 10) == rung.effort)
            #expect((416...max(416, 20 * rung.effort)).contains(rung.effort(for: 200)))
        }
        // What is asked for decides what is done: the least finds less than the most.
        let recalls = index.calibration.withLock { $0.recalls.map(Double.init) }
        let least = try #require(recalls.first)
        let most = try #require(recalls.max())
        let cheap = found { index.search($0, count: 10, recall: least) }
        let dear = found { index.search($0, count: 10, recall: most) }
        #expect(cheap < dear)
        let first = Calibration.ladder[0]
        for query in queries {
            let hits = index.search(query, count: 10, effort: first.effort, reach: first.reach)
            #expect(index.search(query, count: 10, recall: least) == hits)
        }
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 48)
            #expect(opened.calibration.withLock { $0 } == index.calibration.withLock { $0 })
            #expect(opened.calibration.withLock { $0.recalls.count } == Calibration.ladder.count)
        }
    }

    @Test func `dearer rungs find no less`() throws {
        let (base, _) = RecallTests.vectors
        let index = try makeIndex(Array(base.prefix(2000)))
        index.calibrate()
        let recalls = index.calibration.withLock { $0.recalls }
        for (cheaper, dearer) in zip(recalls, recalls.dropFirst()) {
            #expect(dearer >= cheaper - 0.01)
        }
        let first = try #require(recalls.first)
        let last = try #require(recalls.last)
        // The last list holds all of these; the first has to miss some, or nothing was measured.
        #expect(last == 1 && first < last)
    }

    @Test func `a calibration is made anew when a quarter has changed, and not for a few`() {
        var calibration = Calibration()
        func isStale(_ count: Int, _ changes: Int = 0) -> Bool {
            calibration.isStale(for: count, after: changes)
        }
        #expect(!isStale(999, 5000) && isStale(1000))
        calibration.vectorCount = 4000
        #expect(!isStale(5000, 1000) && isStale(5001, 1001) && isStale(2999, 1001))
        #expect(!isStale(4000, 2000) && isStale(4000, 2001))
        #expect(calibration.rung(for: 0.9) == nil)
    }

    /// As many vectors as before, but others.
    @Test func `vectors that were replaced count, also by other processes`() throws {
        let (base, _) = RecallTests.vectors
        let index = try makeIndex(Array(base.prefix(1000)))
        try withTemporaryPath { path in
            try index.save(to: path, revision: 1)
            #expect(index.graph.uncalibratedChanges == 0)
            func replace(_ keys: Range<Int>, in index: HNSWIndex) throws {
                for key in keys {
                    try index.insert(key: Int64(key), vector: base[1000 + key])
                }
            }
            try replace(0..<200, in: index)
            try index.save(to: path, revision: 2)
            let opened = try HNSWIndex.open(path: path, expecting: "test", dimension: 48)
            #expect(opened.graph.uncalibratedChanges == 400)
            try replace(200..<251, in: opened)
            #expect(opened.graph.uncalibratedChanges == 502)
            try opened.save(to: path, revision: 3)
            #expect(opened.graph.uncalibratedChanges == 0)
        }
    }
}
