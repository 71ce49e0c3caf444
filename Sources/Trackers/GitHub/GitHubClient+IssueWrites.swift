package import Domain
import HTTPClient

extension GitHubClient: IssueWriter {
    /// The repository with this name; one that was renamed is found under its new one.
    package func project(at path: String) async throws(TrackerError) -> RemoteProject {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        guard segments.count == 2, segments.allSatisfy({ !$0.isEmpty }) else {
            throw .invalid("project", "`\(path)` is no `owner/repository`")
        }
        let encoded = segments.map { percentEncoded(String($0)) }.joined(separator: "/")
        let (value, _) = try await session.document(TrackerRequest(path: "/repos/\(encoded)"))
        return try readAnswer(value) { (fields) throws(FieldError) in
            try GitHubRepository(fields).project
        }
    }

    /// One issue or pull request as it is now.
    package func issue(
        _ issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> Issue {
        // An issue that was transferred is answered with its new place, where what is written would
        // go to whatever has its number here.
        let request = TrackerRequest(
            path: Self.path(project, issue),
            acceptedStatuses: [301, 302, 307, 308],
            followsRedirects: false
        )
        let (value, response) = try await session.document(request)
        guard response.status < 300 else {
            throw .notFound(detail: "it was moved to another repository")
        }
        return try read(value, project)
    }

    /// Creates an issue; after an unknown outcome the newest issues are looked through for it.
    package func createIssue(
        _ draft: IssueDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> WrittenIssue {
        var change = IssueChange()
        change.status = draft.status
        let wish = try StateWish(change)
        var labels = draft.labels
        if let priority = draft.priority {
            labels.append(try await priorityLabel(priority, in: project))
        }
        labels = withoutRepeats(labels)
        var body = JSONObject()
        body["title"] = .string(draft.title)
        body["body"] = .string(draft.body)
        if !labels.isEmpty { body["labels"] = JSONValue(labels) }
        if !draft.assignees.isEmpty { body["assignees"] = JSONValue(draft.assignees) }
        if let type = draft.type { body["type"] = .string(type) }
        let path = "\(Self.path(project))/issues"
        let start = now()
        let issue = try await session.writeOnce(
            .json("POST", path, .object(body)),
            read: { (value) throws(TrackerError) in try read(value, project) },
            find: { () async throws(TrackerError) in
                try await created(draft, since: start, in: project)
            }
        )
        var written = WrittenIssue(issue)
        if let wish, wish.state == .closed {
            do throws(TrackerError) {
                written = try await updateIssue(IssueReference(issue), in: project, change)
            } catch {
                written.note(created: draft.status, but: error)
            }
        }
        written.note(unmet: IssueChange(draft), labels: .change(adding: labels, removing: []))
        written.note(missing: draft.assignees, from: written.issue.assignees, what: "assignees")
        return written
    }

    /// The clocks of both sides may differ by so much.
    static let clockTolerance: Duration = .seconds(60)

    private func created(
        _ draft: IssueDraft,
        since start: Timestamp,
        in project: RemoteProject
    ) async throws(TrackerError) -> Issue? {
        let query = QueryString([
            "state": "all", "sort": "created", "direction": "desc", "per_page": "30",
        ])
        let list = try await session.list(
            TrackerRequest(path: "\(Self.path(project))/issues", query: query)
        )
        let rows = list.read { (fields) throws(FieldError) in
            try GitHubReading.issue(fields, projectPath: project.path)
        }
        let earliest = start.advanced(by: .zero - Self.clockTolerance)
        return rows.compactMap { try? $0.get() }.first { issue in
            issue.kind == .issue && issue.createdAt >= earliest
                && haveEqualBytes(issue.title, draft.title)
                && haveEqualBytes(issue.body, draft.body)
        }
    }

    /// Changes an issue or pull request; labels first, so that the answer of the last step is the
    /// whole.
    package func updateIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange
    ) async throws(TrackerError) -> WrittenIssue {
        let path = Self.path(project, issue)
        var body = JSONObject()
        if let title = change.title { body["title"] = .string(title) }
        if let text = change.body { body["body"] = .string(text) }
        if let assignees = change.assignees { body["assignees"] = JSONValue(assignees) }
        if let type = change.type { body["type"] = .string(type) }
        let wish = try StateWish(change)
        if let wish {
            body["state"] = .string(wish.state.rawValue)
            if let reason = wish.reason, issue.kind == .issue {
                body["state_reason"] = .string(reason)
            }
        }
        var labels = change.labels
        if let priority = change.priority {
            labels = try await self.labels(labels, withPriority: priority, of: issue, in: project)
        }
        switch labels {
        case .set(let names): body["labels"] = JSONValue(withoutRepeats(names))
        case .change(let added, let removed):
            try await changeLabels(of: path, adding: added, removing: removed)
        case nil: break
        }
        var written: WrittenIssue
        if body.members.isEmpty {
            written = WrittenIssue(try await self.issue(issue, in: project))
        } else {
            let request = TrackerRequest.json("PATCH", path, .object(body))
            let (value, _) = try await session.write(request, isIdempotent: true)
            written = WrittenIssue(try read(value, project))
        }
        written.note(unmet: change, labels: labels)
        written.note(unmet: wish)
        return written
    }

    /// Open, closed, and GitHub's reasons.
    package func statusOptions(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [StatusOption] {
        StatusOption.simple(
            issue.kind == .issue ? ["completed", "not_planned", "duplicate"] : []
        )
    }

    /// Closes it with that reason, then says of which issue it is the duplicate.
    ///
    /// GitHub's API has no link between the two but the words "Duplicate of" in a comment, which
    /// its pages show as one. When it was closed before, by an attempt that was cut off perhaps,
    /// the words are added only where they are missing.
    package func closeIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        asDuplicateOf original: IssueReference
    ) async throws(TrackerError) -> WrittenIssue {
        let body = "Duplicate of \(original.key)"
        let present = try await self.issue(issue, in: project)
        let wasClosed = present.state == .closed
        var written = WrittenIssue(present)
        // Closed first: a comment that was made before a refusal would be made again.
        if !wasClosed || present.status != "duplicate" {
            var change = IssueChange()
            change.status = "duplicate"
            written = try await updateIssue(issue, in: project, change)
        }
        do throws(TrackerError) {
            if wasClosed {
                let words = try await words(on: issue, naming: original, in: project)
                written.comment = words.comment
                if words.comment != nil { return written }
                guard words.isCertain else {
                    written.warnings.append(
                        "it is closed; whether a comment says of which issue is not known, for "
                            + "it has too many"
                    )
                    return written
                }
            }
            written.comment = try await addComment(body, to: issue, in: project, replyingTo: nil)
        } catch {
            written.warnings.append("it is closed, but does not say of which issue: \(error)")
        }
        return written
    }

    /// The comment that names the original in GitHub's words; that there is none is uncertain when
    /// there are too many to read.
    private func words(
        on issue: IssueReference,
        naming original: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> (comment: Comment?, isCertain: Bool) {
        var spellings = ["Duplicate of \(original.key)"]
        let short = "#\(original.number)"
        // As people write it, within a repository.
        if haveEqualBytes(original.key, project.path + short) {
            spellings.append("Duplicate of \(short)")
        }
        let path = "\(Self.path(project, issue))/comments"
        let rows = try await session.rows(at: path, paging: Self.paging) {
            (fields) throws(FieldError) in
            try GitHubReading.comment(fields).comment
        }
        let found = rows.items.first { comment in
            spellings.contains { haveEqualBytes($0, comment.body) }
        }
        return (found, found != nil || rows.isComplete)
    }

    // MARK: - Labels

    private func changeLabels(
        of path: String,
        adding added: [String],
        removing removed: [String]
    ) async throws(TrackerError) {
        for name in withoutRepeats(removed) {
            let request = TrackerRequest(
                method: "DELETE",
                path: "\(path)/labels/\(percentEncoded(name))",
                // It is not there: that was wanted.
                acceptedStatuses: [404],
                followsRedirects: false
            )
            let (value, response) = try await session.write(request, isIdempotent: true)
            let text = value["message"]?.string?.lowercased() ?? ""
            if response.status == 404, !text.contains("label") {
                throw .notFound(detail: ErrorDetail(response).text)
            }
        }
        guard !added.isEmpty else { return }
        let body: JSONValue = ["labels": JSONValue(withoutRepeats(added))]
        _ = try await session.write(.json("POST", "\(path)/labels", body), isIdempotent: true)
    }

    /// The label change with the issue's priority labels exchanged for another.
    private func labels(
        _ labels: LabelChange?,
        withPriority priority: String,
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> LabelChange {
        let label = try await priorityLabel(priority, in: project)
        let present = try await self.issue(issue, in: project).labels
        return labels.exchangingPriority(of: present, for: label)
    }

    /// The repository's own label for a priority, else `priority:NAME`.
    private func priorityLabel(
        _ priority: String,
        in project: RemoteProject
    ) async throws(TrackerError) -> String {
        let names = try await session.names(
            at: "\(Self.path(project))/labels",
            paging: Self.paging
        )
        return priorityLabelName(priority, among: names) ?? "priority:\(priority.lowercased())"
    }

    // MARK: - Reading

    static func path(_ project: RemoteProject) -> String {
        "/repositories/\(percentEncoded(project.externalID))"
    }

    static func path(_ project: RemoteProject, _ issue: IssueReference) -> String {
        "\(path(project))/issues/\(issue.number)"
    }

    private func read(
        _ value: JSONValue,
        _ project: RemoteProject
    ) throws(TrackerError) -> Issue {
        try readAnswer(value) { (fields) throws(FieldError) in
            try GitHubReading.issue(fields, projectPath: project.path)
        }
    }
}
