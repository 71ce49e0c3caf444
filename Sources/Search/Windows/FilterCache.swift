import Domain
import Store
import Synchronization
import VectorIndex

/// What passes the filters that were asked for lately, as the store has it at one revision.
///
/// Finding that out reads a row of each issue, which took ten times as long as the search itself.
/// Everything that makes an issue or a window pass or not draws a revision, but for the names of
/// projects, organisations and trackers, which are looked up each time. So what was known of
/// another revision is forgotten, and nothing needs to be told of changes.
package final class FilterCache: Sendable {
    /// What passes a filter.
    struct Passing: Sendable {
        var issues: KeySet
        /// Nil when nobody has asked for windows.
        var windows: KeySet?
    }

    /// Filters that are known at a time.
    static let maximumCount = 32
    /// Keys of all of them, with their places in the index: 12 bytes each where they are sparse.
    static let maximumKeys = 4_000_000

    private struct Entry {
        var filter: IssueFilter
        var model: EmbeddingModelID?
        var passing: Passing

        var keyCount: Int { passing.issues.count + (passing.windows?.count ?? 0) }
    }

    private struct Known {
        var revision = Revision.zero
        /// The one that was asked for last comes last.
        var entries: [Entry] = []

        mutating func find(
            _ filter: IssueFilter,
            _ model: EmbeddingModelID?,
            at revision: Revision
        ) -> Passing? {
            // Less than before it is where a backup was put back.
            if revision != self.revision { self = Known(revision: revision) }
            let place = entries.lastIndex { entry in
                entry.filter == filter && (model == nil || entry.model == model)
            }
            guard let place else { return nil }
            let entry = entries.remove(at: place)
            entries.append(entry)
            return entry.passing
        }

        mutating func keep(_ entry: Entry, at revision: Revision) {
            // Somebody may have asked on another snapshot; a set too large is made anew each time.
            guard revision == self.revision, entry.keyCount <= maximumKeys else { return }
            entries.removeAll { $0.filter == entry.filter && $0.model == entry.model }
            entries.append(entry)
            while entries.count > maximumCount
                || entries.reduce(0, { $0 + $1.keyCount }) > maximumKeys
            {
                entries.removeFirst()
            }
        }
    }

    private let known = Mutex(Known())

    /// Filters that are known.
    var count: Int { known.withLock { $0.entries.count } }

    /// What passes a filter in a store, which is the same with each call.
    ///
    /// - Parameters:
    ///   - filter: One that restricts.
    ///   - model: Whose windows are wanted; nil for issues alone.
    ///   - store: Whose issues.
    ///   - head: Where the caller has just seen the end of the feed; nil has it looked up.
    /// - Returns: All live ones of one snapshot.
    /// - Throws: What the store refuses.
    func passing(
        _ filter: IssueFilter,
        windowsOf model: EmbeddingModelID?,
        in store: Store,
        at head: Revision? = nil
    ) async throws -> Passing {
        if let head, !filter.hasNames {
            let found = known.withLock { known in
                known.revision == head ? known.find(filter, model, at: head) : nil
            }
            if let found { return found }
        }
        return try await store.read { connection, account in
            guard
                let named = try PassageTable.resolved(filter, account: account, on: connection)
            else { return Passing(issues: [], windows: []) }
            let revision = try AccountTable.currentRevision(account: account, on: connection)
            // Names of so many projects that they were not looked up may mean others the next time.
            let isKept = !named.hasNames
            if isKept, let found = self.known.withLock({ $0.find(named, model, at: revision) }) {
                return found
            }
            let issues = try PassageTable.issues(matching: named, account: account, on: connection)
            var passing = Passing(issues: KeySet(issues.lazy.map(\.rawValue)))
            if let model {
                let windows = try PassageTable.passages(
                    matching: named,
                    model: model,
                    account: account,
                    on: connection
                )
                passing.windows = KeySet(windows.lazy.map(\.rawValue))
            }
            guard isKept else { return passing }
            let entry = Entry(filter: named, model: model, passing: passing)
            self.known.withLock { $0.keep(entry, at: revision) }
            return passing
        }
    }
}
