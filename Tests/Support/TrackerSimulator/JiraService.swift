import Domain

/// The routes of Jira Cloud's REST API v3 that a reader uses, with bodies in ADF.
struct JiraService {
    let world: World
    let base: String

    func answer(_ request: HTTPServer.Request, _ path: [String]) -> HTTPServer.Response {
        guard request.headers["authorization"] != nil else { return Answers.unauthorized }
        switch path.first {
        case "myself":
            return Answers.json(["accountId": "sample-1", "displayName": "Sample User"])
        case "serverInfo":
            return Answers.json(["baseUrl": .string(base + "/jira"), "deploymentType": "Cloud"])
        case "project" where path == ["project", "search"]: return projects()
        case "project" where path.count == 2:
            return world.projects(of: "jira").first { $0.path == path[1] || "\($0.id)" == path[1] }
                .map { Answers.json(project($0)) } ?? Answers.notFound
        case "search" where path.count == 2: return search(request)
        case "issue" where path.count >= 2: return single(path)
        default: return Answers.notFound
        }
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

    private func single(_ path: [String]) -> HTTPServer.Response {
        let items = world.items["jira"] ?? []
        guard let item = items.first(where: { key($0) == path[1] || "\($0.id)" == path[1] }) else {
            return Answers.notFound
        }
        guard path.count > 2, path[2] == "comment" else { return Answers.json(issue(item)) }
        return Answers.json(comments(item))
    }

    /// Understands the JQL a reader needs: `project = X`, `id > N`, `updated >= MS`, and ORDER BY.
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

    private func key(_ item: World.Item) -> String { "\(item.project)-\(item.number)" }

    private func issue(_ item: World.Item) -> JSONValue {
        let id = world.projects(of: "jira").first { $0.path == item.project }?.id ?? 0
        let status: JSONValue = [
            "name": item.isOpen ? "To Do" : "Done",
            "statusCategory": ["key": item.isOpen ? "new" : "done"],
        ]
        return [
            "id": .string(String(item.id)), "key": .string(key(item)),
            "self": .string("\(base)/jira/rest/api/3/issue/\(item.id)"),
            "fields": [
                "summary": .string(item.title), "description": document(item.body),
                "status": status, "labels": JSONValue(item.labels), "issuetype": ["name": "Bug"],
                "priority": ["name": "Medium"], "assignee": nil, "issuelinks": [],
                "project": ["id": .string(String(id)), "key": .string(item.project)],
                "reporter": [
                    "accountId": .string(item.author), "displayName": .string(item.author),
                ],
                "creator": [
                    "accountId": .string(item.author), "displayName": .string(item.author),
                ],
                "created": .string(offsetForm(item.createdAt)),
                "updated": .string(offsetForm(item.updatedAt)), "comment": comments(item),
            ],
        ]
    }

    private func comments(_ item: World.Item) -> JSONValue {
        let count = Int64(item.comments.count)
        return [
            "startAt": 0, "maxResults": .integer(max(count, 20)), "total": .integer(count),
            "comments": .array(
                item.comments.map { remark in
                    [
                        "id": .string(String(remark.id)), "body": document(remark.body),
                        "author": [
                            "accountId": .string(remark.author),
                            "displayName": .string(remark.author),
                        ],
                        "created": .string(offsetForm(remark.createdAt)),
                        "updated": .string(offsetForm(remark.createdAt)),
                    ]
                }
            ),
        ]
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
            default: break
            }
        }
    }

    func admits(_ item: World.Item, project path: String, resolve: (String) -> String?) -> Bool {
        if let project, resolve(project) != path { return false }
        if let minimumID, item.id <= minimumID { return false }
        if let since, item.updatedAt < since { return false }
        return true
    }
}
