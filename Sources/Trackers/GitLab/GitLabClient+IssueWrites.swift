package import Domain
import HTTPClient

extension GitLabClient: IssueWriter {
    /// The project with this path.
    package func project(at path: String) async throws(TrackerError) -> RemoteProject {
        guard path.contains("/") else {
            throw .invalid("project", "`\(path)` is no `group/project`")
        }
        let request = TrackerRequest(path: "/projects/\(percentEncoded(path))")
        let (value, _) = try await session.document(request)
        return try readAnswer(value) { (fields) throws(FieldError) in
            try GitLabProject(fields).project
        }
    }

    /// One issue or merge request as it is now.
    package func issue(
        _ issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> Issue {
        let request = TrackerRequest(path: Self.path(project, issue))
        return try read(try await session.document(request).value, issue.kind, project)
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
        body["description"] = .string(draft.body)
        if !labels.isEmpty { body["labels"] = try Self.joined(labels) }
        if !draft.assignees.isEmpty {
            body["assignee_ids"] = try await identifiers(of: draft.assignees, field: "assignees")
        }
        if let type = draft.type { body["issue_type"] = .string(Self.typeName(type)) }
        let start = now()
        let issue = try await session.writeOnce(
            .json("POST", "\(Self.path(project))/issues", .object(body)),
            read: { (value) throws(TrackerError) in try read(value, .issue, project) },
            find: { () async throws(TrackerError) in
                try await created(draft, since: start, in: project)
            }
        )
        var written = WrittenIssue(issue)
        if wish?.state == .closed {
            do throws(TrackerError) {
                written = try await updateIssue(IssueReference(issue), in: project, change)
            } catch {
                written.note(created: draft.status, but: error)
            }
        }
        var asked = IssueChange(draft)
        asked.type = draft.type.map(Self.typeName)
        written.note(unmet: asked, labels: .change(adding: labels, removing: []))
        written.note(
            missing: draft.assignees.map(Self.plainName),
            from: written.issue.assignees,
            what: "assignees"
        )
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
            "scope": "all", "state": "all", "order_by": "created_at", "sort": "desc",
            "per_page": "30",
        ])
        let list = try await session.list(
            TrackerRequest(path: "\(Self.path(project))/issues", query: query)
        )
        let rows = list.read { (fields) throws(FieldError) in
            try GitLabReading.item(fields, stream: .issues, projectPath: project.path)
        }
        let earliest = start.advanced(by: .zero - Self.clockTolerance)
        return rows.compactMap { try? $0.get() }.first { issue in
            issue.createdAt >= earliest && haveEqualBytes(issue.title, draft.title)
                && haveEqualBytes(issue.body, draft.body)
        }
    }

    /// Changes an issue or merge request in one step.
    package func updateIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange
    ) async throws(TrackerError) -> WrittenIssue {
        var body = JSONObject()
        if let title = change.title { body["title"] = .string(title) }
        if let text = change.body { body["description"] = .string(text) }
        if let type = change.type {
            guard issue.kind == .issue else {
                throw .unsupported("a merge request has no type")
            }
            body["issue_type"] = .string(Self.typeName(type))
        }
        if let assignees = change.assignees {
            body["assignee_ids"] = try await identifiers(of: assignees, field: "assignees")
        }
        var labels = change.labels
        if let priority = change.priority {
            let label = try await priorityLabel(priority, in: project)
            let present = try await self.issue(issue, in: project).labels
            labels = labels.exchangingPriority(of: present, for: label)
        }
        switch labels {
        case .set(let names): body["labels"] = try Self.joined(withoutRepeats(names))
        case .change(let added, let removed):
            if !added.isEmpty { body["add_labels"] = try Self.joined(withoutRepeats(added)) }
            if !removed.isEmpty {
                body["remove_labels"] = try Self.joined(withoutRepeats(removed))
            }
        case nil: break
        }
        let wish = try StateWish(change)
        if let wish {
            // GitLab refuses to close what is closed.
            let present = try await self.issue(issue, in: project)
            if present.state != wish.state {
                body["state_event"] = wish.state == .open ? "reopen" : "close"
            }
        }
        var written: WrittenIssue
        if body.members.isEmpty {
            written = WrittenIssue(try await self.issue(issue, in: project))
        } else {
            let request = TrackerRequest.json("PUT", Self.path(project, issue), .object(body))
            let (value, _) = try await session.write(request, isIdempotent: true)
            written = WrittenIssue(try read(value, issue.kind, project))
        }
        var asked = change
        asked.type = change.type.map(Self.typeName)
        asked.assignees = change.assignees?.map(Self.plainName)
        written.note(unmet: asked, labels: labels)
        written.note(unmet: wish.map { StateWish(state: $0.state) })
        // To be completed is what a closed issue means where there are no reasons.
        if issue.kind == .issue, let reason = wish?.reason, reason != "completed" {
            written.warnings.append("GitLab keeps no reasons: that it is `\(reason)` is not kept")
        }
        return written
    }

    /// Open and closed: GitLab keeps no reasons.
    package func statusOptions(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> [StatusOption] {
        StatusOption.simple([])
    }

    /// Closes by GitLab's own `/duplicate`, which links the two; where that does nothing the issues
    /// are related and this one is closed.
    package func closeIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        asDuplicateOf original: IssueReference
    ) async throws(TrackerError) -> WrittenIssue {
        guard issue.kind == .issue else {
            throw .unsupported("a merge request cannot be closed as a duplicate")
        }
        let path = "\(Self.path(project, issue))/notes"
        let command: JSONValue = ["body": .string("/duplicate \(original.key)")]
        // 202 tells what the command did; 400 that it could not be applied.
        let request = TrackerRequest.json("POST", path, command, acceptedStatuses: [400, 422])
        var noteID: Int64?
        var isRefused = false
        do throws(TrackerError) {
            let (value, response) = try await session.write(request)
            if response.status == 201 { noteID = value["id"]?.integer }
            isRefused = noteID != nil || response.status >= 400
        } catch .outcomeUnknown {
            // The issue's state tells.
        }
        if let id = noteID {
            // The command was taken for text.
            try await session.remove("\(path)/\(id)")
        }
        let present = try await self.issue(issue, in: project)
        guard present.state == .open || isRefused else { return WrittenIssue(present) }
        try await relate(issue, in: project, to: original)
        // That it was closed before says nothing of which issue it duplicates.
        guard present.state == .open else {
            return WrittenIssue(try await self.issue(issue, in: project))
        }
        var change = IssueChange()
        change.state = .closed
        return try await updateIssue(issue, in: project, change)
    }

    private func relate(
        _ issue: IssueReference,
        in project: RemoteProject,
        to original: IssueReference
    ) async throws(TrackerError) {
        let target = original.key.prefix { $0 != "#" }
        let body: JSONValue = [
            "target_project_id": .string(target.isEmpty ? project.externalID : String(target)),
            "target_issue_iid": .string(String(original.number)),
            "link_type": "relates_to",
        ]
        // 409: they are related already.
        let request = TrackerRequest.json(
            "POST",
            "\(Self.path(project, issue))/links",
            body,
            acceptedStatuses: [409]
        )
        _ = try await session.write(request, isIdempotent: true)
    }

    // MARK: - Names

    /// GitLab separates labels by commas, so that none can hold one.
    static func joined(_ labels: [String]) throws(TrackerError) -> JSONValue {
        if let label = labels.first(where: { $0.contains(",") }) {
            throw .invalid("labels", "`\(label)` holds a comma, which GitLab's labels cannot")
        }
        return .string(labels.joined(separator: ","))
    }

    /// `Test case` is `test_case` to the API.
    private static func typeName(_ type: String) -> String {
        type.lowercased().replacing(" ", with: "_")
    }

    /// A user's name without the mark of a mention.
    static func plainName(_ name: String) -> String {
        name.hasPrefix("@") ? String(name.dropFirst()) : name
    }

    /// The identifiers of users by their names.
    func identifiers(
        of names: [String],
        field: String
    ) async throws(TrackerError) -> JSONValue {
        var identifiers: [JSONValue] = []
        for name in withoutRepeats(names) {
            let plain = Self.plainName(name)
            let request = TrackerRequest(path: "/users", query: ["username": plain])
            let (users, _) = try await session.document(request)
            let user = users.array?.first {
                $0["username"]?.string?.lowercased() == plain.lowercased()
            }
            guard let id = user?["id"]?.integer else {
                throw .invalid(field, "`\(plain)` is no user of this GitLab")
            }
            identifiers.append(.integer(id))
        }
        return .array(identifiers)
    }

    /// The project's own label for a priority, else `priority::NAME`, of which an issue has one.
    private func priorityLabel(
        _ priority: String,
        in project: RemoteProject
    ) async throws(TrackerError) -> String {
        let names = try await session.names(at: "\(Self.path(project))/labels") { _ in Self.paging }
        return priorityLabelName(priority, among: names) ?? "priority::\(priority.lowercased())"
    }

    // MARK: - Reading

    static func path(_ project: RemoteProject, _ issue: IssueReference) -> String {
        "\(path(project))/\(GitLabStream(issue.kind).rawValue)/\(issue.number)"
    }

    func read(
        _ value: JSONValue,
        _ kind: IssueKind,
        _ project: RemoteProject
    ) throws(TrackerError) -> Issue {
        try readAnswer(value) { (fields) throws(FieldError) in
            try GitLabReading.item(
                fields,
                stream: GitLabStream(kind),
                projectPath: project.path
            )
        }
    }
}
