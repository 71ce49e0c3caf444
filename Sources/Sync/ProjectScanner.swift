import Domain
import Store
import Trackers

/// Carries out a ``ProjectScan``: asks the client, stores the pages, counts what happened.
///
/// One page is read ahead while the one before is written. A throw means that the store failed or
/// the lease is lost; what the tracker does wrong ends up in the report.
struct ProjectScanner: Sendable {
    let client: any TrackerClient
    let tracker: Tracker
    let project: StoredProject
    let remote: RemoteProject
    /// Whether comments of some issues were due when the tracker's scan began.
    let hasCommentsDue: Bool
    let writer: PageWriter
    let ends: ScanEnds
    let configuration: ScanConfiguration
    let progress: @Sendable (ScanProgress) -> Void

    /// What a scan of a project carries from step to step.
    struct Course {
        var scan: ProjectScan
        var report: ProjectReport
        /// The cursor as it is in the store.
        var stored: ProjectCursor
        var issuePage: IssuePage?
        var confirmed: [IncomingIssue] = []
        var commentPage: CommentPage?
        var issuesAhead: Result<IssuePage, TrackerError>?
        var commentsAhead: Result<CommentPage, TrackerError>?
        var phase = ScanProgress.Phase.issues
        /// How far the walk over the issues is.
        var estimate = WalkEstimate()
        /// Why a census was not believed.
        var censusRefusal: String?
        /// Whether this scan may have stored anything of the project.
        var hasWritten = false
        let isFull: Bool
    }

    /// Scans the project from where its cursor stands.
    func run(isFull: Bool) async throws -> ProjectReport {
        var course = begin(isFull: isFull)
        var action = course.scan.begin()
        while true {
            if Task.isCancelled { action = course.scan.didFail(.cancelled) }
            switch action {
            case .end:
                return try await end(&course)
            case .stop(let stop):
                return try await end(&course, by: stop)
            default:
                action = try await perform(action, &course)
            }
            report(&course)
        }
    }

    private func begin(isFull: Bool) -> Course {
        let cursor = ProjectCursor(project.cursor)
        return Course(
            scan: ProjectScan(cursor: cursor, parameters: parameters(isFull: isFull)),
            report: ProjectReport(tracker: tracker.name, path: remote.path),
            stored: cursor,
            isFull: isFull
        )
    }

    /// What the state machine is told about this scan.
    func parameters(isFull: Bool) -> ProjectScan.Parameters {
        let due = project.lastCensusAt?.advanced(by: configuration.censusInterval)
        return ProjectScan.Parameters(
            path: remote.path,
            listing: client.commentListing,
            isFull: isFull,
            isCensusDue: due.map { $0 <= writer.store.clock.now() } ?? true
        )
    }

    private func perform(
        _ action: ProjectScan.Action,
        _ course: inout Course
    ) async throws -> ProjectScan.Action {
        if action.mayWrite { course.hasWritten = true }
        switch action {
        case .readIssues(let request):
            return try await readIssues(request, &course)
        case .writeIssues(let cursor, let ahead):
            return try await writeIssues(cursor, ahead: ahead, &course)
        case .beginCensus(let cursor):
            try await beginCensus(cursor, &course)
            return course.scan.didBeginCensus()
        case .settleCensus:
            return try await settleCensus(&course)
        case .readComments(let request):
            return await readComments(request, &course)
        case .writeComments(let cursor, let ahead):
            return try await writeComments(cursor, ahead: ahead, &course)
        case .auditComments(let cursor):
            try await audit(cursor, &course)
            return course.scan.didAudit()
        case .readDueComments:
            return try await readDueComments(&course)
        case .end, .stop:
            return action
        }
    }

    private func report(_ course: inout Course, until reset: Timestamp? = nil) {
        let counts = course.report.counts
        var step = ScanProgress(
            tracker: tracker.name,
            project: remote.path,
            phase: course.phase,
            fetched: counts.issuesFetched + counts.commentsFetched,
            written: counts.written
        )
        step.rateLimitReset = reset
        if course.phase == .issues || course.phase == .census {
            step.walk = course.estimate.progress
        }
        progress(step)
    }
}

extension ProjectScan.Action {
    /// Whether carrying it out may store anything but comments that were due.
    fileprivate var mayWrite: Bool {
        switch self {
        // A census asks for single issues and stores them.
        case .readIssues(let request): request.isCensus
        case .writeIssues, .beginCensus, .settleCensus, .writeComments, .auditComments: true
        case .readComments, .readDueComments, .end, .stop: false
        }
    }
}

// MARK: Ends

