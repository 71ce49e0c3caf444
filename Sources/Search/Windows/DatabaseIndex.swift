package import Domain
package import Store
import Synchronization
import VectorIndex

/// The windows' vectors where PostgreSQL searches them: in the mirror, by pgvector's HNSW index.
///
/// This process holds nothing. Each question is answered on a snapshot of the database that has
/// mirror and windows alike; a mirror that somebody wrote past is brought up to date first.
package struct DatabaseIndex: WindowIndex {
    let store: Store
    let row: EmbeddingModelTable.Row
    package let filters = FilterCache()
    private let memory = Memory()
    /// Whether the extension goes on when a filter drops what the index found.
    private let canIterate: Bool

    /// Windows a search mirrors before it answers: two seconds' work.
    ///
    /// More is a backlog, which the scan works off.
    private static let maximumCatchUp = 4_096

    /// What the database told last.
    private final class Memory: Sendable {
        /// Whether there is an index for vectors of this length.
        let isIndexed = Atomic(false)
        /// How many of the mirror's rows are this model's, and for how many questions that holds.
        let share = Mutex<(share: Share, questions: Int)?>(nil)
        /// Where the indexer was.
        let indexed = Mutex<Revision?>(nil)
    }

    /// Questions for which a share is believed: counting takes what some of them take together.
    private static let shareQuestions = 256

    /// The rows of this account's model among those in which the index walks.
    struct Share: Sendable {
        /// At most as many as comparing them all can be worthwhile for.
        var rows: Int
        /// All in the mirror, roughly.
        var total: Int
        /// How many rows an issue has on average.
        var windowsOfIssue: Double
    }

    package var model: EmbeddingModelID { row.id }

    /// Opens the mirror of a model, which is made when it is missing.
    ///
    /// - Throws: ``SearchError/noMirror(reason:advice:)``, and what the store refuses.
    package init(store: Store, model row: EmbeddingModelTable.Row) async throws {
        let state = try await VectorMirror.prepare(store)
        guard case .ready(_, let indexed, _) = state else {
            throw SearchError.noMirror(reason: state.description, advice: state.advice)
        }
        guard row.dimension <= PassageVectorTable.maximumDimension else {
            throw SearchError.noMirror(
                reason: "vectors of \(row.dimension) numbers are too long for pgvector",
                advice: "search them in memory: unset PRELOOP_VECTOR_BACKEND"
            )
        }
        self.store = store
        self.row = row
        canIterate = state.canIterate
        memory.isIndexed.store(indexed.contains(row.dimension), ordering: .relaxed)
    }

    /// The windows as the database has them whenever it is asked.
    package func windows(
        passing filter: IssueFilter,
        at head: Revision?
    ) async throws -> any WindowView {
        let share = try await share()
        guard !filter.isEmpty else {
            return DatabaseWindows(
                index: self,
                filter: filter,
                issues: nil,
                rowCount: share.total,
                ownCount: share.rows
            )
        }
        let passing = try await filters.passing(filter, windowsOf: nil, in: store, at: head).issues
        return DatabaseWindows(
            index: self,
            filter: filter,
            issues: passing,
            rowCount: share.total,
            ownCount: Int(Double(passing.count) * share.windowsOfIssue)
        )
    }

    /// How much of the mirror is this model's, as far as it matters for the plan.
    private func share() async throws -> Share {
        let known = memory.share.withLock { known -> Share? in
            guard let (share, questions) = known, questions > 0 else { return nil }
            known = (share, questions - 1)
            return share
        }
        if let known { return known }
        let row = row
        let share = try await store.read { connection, account in
            let total = try PassageVectorTable.roughCount(
                dimension: row.dimension,
                on: connection
            )
            let rows = try PassageVectorTable.count(
                of: row.id,
                atMost: DatabaseWindows.worthwhileCount(among: total),
                account: account,
                on: connection
            )
            let windows = try PassageVectorTable.windowsOfIssue(
                of: row.id,
                account: account,
                on: connection
            )
            return Share(rows: rows, total: total, windowsOfIssue: windows)
        }
        memory.share.withLock { $0 = (share, Self.shareQuestions) }
        return share
    }

    /// Mirrors what was written without the mirror.
    package func refresh() async throws {
        try await VectorMirror.catchUp(store, with: row)
    }

    /// Nothing: what is mirrored is there for all.
    package func saveIfWorthwhile(after changes: Int) async throws -> Bool { false }

    /// Looks at every window again and mends what is wrong.
    package func rebuild() async throws {
        _ = try await VectorMirror.compare(store, repairing: true)
        try await refresh()
    }

    // MARK: - Asking

    /// How a search is done when nothing else is better.
    var plain: Plan {
        canIterate && memory.isIndexed.load(ordering: .relaxed) ? .index : .rows
    }

    /// By the index, or row by row.
    enum Plan { case index, rows }

    /// Asks, after bringing the mirror up to date when it is not.
    func answer(_ query: PassageVectorTable.Query) async throws -> PassageVectorTable.Answer {
        let (row, follower) = (row, Indexer.follower(of: model))
        var isBroughtUp = false
        while true {
            let known = memory.indexed.withLock { $0 }
            let answer = try await store.read { connection, account in
                try PassageVectorTable.search(
                    query,
                    model: row,
                    follower: follower,
                    known: known,
                    account: account,
                    on: connection
                )
            }
            // The scan makes the index when it is worthwhile; others hear of it here.
            memory.isIndexed.store(answer.isIndexed, ordering: .relaxed)
            memory.indexed.withLock { $0 = answer.indexed }
            // A backup was put back: what was deleted behind its place was not looked for.
            if let known, answer.indexed < known { continue }
            if answer.isComplete { return answer }
            // Somebody goes on writing without the mirror.
            guard !isBroughtUp else { throw SearchError.mirrorBehind }
            isBroughtUp = try await VectorMirror.catchUp(
                store,
                with: row,
                limit: Self.maximumCatchUp
            )
            guard isBroughtUp else { throw SearchError.mirrorBehind }
        }
    }
}
