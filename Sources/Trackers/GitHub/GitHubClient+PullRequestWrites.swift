import Domain
import HTTPClient

extension GitHubClient {
    /// Creates a pull request, then gives it labels, assignees and reviewers, which GitHub takes
    /// one by one.
    ///
    /// After an unknown outcome the open pull requests of the branch are looked through: GitHub
    /// allows one for each pair of branches.
    package func createPullRequest(
        _ draft: PullRequestDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequest {
        let body: JSONValue = [
            "title": .string(draft.title), "body": .string(draft.body),
            "head": .string(draft.sourceBranch), "base": .string(draft.targetBranch),
            "draft": .bool(draft.isDraft),
        ]
        // Before anything is written: a wrong title must not leave half of it behind.
        let milestone = try await session.milestone(
            draft.milestone,
            at: "\(Self.path(project))/milestones",
            paging: Self.paging
        )
        let path = "\(Self.path(project))/pulls"
        let number = try await session.writeOnce(
            .json("POST", path, body),
            read: { (value) throws(TrackerError) in
                try readAnswer(value) { (fields) throws(FieldError) in
                    try fields.integer("number")
                }
            },
            find: { () async throws(TrackerError) -> Int? in
                let rows = try await session.rows(at: path, paging: Self.paging) {
                    (fields) throws(FieldError) in
                    (
                        number: try fields.integer("number"), title: try fields.text("title"),
                        head: fields.optionalText("head", "ref"),
                        base: fields.optionalText("base", "ref")
                    )
                }
                let branch = draft.sourceBranch.split(separator: ":").last.map(String.init)
                return rows.items.first {
                    $0.head == branch && $0.base == draft.targetBranch
                        && haveEqualBytes($0.title, draft.title)
                }?.number
            }
        )
        let reference = IssueReference(
            externalID: "",
            kind: .pullRequest,
            number: number,
            key: "\(project.path)#\(number)"
        )
        var change = PullRequestChange()
        if !draft.labels.isEmpty { change.labels = .change(adding: draft.labels, removing: []) }
        if !draft.assignees.isEmpty { change.assignees = draft.assignees }
        if !draft.reviewers.isEmpty { change.reviewers = draft.reviewers }
        do throws(TrackerError) {
            if let milestone {
                let request = TrackerRequest.json(
                    "PATCH",
                    "\(Self.path(project))/issues/\(number)",
                    ["milestone": .integer(Int64(milestone.id))]
                )
                _ = try await session.write(request, isIdempotent: true)
            }
            return try await updatePullRequest(reference, in: project, change)
        } catch {
            // It exists: an error would make the caller create it again.
            var pull = try await pullRequest(reference, in: project, parts: [])
            pull.warnings.append("it was created, but not all of it could be set: \(error)")
            return pull
        }
    }

    /// Changes a pull request: first as an issue, then the rest, its reactions last.
    package func updatePullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ change: PullRequestChange
    ) async throws(TrackerError) -> PullRequest {
        // Before anything is written: a wrong word must not leave half of it behind.
        let reactions = try ReactionChange(change)
        let added = try reactions.added?.gitHubWord(field: ReactionChange.adding)
        let removed = try reactions.removed?.gitHubWord(field: ReactionChange.removing)
        var warnings: [String] = []
        let issueChange = change.issueChange
        if !issueChange.isEmpty {
            warnings = try await updateIssue(pull, in: project, issueChange).warnings
        }
        let path = Self.pullPath(project, pull)
        if let branch = change.targetBranch {
            let request = TrackerRequest.json("PATCH", path, ["base": .string(branch)])
            _ = try await session.write(request, isIdempotent: true)
        }
        if let reviewers = change.reviewers { try await ask(reviewers, to: path) }
        if let isDraft = change.isDraft { try await set(isDraft: isDraft, of: path) }
        do throws(TrackerError) {
            try await react(adding: added, removing: removed, to: pull, in: project)
        } catch {
            // With nothing written before, all of it was refused.
            guard change.hasFields else { throw error }
            warnings.append("the rest is changed, but not the reactions: \(error)")
        }
        var result = try await pullRequest(pull, in: project, parts: [])
        result.warnings += warnings
        result.note(unmet: change)
        return result
    }

