import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

/// Searches do not wait for what a writer works out, only for its putting into place.
@Suite struct WaitingTests {
    enum Change: CaseIterable, Sendable {
        case insertion, update, removal, build
    }

    /// How many of a writer's changes were followed by an answered search before it went on.
    private final class Answers: Sendable {
        let staged = Atomic(0)
        let answered = Atomic(0)
    }

    /// A writer that has only to copy lists into place stops until searches of another thread have
    /// been answered: with one lock for everything, or with links changed under the lock of the
    /// readers, they never are.
    @Test(arguments: Change.allCases)
    func `searches are answered while a writer is at work`(change: Change) throws {
        var source = ClusteredVectors(dimension: 32, clusters: 30, seed: 3)
        let (base, later, queries) = (source.next(600), source.next(80), source.next(5))
        let index = try makeIndex(base)
        let answers = Answers()
        index.whenStaged = {
            answers.staged.wrappingAdd(1, ordering: .relaxed)
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
        defer { index.whenStaged = nil }
        switch change {
        case .insertion: try index.insert(key: 1000, vector: later[0])
        case .update: try index.insert(key: 7, vector: later[0])
        case .removal: #expect(index.remove(key: 7))
        case .build:
            try index.build(keys: later.indices.map { Int64(1000 + $0) }, vectors: later)
        }
        let (staged, answered) = (
            answers.staged.load(ordering: .relaxed), answers.answered.load(ordering: .relaxed)
        )
        #expect(staged >= 1 && answered == staged * queries.count)
        #expect(index.checkInvariants() == [])
    }

    /// Everything is worked out before anybody waits: the lists that are copied into place are all
    /// that differs, and until then the graph is the old one, whole.
    @Test(arguments: Change.allCases)
    func `a graph is the old one until a change is put into place`(change: Change) throws {
        var source = ClusteredVectors(dimension: 32, clusters: 30, seed: 4)
        let (base, later) = (source.next(600), source.next(80))
        let index = try makeIndex(base)
        let before = Self.lists(of: index)
        let copies = Atomic(0)
        let differing = Atomic(0)
        index.whenStaged = {
            guard copies.load(ordering: .relaxed) == 0 else { return }
            copies.add(index.graph.draft.count, ordering: .relaxed)
            if Self.lists(of: index) != before { differing.add(1, ordering: .relaxed) }
            if !index.checkInvariants().isEmpty { differing.add(1, ordering: .relaxed) }
        }
        switch change {
        case .insertion: try index.insert(key: 1000, vector: later[0])
        case .update: try index.insert(key: 7, vector: later[0])
        case .removal: #expect(index.remove(key: 7))
        case .build:
            try index.build(keys: later.indices.map { Int64(1000 + $0) }, vectors: later)
        }
        index.whenStaged = nil
        #expect(copies.load(ordering: .relaxed) > 4 && differing.load(ordering: .relaxed) == 0)
        #expect(Self.lists(of: index) != before)
        #expect(index.graph.draft.count == 0 && index.graph.staged.isEmpty)
        #expect(index.checkInvariants() == [])
    }

    private static func lists(of index: HNSWIndex) -> [[UInt32]] {
        let graph = index.graph
        return (0..<UInt32(graph.slotCount)).map { graph.links($0, layer: 0).links }
    }

    /// The table of keys and the width of links change as the graph grows, beside searches.
    @Test func `searches go on while a graph outgrows its tables`() throws {
        let count = Graph.narrowLimit + 40
        let index = try HNSWIndex(
            configuration: .init(dimension: 4, m: 4, efConstruction: 8, capacity: count),
            identity: "growth"
        )
        var generator = SeededGenerator(seed: 11)
        let vectors = (0..<count).map { _ in
            (0..<4).map { _ in Float.random(in: -1...1, using: &generator) }
        }
        let isOver = Atomic(false)
        let faults = Atomic(0)
        let found = Atomic(0)
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            while !isOver.load(ordering: .acquiring) {
                for hit in index.search(vectors[0], count: 5) {
                    let (vector, query) = (vectors[Int(hit.key)], vectors[0])
                    let length = zip(vector, vector).reduce(0) { $0 + $1.0 * $1.1 }.squareRoot()
                    let product = zip(vector, query).reduce(0) { $0 + $1.0 * $1.1 } / length
                    if abs(hit.score - product) > 1e-3 { faults.add(1, ordering: .relaxed) }
                    found.add(1, ordering: .relaxed)
                }
            }
        }
        try index.build(keys: (0..<count).map { Int64($0) }, vectors: vectors)
        isOver.store(true, ordering: .releasing)
        group.wait()
        #expect(index.graph.hasWideLinks && index.count == count)
        #expect(faults.load(ordering: .relaxed) == 0 && found.load(ordering: .relaxed) > 0)
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
