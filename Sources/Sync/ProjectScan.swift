package import Domain
package import Trackers

/// The scan of one project as a state machine: it decides, ``ProjectScanner`` acts.
///
/// The way: issues (everything or what changed) → census when due → comments of the whole project
/// where the tracker lists them so → audit of comment counts → comments of single issues that are
/// due → end. Each step is entered with what the step before stored, so a scan that is killed
/// anywhere goes on there: the cursor in the store is the only memory.
package struct ProjectScan: Sendable {
    /// What the runner does next.
    package enum Action: Sendable, Equatable {
        /// Read a page and tell ``ProjectScan/didRead(_:)``.
        case readIssues(IssueRequest)
        /// Store the page just read together with the cursor, one transaction; tell
        /// ``ProjectScan/didWrite(rows:)``. The next page may be read meanwhile.
        case writeIssues(ProjectCursor, ahead: IssueRequest?)
        /// Forget earlier marks and store the cursor; tell ``ProjectScan/didBeginCensus()``.
        case beginCensus(ProjectCursor)
        /// Ask what became of what the list did not hold, remove what is confirmed as gone; tell
        /// ``ProjectScan/didEndCensus(_:)``.
        case settleCensus
        case readComments(CommentRequest)
        case writeComments(ProjectCursor, ahead: CommentRequest?)
        /// Mark issues whose comment count is not what is stored, and store the cursor; tell
        /// ``ProjectScan/didAudit()``.
        case auditComments(ProjectCursor)
        /// Read the comments of the issues marked; tell ``ProjectScan/didReadDueComments()``.
        case readDueComments
        /// All is done.
        case end
        /// Nothing more can be done now.
        case stop(Stop)
    }

    /// A page of issues to read.
    package struct IssueRequest: Sendable, Equatable {
        package var walk: IssueWalk
        package var page: PageToken?
        package var validator: String?
        /// Whether the page belongs to a census.
        package var isCensus = false
    }

    /// A page of the project's comments to read.
    package struct CommentRequest: Sendable, Equatable {
        package var since: Timestamp?
        package var page: PageToken?
    }

    /// Why a scan ends before its end.
    package enum Stop: Sendable, Equatable {
        /// The rate limit asks for more patience than a scan has; the next goes on from the cursor.
        case parked(until: Timestamp)
        /// The project is hidden from the token.
        case inaccessible(reason: String)
        /// The token is not accepted; nothing more can be read from this tracker.
        case unauthenticated(reason: String)
        case failed(reason: String)
        case cancelled
    }

    /// What a scan is told about a page; the content goes to the store past it.
    package struct PageSummary: Sendable, Equatable {
        package var count: Int
        package var next: PageToken?
        package var validator: String?
        package var isNotModified: Bool
        /// The newest update time in the page that does not lie in the future.
        package var newest: Timestamp?
        /// When the tracker answered: the earlier one of its clock and ours.
        package var servedAt: Timestamp?

        package init(
            count: Int,
            next: PageToken? = nil,
            validator: String? = nil,
            isNotModified: Bool = false,
            newest: Timestamp? = nil,
            servedAt: Timestamp? = nil
        ) {
            self.count = count
            self.next = next
            self.validator = validator
            self.isNotModified = isNotModified
            self.newest = newest
            self.servedAt = servedAt
        }
    }

    /// What the scan was asked to do.
    package struct Parameters: Sendable, Equatable {
        package var path: String
        package var listing: CommentListing
        /// Read everything again and look for what is gone.
        package var isFull = false
        /// The last census is so long ago that one is due.
        package var isCensusDue = false

        package init(
            path: String,
            listing: CommentListing,
            isFull: Bool = false,
            isCensusDue: Bool = false
        ) {
            self.path = path
            self.listing = listing
            self.isFull = isFull
            self.isCensusDue = isCensusDue
        }
    }

    /// Where the scan is; each state goes to the next one or stops.
    private enum State: Equatable {
        case ready
        /// Asked for the newest issue, to have a watermark from before the first walk.
        case probing
        case issues
        case census
        case comments
        case audit
        case dueComments
        case ended
    }

    /// As stored, or about to be stored.
    package private(set) var cursor: ProjectCursor
    /// Whether this scan has compared the store with the tracker's whole list.
    package private(set) var hasCompletedCensus = false
    /// What an operator can do about the error that stopped this scan.
    package private(set) var hint: String?
    private let parameters: Parameters
    private var state = State.ready
    private var hasRestarted = false
    /// The step that follows the write under way.
    private var afterWrite = Action.end
    private var pageCount = 0

    /// No walk has so many pages: ten million issues at a hundred a page.
    ///
    /// It ends the walk over a service that invents page after page.
    package static let maximumPageCount = 100_000

    /// A page's tag stands for the whole walk only if a new issue would have had to appear in that
    /// page: it was the only one and far from full at any page size in use (30, 50, 100).
    package static let validatorMaximumCount = 20

    package init(cursor: ProjectCursor, parameters: Parameters) {
        self.cursor = cursor
        self.parameters = parameters
    }

    /// The first thing to do.
    package mutating func begin() -> Action {
        precondition(state == .ready, "a scan begins once")
        if !cursor.isOf(path: parameters.path) { cursor.startAnew(path: parameters.path) }
        if cursor.issues != nil { return walkIssues() }
        guard cursor.mustReadEverything else {
            cursor.issues = .init(since: cursor.since)
            return walkIssues()
        }
        guard cursor.watermark == nil else {
            cursor.issues = .init(since: nil, highest: cursor.watermark)
            return walkIssues()
        }
        if cursor.hasReadEverything {
            // Nothing believable was there at the last walk either: one walk is all it costs.
            cursor.issues = .init(since: nil)
            return walkIssues()
        }
        state = .probing
        return .readIssues(IssueRequest(walk: .newest))
    }

    /// A page of issues or comments has been read.
    package mutating func didRead(_ page: PageSummary) -> Action {
        pageCount += 1
        guard pageCount <= Self.maximumPageCount else {
            return stop(.failed(reason: "the list does not end"))
        }
        switch state {
        case .probing:
            cursor.issues = .init(since: nil, highest: page.newest, servedAt: page.servedAt)
            return walkIssues()
        case .issues: return didReadIssues(page)
        case .census: return didReadCensus(page)
        case .comments: return didReadComments(page)
        case .ready, .audit, .dueComments, .ended:
            preconditionFailure("no page was asked for")
        }
    }

    /// A page and the cursor have been stored.
    ///
    /// `rows` is the number of issue and comment rows that were written.
    package mutating func didWrite(rows: Int) -> Action {
        let isOfIssues = state != .comments
        cursor.noteWritten(rows: rows, isOfIssues: isOfIssues, listing: parameters.listing)
        let action = afterWrite
        afterWrite = .end
        if case .readIssues = action { return action }
        if case .readComments = action { return action }
        return proceed()
    }

    /// The marks of earlier censuses are gone.
    package mutating func didBeginCensus() -> Action {
        walkCensus()
    }

    /// The census has been settled, or could not be believed.
    package mutating func didEndCensus(isComplete: Bool) -> Action {
        hasCompletedCensus = isComplete
        cursor.census = nil
        // The day to ask for comments too without a sign that there are any.
        cursor.areCommentsSettled = false
        return beginComments()
    }

    /// A census page held many issues that are not stored: reading all is cheaper than one by one.
    package mutating func censusNeedsEverything() -> Action {
        precondition(state == .census, "only a census finds sightings")
        cursor.census = .init(readsEverything: true)
        return .beginCensus(cursor)
    }

    /// Mismatches have been marked.
    package mutating func didAudit() -> Action {
        state = .dueComments
        return .readDueComments
    }

    /// The comments of the marked issues have been read.
    package mutating func didReadDueComments() -> Action {
        state = .ended
        return .end
    }

    /// The tracker did not give what was asked.
    package mutating func didFail(_ error: TrackerError) -> Action {
        hint = error.hint
        switch error {
        case .pageTokenExpired where !hasRestarted:
            hasRestarted = true
            return restartWalk()
        case .rateLimited(let until): return stop(.parked(until: until))
        case .notFound: return stop(.inaccessible(reason: error.description))
        case .unauthenticated: return stop(.unauthenticated(reason: error.description))
        case .cancelled: return stop(.cancelled)
        case .forbidden, .unavailable, .invalidResponse, .pageTokenExpired, .refused,
            .outcomeUnknown:
            return stop(.failed(reason: error.description))
        }
    }

    private mutating func stop(_ stop: Stop) -> Action {
        state = .ended
        return .stop(stop)
    }
}