    /// Asks those who are not asked yet, and no longer asks the others.
    private func ask(_ reviewers: [String], to path: String) async throws(TrackerError) {
        let (value, _) = try await session.document(TrackerRequest(path: path))
        func names(_ list: String, _ member: String) -> [String] {
            (value[list]?.array ?? []).compactMap { $0[member]?.string }
        }
        let present = (
            users: names("requested_reviewers", "login"), teams: names("requested_teams", "slug")
        )
        let wanted = (
            users: reviewers.filter { !$0.contains("/") },
            teams: reviewers.compactMap { name -> String? in
                name.contains("/") ? name.split(separator: "/").last.map(String.init) : nil
            }
        )
        for (method, users, teams) in [
            ("POST", wanted.users.without(present.users), wanted.teams.without(present.teams)),
            ("DELETE", present.users.without(wanted.users), present.teams.without(wanted.teams)),
        ] where !users.isEmpty || !teams.isEmpty {
            let body: JSONValue = [
                "reviewers": JSONValue(users), "team_reviewers": JSONValue(teams),
            ]
            let request = TrackerRequest.json(method, "\(path)/requested_reviewers", body)
            _ = try await session.write(request, isIdempotent: true)
        }
    }

    /// REST cannot do this.
    private func set(isDraft: Bool, of path: String) async throws(TrackerError) {
        let (value, _) = try await session.document(TrackerRequest(path: path))
        guard value["draft"]?.bool != isDraft else { return }
        guard let node = value["node_id"]?.string else {
            throw .invalidResponse(detail: "a pull request without `node_id`")
        }
        let name = isDraft ? "convertPullRequestToDraft" : "markPullRequestReadyForReview"
        try await mutate(
            """
            mutation($id: ID!) { \(name)(input: {pullRequestId: $id}) { clientMutationId } }
            """,
            ["id": .string(node)]
        )
    }

    // MARK: - Reviews

    /// Gives a verdict with all its remarks in one step.
    package func review(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ review: ReviewDraft
    ) async throws(TrackerError) -> PullRequest {
        try review.check()
        let event: String =
            switch review.action {
            case .approve: "APPROVE"
            case .requestChanges: "REQUEST_CHANGES"
            case .comment: "COMMENT"
            }
        var body = JSONObject()
        body["event"] = .string(event)
        if !review.body.isEmpty { body["body"] = .string(review.body) }
        if !review.comments.isEmpty {
            body["comments"] = .array(review.comments.map(Self.remark))
        }
        let path = "\(Self.pullPath(project, pull))/reviews"
        let start = now().advanced(by: .zero - Self.clockTolerance)
        _ = try await session.writeOnce(
            .json("POST", path, .object(body)),
            read: { (_) throws(TrackerError) in true },
            find: { () async throws(TrackerError) -> Bool? in
                let rows = try await session.rows(
                    at: path,
                    paging: Self.paging,
                    read: GitHubReading.review
                )
                let isThere = rows.items.contains { found in
                    found.submittedAt ?? start >= start && haveEqualBytes(found.body, review.body)
                        && found.verdict == review.action.verdict
                }
                return isThere ? true : nil
            }
        )
        return try await pullRequest(pull, in: project, parts: [.reviews])
    }

    private static func remark(_ comment: LineComment) -> JSONValue {
        [
            "path": .string(comment.path), "line": .integer(Int64(comment.line)),
            "side": .string(comment.side.rawValue), "body": .string(comment.body),
        ]
    }

    /// Starts a thread on a line of the last commit's diff.
    package func addReviewComment(
        _ comment: LineComment,
        to pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let path = Self.pullPath(project, pull)
        let (value, _) = try await session.document(TrackerRequest(path: path))
        guard let revision = value["head"]?["sha"]?.string,
            case .object(var body) = Self.remark(comment)
        else { throw .invalidResponse(detail: "a pull request without `head`") }
        body["commit_id"] = .string(revision)
        return try await writeRemark(
            .object(body),
            comment.body,
            at: "\(path)/comments",
            pull,
            project
        )
    }

