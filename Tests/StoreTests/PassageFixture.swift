import Domain
import Foundation
import Store
import StoreTestSupport
import Testing

/// Windows with vectors in a store, for tests of what is made from them.
struct PassageFixture: Sendable {
    let store: Store
    /// Kept as long as the store is used.
    let scratch: ScratchStore?

    /// A store on one engine; `isAlone` as of `Engine.database`.
    init(_ engine: Engine, isAlone: Bool = false) async throws {
        let scratch = try await engine.store(isAlone: isAlone)
        self.scratch = scratch
        store = scratch.store
    }

    init(_ store: Store) {
        self.store = store
        scratch = nil
    }

    /// Makes a model the current one.
    func model(_ name: String = "m", dimension: Int = 8) async throws -> EmbeddingModelTable.Row {
        try await store.write { connection, account in
            _ = try EmbeddingModelTable.makeCurrent(
                name: name,
                revision: "1",
                dimension: dimension,
                at: Timestamp(milliseconds: 0),
                account: account,
                on: connection
            )
            let all = try EmbeddingModelTable.all(account: account, on: connection)
            return all.first { $0.name == name && $0.dimension == dimension } ?? all[0]
        }
    }

    /// Writes windows of titles of the issues with these numbers; an issue has one window.
    func write(
        _ vectors: [(issue: Int64, vector: [Float])],
        model: EmbeddingModelTable.Row
    ) async throws {
        let drafts = vectors.map { issue, vector in
            PassageTable.Draft(
                id: nil,
                place: PassageTable.Place(issue: IssueID(issue), part: .title, position: 0),
                range: 0..<1,
                textHash: [1],
                vector: vector
            )
        }
        try await change(drafts, model: model)
    }

    func change(
        _ drafts: [PassageTable.Draft],
        deleting deleted: [PassageID] = [],
        model: EmbeddingModelTable.Row
    ) async throws {
        try await store.write { connection, account in
            try PassageTable.write(
                drafts,
                deleting: deleted,
                model: model.id,
                at: Timestamp(milliseconds: 1),
                account: account,
                on: connection
            )
        }
    }

    /// The windows of issues, by issue.
    func passages(
        _ issues: [Int64],
        model: EmbeddingModelTable.Row
    ) async throws -> [PassageTable.Passage] {
        try await store.read { connection, account in
            try PassageTable.passages(
                ofIssues: issues.map { IssueID($0) },
                model: model.id,
                account: account,
                on: connection
            )
        }
    }

    /// Does something to the database that no program does.
    func damage(_ statement: SQL) async throws {
        _ = try await store.database.write { connection in try connection.execute(statement) }
    }

    /// A unit vector, the same for the same seed.
    static func vector(_ seed: Int, dimension: Int = 8) -> [Float] {
        var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        let numbers = (0..<dimension).map { _ -> Double in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(Int64(bitPattern: state) >> 11)
        }
        let norm = numbers.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return numbers.map { Float($0 / norm) }
    }
}

extension PassageFixture {
    /// A store with a mirror, a model, and windows of issues 1 to `count`.
    static func mirrored(
        _ count: Int = 20,
        dimension: Int = 8
    ) async throws -> (PassageFixture, EmbeddingModelTable.Row) {
        let fixture = try await PassageFixture(.postgres, isAlone: true)
        let model = try await fixture.model(dimension: dimension)
        let state = try await VectorMirror.prepare(fixture.store)
        #expect(state.isReady, "\(state.description)")
        try await fixture.write(
            (1...max(count, 1)).map {
                (Int64($0), PassageFixture.vector($0, dimension: dimension))
            },
            model: model
        )
        #expect(try await VectorMirror.makeIndex(fixture.store, dimension: dimension, from: 0))
        return (fixture, model)
    }
}
