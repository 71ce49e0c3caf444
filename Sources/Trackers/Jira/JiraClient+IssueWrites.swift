package import Domain
import HTTPClient

extension JiraClient: IssueWriter {
    /// The project with this key.
    package func project(at path: String) async throws(TrackerError) -> RemoteProject {
        let request = TrackerRequest(path: "\(dialect.apiPath)/project/\(percentEncoded(path))")
        let (value, _) = try await session.document(request)
        let site = try await site()
        return try readAnswer(value) { (row) throws(FieldError) in
            try Self.project(row, site: site.url)
        }
    }

    /// One issue as it is now; Jira's own reads do not lag, only its search does.
    package func issue(
        _ issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> Issue {
        try await row(issue, in: project).issue.issue
    }

    /// An issue with the fields as they came.
    func row(
        _ issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> (issue: JiraIssue, fields: JSONValue) {
        let request = TrackerRequest(
            path: path(issue),
            query: QueryString(["fields": JiraDialect.issueFields])
        )
        let (value, _) = try await session.document(request)
        let reader = reader(for: project)
        let found = try readAnswer(value) { (row) throws(FieldError) in try reader.issue(row) }
        // Jira goes on answering to the key an issue had before it was moved.
        if let id = found.projectID, id != project.externalID {
            throw .notFound(detail: "it was moved to `\(found.issue.key)`")
        }
        return (found, value["fields"] ?? .null)
    }

    /// Creates an issue; after an unknown outcome the project's newest issues are searched for it.
    package func createIssue(
        _ draft: IssueDraft,
        in project: RemoteProject
    ) async throws(TrackerError) -> WrittenIssue {
        var fields = JSONObject()
        fields["project"] = ["id": .string(project.externalID)]
        fields["summary"] = .string(draft.title)
        if !draft.body.isEmpty { fields["description"] = text(draft.body) }
        var type = draft.type
        if type == nil { type = try await defaultType(in: project) }
        fields["issuetype"] = ["name": JSONValue(type)]
        if !draft.labels.isEmpty { fields["labels"] = JSONValue(withoutRepeats(draft.labels)) }
        if let priority = draft.priority { fields["priority"] = ["name": .string(priority)] }
        if let assignee = try Self.onlyAssignee(draft.assignees) {
            fields["assignee"] = try await user(assignee, in: project)
        }
        let start = session.now()
        let body: JSONValue = ["fields": .object(fields)]
        let key = try await session.writeOnce(
            .json("POST", "\(dialect.apiPath)/issue", body),
            read: { (value) throws(TrackerError) in
                guard let id = value["id"]?.string ?? value["key"]?.string else {
                    throw .invalidResponse(detail: "the answer names no issue")
                }
                return id
            },
            find: { () async throws(TrackerError) in
                try await created(draft, since: start, in: project)
            }
        )
        let reference = IssueReference(externalID: key, kind: .issue, number: 0, key: key)
        var change = IssueChange()
        change.status = draft.status
        var refusal: TrackerError?
        var status: String?
        do throws(TrackerError) {
            status = try await bringToState(reference, in: project, change)
        } catch {
            refusal = error
        }
        var asked = IssueChange(draft)
        asked.assignees = draft.assignees.isEmpty ? nil : draft.assignees
        asked.priority = draft.priority
        var written: WrittenIssue
        do throws(TrackerError) {
            let shown = try await row(reference, in: project)
            written = WrittenIssue(shown.issue.issue)
            written.note(
                unmet: asked,
                fields,
                shown: shown.fields,
                labels: .change(adding: draft.labels, removing: [])
            )
        } catch {
            throw .outcomeUnknown(detail: "it was created as `\(key)` and cannot be read: \(error)")
        }
        written.note(reached: status)
        if let refusal { written.note(created: draft.status, but: refusal) }
        return written
    }

    /// The identifier of an issue that was created just now.
    private func created(
        _ draft: IssueDraft,
        since start: Timestamp,
        in project: RemoteProject
    ) async throws(TrackerError) -> String? {
        // The clocks of both sides may differ by a minute.
        let earliest = start.advanced(by: .seconds(-60))
        let found = try await search(
            JQL.issues(ofProject: project.externalID, createdSince: earliest),
            in: project,
            size: 30,
            fields: JiraDialect.issueFields
        )
        let reader = reader(for: project)
        let body = ADFConverter.markdown(from: ADFWriter.document(fromMarkdown: draft.body))
        let rows = found.list.read { (row) throws(FieldError) in try reader.issue(row).issue }
        return rows.compactMap { try? $0.get() }.first { issue in
            guard haveEqualBytes(issue.title, draft.title) else { return false }
            return dialect == .server
                ? haveEqualBytes(
                    issue.source ?? "",
                    WikiWriter.wiki(fromMarkdown: draft.body)
                )
                : haveEqualBytes(issue.body, body)
        }?.externalID
    }

    /// Changes fields in one step, then the state, whose step may change other fields by itself.
    package func updateIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        _ change: IssueChange
    ) async throws(TrackerError) -> WrittenIssue {
        var fields = JSONObject()
        if let title = change.title { fields["summary"] = .string(title) }
        if let body = change.body {
            fields["description"] = try await text(body, for: issue, project)
        }
        if let priority = change.priority { fields["priority"] = ["name": .string(priority)] }
        if let type = change.type { fields["issuetype"] = ["name": .string(type)] }
        if let names = change.assignees {
            if let assignee = try Self.onlyAssignee(names) {
                fields["assignee"] = try await user(assignee, in: project)
            } else {
                fields["assignee"] = .null
            }
        }
        var update = JSONObject()
        switch change.labels {
        case .set(let names): fields["labels"] = JSONValue(withoutRepeats(names))
        case .change(let added, let removed):
            let steps =
                withoutRepeats(added).map { JSONValue.step("add", $0) }
                + withoutRepeats(removed).map { JSONValue.step("remove", $0) }
            if !steps.isEmpty { update["labels"] = .array(steps) }
        case nil: break
        }
        let hasFields = !fields.members.isEmpty || !update.members.isEmpty
        // What was moved is not written to under its old key.
        let before = try await row(issue, in: project).issue.issue
        if hasFields {
            var body = JSONObject()
            if !fields.members.isEmpty { body["fields"] = .object(fields) }
            if !update.members.isEmpty { body["update"] = .object(update) }
            _ = try await session.write(
                .json("PUT", path(issue), .object(body)),
                isIdempotent: true
            )
        }
        var refusal: TrackerError?
        var status: String?
        do throws(TrackerError) {
            status = try await bringToState(issue, in: project, change)
        } catch {
            // With nothing written before, all of it was refused.
            guard hasFields else { throw error }
            refusal = error
        }
        let shown = try await row(issue, in: project)
        var written = WrittenIssue(shown.issue.issue)
        written.note(unmet: change, fields, shown: shown.fields, labels: change.labels)
        written.note(unmet: change, where: before)
        written.note(reached: status)
        if let refusal {
            written.warnings.append("the fields were changed, but not the state: \(refusal)")
        }
        return written
    }

    /// Links the issue as a duplicate, then takes it to a state that means done, with the
    /// resolution `Duplicate` where the step has one.
    package func closeIssue(
        _ issue: IssueReference,
        in project: RemoteProject,
        asDuplicateOf original: IssueReference
    ) async throws(TrackerError) -> WrittenIssue {
        let present = try await self.issue(issue, in: project)
        let isLinked = present.links.contains {
            $0.relation == "duplicates" && $0.targetKey == original.key
        }
        if !isLinked { try await linkAsDuplicate(issue, of: original, in: project) }
        var status: String?
        if present.state == .open {
            var change = IssueChange()
            change.state = .closed
            change.resolution = "Duplicate"
            status = try await bringToState(issue, in: project, change, mayDropResolution: true)
        }
        var written = WrittenIssue(try await self.issue(issue, in: project))
        written.note(reached: status)
        if !written.issue.links.contains(where: { $0.targetKey == original.key }) {
            written.warnings.append("the tracker does not show the link to `\(original.key)`")
        }
        return written
    }

    private func linkAsDuplicate(
        _ issue: IssueReference,
        of original: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) {
        let request = TrackerRequest(path: "\(dialect.apiPath)/issueLinkType")
        let (value, _) = try await session.document(request)
        let types = value["issueLinkTypes"]?.array ?? []
        let type =
            types.first { $0["name"]?.string?.lowercased() == "duplicate" }
            ?? types.first { $0["outward"]?.string?.lowercased().contains("duplicate") == true }
        guard let name = type?["name"]?.string else {
            throw .unsupported(
                "this Jira has no link type for duplicates",
                cure: "let an administrator add one, or close the issue without a link"
            )
        }
        // "inward" is the side that reads the outward phrase: this issue "duplicates" the original.
        let body: JSONValue = [
            "type": ["name": .string(name)],
            "inwardIssue": Self.end(issue), "outwardIssue": Self.end(original),
        ]
        _ = try await session.writeOnce(
            .json("POST", "\(dialect.apiPath)/issueLink", body),
            read: { (_) throws(TrackerError) in true },
            find: { () async throws(TrackerError) -> Bool? in
                let links = try await self.issue(issue, in: project).links
                return links.contains { $0.targetKey == original.key } ? true : nil
            }
        )
    }

    private static func end(_ issue: IssueReference) -> JSONValue {
        issue.key.isEmpty
            ? ["id": .string(issue.externalID)] : ["key": .string(issue.key)]
    }

    // MARK: - Fields

    func path(_ issue: IssueReference) -> String {
        let name = issue.externalID.isEmpty ? issue.key : issue.externalID
        return "\(dialect.apiPath)/issue/\(percentEncoded(name))"
    }

    /// A text in the form this Jira takes.
    func text(_ markdown: String) -> JSONValue {
        switch dialect {
        case .cloud: ADFWriter.document(fromMarkdown: markdown)
        case .server: .string(WikiWriter.wiki(fromMarkdown: markdown))
        }
    }

    /// A changed description; nil when the text is the present one, which then stays untouched.
    private func text(
        _ markdown: String,
        for issue: IssueReference,
        _ project: RemoteProject
    ) async throws(TrackerError) -> JSONValue? {
        let present = try await row(issue, in: project)
        guard !haveEqualBytes(present.issue.issue.body, markdown) else { return nil }
        if markdown.isEmpty { return .null }
        guard dialect == .cloud, let original = present.fields["description"], !original.isNull
        else { return text(markdown) }
        return ADFPatch.document(fromMarkdown: markdown, patching: original)
    }

    private static func onlyAssignee(_ names: [String]) throws(TrackerError) -> String? {
        guard names.count < 2 else {
            throw .invalid("assignees", "holds several names, and Jira's issues have one assignee")
        }
        return names.first
    }

    /// The user Jira means by a name, address or identifier.
    private func user(
        _ name: String,
        in project: RemoteProject
    ) async throws(TrackerError) -> JSONValue {
        let plain = name.hasPrefix("@") ? String(name.dropFirst()) : name
        let term = dialect == .cloud ? "query" : "username"
        let request = TrackerRequest(
            path: "\(dialect.apiPath)/user/assignable/search",
            query: QueryString(["project": project.path, term: plain, "maxResults": "50"])
        )
        let (value, _) = try await session.document(request)
        let wanted = plain.lowercased()
        let names = ["accountId", "name", "key", "emailAddress", "displayName"]
        let users = (value.array ?? []).filter { user in
            names.contains { user[$0]?.string?.lowercased() == wanted }
        }
        guard let user = users.first else {
            throw .invalid("assignee", "`\(plain)` is nobody this project's issues can be given to")
        }
        guard users.count == 1 else {
            throw .invalid("assignee", "`\(plain)` is the name of several users")
        }
        let member = dialect == .cloud ? "accountId" : "name"
        guard let identifier = user[member]?.string else {
            throw .invalidResponse(detail: "a user without `\(member)`")
        }
        return [member: .string(identifier)].jsonObject
    }

    /// `Task` where the project has it, else its first type that is no sub-task's.
    private func defaultType(in project: RemoteProject) async throws(TrackerError) -> String {
        let path = "\(dialect.apiPath)/issue/createmeta/\(percentEncoded(project.externalID))"
        let request = TrackerRequest(path: "\(path)/issuetypes")
        let (value, _) = try await session.document(request)
        let types = (value["issueTypes"] ?? value["values"])?.array ?? []
        let names = types.filter { $0["subtask"]?.bool != true }.compactMap { $0["name"]?.string }
        guard let name = names.first(where: { $0.lowercased() == "task" }) ?? names.first else {
            throw .invalid("type", "has to be named: this project tells no default")
        }
        return name
    }
}

extension JSONValue {
    /// `{"add": name}`.
    fileprivate static func step(_ verb: String, _ name: String) -> JSONValue {
        [verb: .string(name)].jsonObject
    }
}

extension [String: JSONValue] {
    /// An object of few members whose names are not literals.
    fileprivate var jsonObject: JSONValue {
        var object = JSONObject()
        for (key, value) in self { object[key] = value }
        return .object(object)
    }
}