    /// Adds to the thread of a remark.
    package func reply(
        _ body: String,
        toReviewComment parent: String,
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let path = Self.pullPath(project, pull)
        return try await writeRemark(
            ["body": .string(body)],
            body,
            at: "\(path)/comments/\(percentEncoded(parent))/replies",
            pull,
            project
        )
    }

    private func writeRemark(
        _ value: JSONValue,
        _ text: String,
        at path: String,
        _ pull: IssueReference,
        _ project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let start = now().advanced(by: .zero - Self.clockTolerance)
        return try await session.writeOnce(
            .json("POST", path, value),
            read: { (value) throws(TrackerError) in
                try readAnswer(value, GitHubReading.reviewComment)
            },
            find: { () async throws(TrackerError) in
                let rows = try await session.rows(
                    at: "\(Self.pullPath(project, pull))/comments",
                    paging: Self.paging,
                    read: GitHubReading.reviewComment
                )
                return rows.items.last {
                    $0.comment.createdAt >= start && haveEqualBytes($0.comment.body, text)
                }
            }
        )
    }

    /// Changes a remark by REST and its thread by GraphQL.
    package func updateReviewComment(
        _ id: String,
        of pull: IssueReference,
        in project: RemoteProject,
        _ change: ReviewCommentChange
    ) async throws(TrackerError) -> PullRequestComment {
        let path = "\(Self.path(project))/pulls/comments/\(percentEncoded(id))"
        // The address does not name the pull request: any remark of the repository would do.
        var value = try await session.document(TrackerRequest(path: path)).value
        let place = value["pull_request_url"]?.string?.split(separator: "/").last
        guard let place, let number = Int(place) else {
            throw .invalidResponse(detail: "the remark does not tell its `pull_request_url`")
        }
        guard number == pull.number else {
            throw .notFound(detail: "it is a remark of #\(number)")
        }
        var thread: String?
        // One that is given is looked at whatever is asked, as on GitLab.
        if change.isResolved != nil || change.threadID != nil {
            thread = try await self.thread(of: id, on: pull, in: project, change.threadID)
        }
        if let isResolved = change.isResolved, let thread {
            let name = isResolved ? "resolveReviewThread" : "unresolveReviewThread"
            try await mutate(
                "mutation($id: ID!) { \(name)(input: {threadId: $id}) { clientMutationId } }",
                ["id": .string(thread)]
            )
        }
        if let body = change.body {
            let request = TrackerRequest.json("PATCH", path, ["body": .string(body)])
            value = try await session.write(request, isIdempotent: true).value
        }
        var comment = try readAnswer(value, GitHubReading.reviewComment)
        comment.threadID = thread
        comment.isResolved = change.isResolved
        return comment
    }

    /// The thread of a remark: the one that is given, if it is the remark's.
    private func thread(
        of id: String,
        on pull: IssueReference,
        in project: RemoteProject,
        _ given: String?
    ) async throws(TrackerError) -> String {
        let threads = try await threads(of: pull, in: project)
        // Of a long thread not all remarks are told.
        let known = given.flatMap { threads.resolved[$0] == nil ? nil : $0 }
        guard let thread = threads.ofRemarks[id] ?? known else {
            throw .invalid(
                "comment_id",
                "is in no thread that GitHub tells of: it resolves threads, not comments",
                cure: "see whether the token may ask GitHub's GraphQL"
            )
        }
        // Else that would be resolved, and nobody told.
        if let given, !haveEqualBytes(given, thread) {
            throw .invalid(
                "thread_id",
                "is not the thread of the comment `\(id)`",
                cure: "leave it out: the thread is found by the comment"
            )
        }
        return thread
    }
}

extension ReviewDraft.Action {
    /// What a reader sees of it.
    var verdict: Review.Verdict {
        switch self {
        case .approve: .approved
        case .requestChanges: .changesRequested
        case .comment: .commented
        }
    }
}

extension [String] {
    /// Those that are not among `others`, without regard to case.
    fileprivate func without(_ others: [String]) -> [String] {
        let known = Set(others.map { $0.lowercased() })
        return filter { !known.contains($0.lowercased()) }
    }
}