// MARK: Issues

extension ProjectScan {
    private mutating func walkIssues() -> Action {
        state = .issues
        return .readIssues(issueRequest)
    }

    private var issueRequest: IssueRequest {
        guard let progress = cursor.issues, let since = progress.since else {
            return IssueRequest(walk: .everything, page: cursor.issues?.next)
        }
        let isKnown = progress.next == nil && cursor.validator?.since == since
        return IssueRequest(
            walk: .changed(since: since),
            page: progress.next,
            validator: isKnown ? cursor.validator?.tag : nil
        )
    }

    private mutating func didReadIssues(_ page: PageSummary) -> Action {
        guard var progress = cursor.issues else { return proceed() }
        if page.isNotModified {
            if !cursor.isSettled { cursor.settle(servedAt: page.servedAt) }
            cursor.issues = nil
            return proceed()
        }
        let isFirst = progress.next == nil
        guard page.next == nil || page.next != progress.next else {
            return stop(.failed(reason: "the list goes round in a circle"))
        }
        if isFirst, progress.servedAt == nil { progress.servedAt = page.servedAt }
        if progress.since != nil {
            progress.highest = latest(progress.highest, page.newest)
        } else if isFirst, progress.highest == nil {
            // No believable time from before the walk. Whatever the first page shows is also older
            // than all that changes from now on.
            progress.highest = page.newest
        }
        if let next = page.next {
            progress.next = next
            cursor.issues = progress
            afterWrite = .readIssues(issueRequest)
            return .writeIssues(cursor, ahead: issueRequest)
        }
        completeIssues(progress, page: page, isOnlyPage: isFirst)
        return .writeIssues(cursor, ahead: nil)
    }

