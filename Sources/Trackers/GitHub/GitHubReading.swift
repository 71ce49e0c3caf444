import Domain

/// Turns GitHub's rows into values.
enum GitHubReading {
    /// An element of an issue list, or a single issue.
    static func issue(_ fields: FieldReader, projectPath: String) throws(FieldError) -> Issue {
        let number = try fields.integer("number")
        let key = "\(projectPath)#\(number)"
        let body = try fields.optionalText("body") ?? ""
        let labels = withoutRepeats(fields.texts("labels", member: "name"))
        let pull = fields.value["pull_request"].flatMap { $0.isNull ? nil : $0 }
        let state = try fields.text("state")
        let url = try fields.optionalText("html_url") ?? ""
        let scan = TextLinks(
            projectPath: projectPath,
            webRoot: webOrigin(of: url),
            hasMergeRequests: false
        )
        return Issue(
            externalID: try fields.identifier("id"),
            kind: pull == nil ? .issue : .pullRequest,
            number: number,
            key: key,
            title: try fields.optionalText("title") ?? "",
            body: body,
            state: state == "open" ? .open : .closed,
            status: status(fields, pull: pull),
            labels: labels,
            author: fields.optionalText("user", "login"),
            assignees: withoutRepeats(fields.texts("assignees", member: "login")),
            priority: priority(fromLabels: labels),
            type: fields.optionalText("type", "name"),
            createdAt: try fields.instant("created_at"),
            updatedAt: try fields.instant("updated_at"),
            url: url,
            // A count that cannot be read is unknown; it is no reason to lose the issue.
            commentCount: try? fields.integer("comments"),
            links: scan.links(in: body, ownKey: key)
        )
    }

    /// What GitHub says beyond open and closed: merged, draft, or why an issue was closed.
    private static func status(_ fields: FieldReader, pull: JSONValue?) -> String? {
        if let pull {
            if pull["merged_at"]?.string != nil { return "merged" }
            return fields.value["draft"]?.bool == true ? "draft" : nil
        }
        let isClosed = fields.value["state"]?.string == "closed"
        return isClosed ? fields.value["state_reason"]?.string.map(sanitized) : nil
    }

    /// An element of a comment list; the issue's number is the end of `issue_url`.
    static func comment(_ fields: FieldReader) throws(FieldError) -> FetchedComment {
        let address = try fields.text("issue_url")
        guard let last = address.utf8.split(separator: UInt8(ascii: "/")).last,
            let number = Int(String(decoding: Array(last), as: UTF8.self)), number > 0
        else { throw FieldError(field: "issue_url", problem: "does not end in a number") }
        let comment = Comment(
            externalID: try fields.identifier("id"),
            author: fields.optionalText("user", "login"),
            body: try fields.optionalText("body") ?? "",
            createdAt: try fields.instant("created_at"),
            updatedAt: try fields.instant("updated_at")
        )
        return FetchedComment(comment: comment, issueNumber: number)
    }
}

extension PageItem {
    /// What became of one element of a list.
    init(_ element: Result<Issue, MalformedElement>) {
        switch element {
        case .success(let issue): self = .issue(issue, comments: .notIncluded)
        case .failure(let malformed): self = .malformed(malformed.item)
        }
    }
}

extension CommentPage {
    /// Adds what became of one element of a list.
    mutating func take(_ element: Result<FetchedComment, MalformedElement>) {
        switch element {
        case .success(let comment): comments.append(comment)
        case .failure(let element): malformed.append(element.item)
        }
    }
}
