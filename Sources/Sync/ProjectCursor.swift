package import Domain
package import Trackers

/// Where the scan of one project stands; stored with the project after each page.
///
/// INVARIANT: the watermarks never pass an instant at which something may have changed that has not
/// been read. They are made only of update times that the tracker showed, never of our clock; they
/// move only when a walk has come to its end; and an update time that lies in the future moves
/// nothing.
package struct ProjectCursor: Sendable, Equatable {
    /// Whether all issues have been read once.
    package var hasReadEverything = false
    /// The path under which they were read; keys and URLs contain it.
    package var path: String?
    /// The newest update a complete walk over the issues has read; nil as long as the tracker has
    /// shown no believable time.
    package var watermark: Timestamp?
    /// Whether the walk that made ``watermark`` began when the watermark was already older than the
    /// overlap, so that nothing up to it can still appear; see ``since``.
    package var isSettled = false
    /// The walk over the issues that is under way.
    package var issues: WalkProgress?
    /// The entity tag of the last complete incremental walk, when it had one short page.
    package var validator: Validator?
    /// Whether all comments have been read once, where they are listed for the whole project.
    package var hasReadComments = false
    /// As ``watermark``, for those comments.
    package var commentWatermark: Timestamp?
    /// Whether those comments were read after ``isSettled`` held and no issue has changed since: a
    /// comment that is written or edited moves its issue, so there is nothing to ask for.
    package var areCommentsSettled = false
    /// The walk over those comments that is under way.
    package var comments: WalkProgress?
    /// The census that is under way.
    package var census: CensusProgress?
    /// Rows were written since the stored comments were last compared with the reported counts.
    package var isAuditDue = false

    /// Of a project that has never been scanned.
    package init() {}

    /// A walk that has begun.
    package struct WalkProgress: Sendable, Equatable {
        /// Nil for everything, else what was updated since.
        package var since: Timestamp?
        /// Where to go on; nil from the start.
        package var next: PageToken?
        /// What the watermark will be at the end.
        package var highest: Timestamp?
        /// When the tracker answered the walk's first request.
        package var servedAt: Timestamp?
    }

    /// What a complete incremental walk may be asked again with.
    package struct Validator: Sendable, Equatable {
        package var since: Timestamp
        package var tag: String
    }

    /// A census that has begun.
    package struct CensusProgress: Sendable, Equatable {
        /// Whether everything is read again, or only what proves that issues exist.
        package var readsEverything: Bool
        package var phase = Phase.listing
        /// Where to go on in the list; nil from the start.
        package var next: PageToken?

        /// The steps of a census, in order.
        package enum Phase: String, Sendable, CaseIterable {
            /// Walking over the tracker's list.
            case listing
            /// Asking what became of the issues that the list does not hold.
            case confirming
        }
    }
}

extension ProjectCursor {
    /// Subtracted from a watermark.
    ///
    /// Lists lag seconds behind writes and two servers' clocks differ by seconds; two minutes hold
    /// both with room, and cost a page that writes nothing.
    package static let overlap = Duration.seconds(120)

    /// No `since` below this is sent, because GitHub answers `since=1970-01-01` with an empty list.
    ///
    /// A project whose newest believable time is older is read as a whole.
    package static let earliestSince = Timestamp(milliseconds: 86_400_000)

    /// Whether the next walk must read everything: no walk to go on from, or no believable time.
    package var mustReadEverything: Bool {
        !hasReadEverything || Self.since(watermark) == nil
    }

    /// Where the next walk begins; nil for everything.
    ///
    /// At the watermark less the overlap – or just after the watermark when that is settled. Both
    /// rest on the same promise, that ``overlap`` covers a list's lag and two servers' clocks: a
    /// walk that began at the service's time D has seen every change up to D - overlap. When that
    /// is later than the watermark, nothing up to the watermark can be missing, however many issues
    /// share its second, and a scan without changes is one request with an empty answer. The clock
    /// only decides which of the two it is; the bound is made of times the tracker showed.
    package var since: Timestamp? {
        guard isSettled, let watermark, Self.since(watermark) != nil else {
            return Self.since(watermark)
        }
        return watermark.advanced(by: Self.precision)
    }

    /// Notes at the end of a walk whether its watermark is settled.
    mutating func settle(servedAt: Timestamp?) {
        guard let watermark, let servedAt else {
            isSettled = false
            return
        }
        isSettled = servedAt >= watermark.advanced(by: Self.overlap + Self.precision)
    }

    /// The coarsest precision of a service's times.
    private static let precision = Duration.seconds(1)

    /// Whether what was read so far was read under this path.
    package func isOf(path: String) -> Bool {
        self.path.map { haveEqualBytes($0, path) } ?? false
    }

    /// Begins again under another path: keys and URLs change with it, and no update time moves.
    mutating func startAnew(path: String) {
        let watermark = watermark
        let wasComplete = hasReadEverything
        self = ProjectCursor()
        self.path = path
        // Until the walk has come to its end, `issues` says that it is under way.
        self.hasReadEverything = wasComplete
        self.watermark = watermark
        if wasComplete { issues = WalkProgress(since: nil, highest: watermark) }
    }

    /// A page has been written; comment counts may differ now from the comments stored.
    ///
    /// `isOfIssues` tells a page of issues from one of comments.
    package mutating func noteWritten(rows: Int, isOfIssues: Bool, listing: CommentListing) {
        guard rows > 0, listing == .perProject else { return }
        isAuditDue = true
        if isOfIssues { areCommentsSettled = false }
    }

    /// What to ask for after a walk that ended with `watermark`; nil for everything.
    package static func since(_ watermark: Timestamp?) -> Timestamp? {
        guard let since = watermark?.advanced(by: .zero - overlap), since > earliestSince else {
            return nil
        }
        return since
    }
}

/// The later of two instants, of which either may be unknown.
func latest(_ left: Timestamp?, _ right: Timestamp?) -> Timestamp? {
    guard let left, let right else { return left ?? right }
    return max(left, right)
}
