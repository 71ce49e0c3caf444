import Domain

/// The routes of GitLab's REST API v4 that a reader uses.
struct GitLabService {
    let world: World
    let base: String

    func answer(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response {
        let token = request.headers["private-token"] ?? request.headers["authorization"]
        guard token != nil else { return Answers.unauthorized }
        switch path.first {
        case "user": return Answers.json(["id": 1, "username": "sample-user", "name": "Sample"])
        case "personal_access_tokens": return Answers.json(["scopes": ["read_api"]])
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
        guard path[2] == "issues" || path[2] == "merge_requests" else { return Answers.notFound }
        let mine = items.filter { $0.isPullRequest == (path[2] == "merge_requests") }
        guard path.count > 3 else { return issues(mine, request) }
        guard let item = mine.first(where: { String($0.number) == path[3] }) else {
            return Answers.notFound
        }
        guard path.count > 4 else { return Answers.json(issue(item)) }
        guard path[4] == "notes" else { return list([], request) }
        return list(item.comments.map(note), request)
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

    private func issue(_ item: World.Item) -> JSONValue {
        let kind = item.isPullRequest ? "merge_requests" : "issues"
        return [
            "id": .integer(item.id), "iid": .integer(item.number), "title": .string(item.title),
            "project_id": .integer(
                world.projects(of: "gitlab").first { $0.path == item.project }?.id ?? 0
            ),
            "description": .string(item.body), "state": item.isOpen ? "opened" : "closed",
            "labels": JSONValue(item.labels), "author": ["username": .string(item.author)],
            "assignees": [], "user_notes_count": .integer(Int64(item.comments.count)),
            "created_at": .string(item.createdAt.iso8601),
            "updated_at": .string(item.updatedAt.iso8601),
            "web_url": .string("\(base)/gitlab/\(item.project)/-/\(kind)/\(item.number)"),
        ]
    }

    private func note(_ remark: World.Remark) -> JSONValue {
        [
            "id": .integer(remark.id), "body": .string(remark.body), "system": false,
            "author": ["username": .string(remark.author)],
            "created_at": .string(remark.createdAt.iso8601),
            "updated_at": .string(remark.createdAt.iso8601),
        ]
    }
}
