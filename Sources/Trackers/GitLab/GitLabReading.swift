import Domain

/// Turns GitLab's rows into values.
enum GitLabReading {
    /// An element of an issue or merge request list, or a single one.
    static func item(
        _ fields: FieldReader,
        stream: GitLabStream,
        projectPath: String
    ) throws(FieldError) -> Issue {
        let number = try fields.integer("iid")
        let key = "\(projectPath)\(stream.mark)\(number)"
        let body = try fields.optionalText("description") ?? ""
        let labels = withoutRepeats(fields.texts("labels", member: "name"))
        let url = try fields.optionalText("web_url") ?? ""
        let state = try fields.text("state")
        let scan = TextLinks(
            projectPath: projectPath,
            webRoot: webRoot(of: url, projectPath: projectPath),
            hasMergeRequests: true
        )
        return Issue(
            externalID: try fields.identifier("id"),
            kind: stream.kind,
            number: number,
            key: key,
            title: try fields.optionalText("title") ?? "",
            body: body,
            // `locked` is a merge request while it is being merged.
            state: state == "opened" || state == "locked" ? .open : .closed,
            status: status(fields, state: state),
            labels: labels,
            author: author(fields),
            assignees: withoutRepeats(fields.texts("assignees", member: "username")),
            priority: priority(fromLabels: labels),
            type: try fields.optionalText("issue_type"),
            createdAt: try fields.instant("created_at"),
            updatedAt: try fields.instant("updated_at"),
            url: url,
            // A count that cannot be read is unknown; it is no reason to lose the issue.
            commentCount: try? fields.integer("user_notes_count"),
            links: duplicates(fields, projectPath: projectPath, ownKey: key)
                + scan.links(in: body, ownKey: key)
        )
    }

    /// A note; nil for what is no comment: the system's own lines and remarks on a diff.
    static func note(_ fields: FieldReader) throws(FieldError) -> Comment? {
        if fields.value["system"]?.bool == true || fields.value["type"]?.string == "DiffNote" {
            return nil
        }
        return try anyNote(fields)
    }

    /// A note whatever it is.
    static func anyNote(_ fields: FieldReader) throws(FieldError) -> Comment {
        Comment(
            externalID: try fields.identifier("id"),
            author: author(fields),
            body: try fields.optionalText("body") ?? "",
            createdAt: try fields.instant("created_at"),
            updatedAt: try fields.instant("updated_at")
        )
    }

    private static func status(_ fields: FieldReader, state: String) -> String? {
        if state == "merged" || state == "locked" { return state }
        let isOpenDraft = state == "opened" && fields.value["draft"]?.bool == true
        return isOpenDraft ? "draft" : nil
    }

    /// What deleted users wrote belongs to a user named `ghost`.
    private static func author(_ fields: FieldReader) -> String? {
        let name = fields.optionalText("author", "username")
        return name == "ghost" ? nil : name
    }

    /// `_links.closed_as_duplicate_of` is the API address of an issue; its number is only of use
    /// when the issue lies in the same project, because the address names the project by number.
    private static func duplicates(
        _ fields: FieldReader,
        projectPath: String,
        ownKey: String
    ) -> [IssueLink] {
        guard let address = fields.value["_links"]?["closed_as_duplicate_of"]?.string,
            let project = fields.value["project_id"]?.integer
        else { return [] }
        let tail = address.split(separator: "/").suffix(4).map(String.init)
        guard tail.count == 4, tail[0] == "projects", tail[1] == String(project),
            tail[2] == "issues", let number = Int(tail[3]), number > 0
        else { return [] }
        let key = "\(projectPath)#\(number)"
        return key == ownKey ? [] : [IssueLink(relation: "duplicates", targetKey: key)]
    }

    /// The address below which projects lie: an installation may have a path of its own.
    private static func webRoot(of url: String, projectPath: String) -> String {
        guard let range = url.firstRange(of: "/\(projectPath)/-/") else {
            return webOrigin(of: url)
        }
        return String(url[..<range.lowerBound])
    }
}
