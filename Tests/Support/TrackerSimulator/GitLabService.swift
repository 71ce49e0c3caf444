import Domain

/// The routes of GitLab's REST API v4 that a reader uses, and those that write issues.
struct GitLabService: SampleService {
    var world: World
    let base: String

    mutating func answer(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        let token = request.headers["private-token"] ?? request.headers["authorization"]
        guard token != nil else { return Answers.unauthorized }
        guard !request.isRead else { return read(request, path) }
        var answer = Answers.notFound
        if path.count > 2, path[0] == "projects",
            let name = world.projectPath(path[1], of: "gitlab")
        {
            answer = write(request, name, Array(path[2...]))
        }
        // What exists, and takes no such request.
        if answer.status == 404, read(request, path).status == 200 {
            return Answers.json(["error": "405 Not Allowed"], status: 405)
        }
        return answer
    }

    private func read(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response {
        switch path.first {
        case "user": return Answers.json(user(World.owner))
        case "users" where path.count == 1:
            let name = request.query["username"]?.lowercased()
            let found = world.people(of: "gitlab").filter { name == nil || $0.lowercased() == name }
            return list(found.map(user), request)
        case "personal_access_tokens": return Answers.json(["scopes": ["api"]])
        case "groups" where path.count == 1: return list(groups.map(group), request)
        case "groups" where path.count == 2:
            return groups.first { $0.path == path[1] || String($0.id) == path[1] }
                .map { Answers.json(group($0)) } ?? Answers.notFound
        case "groups": return groupRoute(request, path)
        case "projects" where path.count == 1:
            return list(world.projects(of: "gitlab").map(project), request)
        case "projects": return projectRoute(request, path)
        default: return Answers.notFound
        }
    }

    private var groups: [(id: Int64, path: String)] {
        let paths = Set(world.projects(of: "gitlab").map { groupPath($0.path) }).sorted()
        return paths.enumerated().map { (Int64($0.offset) + 71, $0.element) }
    }

    private func groupPath(_ path: String) -> String {
        path.split(separator: "/").dropLast().joined(separator: "/")
    }

    private func groupRoute(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        guard let found = groups.first(where: { $0.path == path[1] || String($0.id) == path[1] }),
            path[2] == "projects"
        else { return Answers.notFound }
        let mine = world.projects(of: "gitlab").filter { groupPath($0.path) == found.path }
        return list(mine.map(project), request)
    }

    private func projectRoute(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        guard let name = world.projectPath(path[1], of: "gitlab") else { return Answers.notFound }
        let items = (world.items["gitlab"] ?? []).filter { $0.project == name }
        guard path.count > 2 else {
            let known = world.projects(of: "gitlab").first { $0.path == name }
            return known.map { Answers.json(project($0)) } ?? Answers.notFound
        }
        if path[2...] == ["labels"] {
            let names = world.labels(of: name, in: "gitlab")
            return list(names.map { ["name": .string($0)] }, request)
        }
        guard path[2] == "issues" || path[2] == "merge_requests" else { return Answers.notFound }
        let mine = items.filter { $0.isPullRequest == (path[2] == "merge_requests") }
        guard path.count > 3 else { return issues(mine, request) }
        guard let item = mine.first(where: { String($0.number) == path[3] }) else {
            return Answers.notFound
        }
        guard path.count > 4 else { return Answers.json(issue(item)) }
        switch path[4] {
        case "notes" where path.count == 5:
            let isAscending = request.query["sort"] == "asc"
            let remarks = isAscending ? item.comments : item.comments.reversed()
            return list(remarks.map(note), request)
        case "notes" where path.count == 6:
            let found = item.comments.first { String($0.id) == path[5] }
            return found.map { Answers.json(note($0)) } ?? Answers.notFound
        case "discussions" where path.count == 5: return list(discussions(of: item), request)
        default: return path.count == 5 ? list([], request) : Answers.notFound
        }
    }

    /// Threads with their notes, in the order of their first ones.
    private func discussions(of item: World.Item) -> [JSONValue] {
        item.comments.filter { $0.thread == nil }.map { first in
            let notes = item.comments.filter { $0.id == first.id || $0.thread == first.id }
            return [
                "id": .string(discussion(of: first)), "individual_note": .bool(notes.count == 1),
                "notes": .array(notes.map(note)),
            ]
        }
    }

    /// The name of the thread a note is in: forty hexadecimal digits, which no note's number has.
    func discussion(of remark: World.Remark) -> String {
        let digits = String(remark.thread ?? remark.id, radix: 16)
        return "d" + String(repeating: "0", count: 39 - digits.count) + digits
    }

    private func user(_ name: String) -> JSONValue {
        let place = world.people(of: "gitlab").firstIndex(of: name) ?? 0
        return [
            "id": .integer(Int64(place) + 1), "username": .string(name), "name": .string(name),
            "state": "active",
        ]
    }

    private func issues(
        _ items: [World.Item],
        _ request: HTTPServer.Request
    ) -> HTTPServer.Response {
        let chosen = Answers.select(
            items,
            since: request.query["updated_after"],
            sortsByUpdate: request.query["order_by"] == "updated_at",
            ascending: request.query["sort"] == "asc"
        )
        return list(chosen.map(issue), request)
    }

    private func list(_ all: [JSONValue], _ request: HTTPServer.Request) -> HTTPServer.Response {
        let (elements, next) = Answers.page(all, query: request.query)
        var headers = Answers.link(request, base: base, next: next)
        headers.append(("X-Next-Page", next.map { String($0) } ?? ""))
        headers.append(("RateLimit-Remaining", "1999"))
        return Answers.json(.array(elements), headers: headers)
    }

    private func group(_ group: (id: Int64, path: String)) -> JSONValue {
        [
            "id": .integer(group.id), "full_path": .string(group.path),
            "path": .string(group.path), "name": .string(group.path),
            "web_url": .string("\(base)/gitlab/groups/\(group.path)"),
        ]
    }

    private func project(_ project: (id: Int64, path: String)) -> JSONValue {
        let namespace = groups.first { $0.path == groupPath(project.path) }
        return [
            "id": .integer(project.id), "path_with_namespace": .string(project.path),
            "name": .string(project.path), "web_url": .string("\(base)/gitlab/\(project.path)"),
            "namespace": [
                "id": .integer(namespace?.id ?? 0), "full_path": .string(namespace?.path ?? ""),
                "name": .string(namespace?.path ?? ""), "kind": "group",
            ],
            "issues_enabled": true, "merge_requests_enabled": true,
        ]
    }

    func issue(_ item: World.Item) -> JSONValue {
        let kind = item.isPullRequest ? "merge_requests" : "issues"
        let original = item.duplicates.first.flatMap { world.item($0, of: "gitlab") }
        return [
            "id": .integer(item.id), "iid": .integer(item.number), "title": .string(item.title),
            "project_id": .integer(world.projectID(item.project, of: "gitlab")),
            "issue_type": item.isPullRequest ? .null : .string(item.type ?? "issue"),
            "_links": ["closed_as_duplicate_of": JSONValue(original.map(address))],
            "description": .string(item.body), "state": item.isOpen ? "opened" : "closed",
            "labels": JSONValue(item.labels), "author": ["username": .string(item.author)],
            "assignees": .array(item.assignees.map(user)),
            "user_notes_count": .integer(Int64(item.comments.count)),
            "created_at": .string(item.createdAt.iso8601),
            "updated_at": .string(item.updatedAt.iso8601),
            "web_url": .string("\(base)/gitlab/\(item.project)/-/\(kind)/\(item.number)"),
        ]
    }

    private func address(_ item: World.Item) -> String {
        let project = world.projectID(item.project, of: "gitlab")
        return "\(base)/gitlab/api/v4/projects/\(project)/issues/\(item.number)"
    }

    func note(_ remark: World.Remark) -> JSONValue {
        [
            "id": .integer(remark.id), "body": .string(remark.body), "system": false,
            "author": ["username": .string(remark.author)],
            "created_at": .string(remark.createdAt.iso8601),
            "updated_at": .string(remark.updatedAt.iso8601),
        ]
    }
}
