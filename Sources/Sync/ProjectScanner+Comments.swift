import Domain
import Store
import Trackers

/// Comments: of the whole project where the tracker lists them so, then of single issues.
extension ProjectScanner {
    func readComments(
        _ request: ProjectScan.CommentRequest,
        _ course: inout Course
    ) async -> ProjectScan.Action {
        course.phase = .comments
        let result: Result<CommentPage, TrackerError>
        if let ahead = course.commentsAhead {
            result = ahead
        } else {
            result = await fetch(.project(since: request.since), page: request.page)
        }
        course.commentsAhead = nil
        course.report.counts.calls += 1
        switch result {
        case .failure(let error):
            return course.scan.didFail(error)
        case .success(let page):
            course.report.counts.commentsFetched += page.comments.count
            course.commentPage = page
            return course.scan.didRead(page.summary(present: writer.store.clock.now()))
        }
    }

    private func fetch(
        _ walk: CommentWalk,
        page: PageToken?
    ) async -> Result<CommentPage, TrackerError> {
        do throws(TrackerError) {
            return .success(try await client.comments(of: remote, walk: walk, page: page))
        } catch {
            return .failure(error)
        }
    }

    private func fetchAhead(
        _ request: ProjectScan.CommentRequest?
    ) async -> Result<CommentPage, TrackerError>? {
        guard let request else { return nil }
        return await fetch(.project(since: request.since), page: request.page)
    }

    func writeComments(
        _ cursor: ProjectCursor,
        ahead: ProjectScan.CommentRequest?,
        _ course: inout Course
    ) async throws -> ProjectScan.Action {
        let page = course.commentPage ?? CommentPage(comments: [])
        async let next = fetchAhead(ahead)
        let result = try await writer.writeComments(page, cursor: cursor, over: course.stored)
        count(result.comments, &course)
        course.report.counts.quarantined += result.quarantined
        course.stored = result.cursor
        course.commentPage = nil
        course.commentsAhead = await next
        return course.scan.didWrite(rows: result.rows)
    }

    func audit(_ cursor: ProjectCursor, _ course: inout Course) async throws {
        let id = project.id
        try await writer.write { connection, account in
            try IssueTable.markCommentMismatches(in: id, account: account, on: connection)
            try ProjectTable.setCursor(cursor.jsonValue, of: id, account: account, on: connection)
        }
        course.stored = cursor
    }
}

// MARK: Issues one by one

extension ProjectScanner {
    /// What reading the first page of an issue's comments brought.
    private struct FirstPage: Sendable {
        var issue: DueIssue
        var result: Result<CommentPage, TrackerError>
    }

    /// Reads the comments of the marked issues; marks are stored, so a killed scan goes on.
    ///
    /// The store is not asked where nothing was marked when the tracker's scan began and this one
    /// has stored nothing: of many projects in which nothing has happened, that would be the only
    /// statement each needs. What others mark meanwhile is the next scan's, as it is behind the
    /// question.
    func readDueComments(_ course: inout Course) async throws -> ProjectScan.Action {
        guard hasCommentsDue || course.hasWritten else { return course.scan.didReadDueComments() }
        var last: IssueID?
        let id = project.id
        let limit = configuration.commentBatchCount
        while true {
            let (after, store) = (last, writer.store)
            let issues = try await store.read { connection, account in
                try IssueTable.commentsDue(
                    in: id,
                    after: after,
                    limit: limit,
                    account: account,
                    on: connection
                )
            }
            guard let newest = issues.last else { return course.scan.didReadDueComments() }
            last = newest.id
            course.phase = .comments
            if let error = try await readComments(of: issues, &course) {
                return course.scan.didFail(error)
            }
            if Task.isCancelled { return course.scan.didFail(.cancelled) }
        }
    }

