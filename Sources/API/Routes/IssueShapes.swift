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

    /// An issue by itself.
    static func json(
        _ summary: IssueSummary,
        _ issue: Issue,
        _ comments: [Comment]
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

/// The restrictions that lists and searches of issues share.
struct IssueRestriction: Sendable {
    let store: Store

    /// The parameters, on a route.
    static func parameters(of route: Route) -> Route {
        route.query("project_id", Shape.list(of: Shape.identifier, atMost: 100))
            .query("project", Shape.text(1_000, "A project's path, or `tracker:path`."))
            .query("organization", Shape.text(1_000, "An organisation's path."))
            .query("tracker", Shape.text(100, "A tracker's name."))
            .query("state", Shape.choice(["open", "closed", "all"], "Any when not given."))
            .query("kind", Shape.choice(IssueKind.allCases.map(\.rawValue)))
            .query("labels", Shape.list(of: Shape.text(255), atMost: 20))
            .query("assignee", Shape.text(255)).query("author", Shape.text(255))
            .query("issue_type", Shape.text(255))
            .query("updated_after", Shape.instant)
    }

    /// What the parameters of a request mean.
    func filter(_ request: APIRequest) async throws -> IssueFilter {
        let arguments = request.arguments
        var filter = IssueFilter()
        filter.projectIDs = (arguments["project_id"]?.array ?? []).compactMap { value in
            value.integer.map { ProjectID($0) }
        }
        if let path = arguments["project"]?.string {
            filter.projectIDs += try await projects(path, of: request)
        }
        filter.organizations = [arguments["organization"]?.string].compactMap { $0 }
        filter.trackers = [arguments["tracker"]?.string].compactMap { $0 }
        filter.state = (arguments["state"]?.string).flatMap(IssueState.init(rawValue:))
        filter.kind = (arguments["kind"]?.string).flatMap(IssueKind.init(rawValue:))
        filter.labels = (arguments["labels"]?.array ?? []).compactMap(\.string)
        filter.assignee = arguments["assignee"]?.string
        filter.author = arguments["author"]?.string
        filter.type = arguments["issue_type"]?.string
        if let text = arguments["updated_after"]?.string {
            guard let instant = Timestamp(parsing: text) else {
                throw Problem.invalid("updated_after", "must be an instant such as 2026-01-31")
            }
            filter.updatedSince = instant
        }
        return filter
    }

    /// The projects of a path; one that is in several trackers has to be told apart.
    private func projects(_ reference: String, of request: APIRequest) async throws -> [ProjectID] {
        let wanted = reference.lowercased()
        let account = try request.user().account
        let found = try await store.viewed(by: account).read { connection, account in
            let trackers = try TrackerTable.list(account: account, on: connection)
            return try ProjectTable.list(account: account, on: connection).filter { project in
                let tracker = trackers.first { $0.id == project.trackerID }?.name ?? ""
                let path = project.path.lowercased()
                return path == wanted || "\(tracker.lowercased()):\(path)" == wanted
            }
        }
        guard !found.isEmpty else {
            throw Problem(.notFound, "there is no project `\(reference)`")
        }
        guard found.count == 1 else {
            throw Problem(
                .badRequest,
                "`\(reference)` is in several trackers; write `tracker:path`",
                code: "ambiguous_project"
            )
        }
        return found.map(\.id)
    }
}
