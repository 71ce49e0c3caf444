import Domain
import HTTPTypes
import Search
import Store

/// Issues as answers show them.
enum IssueShapes {
    /// An issue in a list.
    static let summary = Shape.object([
        "id": Shape.identifier, "external_id": Shape.text, "key": Shape.text,
        "kind": Shape.choice(IssueKind.allCases.map(\.rawValue)), "title": Shape.text,
        "state": Shape.choice(IssueState.allCases.map(\.rawValue)), "project": Shape.text,
        "project_id": Shape.identifier, "tracker": Shape.text, "url": Shape.text,
        "created_at": Shape.instant, "updated_at": Shape.instant,
    ])
    static let comment = Shape.object([
        "id": Shape.text, "author": Shape.optionalText, "body": Shape.text,
        "created_at": Shape.instant, "updated_at": Shape.instant,
    ])
    /// An issue by itself.
    static let full = Shape.object([
        "id": Shape.identifier, "external_id": Shape.text, "key": Shape.text,
        "kind": Shape.choice(IssueKind.allCases.map(\.rawValue)), "title": Shape.text,
        "state": Shape.choice(IssueState.allCases.map(\.rawValue)), "project": Shape.text,
        "project_id": Shape.identifier, "tracker": Shape.text, "url": Shape.text,
        "created_at": Shape.instant, "updated_at": Shape.instant, "description": Shape.text,
        "status": Shape.optionalText, "priority": Shape.optionalText,
        "issue_type": Shape.optionalText, "author": Shape.optionalText,
        "assignee": Shape.optionalText, "assignees": Shape.list(of: Shape.text),
        "labels": Shape.list(of: Shape.text), "comments": Shape.list(of: comment),
        "organization": Shape.optionalText, "project_identifier": Shape.text,
        "meta_data": Shape.object([
            "labels": Shape.list(of: Shape.text), "assignees": Shape.list(of: Shape.text),
            "url": Shape.text, "source": Shape.text,
        ]),
    ])

    /// The members of an issue in a list.
    static func members(of issue: IssueSummary) -> JSONObject {
        var object = JSONObject()
        object.append(key: "id", value: .integer(issue.issue.rawValue))
        object.append(key: "external_id", value: .string(issue.externalID))
        object.append(key: "key", value: .string(issue.key))
        object.append(key: "kind", value: .string(issue.kind.rawValue))
        object.append(key: "title", value: .string(issue.title))
        object.append(key: "state", value: .string(issue.state.rawValue))
        object.append(key: "project", value: .string(issue.projectPath))
        object.append(key: "project_id", value: .integer(issue.project.rawValue))
        object.append(key: "tracker", value: .string(issue.tracker))
        object.append(key: "url", value: .string(issue.url))
        object.append(key: "created_at", value: .string(issue.createdAt.iso8601))
        object.append(key: "updated_at", value: .string(issue.updatedAt.iso8601))
        return object
    }

    /// An issue in a list.
    static func json(_ issue: IssueSummary) -> JSONValue { .object(members(of: issue)) }

    /// An issue by itself, in the organisation of that path.
    static func json(
        _ summary: IssueSummary,
        _ issue: Issue,
        _ comments: [Comment],
        organization: String?
    ) -> JSONValue {
        var object = members(of: summary)
        object.append(key: "description", value: .string(issue.body))
        object.append(key: "status", value: JSONValue(issue.status))
        object.append(key: "priority", value: JSONValue(issue.priority))
        object.append(key: "issue_type", value: JSONValue(issue.type))
        object.append(key: "author", value: JSONValue(issue.author))
        object.append(key: "assignee", value: JSONValue(issue.assignees.first))
        object.append(key: "assignees", value: JSONValue(issue.assignees))
        object.append(key: "labels", value: JSONValue(issue.labels))
        object.append(key: "comments", value: .array(comments.map(json)))
        object.append(key: "organization", value: JSONValue(organization))
        object.append(key: "project_identifier", value: .string(summary.projectPath))
        object.append(
            key: "meta_data",
            value: [
                "labels": JSONValue(issue.labels), "assignees": JSONValue(issue.assignees),
                "url": .string(summary.url), "source": .string(summary.tracker),
            ]
        )
        return .object(object)
    }

    /// A comment.
    static func json(_ comment: Comment) -> JSONValue {
        [
            "id": .string(comment.externalID), "author": JSONValue(comment.author),
            "body": .string(comment.body), "created_at": .string(comment.createdAt.iso8601),
            "updated_at": .string(comment.updatedAt.iso8601),
        ]
    }

    /// Four digits: more mean nothing.
    static func rounded(_ score: Double) -> JSONValue {
        .double((score * 10_000).rounded() / 10_000)
    }
}