    private mutating func completeIssues(
        _ progress: ProjectCursor.WalkProgress,
        page: PageSummary,
        isOnlyPage: Bool
    ) {
        cursor.issues = nil
        cursor.validator = nil
        let watermark = latest(cursor.watermark, progress.highest)
        if watermark != cursor.watermark { cursor.areCommentsSettled = false }
        cursor.watermark = watermark
        cursor.settle(servedAt: progress.servedAt)
        if progress.since == nil {
            // The store was empty before the first walk, so it holds nothing the tracker does not.
            if !cursor.hasReadEverything { hasCompletedCensus = true }
            cursor.hasReadEverything = true
        } else if let since = progress.since, isOnlyPage, let tag = page.validator,
            page.count <= Self.validatorMaximumCount
        {
            cursor.validator = .init(since: since, tag: tag)
        }
    }

    /// From the start of the walk under way; what was stored is compared again and not rewritten.
    private mutating func restartWalk() -> Action {
        switch state {
        case .issues:
            cursor.issues?.next = nil
            return .readIssues(issueRequest)
        case .comments:
            cursor.comments?.next = nil
            return .readComments(commentRequest)
        case .census:
            cursor.census?.next = nil
            return .readIssues(censusRequest)
        case .ready, .probing, .audit, .dueComments, .ended:
            return stop(.failed(reason: TrackerError.pageTokenExpired.description))
        }
    }

