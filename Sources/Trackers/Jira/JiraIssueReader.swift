import Domain

/// An issue as a search or a single GET shows it.
struct JiraIssue: Sendable, Equatable {
    var issue: Issue
    /// Where it lives; nil when the field was not sent.
    var projectID: String?
    /// Those that came with it; nil when there are none in the answer or one is unreadable.
    var comments: [Comment]?

    /// The comments when all of them came.
    ///
    /// Cloud embeds about the newest twenty and tells the total.
    var completeComments: [Comment]? {
        guard let comments, comments.count >= issue.commentCount ?? 0 else { return nil }
        return comments
    }
}

/// Reads issues and comments of either Jira.
///
/// People are named as Jira shows them, by display name: the account identifier of Cloud says
/// nothing to a reader, and Server's login is used only where no display name came.
struct JiraIssueReader: Sendable {
    /// Where people read the project's issues, without a final slash, such as
    /// `https://site/browse`.
    var browseURL: String

    /// Reads one issue.
    func issue(_ row: FieldReader) throws(FieldError) -> JiraIssue {
        let id = try row.identifier("id")
        guard Int64(id) != nil else { throw FieldError(field: "id", problem: "is no number") }
        let key = try row.text("key")
        guard let number = Self.number(of: key) else {
            throw FieldError(field: "key", problem: "has no number")
        }
        let fields = try FieldReader(row.value["fields"] ?? .null)
        let (state, status) = try Self.state(fields)
        let body = JiraText(fields.value["description"])
        let embedded = fields.value["comment"]
        let issue = Issue(
            externalID: id,
            number: number,
            key: key,
            title: try fields.text("summary"),
            body: body.markdown,
            state: state,
            status: status,
            labels: withoutRepeats(fields.texts("labels", member: "name")),
            author: Self.person(fields.value["reporter"]) ?? Self.person(fields.value["creator"]),
            assignees: Self.person(fields.value["assignee"]).map { [$0] } ?? [],
            priority: fields.optionalText("priority", "name"),
            type: fields.optionalText("issuetype", "name"),
            createdAt: try fields.instant("created"),
            updatedAt: try fields.instant("updated"),
            url: "\(browseURL)/\(key)",
            commentCount: embedded?["total"]?.integer.flatMap { Int(exactly: $0) },
            links: (fields.value["issuelinks"]?.array ?? []).compactMap(Self.link),
            source: body.source
        )
        return JiraIssue(
            issue: issue,
            projectID: fields.optionalText("project", "id"),
            comments: embedded?["comments"]?.array.flatMap(comments)
        )
    }

    /// Reads one comment.
    func comment(_ row: FieldReader) throws(FieldError) -> Comment {
        let body = JiraText(row.value["body"])
        let createdAt = try row.instant("created")
        return Comment(
            externalID: try row.identifier("id"),
            author: Self.person(row.value["author"]),
            body: body.markdown,
            createdAt: createdAt,
            updatedAt: row.value["updated"] == nil ? createdAt : try row.instant("updated"),
            source: body.source
        )
    }

    /// All of a list or none: a list with a gap would make the missing comment a deleted one.
    private func comments(_ rows: [JSONValue]) -> [Comment]? {
        var comments: [Comment] = []
        for row in rows {
            // The reason is found again, with the bytes, when the comments are listed alone.
            guard let comment = try? comment(FieldReader(row)) else { return nil }
            comments.append(comment)
        }
        return comments
    }

    /// The number at the end of `KEY-12`.
    static func number(of key: String) -> Int? {
        guard let dash = key.utf8.lastIndex(of: UInt8(ascii: "-")) else { return nil }
        return Int(key[key.utf8.index(after: dash)...])
    }

    /// Closed is what the status' category calls done, or in old versions the resolution.
    private static func state(_ fields: FieldReader) throws(FieldError) -> (IssueState, String?) {
        let status = fields.optionalText("status", "name")
        let category = fields.value["status"]?["statusCategory"]?["key"]?.string
        let isResolved = fields.value["resolution"].map { !$0.isNull } ?? false
        guard status != nil || category != nil else {
            throw FieldError(field: "status", problem: "is missing")
        }
        let isClosed = category.map { $0 == "done" } ?? isResolved
        return (isClosed ? .closed : .open, status)
    }

    private static func person(_ value: JSONValue?) -> String? {
        for member in ["displayName", "name", "accountId"] {
            if let name = value?[member]?.string, !name.isEmpty { return sanitized(name) }
        }
        return nil
    }

    /// The phrase as read from this issue: the other end stands in the member that names its side.
    private static func link(_ value: JSONValue) -> IssueLink? {
        for (side, phrase) in [("outwardIssue", "outward"), ("inwardIssue", "inward")] {
            guard let other = value[side], let key = other["key"]?.string else { continue }
            let relation = value["type"]?[phrase]?.string ?? value["type"]?["name"]?.string
            return IssueLink(
                relation: sanitized(relation ?? "relates to").lowercased(),
                targetKey: sanitized(key),
                targetExternalID: other["id"]?.string ?? other["id"]?.integer.map { String($0) }
            )
        }
        return nil
    }
}
