package import Domain
import Embeddings
import Store

/// Follows the feed of issues and comments and keeps a vector for every window of their texts.
///
/// A page of changes is read, its texts are cut, what is new is embedded, and windows, tombstones
/// and the place in the feed are written in one transaction. Three pages are at work at a time, one
/// in each stage, so that the embedder need not wait for the store (see ``step(_:)``). A kill at
/// any point loses at most these, which the next run reads again; two indexers at once do no harm,
/// because a page is written only when the place in the feed is still the one it was read from.
package actor Indexer {
    /// How much is held in memory at a time.
    package struct Limits: Sendable {
        /// Changed issues and comments in a page; one transaction, one fsync.
        package var page = 64
        /// Texts given to the embedder at a time: enough for it to form batches of equal length,
        /// few enough to stop promptly.
        package var texts = 128
        /// Rows of an old model removed in a transaction.
        package var removals = 2_000

        package init() {}
    }

    let store: Store
    private let embedder: any Embedder
    private let limits: Limits
    /// The model whose vectors are made.
    package nonisolated let model: EmbeddingModelID

    /// An indexer with the embedder's model; see ``registerModel(of:in:replacing:as:)``.
    init(
        store: Store,
        embedder: any Embedder,
        model: EmbeddingModelID,
        limits: Limits = Limits()
    ) {
        self.store = store
        self.embedder = embedder
        self.limits = limits
        self.model = model
    }

    /// The follower name of the indexer of a model.
    package static func follower(of model: EmbeddingModelID) -> String {
        "indexer-\(model)"
    }

    /// Changed issues and comments not yet looked at.
    package func backlog() async throws -> Int {
        let model = model
        return try await store.read { connection, account in
            let revision = try FollowerTable.revision(
                of: Self.follower(of: model),
                account: account,
                on: connection
            )
            return try PassageTable.changedTextCount(
                after: revision,
                account: account,
                on: connection
            )
        }
    }

    /// Drops the vectors of models that are no longer searched; called when nothing is waiting.
    package func dropOldModels() async throws -> Int {
        let current = model
        var dropped = 0
        let old = try await store.read { connection, account in
            try EmbeddingModelTable.all(account: account, on: connection)
                .filter { !$0.isCurrent && $0.id != current }
        }
        for model in old {
            while true {
                try Task.checkCancellation()
                let limit = limits.removals
                let count = try await store.write { connection, account in
                    let count = try PassageTable.removeSome(
                        of: model.id,
                        limit: limit,
                        account: account,
                        on: connection
                    )
                    if count == 0 {
                        try FollowerTable.reset(
                            Self.follower(of: model.id),
                            account: account,
                            on: connection
                        )
                        try FollowerTable.reset(
                            Duplicates.follower(of: model.id),
                            account: account,
                            on: connection
                        )
                        try EmbeddingModelTable.remove(model.id, account: account, on: connection)
                    }
                    return count
                }
                guard count > 0 else { break }
                dropped += count
            }
        }
        return dropped
    }

    // MARK: - Reading

    struct Page: Sendable {
        var start: Revision
        var end: Revision
        /// The changes, a text each.
        var texts: [PassageTable.TextChange]
        var issues: [IssueID: PassageTable.IssueText]
        var comments: [CommentID: PassageTable.CommentText]
        var stored: [IssueID: [PassageTable.Passage]]

        /// Live issues whose own windows are all tombstones: they were deleted and are back.
        var returning: [IssueID] {
            issues.values.filter { text in
                guard !text.isDeleted, let stored = stored[text.issue] else { return false }
                return stored.contains { $0.place.comment != nil && $0.isDeleted }
            }.map(\.issue).sorted()
        }

        /// Whether this page must be read again once `earlier` is written, because windows that
        /// `earlier` writes belong to what it knows as stored: the same texts, or those of an issue
        /// that one of the two takes as a whole.
        func depends(on earlier: Page) -> Bool {
            let touched = Set(earlier.texts.map(\.issue))
            let gone = Set(earlier.issues.values.lazy.filter(\.isDeleted).map(\.issue))
            let comments = Set(earlier.texts.compactMap(\.comment))
            return texts.contains { change in
                guard touched.contains(change.issue) else { return false }
                guard let comment = change.comment else { return true }
                return gone.contains(change.issue) || comments.contains(comment)
            }
        }
    }

    /// The next page behind `place`, or behind the place that is stored.
    func readPage(after place: Revision?) async throws -> Page? {
        let (model, limit) = (model, limits.page)
        return try await store.read { connection, account -> Page? in
            let start =
                try place
                ?? FollowerTable.revision(
                    of: Self.follower(of: model),
                    account: account,
                    on: connection
                )
            let changes = try PassageTable.changedTexts(
                after: start,
                limit: limit,
                account: account,
                on: connection
            )
            guard let last = changes.last else { return nil }
            let issues = try PassageTable.issueTexts(
                of: changes.filter { $0.comment == nil }.map(\.issue),
                account: account,
                on: connection
            )
            let comments = try PassageTable.commentTexts(
                changes.compactMap(\.comment),
                account: account,
                on: connection
            )
            let stored = try PassageTable.passages(
                ofIssues: Set(changes.map(\.issue)).sorted(),
                model: model,
                account: account,
                on: connection
            )
            return Page(
                start: start,
                end: last.revision,
                texts: changes,
                issues: Dictionary(
                    issues.map { ($0.issue, $0) },
                    uniquingKeysWith: { first, _ in first }
                ),
                comments: Dictionary(
                    comments.map { ($0.comment, $0) },
                    uniquingKeysWith: { first, _ in first }
                ),
                stored: Dictionary(grouping: stored, by: \.place.issue)
            )
        }
    }

    // MARK: - Planning

    /// The next page with what is to be done about it; nil when nothing is waiting.
    func prepare(after place: Revision? = nil) async throws -> Prepared? {
        guard let page = try await readPage(after: place) else { return nil }
        return Prepared(page: page, plan: makePlan(page))
    }

    func makePlan(_ page: Page) -> PassagePlan {
        var plan = PassagePlan()
        for change in page.texts {
            let stored = page.stored[change.issue] ?? []
            if let comment = change.comment {
                guard let text = page.comments[comment] else { continue }
                self.plan(text, stored: stored.filter { $0.place.comment == comment }, in: &plan)
            } else if let text = page.issues[change.issue] {
                self.plan(text, stored: stored, in: &plan)
            }
        }
        return plan
    }

    private func plan(
        _ text: PassageTable.IssueText,
        stored: [PassageTable.Passage],
        in plan: inout PassagePlan
    ) {
        guard !text.isDeleted else { return plan.drop(stored) }
        plan.add(
            text.title,
            windows: embedder.windows(of: text.title, maximumCount: 1),
            issue: text.issue,
            comment: nil,
            part: .title,
            stored: stored.filter { $0.place.part == .title }
        )
        plan.add(
            text.body,
            after: text.title,
            windows: embedder.windows(
                of: text.body,
                maximumCount: PassagePlan.Limits().body
            ),
            issue: text.issue,
            comment: nil,
            part: .body,
            stored: stored.filter { $0.place.part == .body }
        )
    }

    private func plan(
        _ text: PassageTable.CommentText,
        stored: [PassageTable.Passage],
        in plan: inout PassagePlan
    ) {
        guard !text.isDeleted else { return plan.drop(stored) }
        plan.add(
            text.body,
            windows: embedder.windows(
                of: text.body,
                maximumCount: PassagePlan.Limits().comment
            ),
            issue: text.issue,
            comment: text.comment,
            part: .comment,
            stored: stored
        )
    }

    // MARK: - Embedding and writing

    /// The windows with their vectors, and the rows of those that now say nothing to the model.
    func embed(
        _ missing: [PassagePlan.Missing]
    ) async throws -> (drafts: [PassageTable.Draft], meaningless: [PassageID]) {
        var drafts: [PassageTable.Draft] = []
        var meaningless: [PassageID] = []
        var start = 0
        while start < missing.count {
            try Task.checkCancellation()
            let chunk = missing[start..<min(start + limits.texts, missing.count)]
            let vectors = try await Self.encode(chunk.map(\.text), by: embedder)
            for (item, vector) in zip(chunk, vectors) {
                guard let vector else {
                    if let id = item.draft.id { meaningless.append(id) }
                    continue
                }
                var draft = item.draft
                draft.vector = vector
                drafts.append(draft)
            }
            start += chunk.count
        }
        return (drafts, meaningless)
    }

    /// Unit vectors of texts, nil for a text that has none; refuses what the model did not promise.
    static func encode(
        _ texts: [String],
        by embedder: any Embedder
    ) async throws -> [[Float]?] {
        let matrix = try await embedder.encode(texts)
        guard matrix.dimension == embedder.model.dimension, matrix.count == texts.count else {
            throw SearchError.unexpectedVectors(
                model: embedder.model.name,
                expected: embedder.model.dimension,
                found: matrix.dimension
            )
        }
        return (0..<matrix.count).map { unit(matrix[$0]) }
    }

    /// The vector with length 1; nil for zero or numbers that are none.
    private static func unit(_ vector: [Float]) -> [Float]? {
        let norm = cosine(vector, vector).squareRoot()
        guard norm.isFinite, norm > 1e-6 else { return nil }
        // The embedder's own vectors stay bit for bit what they are.
        guard abs(norm - 1) > 1e-4 else { return vector }
        return vector.map { Float(Double($0) / norm) }
    }

    /// Writes a page unless the place in the feed has moved since it was read.
    ///
    /// - Returns: What was done; nil when another indexer was quicker, so that nothing was written.
    func write(_ embedded: Embedded) async throws -> IndexReport? {
        let (page, plan) = (embedded.page, embedded.plan)
        let (model, now, drafts, vanished) = (model, store.clock.now(), plan.moved, plan.vanished)
        let (start, end) = (page.start, page.end)
        let isWritten = try await store.write { connection, account in
            let place = try FollowerTable.revision(
                of: Self.follower(of: model),
                account: account,
                on: connection
            )
            guard place == start else { return false }
            try PassageTable.write(
                drafts,
                deleting: vanished,
                model: model,
                at: now,
                account: account,
                on: connection
            )
            try FollowerTable.advance(
                Self.follower(of: model),
                to: end,
                account: account,
                on: connection
            )
            return true
        }
        guard isWritten else { return nil }
        var report = IndexReport()
        report.texts = page.texts.count
        report.embedded = embedded.drafts.count
        report.embeddedByProject = try await countsByProject(embedded.drafts)
        report.moved = plan.moved.count - embedded.drafts.count
        report.removed = plan.vanished.count
        report.unchanged = plan.unchangedCount
        return report
    }

    private func countsByProject(
        _ drafts: [PassageTable.Draft]
    ) async throws -> [IndexReport.Project: Int] {
        guard !drafts.isEmpty else { return [:] }
        let issues = Set(drafts.map(\.place.issue)).sorted()
        let projects = try await store.read { connection, account in
            try ProjectTable.names(ofIssues: issues, account: account, on: connection)
        }
        var counts: [IndexReport.Project: Int] = [:]
        for draft in drafts {
            guard let name = projects[draft.place.issue] else { continue }
            counts[.init(tracker: name.tracker, path: name.path), default: 0] += 1
        }
        return counts
    }

    /// Embeds the comments of an issue that was taken for deleted and is back: they did not change,
    /// so the feed does not name them.
    func revive(_ issue: IssueID) async throws -> IndexReport {
        let (model, limit) = (model, limits.page)
        var report = IndexReport()
        var last = CommentID(0)
        while true {
            let after = last
            let (texts, stored) = try await store.read { connection, account in
                (
                    try PassageTable.revivedComments(
                        of: issue,
                        after: after,
                        model: model,
                        limit: limit,
                        account: account,
                        on: connection
                    ),
                    try PassageTable.passages(
                        ofIssues: [issue],
                        model: model,
                        account: account,
                        on: connection
                    )
                )
            }
            guard let end = texts.last else { return report }
            last = end.comment
            var plan = PassagePlan()
            for text in texts {
                self.plan(
                    text,
                    stored: stored.filter { $0.place.comment == text.comment },
                    in: &plan
                )
            }
            let drafts = try await embed(plan.missing).drafts
            let now = store.clock.now()
            try await store.write { connection, account in
                try PassageTable.write(
                    drafts,
                    deleting: [],
                    model: model,
                    at: now,
                    account: account,
                    on: connection
                )
            }
            report.embedded += drafts.count
            report.embeddedByProject.merge(
                try await countsByProject(drafts),
                uniquingKeysWith: +
            )
        }
    }
}