    /// The step after the one that is done.
    private mutating func proceed() -> Action {
        switch state {
        case .ready, .probing, .issues: beginCensus()
        case .census: .settleCensus
        case .comments: beginAudit()
        case .audit: didAudit()
        case .dueComments, .ended: .end
        }
    }
}

// MARK: Census

extension ProjectScan {
    /// Whether the store is to be compared with the tracker's whole list.
    var wantsCensus: Bool {
        !hasCompletedCensus && (parameters.isFull || parameters.isCensusDue)
    }

    private mutating func beginCensus() -> Action {
        if let census = cursor.census, census.readsEverything || !parameters.isFull {
            return walkCensus()
        }
        guard wantsCensus else { return beginComments() }
        state = .census
        cursor.census = .init(readsEverything: parameters.isFull)
        return .beginCensus(cursor)
    }

    private mutating func walkCensus() -> Action {
        state = .census
        guard cursor.census?.phase == .listing else { return .settleCensus }
        return .readIssues(censusRequest)
    }

    private var censusRequest: IssueRequest {
        IssueRequest(
            walk: cursor.census?.readsEverything ?? false ? .everything : .census,
            page: cursor.census?.next,
            isCensus: true
        )
    }

    private mutating func didReadCensus(_ page: PageSummary) -> Action {
        guard page.next == nil || page.next != cursor.census?.next else {
            return stop(.failed(reason: "the list goes round in a circle"))
        }
        cursor.census?.next = page.next
        guard page.next != nil else {
            cursor.census?.phase = .confirming
            return .writeIssues(cursor, ahead: nil)
        }
        afterWrite = .readIssues(censusRequest)
        return .writeIssues(cursor, ahead: censusRequest)
    }
}

// MARK: Comments

extension ProjectScan {
    private mutating func beginComments() -> Action {
        guard parameters.listing == .perProject else { return didAudit() }
        state = .comments
        if cursor.comments == nil {
            guard mustReadComments else { return beginAudit() }
            let since =
                cursor.hasReadComments && !parameters.isFull
                ? ProjectCursor.since(cursor.commentWatermark) : nil
            // A change of a comment from now on is later than every change seen so far.
            let highest = since == nil ? latest(cursor.commentWatermark, cursor.watermark) : nil
            cursor.comments = .init(since: since, highest: highest)
        }
        return .readComments(commentRequest)
    }

    /// Whether there may be comments that are not stored.
    private var mustReadComments: Bool {
        !cursor.hasReadComments || !cursor.areCommentsSettled || parameters.isFull
    }

    private var commentRequest: CommentRequest {
        CommentRequest(since: cursor.comments?.since, page: cursor.comments?.next)
    }

    private mutating func didReadComments(_ page: PageSummary) -> Action {
        guard var progress = cursor.comments else { return proceed() }
        guard page.next == nil || page.next != progress.next else {
            return stop(.failed(reason: "the list goes round in a circle"))
        }
        if progress.since != nil || (progress.next == nil && progress.highest == nil) {
            progress.highest = latest(progress.highest, page.newest)
        }
        if let next = page.next {
            progress.next = next
            cursor.comments = progress
            afterWrite = .readComments(commentRequest)
            return .writeComments(cursor, ahead: commentRequest)
        }
        cursor.comments = nil
        cursor.hasReadComments = true
        cursor.areCommentsSettled = cursor.isSettled
        cursor.commentWatermark = latest(cursor.commentWatermark, progress.highest)
        return .writeComments(cursor, ahead: nil)
    }

    private mutating func beginAudit() -> Action {
        guard cursor.isAuditDue else { return didAudit() }
        state = .audit
        cursor.isAuditDue = false
        return .auditComments(cursor)
    }
}
