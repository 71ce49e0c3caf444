package import Domain
package import Store
import VectorIndex

/// The windows of a ``SearchIndex`` at one moment.
struct MemoryWindows: WindowView {
    let store: Store
    let model: EmbeddingModelID
    let view: IndexView
    let owners: WindowOwners
    let issues: KeySet?
    /// The windows of ``issues``; nil for all.
    let passages: KeySet?

    /// With 500 half of all searches took a fifth longer, and the slowest no less.
    let firstCount = 200
    let firstMeasured = 64

    /// Issues whose windows are read at a time; a long discussion has hundreds.
    private static let issuesMeasured = 100
    /// Windows whose issues are looked up at a time.
    private static let windowsOwned = 10_000

    func nearest(to vectors: [[Float]], count: Int) async throws -> [NearestWindows] {
        let hits = vectors.map { view.search($0, count: count, filter: passages) }
        let keys = hits.count == 1 ? hits[0].map(\.key) : Set(hits.joined().map(\.key)).sorted()
        let owners = try await owners.owners(of: keys, at: view.revision, read: readOwners(of:))
        return hits.map { hits in
            NearestWindows(
                windows: hits.compactMap { hit in
                    owners[hit.key].map {
                        NearWindow(passage: PassageID(hit.key), issue: $0, score: hit.score)
                    }
                },
                isAll: hits.count < count
            )
        }
    }

    private func readOwners(of passages: [PassageID]) async throws -> [Int64: IssueID] {
        var owners: [Int64: IssueID] = [:]
        for chunk in passages.chunked(by: Self.windowsOwned) {
            let rows = try await store.read { connection, account in
                try PassageTable.owners(of: chunk, account: account, on: connection)
            }
            owners.merge(rows) { first, _ in first }
        }
        return owners
    }

    func nearest(
        of issues: [IssueID],
        to vector: [Float]
    ) async throws -> [IssueID: NearWindow] {
        var nearest: [IssueID: NearWindow] = [:]
        func note(_ passage: PassageID, _ issue: IssueID, _ score: Float) {
            if let best = nearest[issue], best.score >= score { return }
            nearest[issue] = NearWindow(passage: passage, issue: issue, score: score)
        }
        let model = model
        for chunk in issues.chunked(by: Self.issuesMeasured) {
            let windows = try await owners.windows(of: chunk, at: view.revision) { issues in
                try await store.read { connection, account in
                    try PassageTable.windows(
                        ofIssues: issues,
                        model: model,
                        account: account,
                        on: connection
                    )
                }
            }
            // Carrying the vectors out of the store would take longer than comparing them.
            var unknown: Set<IssueID> = []
            let scores = view.scores(of: windows.map(\.0.rawValue), to: vector)
            for ((passage, issue), score) in zip(windows, scores) {
                if let score {
                    note(passage, issue, score)
                } else {
                    unknown.insert(issue)
                }
            }
            for embedded in try await stored(unknown.sorted(), dimension: vector.count) {
                let score = Float(cosine(vector, embedded.vector))
                note(embedded.id, embedded.place.issue, score)
            }
        }
        return nearest
    }

    /// The vectors of issues of which a window was written after the view was taken.
    private func stored(
        _ issues: [IssueID],
        dimension: Int
    ) async throws -> [PassageTable.Embedded] {
        guard !issues.isEmpty else { return [] }
        let model = model
        return try await store.read { connection, account in
            try PassageTable.vectors(
                ofIssues: issues,
                model: model,
                dimension: dimension,
                account: account,
                on: connection
            )
        }
    }
}

extension SearchIndex: WindowIndex {
    /// The windows as the store has them now.
    package func windows(
        passing filter: IssueFilter,
        at head: Revision?
    ) async throws -> any WindowView {
        let view = try await view(at: head)
        let (model, store) = (model, self.store)
        guard !filter.isEmpty else {
            return MemoryWindows(
                store: store,
                model: model,
                view: view,
                owners: owners,
                issues: nil,
                passages: nil
            )
        }
        let passing = try await filters.passing(filter, windowsOf: model, in: store, at: head)
        return MemoryWindows(
            store: store,
            model: model,
            view: view,
            owners: owners,
            issues: passing.issues,
            passages: passing.windows
        )
    }
}
