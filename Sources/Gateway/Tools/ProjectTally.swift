import Domain
import Store
import Synchronization

/// How much of each project is stored, counted again only when a text has changed.
///
/// Counting walks the indexes of all issues and comments: for 50,000 issues it takes longer than
/// everything else that a tool does to list projects.
final class ProjectTally: Sendable {
    private struct Counted {
        var revision: Revision
        var counts: [ProjectID: ProjectCounts.Row]
    }

    private let counted = Mutex<Counted?>(nil)

    /// The counts of every project, as the connection's snapshot has them.
    func counts(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: ProjectCounts.Row] {
        let revision = try AccountTable.currentRevision(account: account, on: connection)
        var counts: [ProjectID: ProjectCounts.Row]
        if let known = counted.withLock({ $0 }), known.revision == revision {
            counts = known.counts
        } else {
            counts = try ProjectCounts.texts(account: account, on: connection)
            counted.withLock { [counts] in $0 = Counted(revision: revision, counts: counts) }
        }
        try ProjectCounts.addQuarantined(to: &counts, account: account, on: connection)
        return counts
    }
}