    /// Reads and stores the comments of some issues; what was read before an error is stored.
    private func readComments(
        of issues: [DueIssue],
        _ course: inout Course
    ) async throws -> TrackerError? {
        let pages = await mapConcurrently(issues, limit: configuration.issueConcurrency) { issue in
            FirstPage(
                issue: issue,
                result: await fetch(.issue(IssueReference(issue)), page: nil)
            )
        }
        course.report.counts.calls += pages.count
        var complete: [(issue: DueIssue, page: CommentPage)] = []
        var long: [(issue: DueIssue, page: CommentPage)] = []
        var failure: TrackerError?
        for page in pages {
            switch page.result {
            case .success(let first) where first.next == nil: complete.append((page.issue, first))
            case .success(let first): long.append((page.issue, first))
            // Deleted or moved since it was listed: the census settles it.
            case .failure(.notFound): break
            case .failure(let error): failure = failure ?? error
            }
        }
        course.report.counts.commentsFetched += complete.reduce(0) { $0 + $1.page.comments.count }
        let result = try await storeComplete(complete.map { ($0.issue, $0.page) })
        count(result, &course)
        for (issue, page) in long where failure == nil {
            failure = try await readLong(issue, first: page, &course)
        }
        return failure
    }

    private func storeComplete(
        _ issues: [(DueIssue, CommentPage)]
    ) async throws -> CommentResult {
        guard !issues.isEmpty else { return CommentResult() }
        let present = writer.store.clock.now()
        return try await writer.write { connection, account in
            var result = CommentResult()
            for (issue, page) in issues {
                result += try store(
                    page,
                    of: issue,
                    present: present,
                    account: account,
                    on: connection
                )
                try finish(
                    issue,
                    kept: CommentIdentifiers(page),
                    present: present,
                    account: account,
                    on: connection,
                    result: &result
                )
            }
            return result
        }
    }

    /// Reads an issue with more comments than fit a page; each page is stored as it comes, and what
    /// is gone is removed at the end, so memory holds identifiers only.
    private func readLong(
        _ issue: DueIssue,
        first: CommentPage,
        _ course: inout Course
    ) async throws -> TrackerError? {
        var page = first
        var kept = CommentIdentifiers(first)
        for _ in 0..<ProjectScan.maximumPageCount {
            let (present, current, identifiers) = (writer.store.clock.now(), page, kept)
            let isLast = page.next == nil
            course.report.counts.commentsFetched += page.comments.count
            let result = try await writer.write { connection, account in
                var result = try store(
                    current,
                    of: issue,
                    present: present,
                    account: account,
                    on: connection
                )
                if isLast {
                    try finish(
                        issue,
                        kept: identifiers,
                        present: present,
                        account: account,
                        on: connection,
                        result: &result
                    )
                }
                return result
            }
            count(result, &course)
            guard let next = page.next else { return nil }
            course.report.counts.calls += 1
            switch await fetch(.issue(IssueReference(issue)), page: next) {
            case .failure(.notFound): return nil
            case .failure(let error): return error
            case .success(let following):
                guard following.next != next else { break }
                page = following
                kept.add(following)
                continue
            }
            break
        }
        return .invalidResponse(detail: "the comments of `\(issue.key)` do not end")
    }

    private func store(
        _ page: CommentPage,
        of issue: DueIssue,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> CommentResult {
        _ = try writer.quarantine(
            page.malformed.map(\.ofComment),
            at: present,
            account: account,
            on: connection
        )
        return try CommentTable.upsert(
            page.comments.map { CommentTable.Incoming(issue: issue.id, comment: $0.comment) },
            in: project.id,
            present: present,
            account: account,
            on: connection
        )
    }

    private func finish(
        _ issue: DueIssue,
        kept: CommentIdentifiers,
        present: Timestamp,
        account: AccountID,
        on connection: any SQLConnection,
        result: inout CommentResult
    ) throws {
        // With an item whose identity is unknown in the list, nothing can be called missing.
        if kept.isCertain {
            result.deleted += try CommentTable.deleteMissing(
                of: issue.id,
                keeping: kept.identifiers,
                at: present,
                account: account,
                on: connection
            )
        }
        try IssueTable.endComments(of: issue, account: account, on: connection)
    }
}

/// The comments an issue's list held, understood or not.
private struct CommentIdentifiers: Sendable {
    var identifiers: Set<String> = []
    var isCertain = true

    init(_ page: CommentPage) {
        add(page)
    }

    mutating func add(_ page: CommentPage) {
        identifiers.formUnion(page.comments.map(\.comment.externalID))
        identifiers.formUnion(page.malformed.compactMap(\.externalID))
        if page.malformed.contains(where: { $0.externalID == nil }) { isCertain = false }
    }
}

extension IssueReference {
    init(_ issue: DueIssue) {
        self.init(
            externalID: issue.externalID,
            kind: issue.kind,
            number: issue.number,
            key: issue.key
        )
    }
}
