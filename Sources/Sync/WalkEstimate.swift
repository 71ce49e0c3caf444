import Domain
import Trackers

/// Tells how many issues a walk still has to read, without a request of its own.
///
/// The best source wins: what the page itself says; else what was known before, less the page; else
/// the numbers of the issues, where a walk goes by creation and an issue numbered higher was seen.
struct WalkEstimate: Sendable, Equatable {
    private var read = 0
    private var remaining: Int?
    /// The number of the issue that was updated last: at least so many numbers were given out.
    private var knownNumber: Int?

    /// What to show; nil while nothing is known.
    var progress: ScanProgress.WalkProgress? {
        remaining.map { ScanProgress.WalkProgress(read: read, remaining: $0) }
    }

    /// A walk begins that is expected to show `count` issues; nil when nobody knows.
    mutating func begin(expecting count: Int?) {
        read = 0
        remaining = count
        knownNumber = nil
    }

    /// Takes up the answer to ``IssueWalk/newest``, after which the first walk begins.
    mutating func didProbe(_ page: IssuePage) {
        begin(expecting: page.remainingCount)
        knownNumber = page.items.compactMap(\.number).max()
    }

    /// Takes up a page of the walk.
    mutating func didRead(_ page: IssuePage, isByCreation: Bool) {
        read += page.items.count
        if page.next == nil {
            remaining = 0
        } else if let told = page.remainingCount {
            remaining = told
        } else if let before = remaining {
            // A page follows, so something is left whatever was expected.
            remaining = max(1, before - page.items.count)
        } else if isByCreation, let known = knownNumber,
            let last = page.items.last(where: { $0.number != nil })?.number, known > last
        {
            // Numbers of moved and deleted issues count too: an estimate, for want of better. A
            // service may number its issues as it likes.
            remaining = min(known - last, IssuePage.believableCounts.upperBound)
        }
    }
}

extension PageItem {
    /// The issue's number; nil when it is not told or was not given out in order.
    fileprivate var number: Int? {
        guard case .issue(let issue, _) = self, issue.number > 0 else { return nil }
        return issue.number
    }
}