extension ProjectScanner {
    private func end(_ course: inout Course) async throws -> ProjectReport {
        let now = writer.store.clock.now()
        let refusal = course.censusRefusal
        let scanEnd = ScanEnd(
            scanAt: now,
            censusAt: course.scan.hasCompletedCensus ? now : nil,
            error: refusal
        )
        let (cursor, stored) = (course.scan.cursor, course.stored)
        let wasHidden = project.state != .active
        let id = project.id
        course.report.hasCensus = course.scan.hasCompletedCensus
        if let refusal { course.report.outcome = .failed(reason: refusal) }
        course.phase = .ended
        defer { report(&course) }
        if cursor == stored, !wasHidden {
            try await ends.add(scanEnd, of: id)
            return course.report
        }
        try await writer.write { connection, account in
            if cursor != stored {
                try ProjectTable.setCursor(
                    cursor.jsonValue,
                    of: id,
                    account: account,
                    on: connection
                )
            }
            if wasHidden {
                try ProjectTable.setState(
                    .active,
                    error: nil,
                    of: id,
                    account: account,
                    on: connection
                )
            }
            try ProjectTable.endScan(scanEnd, of: id, account: account, on: connection)
        }
        return course.report
    }

    private func end(
        _ course: inout Course,
        by stop: ProjectScan.Stop
    ) async throws -> ProjectReport {
        let id = project.id
        course.report.hint = course.scan.hint
        switch stop {
        case .cancelled:
            course.report.outcome = .cancelled
        case .parked(let until):
            course.report.outcome = .parked(until: until)
        case .unauthenticated(let reason):
            course.report.outcome = .unauthenticated(reason: reason)
        case .failed(let reason):
            course.report.outcome = .failed(reason: reason)
        case .inaccessible(let reason):
            course.report.outcome = .inaccessible(
                reason: reason,
                isNew: project.state != .inaccessible
            )
            try await writer.write { connection, account in
                try ProjectTable.setState(
                    .inaccessible,
                    error: reason,
                    of: id,
                    account: account,
                    on: connection
                )
            }
        }
        if let detail = course.report.outcome.detail {
            try await writer.write { connection, account in
                try ProjectTable.endScan(
                    ScanEnd(error: detail),
                    of: id,
                    account: account,
                    on: connection
                )
            }
        }
        course.phase = .ended
        var reset: Timestamp?
        if case .parked(let until) = stop { reset = until }
        report(&course, until: reset)
        return course.report
    }
}

// MARK: Issues

extension ProjectScanner {
    private func readIssues(
        _ request: ProjectScan.IssueRequest,
        _ course: inout Course
    ) async throws -> ProjectScan.Action {
        course.phase = request.isCensus ? .census : .issues
        let result: Result<IssuePage, TrackerError>
        if let ahead = course.issuesAhead {
            result = ahead
        } else {
            result = await fetch(request)
        }
        course.issuesAhead = nil
        course.report.counts.calls += 1
        switch result {
        case .failure(let error):
            return course.scan.didFail(error)
        case .success(let page):
            course.report.counts.issuesFetched += page.items.count
            if request.walk == .newest {
                course.estimate.didProbe(page)
            } else {
                course.estimate.didRead(page, isByCreation: request.walk == .everything)
            }
            course.confirmed = []
            if request.isCensus {
                switch try await resolveSightings(page, &course) {
                case .tooMany: return course.scan.censusNeedsEverything()
                case .failed(let error): return course.scan.didFail(error)
                case .resolved: break
                }
            }
            course.issuePage = page
            return course.scan.didRead(page.summary(present: writer.store.clock.now()))
        }
    }

    private func fetch(
        _ request: ProjectScan.IssueRequest
    ) async -> Result<IssuePage, TrackerError> {
        do throws(TrackerError) {
            return .success(
                try await client.issues(
                    of: remote,
                    walk: request.walk,
                    page: request.page,
                    validator: request.validator
                )
            )
        } catch {
            return .failure(error)
        }
    }

    private func fetchAhead(
        _ request: ProjectScan.IssueRequest?
    ) async -> Result<IssuePage, TrackerError>? {
        guard let request else { return nil }
        return await fetch(request)
    }

    private func writeIssues(
        _ cursor: ProjectCursor,
        ahead: ProjectScan.IssueRequest?,
        _ course: inout Course
    ) async throws -> ProjectScan.Action {
        let page = course.issuePage ?? IssuePage(items: [])
        let isCensus = cursor.census != nil
        let write = IssuePageWrite(
            page: page,
            confirmed: course.confirmed,
            isCensus: isCensus,
            cursor: cursor,
            stored: course.stored
        )
        async let next = fetchAhead(ahead)
        let result = try await writer.writeIssues(write)
        count(result.issues, &course)
        course.report.counts.quarantined += result.quarantined
        course.stored = result.cursor
        course.issuePage = nil
        course.issuesAhead = await next
        if isCensus, !result.issues.stale.isEmpty {
            if let error = try await confirmStale(result.issues.stale, &course) {
                return course.scan.didFail(error)
            }
        }
        return course.scan.didWrite(rows: result.rows)
    }

    /// Adds what a batch did to the report.
    func count(_ result: IssueBatchResult, _ course: inout Course) {
        course.report.counts.issuesCreated += result.created
        course.report.counts.issuesChanged += result.changed + result.revived + result.moved
        course.report.counts.stale += result.stale.count
        count(result.comments, &course)
    }

    /// Adds what a batch of comments did to the report.
    func count(_ result: CommentResult, _ course: inout Course) {
        course.report.counts.commentsCreated += result.created
        course.report.counts.commentsChanged += result.changed
        course.report.counts.commentsDeleted += result.deleted
    }
}
