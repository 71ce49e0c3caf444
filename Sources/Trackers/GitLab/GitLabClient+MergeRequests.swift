import Domain
import HTTPClient

extension GitLabClient: PullRequestWriter {
    /// One merge request as it is now.
    package func pullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        parts: PullRequestParts
    ) async throws(TrackerError) -> PullRequest {
        let path = Self.mergePath(project, pull)
        let (value, _) = try await session.document(TrackerRequest(path: path))
        var result = try mergeRequest(value, project)
        if parts.contains(.files) {
            let files = try await diffs(of: pull, in: project)
            result.add(files: files.items, isComplete: files.isComplete)
            if files.isComplete {
                result.additions = files.items.reduce(0) { $0 + $1.additions }
                result.deletions = files.items.reduce(0) { $0 + $1.deletions }
                result.changedFileCount = files.items.count
            }
        }
        if parts.contains(.reviews) {
            let request = TrackerRequest(path: "\(path)/approvals", acceptedStatuses: [403, 404])
            let (approvals, _) = try await session.document(request)
            result.reviews = GitLabReading.approvals(approvals)
            result.reviews += try await requestsForChanges(of: path)
        }
        if parts.contains(.checks), let pipeline = value["head_pipeline"] {
            result.checks = GitLabReading.check(pipeline).map { Checks(checks: [$0]) }
        }
        if parts.contains(.comments) {
            let threads = try await session.rows(
                at: "\(path)/discussions",
                paging: { _ in Self.paging },
                read: GitLabReading.thread
            )
            result.comments = threads.items.flatMap(\.self)
            if !threads.isComplete {
                result.warnings.append("only the first \(threads.items.count) threads are read")
            }
        }
        return result
    }

    static func mergePath(_ project: RemoteProject, _ pull: IssueReference) -> String {
        "\(path(project))/merge_requests/\(pull.number)"
    }

    private func mergeRequest(
        _ value: JSONValue,
        _ project: RemoteProject
    ) throws(TrackerError) -> PullRequest {
        let issue = try read(value, .pullRequest, project)
        return try readAnswer(value) { (fields) throws(FieldError) in
            try GitLabReading.mergeRequest(fields, issue: issue)
        }
    }

    private func diffs(
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> (items: [FileChange], isComplete: Bool) {
        try await session.rows(
            at: "\(Self.mergePath(project, pull))/diffs",
            paging: { _ in Self.paging },
            read: GitLabReading.diff
        )
    }

    /// Reviewers who asked for changes; old versions do not tell.
    private func requestsForChanges(of path: String) async throws(TrackerError) -> [Review] {
        let request = TrackerRequest(path: "\(path)/reviewers", acceptedStatuses: [403, 404])
        let (value, response) = try await session.document(request)
        guard response.status == 200 else { return [] }
        return (value.array ?? []).compactMap { entry in
            guard entry["state"]?.string == "requested_changes",
                let name = entry["user"]?["username"]?.string
            else { return nil }
            return Review(
                externalID: entry["user"]?["id"]?.integer.map { String($0) } ?? name,
                author: sanitized(name),
                verdict: .changesRequested,
                body: "",
                submittedAt: nil
            )
        }
    }

    // MARK: - Creating and changing

    /// Creates a merge request in one step.
    ///
    /// After an unknown outcome the open merge requests of the branch are looked through: GitLab
    /// allows one for each pair of branches.
    package func createPullRequest(
        _ draft: PullRequestDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequest {
        var body = JSONObject()
        body["title"] = .string(Self.title(draft.title, isDraft: draft.isDraft))
        body["description"] = .string(draft.body)
        body["source_branch"] = .string(draft.sourceBranch)
        body["target_branch"] = .string(draft.targetBranch)
        if !draft.labels.isEmpty { body["labels"] = try Self.joined(draft.labels) }
        if !draft.assignees.isEmpty {
            body["assignee_ids"] = try await identifiers(of: draft.assignees, field: "assignees")
        }
        if !draft.reviewers.isEmpty {
            body["reviewer_ids"] = try await identifiers(of: draft.reviewers, field: "reviewers")
        }
        let milestone = try await session.milestone(
            draft.milestone,
            at: "\(Self.path(project))/milestones",
            paging: { _ in Self.paging }
        )
        if let milestone { body["milestone_id"] = .integer(Int64(milestone.id)) }
        if let squashes = draft.squashes { body["squash"] = .bool(squashes) }
        if let removes = draft.removesSourceBranch { body["remove_source_branch"] = .bool(removes) }
        let path = "\(Self.path(project))/merge_requests"
        var pull = try await session.writeOnce(
            .json("POST", path, .object(body)),
            read: { (value) throws(TrackerError) in try mergeRequest(value, project) },
            find: { () async throws(TrackerError) -> PullRequest? in
                let query = QueryString([
                    "state": "opened", "source_branch": draft.sourceBranch,
                    "target_branch": draft.targetBranch,
                ])
                let (value, _) = try await session.document(
                    TrackerRequest(path: path, query: query)
                )
                // Rows of others that cannot be read are not the one looked for.
                return (value.array ?? []).compactMap { try? mergeRequest($0, project) }.first {
                    $0.sourceBranch == draft.sourceBranch && $0.targetBranch == draft.targetBranch
                }
            }
        )
        var written = WrittenIssue(pull.issue)
        for (wanted, shown, what) in [
            (draft.labels, pull.issue.labels, "labels"),
            (draft.assignees.map(Self.plainName), pull.issue.assignees, "assignees"),
            (draft.reviewers.map(Self.plainName), pull.reviewers, "reviewers"),
        ] {
            written.note(missing: wanted, from: shown, what: what)
        }
        pull.warnings += written.warnings
        return pull
    }

    /// A draft is told by its title alone.
    private static func title(_ title: String, isDraft: Bool) -> String {
        var plain = title
        for mark in ["Draft: ", "Draft:", "[Draft] ", "(Draft) "] where plain.hasPrefix(mark) {
            plain.removeFirst(mark.count)
            break
        }
        return isDraft ? "Draft: \(plain)" : plain
    }

    /// Changes a merge request, then reactions to it.
    package func updatePullRequest(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ change: PullRequestChange
    ) async throws(TrackerError) -> PullRequest {
        let reactions = try ReactionChange(change)
        let path = Self.mergePath(project, pull)
        var issueChange = change.issueChange
        if let isDraft = change.isDraft {
            let title: String
            if let wanted = change.title {
                title = wanted
            } else {
                title = try await issue(pull, in: project).title
            }
            issueChange.title = Self.title(title, isDraft: isDraft)
        } else if let wanted = change.title {
            // A new title alone must not make a draft ready.
            let present = try await pullRequest(pull, in: project, parts: [])
            issueChange.title = Self.title(wanted, isDraft: present.isDraft)
        }
        var body = JSONObject()
        if let branch = change.targetBranch { body["target_branch"] = .string(branch) }
        if let names = change.reviewers {
            body["reviewer_ids"] = try await identifiers(of: names, field: "reviewers")
        }
        if !body.members.isEmpty {
            let request = TrackerRequest.json("PUT", path, .object(body))
            _ = try await session.write(request, isIdempotent: true)
        }
        var warnings: [String] = []
        if !issueChange.isEmpty {
            warnings = try await updateIssue(pull, in: project, issueChange).warnings
        }
        do throws(TrackerError) {
            try await react(reactions, to: pull, in: project)
        } catch {
            // With nothing written before, all of it was refused.
            guard change.hasFields else { throw error }
            warnings.append("the rest is changed, but not the reactions: \(error)")
        }
        var result = try await pullRequest(pull, in: project, parts: [])
        result.warnings += warnings
        var asked = change
        asked.reviewers = change.reviewers?.map(Self.plainName)
        result.note(unmet: asked)
        return result
    }

    // MARK: - Reviews

    /// Puts the remarks on their lines, which are all looked for first, then gives the verdict.
    ///
    /// Changes are requested by GitLab's own command in a comment; versions that do not know it
    /// keep the comment, and the caller is warned.
    package func review(
        _ pull: IssueReference,
        in project: RemoteProject,
        _ review: ReviewDraft
    ) async throws(TrackerError) -> PullRequest {
        try review.check()
        let positions = try await positions(of: review.comments, on: pull, in: project)
        for (count, position) in positions.enumerated() {
            do throws(TrackerError) {
                _ = try await start(position, on: pull, in: project)
            } catch {
                throw Self.told(error, after: count)
            }
        }
        let path = Self.mergePath(project, pull)
        var warnings: [String] = []
        switch review.action {
        case .comment:
            if !review.body.isEmpty {
                _ = try await addComment(review.body, to: pull, in: project, replyingTo: nil)
            }
        case .approve:
            if !review.body.isEmpty {
                _ = try await addComment(review.body, to: pull, in: project, replyingTo: nil)
            }
            // 401: approved already by this user, or not allowed to; the approvals tell which.
            let request = TrackerRequest.json("POST", "\(path)/approve", [:])
            _ = try await session.write(request, isIdempotent: true)
        case .requestChanges:
            warnings = try await requestChanges(review.body, of: pull, in: project)
        }
        var result = try await pullRequest(pull, in: project, parts: [.reviews])
        result.warnings += warnings
        return result
    }

    /// A refusal of a remark, with how many stand already: who repeats the call would double them.
    private static func told(_ error: TrackerError, after count: Int) -> TrackerError {
        guard count > 0, case .refused(var refusal) = error else { return error }
        let remarks = count == 1 ? "remark is" : "\(count) remarks are"
        refusal.cure += "; the first \(remarks) there already, leave out what is"
        return .refused(refusal)
    }

    private static let reviewCommand = "/submit_review requested_changes"

    private func requestChanges(
        _ body: String,
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [String] {
        if !body.isEmpty {
            _ = try await addComment(body, to: pull, in: project, replyingTo: nil)
        }
        let path = "\(Self.mergePath(project, pull))/notes"
        let command = TrackerRequest.json(
            "POST",
            path,
            ["body": .string(Self.reviewCommand)],
            acceptedStatuses: [400, 422]
        )
        let (value, response) = try await session.write(command)
        guard response.status != 202 else { return [] }
        if response.status == 201, let id = value["id"]?.integer {
            // The command was taken for text.
            try await session.remove("\(path)/\(id)")
        }
        return ["this GitLab has no requests for changes: the review is a comment"]
    }

    /// Starts a thread on a line.
    package func addReviewComment(
        _ comment: LineComment,
        to pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let positions = try await positions(of: [comment], on: pull, in: project)
        return try await start(positions[0], on: pull, in: project)
    }

    /// Where remarks stand, in their order; refuses all of them for one that cannot stand anywhere.
    private func positions(
        of comments: [LineComment],
        on pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [GitLabPosition] {
        guard !comments.isEmpty else { return [] }
        let request = TrackerRequest(path: Self.mergePath(project, pull))
        let (value, _) = try await session.document(request)
        let files = try await diffs(of: pull, in: project)
        var positions: [GitLabPosition] = []
        for comment in comments {
            let position = try GitLabPosition(
                of: comment,
                on: value,
                files: files.items,
                isComplete: files.isComplete
            )
            positions.append(position)
        }
        return positions
    }

    /// Starts a thread with a remark.
    ///
    /// After an unknown outcome one with the text is looked for on that very line: a review may say
    /// the same of several.
    private func start(
        _ position: GitLabPosition,
        on pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let path = "\(Self.mergePath(project, pull))/discussions"
        let body = position.comment.body
        let earliest = now().advanced(by: .zero - Self.clockTolerance)
        do throws(TrackerError) {
            return try await session.writeOnce(
                .json("POST", path, ["body": .string(body), "position": position.json]),
                read: { (value) throws(TrackerError) in
                    let thread = try readAnswer(value, GitLabReading.thread)
                    guard let first = thread.first else {
                        throw .invalidResponse(detail: "a thread without notes")
                    }
                    return first
                },
                find: { () async throws(TrackerError) in
                    let threads = try await session.rows(
                        at: path,
                        paging: { _ in Self.paging },
                        read: GitLabReading.thread
                    )
                    return threads.items.flatMap(\.self).last {
                        $0.comment.createdAt >= earliest && $0.place == position.place
                            && haveEqualBytes($0.comment.body, body)
                    }
                }
            )
        } catch {
            throw position.explained(error)
        }
    }

    /// Adds to the thread, or to the thread that holds the comment.
    package func reply(
        _ body: String,
        toReviewComment parent: String,
        of pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> PullRequestComment {
        let thread = try await discussion(of: parent, on: pull, in: project)
        let comment = try await addComment(body, to: pull, in: project, replyingTo: thread)
        return PullRequestComment(comment: comment, threadID: thread, replyTo: parent)
    }

    /// Changes a note, and resolves its thread or opens it again.
    package func updateReviewComment(
        _ id: String,
        of pull: IssueReference,
        in project: RemoteProject,
        _ change: ReviewCommentChange
    ) async throws(TrackerError) -> PullRequestComment {
        let path = Self.mergePath(project, pull)
        let thread: String
        if let known = change.threadID {
            thread = known
        } else {
            thread = try await discussion(of: id, on: pull, in: project)
        }
        let place = "\(path)/discussions/\(percentEncoded(thread))"
        if change.threadID != nil { try await check(id, isIn: thread, at: place) }
        if let isResolved = change.isResolved {
            let request = TrackerRequest.json("PUT", place, ["resolved": .bool(isResolved)])
            _ = try await session.write(request, isIdempotent: true)
        }
        if let body = change.body {
            let note = "\(place)/notes/\(percentEncoded(id))"
            let request = TrackerRequest.json("PUT", note, ["body": .string(body)])
            _ = try await session.write(request, isIdempotent: true)
        }
        let (value, _) = try await session.document(TrackerRequest(path: place))
        let notes = try readAnswer(value, GitLabReading.thread)
        guard let note = notes.first(where: { $0.comment.externalID == id }) ?? notes.first else {
            throw .notFound(detail: "the thread has no comment `\(id)`")
        }
        return note
    }
    /// Refuses a comment of another thread: else that would be resolved, and nobody told.
    private func check(
        _ id: String,
        isIn thread: String,
        at path: String
    ) async throws(TrackerError) {
        let (value, _) = try await session.document(TrackerRequest(path: path))
        let notes = try readAnswer(value, GitLabReading.thread)
        guard !haveEqualBytes(id, thread), !notes.contains(where: { $0.comment.externalID == id })
        else { return }
        throw .invalid(
            "thread_id",
            "is not the thread of the comment `\(id)`",
            cure: "leave it out: the thread is found by the comment"
        )
    }
}
