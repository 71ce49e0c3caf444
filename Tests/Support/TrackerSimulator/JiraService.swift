import Domain

/// The routes of Jira Cloud's REST API v3 that a reader uses, and those that write issues, with
/// bodies in ADF.
struct JiraService: SampleService {
    var world: World
    let base: String

    mutating func answer(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        guard request.headers["authorization"] != nil else { return Answers.unauthorized }
        let isSearch = request.method == "POST" && path == ["search", "jql"]
        return request.isRead || isSearch ? read(request, path) : write(request, path)
    }

    func read(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response {
        switch path.first {
        case "myself": return Answers.json(person(World.owner))
        case "serverInfo":
            return Answers.json(["baseUrl": .string(base + "/jira"), "deploymentType": "Cloud"])
        case "project" where path == ["project", "search"]: return projects()
        case "project" where path.count == 2:
            return world.projects(of: "jira").first { $0.path == path[1] || "\($0.id)" == path[1] }
                .map { Answers.json(project($0)) } ?? Answers.notFound
        case "search" where path.count == 2: return search(request)
        case "issue" where path.count >= 3 && path[1] == "createmeta": return types(path)
        case "issue" where path.count >= 2: return single(request, path)
        case "issueLinkType" where path.count == 1:
            return Answers.json(["issueLinkTypes": [Self.linkType]])
        case "user" where path == ["user", "assignable", "search"]: return assignable(request)
        default: return Answers.notFound
        }
    }

    private static let linkType: JSONValue = [
        "id": "10002", "name": "Duplicate", "inward": "is duplicated by", "outward": "duplicates",
    ]

    private func types(_ path: [String]) -> HTTPServer.Response {
        guard path.count == 4, path[3] == "issuetypes",
            world.projectPath(path[2], of: "jira") != nil
        else { return Answers.notFound }
        let types = Self.types.enumerated().map { index, name -> JSONValue in
            ["id": .string(String(10_001 + index)), "name": .string(name), "subtask": false]
        }
        let count = Int64(types.count)
        return Answers.json([
            "startAt": 0, "maxResults": 50, "total": .integer(count), "issueTypes": .array(types),
        ])
    }

    /// Those whose name holds the words asked for.
    private func assignable(_ request: HTTPServer.Request) -> HTTPServer.Response {
        let wanted = request.query["query"]?.lowercased() ?? ""
        let found = world.people(of: "jira").map(person).filter { person in
            ["accountId", "displayName"].contains {
                person[$0]?.string?.lowercased().contains(wanted) == true
            }
        }
        return Answers.json(.array(Array((wanted.isEmpty ? [] : found).prefix(50))))
    }

    /// How Jira shows a person.
    func person(_ name: String) -> JSONValue {
        guard name == World.owner else {
            return ["accountId": .string(name), "displayName": .string(name)]
        }
        return ["accountId": "sample-1", "displayName": "Sample User"]
    }

    /// Where an issue is in the workflow.
    func status(_ item: World.Item) -> (name: String, category: String) {
        let usual = item.isOpen ? Self.states[0] : Self.states[2]
        return Self.states.first { $0.name == item.status } ?? usual
    }

    private func projects() -> HTTPServer.Response {
        let all = world.projects(of: "jira").map(project)
        return Answers.json([
            "startAt": 0, "maxResults": 50, "total": .integer(Int64(all.count)), "isLast": true,
            "values": .array(all),
        ])
    }

    private func project(_ project: (id: Int64, path: String)) -> JSONValue {
        [
            "id": .string(String(project.id)), "key": .string(project.path),
            "name": .string(project.path),
        ]
    }

    private func single(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        let items = world.items["jira"] ?? []
        guard let item = items.first(where: { key($0) == path[1] || "\($0.id)" == path[1] }) else {
            return Answers.notFound
        }
        switch path.count {
        case 2: return Answers.json(issue(item))
        case 3 where path[2] == "transitions": return Answers.json(transitions(of: item))
        case 3 where path[2] == "comment":
            var listed = item
            if request.query["orderBy"]?.hasPrefix("-") == true { listed.comments.reverse() }
            return Answers.json(comments(listed))
        case 4 where path[2] == "comment":
            let found = item.comments.first { String($0.id) == path[3] }
            return found.map { Answers.json(comment($0)) } ?? Answers.notFound
        default: return Answers.notFound
        }
    }

    /// Understands the JQL a reader needs: `project = X`, `id > N`, `updated >= MS`,
    /// `created >= MS`, and ORDER BY.
    private func search(_ request: HTTPServer.Request) -> HTTPServer.Response {
        let body = try? JSONParser.parse(request.body)
        let query = JQL(body?["jql"]?.string ?? request.query["jql"] ?? "")
        let size = body?["maxResults"]?.integer ?? request.query["maxResults"].flatMap { Int64($0) }
        let token = body?["nextPageToken"]?.string ?? request.query["nextPageToken"]
        let start = token.flatMap { Int($0) } ?? 0
        let items = (world.items["jira"] ?? []).filter {
            query.admits($0, project: world.projectPath($0.project, of: "jira") ?? "") { name in
                world.projectPath(name, of: "jira")
            }
        }
        let ordered = Answers.select(
            items,
            since: nil,
            sortsByUpdate: query.sortsByUpdate,
            ascending: query.isAscending
        )
        let end = min(ordered.count, start + Int(min(size ?? 50, 100)))
        let page = start < end ? ordered[start..<end].map(issue) : []
        var answer: JSONObject = JSONObject()
        answer["issues"] = .array(page)
        answer["isLast"] = .bool(end >= ordered.count)
        if end < ordered.count { answer["nextPageToken"] = .string(String(end)) }
        return Answers.json(.object(answer))
    }

    func key(_ item: World.Item) -> String { "\(item.project)-\(item.number)" }

    private func issue(_ item: World.Item) -> JSONValue {
        let id = world.projectID(item.project, of: "jira")
        let (name, category) = status(item)
        let status: JSONValue = [
            "name": .string(name), "statusCategory": ["key": .string(category)],
        ]
        let isResolved = item.resolution != nil
        return [
            "id": .string(String(item.id)), "key": .string(key(item)),
            "self": .string("\(base)/jira/rest/api/3/issue/\(item.id)"),
            "fields": [
                "summary": .string(item.title), "description": item.document ?? document(item.body),
                "status": status, "labels": JSONValue(item.labels),
                "issuetype": ["name": .string(item.type ?? "Bug")],
                "priority": ["name": .string(item.priority ?? "Medium")],
                "resolution": isResolved ? ["name": JSONValue(item.resolution)] : .null,
                "assignee": item.assignees.first.map(person) ?? .null,
                "issuelinks": .array(links(of: item)),
                "project": ["id": .string(String(id)), "key": .string(item.project)],
                "reporter": person(item.author), "creator": person(item.author),
                "created": .string(offsetForm(item.createdAt)),
                "updated": .string(offsetForm(item.updatedAt)), "comment": comments(item),
            ],
        ]
    }

    private func comments(_ item: World.Item) -> JSONValue {
        let count = Int64(item.comments.count)
        return [
            "startAt": 0, "maxResults": .integer(max(count, 20)), "total": .integer(count),
            "comments": .array(item.comments.map(comment)),
        ]
    }

    func comment(_ remark: World.Remark) -> JSONValue {
        [
            "id": .string(String(remark.id)), "body": remark.document ?? document(remark.body),
            "author": person(remark.author), "created": .string(offsetForm(remark.createdAt)),
            "updated": .string(offsetForm(remark.updatedAt)),
        ]
    }

    /// Its own links, then those of the issues that duplicate it.
    private func links(of item: World.Item) -> [JSONValue] {
        let all = world.items["jira"] ?? []
        let originals = all.filter { item.duplicates.contains($0.id) }
        let copies = all.filter { $0.duplicates.contains(item.id) }
        func link(_ side: String, _ other: World.Item, _ id: String) -> JSONValue {
            var value = JSONObject()
            value["id"] = .string(id)
            value["type"] = Self.linkType
            value[side] = ["id": .string(String(other.id)), "key": .string(key(other))]
            return .object(value)
        }
        return originals.map { link("outwardIssue", $0, "\(item.id)\($0.id)") }
            + copies.map { link("inwardIssue", $0, "\($0.id)\(item.id)") }
    }

    private func offsetForm(_ instant: Timestamp) -> String {
        instant.iso8601.dropLast() + "+0000"
    }

    /// One ADF paragraph for each paragraph of the text.
    private func document(_ text: String) -> JSONValue {
        let paragraphs = text.split(separator: "\n\n").map { paragraph -> JSONValue in
            let words: JSONValue = ["type": "text", "text": .string(String(paragraph))]
            return ["type": "paragraph", "content": [words]]
        }
        return ["type": "doc", "version": 1, "content": .array(paragraphs)]
    }
}

/// The few JQL conditions ``JiraService`` understands.
private struct JQL {
    private var project: String?
    private var minimumID: Int64?
    private var since: Timestamp?
    private var createdSince: Timestamp?
    let sortsByUpdate: Bool
    let isAscending: Bool

    init(_ text: String) {
        let halves = text.replacing("order by", with: "ORDER BY").split(separator: "ORDER BY")
        let order = halves.count > 1 ? halves[1].lowercased() : ""
        sortsByUpdate = order.contains("updated")
        isAscending = !order.contains("desc")
        let words = (halves.first ?? "").replacing("\"", with: "").split(separator: " ")
        for (index, word) in words.enumerated() where index + 2 < words.count {
            let value = String(words[index + 2])
            switch (word.lowercased(), words[index + 1]) {
            case ("project", "="): project = value
            case ("id", ">"): minimumID = Int64(value)
            case ("updated", ">="): since = Int64(value).map(Timestamp.init(milliseconds:))
            case ("created", ">="):
                createdSince = Int64(value).map(Timestamp.init(milliseconds:))
            default: break
            }
        }
    }

    func admits(_ item: World.Item, project path: String, resolve: (String) -> String?) -> Bool {
        if let project, resolve(project) != path { return false }
        if let minimumID, item.id <= minimumID { return false }
        if let since, item.updatedAt < since { return false }
        if let createdSince, item.createdAt < createdSince { return false }
        return true
    }
}
