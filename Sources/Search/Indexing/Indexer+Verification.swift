import Domain
import Store

// Whether the texts that were looked at have their windows.

extension Indexer {
    /// Windows of an issue and its comments that are not as their texts say.
    struct WindowFaults: Sendable, Equatable {
        /// Windows that are not stored, or are of another text.
        var missing = 0
        /// Stored windows that are of no text any more, or stand elsewhere in it.
        var outdated = 0
    }

    /// Windows that nothing is stored of are embedded for this many, for some texts say nothing to
    /// the model and have no vector; those of more are all taken for missing.
    private static let maximumTrials = 1_000

    /// Compares what is stored of every text, up to the place in the feed, with its windows.
    ///
    /// - Returns: The issues that have faults. One that has changed since is left out.
    /// - Throws: What the store refuses and the embedder throws, `CancellationError`.
    func verifyTexts() async throws -> [IssueID: WindowFaults] {
        var faults: [IssueID: WindowFaults] = [:]
        var trials = Self.maximumTrials
        let end = try await place()
        var start = Revision.zero
        while start < end, let page = try await readPage(after: start) {
            try Task.checkCancellation()
            start = page.end
            let plan = makePlan(page.until(end))
            var missing = plan.missing.map(\.draft)
            if !missing.isEmpty, missing.count <= trials {
                trials -= missing.count
                missing = try await embed(plan.missing).drafts
            }
            for draft in missing { faults[draft.place.issue, default: .init()].missing += 1 }
            for draft in plan.moved { faults[draft.place.issue, default: .init()].outdated += 1 }
            let issues = Dictionary(
                page.stored.values.joined().map { ($0.id, $0.place.issue) },
                uniquingKeysWith: { first, _ in first }
            )
            for issue in plan.vanished.compactMap({ issues[$0] }) {
                faults[issue, default: .init()].outdated += 1
            }
        }
        guard !faults.isEmpty else { return [:] }
        // A comment is gone with its issue, whose change may still wait.
        start = end
        while let page = try await readPage(after: start) {
            start = page.end
            for text in page.texts { faults[text.issue] = nil }
        }
        return faults
    }

    /// Looks at every text again; what has its windows is not embedded anew.
    func restart() async throws {
        let model = model
        try await store.write { connection, account in
            try FollowerTable.reset(
                Self.follower(of: model),
                account: account,
                on: connection
            )
        }
    }

    /// Where in the feed the indexer is.
    private func place() async throws -> Revision {
        let model = model
        return try await store.read { connection, account in
            try FollowerTable.revision(
                of: Self.follower(of: model),
                account: account,
                on: connection
            )
        }
    }
}

extension Indexer.Page {
    /// The page without what changed behind a place.
    fileprivate func until(_ end: Revision) -> Indexer.Page {
        var page = self
        page.texts.removeAll { $0.revision > end }
        return page
    }
}
