import Domain

/// The routes of GitHub's REST API v3 that a reader uses, and those that write issues.
struct GitHubService: SampleService {
    var world: World
    let base: String

    mutating func answer(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response {
        guard request.headers["authorization"] != nil else { return Answers.unauthorized }
        guard request.isRead || ["repos", "repositories"].contains(path.first) else {
            return Answers.notFound
        }
        switch path.count {
        case 1 where path[0] == "user":
            let scopes = [(name: "X-OAuth-Scopes", value: "repo, read:org")]
            return Answers.json(["login": "sample-user", "id": 1, "type": "User"], headers: scopes)
        case 2 where path == ["user", "orgs"]:
            return list(
                owners.map { ["login": .string($0), "id": .integer(ownerID($0))] },
                request
            )
        case 2 where path == ["user", "repos"]:
            return list(world.projects(of: "github").map(repository), request)
        case 2 where path[0] == "orgs" || path[0] == "users":
            return Answers.json(["login": .string(path[1]), "id": .integer(ownerID(path[1]))])
        case 3 where path[2] == "repos":
            let mine = world.projects(of: "github").filter { $0.path.hasPrefix(path[1] + "/") }
            return list(mine.map(repository), request)
        default: return repositoryRoute(request, path)
        }
    }

    private var owners: [String] {
        Set(world.projects(of: "github").map { owner($0.path) }).sorted()
    }

    private func owner(_ path: String) -> String {
        String(path.prefix { $0 != "/" })
    }

    private func ownerID(_ name: String) -> Int64 {
        Int64(9000 + (owners.firstIndex(of: name) ?? 0))
    }

    private mutating func repositoryRoute(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        let name: String
        let rest: ArraySlice<String>
        if path.first == "repositories", path.count >= 2 {
            (name, rest) = (path[1], path[2...])
        } else if path.first == "repos", path.count >= 3 {
            (name, rest) = (path[1] + "/" + path[2], path[3...])
        } else {
            return Answers.notFound
        }
        guard let project = world.projectPath(name, of: "github") else { return Answers.notFound }
        guard request.isRead else { return write(request, project, Array(rest)) }
        let items = (world.items["github"] ?? []).filter { $0.project == project }
        switch Array(rest) {
        case []:
            let known = world.projects(of: "github").first { $0.path == project }
            return known.map { Answers.json(repository($0)) } ?? Answers.notFound
        case ["labels"]:
            let names = world.labels(of: project, in: "github")
            return list(names.map { ["name": .string($0)] }, request)
        case ["issues"]: return issues(items, request)
        case ["issues", "comments"]: return comments(items, request)
        default: return single(items, Array(rest), request)
        }
    }

    private func issues(
        _ items: [World.Item],
        _ request: HTTPServer.Request
    ) -> HTTPServer.Response {
        let query = request.query
        let state = query["state"] ?? "open"
        let chosen = Answers.select(
            items.filter { state == "all" || $0.isOpen == (state == "open") },
            since: query["since"],
            sortsByUpdate: query["sort"] == "updated",
            ascending: query["direction"] == "asc"
        )
        return list(chosen.map(issue), request)
    }

    private func comments(
        _ items: [World.Item],
        _ request: HTTPServer.Request
    ) -> HTTPServer.Response {
        let since = request.query["since"].flatMap(Timestamp.init(parsing:))
        var found = items.flatMap { item in item.comments.map { (item, $0) } }
        if let since { found.removeAll { $0.1.updatedAt < since } }
        let sortsByUpdate = request.query["sort"] == "updated"
        func instant(_ remark: World.Remark) -> Timestamp {
            sortsByUpdate ? remark.updatedAt : remark.createdAt
        }
        found.sort { (instant($0.1), $0.1.id) < (instant($1.1), $1.1.id) }
        if request.query["direction"] == "desc" { found.reverse() }
        return list(found.map { comment($0.1, of: $0.0) }, request)
    }

    private func single(
        _ items: [World.Item],
        _ rest: [String],
        _ request: HTTPServer.Request
    ) -> HTTPServer.Response {
        if rest.count == 3, rest[0] == "issues", rest[1] == "comments" {
            let found = items.lazy.flatMap { item in item.comments.map { (item, $0) } }
                .first { String($0.1.id) == rest[2] }
            return found.map { Answers.json(comment($0.1, of: $0.0)) } ?? Answers.notFound
        }
        guard rest.count >= 2, rest[0] == "issues",
            let item = items.first(where: { String($0.number) == rest[1] })
        else { return Answers.notFound }
        if rest.count == 2 { return Answers.json(issue(item)) }
        guard rest[2...] == ["comments"] else { return Answers.notFound }
        let since = request.query["since"].flatMap(Timestamp.init(parsing:))
        let remarks = item.comments.filter { $0.updatedAt >= since ?? $0.updatedAt }
        return list(remarks.map { comment($0, of: item) }, request)
    }

    private func list(_ all: [JSONValue], _ request: HTTPServer.Request) -> HTTPServer.Response {
        let (elements, next) = Answers.page(all, query: request.query)
        var response = Answers.json(
            .array(elements),
            headers: Answers.link(request, base: base, next: next)
        )
        let tag = Answers.entityTag(response)
        if request.headers["if-none-match"] == tag {
            return HTTPServer.Response(status: 304, headers: [("ETag", tag)])
        }
        response.headers.append(("ETag", tag))
        response.headers.append(("X-RateLimit-Limit", "5000"))
        response.headers.append(("X-RateLimit-Remaining", "4999"))
        response.headers.append(("X-RateLimit-Reset", "4102444800"))
        return response
    }

    private func repository(_ project: (id: Int64, path: String)) -> JSONValue {
        let name = project.path.drop { $0 != "/" }.dropFirst()
        let login = owner(project.path)
        return [
            "id": .integer(project.id), "name": .string(String(name)),
            "full_name": .string(project.path),
            "owner": [
                "login": .string(login), "id": .integer(ownerID(login)), "type": "Organization",
            ],
            "html_url": .string("\(base)/github/\(project.path)"), "has_issues": true,
            "private": false, "permissions": ["pull": true, "push": true],
        ]
    }

    func issue(_ item: World.Item) -> JSONValue {
        let kind = item.isPullRequest ? "pull" : "issues"
        let url = "\(base)/github/\(item.project)/\(kind)/\(item.number)"
        var value: JSONObject = JSONObject()
        value["id"] = .integer(item.id)
        value["number"] = .integer(item.number)
        value["title"] = .string(item.title)
        value["body"] = .string(item.body)
        value["state"] = item.isOpen ? "open" : "closed"
        value["labels"] = .array(item.labels.map { ["name": .string($0)] })
        value["user"] = ["login": .string(item.author)]
        value["assignees"] = .array(item.assignees.map { ["login": .string($0)] })
        value["type"] = item.type.map { ["name": .string($0)] } ?? .null
        value["state_reason"] = JSONValue(item.status)
        value["comments"] = .integer(Int64(item.comments.count))
        value["created_at"] = .string(wholeSeconds(item.createdAt))
        value["updated_at"] = .string(wholeSeconds(item.updatedAt))
        value["html_url"] = .string(url)
        if item.isPullRequest { value["pull_request"] = ["html_url": .string(url)] }
        return .object(value)
    }

    func comment(_ remark: World.Remark, of item: World.Item) -> JSONValue {
        [
            "id": .integer(remark.id), "body": .string(remark.body),
            "user": ["login": .string(remark.author)],
            "created_at": .string(wholeSeconds(remark.createdAt)),
            "updated_at": .string(wholeSeconds(remark.updatedAt)),
            "issue_url": .string("\(base)/github/repos/\(item.project)/issues/\(item.number)"),
            "html_url": .string("\(base)/github/\(item.project)/issues/\(item.number)"),
        ]
    }

    private func wholeSeconds(_ instant: Timestamp) -> String {
        instant.iso8601.prefix(19) + "Z"
    }
}
