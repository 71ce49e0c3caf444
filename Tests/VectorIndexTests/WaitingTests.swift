import Dispatch
import Synchronization
import Testing

@testable import VectorIndex

/// Searches do not wait for what a writer looks for, only for what it changes.
@Suite struct WaitingTests {
    enum Change: CaseIterable, Sendable {
        case insertion, update, removal, build
    }

    /// How many of a writer's plans were followed by an answered search before it went on.
    private final class Answers: Sendable {
        let planned = Atomic(0)
        let answered = Atomic(0)
    }

    /// A writer that has planned stops until searches of another thread have been answered: with
    /// one lock for everything, or with plans made under the lock of the readers, they never are.
    @Test(arguments: Change.allCases)
    func `searches are answered while a writer is at work`(change: Change) throws {
        var source = ClusteredVectors(dimension: 32, clusters: 30, seed: 3)
        let (base, later, queries) = (source.next(600), source.next(80), source.next(5))
        let index = try makeIndex(base)
        let answers = Answers()
        index.whenPlanned = {
            answers.planned.wrappingAdd(1, ordering: .relaxed)
            let isAnswered = DispatchSemaphore(value: 0)
            DispatchQueue.global().async {
                for query in queries {
                    let hits = index.search(query, count: 10)
                    if hits.count == 10, index.exactSearch(query, count: 10).count == 10 {
                        answers.answered.wrappingAdd(1, ordering: .relaxed)
                    }
                }
                isAnswered.signal()
            }
            // So long only where they wait for each other: the test then fails instead of hanging.
            _ = isAnswered.wait(timeout: .now() + .seconds(20))
        }
        defer { index.whenPlanned = nil }
        switch change {
        case .insertion: try index.insert(key: 1000, vector: later[0])
        case .update: try index.insert(key: 7, vector: later[0])
        case .removal: #expect(index.remove(key: 7))
        case .build:
            try index.build(keys: later.indices.map { Int64(1000 + $0) }, vectors: later)
        }
        let (planned, answered) = (
            answers.planned.load(ordering: .relaxed), answers.answered.load(ordering: .relaxed)
        )
        #expect(planned >= 1 && answered == planned * queries.count)
        #expect(index.checkInvariants() == [])
    }

    @Test func `an update takes another slot, and its own in a full index`() throws {
        var source = ClusteredVectors(dimension: 32, clusters: 10, seed: 5)
        let (base, later) = (source.next(50), source.next(50))
        let full = try makeIndex(base, capacity: 50)
        let roomy = try makeIndex(base)
        for index in [full, roomy] {
            for (key, vector) in later.enumerated() {
                try index.insert(key: Int64(key), vector: vector)
                #expect(isStored(vector, as: index.vector(forKey: Int64(key))))
            }
            #expect(index.count == 50 && index.checkInvariants() == [])
        }
        #expect(full.graph.slotCount == 50 && roomy.graph.slotCount == 51)
    }
}
