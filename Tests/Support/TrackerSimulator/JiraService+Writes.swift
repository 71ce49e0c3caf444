import Domain

extension JiraService {
    /// Jira's own limits, in characters.
    private static let longestSummary = 255
    private static let longestText = 32_767

    static let types = ["Task", "Bug", "Story"]
    static let priorities = ["Highest", "High", "Medium", "Low", "Lowest"]
    static let resolutions = ["Done", "Won't Do", "Duplicate", "Cannot Reproduce"]
    /// The states of every project, with their categories; each leads to each of the others.
    static let states = [
        (name: "To Do", category: "new"), (name: "In Progress", category: "indeterminate"),
        (name: "Done", category: "done"),
    ]

    /// Creates and changes issues, comments and links, and takes issues from state to state; of
    /// all else what can be read is answered with 405.
    mutating func write(
        _ request: HTTPServer.Request,
        _ path: [String]
    ) -> HTTPServer.Response {
        do throws(Refusal) {
            switch (request.method, path.first, path.count) {
            case ("POST", "issue", 1): return try create(request)
            case ("PUT", "issue", 2): return try change(request, try item(path[1]))
            case ("POST", "issue", 3) where path[2] == "transitions":
                return try take(request, try item(path[1]))
            case ("POST", "issue", 3) where path[2] == "comment":
                return try addComment(request, try item(path[1]))
            case ("PUT", "issue", 4) where path[2] == "comment":
                return try changeComment(request, path[3], try item(path[1]))
            case ("POST", "issueLink", 1): return try link(request)
            default:
                guard read(request, path).status == 200 else { return Answers.notFound }
                return Answers.json(["errorMessages": ["Method Not Allowed"]], status: 405)
            }
        } catch {
            return error.response
        }
    }

    private func item(_ name: String) throws(Refusal) -> World.Item {
        let found = world.items["jira"]?.first { key($0) == name || String($0.id) == name }
        guard let found else {
            let text = "Issue does not exist or you do not have permission to see it."
            throw Refusal(Answers.json(["errorMessages": [.string(text)]], status: 404))
        }
        return found
    }

    private func body(_ request: HTTPServer.Request) throws(Refusal) -> JSONValue {
        // What is no JSON is told so; what the parser says of it is for no client.
        guard let value = try? JSONParser.parse(request.body), value.object != nil else {
            throw Refusal(
                Answers.json(["errorMessages": ["Unexpected character in the body"]], status: 400)
            )
        }
        return value
    }

    private func fields(
        _ value: JSONValue?,
        _ known: Set<String>
    ) throws(Refusal) -> WriteFields {
        try WriteFields(value, known: known) { Self.refusal($0, $1) }
    }

    private static func refusal(_ field: String, _ problem: String) -> Refusal {
        var errors = JSONObject()
        errors[field] = .string("Field '\(field)' \(problem).")
        return Refusal(
            Answers.json(["errorMessages": [], "errors": .object(errors)], status: 400)
        )
    }

    // MARK: - Issues

    private mutating func create(
        _ request: HTTPServer.Request
    ) throws(Refusal) -> HTTPServer.Response {
        let whole = try fields(try body(request), ["fields"])
        let names: Set = [
            "project", "summary", "description", "issuetype", "labels", "priority", "assignee",
        ]
        let fields = try fields(whole["fields"], names)
        let place = fields["project"]?["id"]?.string ?? fields["project"]?["key"]?.string
        guard let project = place.flatMap({ world.projectPath($0, of: "jira") }) else {
            throw Self.refusal("project", "names no project")
        }
        guard fields["summary"] != nil else { throw Self.refusal("summary", "is required") }
        guard fields["issuetype"] != nil else { throw Self.refusal("issuetype", "is required") }
        let edit = try edit(fields)
        let item = world.add(to: project, of: "jira", edit)
        return Answers.json(
            [
                "id": .string(String(item.id)), "key": .string(key(item)),
                "self": .string("\(base)/jira/rest/api/3/issue/\(item.id)"),
            ],
            status: 201
        )
    }

    private mutating func change(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let whole = try fields(try body(request), ["fields", "update"])
        let names: Set = [
            "summary", "description", "issuetype", "labels", "priority", "assignee", "resolution",
        ]
        let fields = try fields(whole["fields"], names)
        if fields["resolution"] != nil, item.isOpen {
            throw Self.refusal("resolution", "cannot be set. It is not on the appropriate screen")
        }
        let edit = try edit(fields)
        let steps = try labelSteps(whole["update"])
        world.change(item.id, of: "jira") { item in
            edit(&item)
            item.labels = (item.labels.without(steps.removed) + steps.added).withoutRepeats
        }
        return HTTPServer.Response(status: 204)
    }

    /// What the fields of an issue do to one; nothing is changed before all are understood.
    private func edit(_ fields: WriteFields) throws(Refusal) -> (inout World.Item) -> Void {
        let title = try fields.title(
            "summary",
            most: Self.longestSummary,
            problem: "is required"
        )
        if title?.contains(where: \.isNewline) == true {
            throw Self.refusal("summary", "must not contain newline characters")
        }
        let document = try fields["description"].map { value throws(Refusal) in
            try Self.document(value, field: "description")
        }
        let labels = try fields.texts("labels")
        try Self.check(labels ?? [])
        let type = try named("issuetype", of: Self.types, fields)
        let priority = try named("priority", of: Self.priorities, fields)
        let resolution = try named("resolution", of: Self.resolutions, fields)
        let assignees = try assignees(fields["assignee"])
        return { item in
            if let title { item.title = title }
            if let document { (item.document, item.body) = (document, "") }
            if let labels { item.labels = labels }
            if let type { item.type = type }
            if let priority { item.priority = priority }
            if let resolution { item.resolution = resolution }
            if let assignees { item.assignees = assignees }
        }
    }

    /// A field such as `{"name": "High"}`.
    private func named(
        _ field: String,
        of words: [String],
        _ fields: WriteFields
    ) throws(Refusal) -> String? {
        guard let value = fields[field] else { return nil }
        let wanted = value["name"]?.string?.lowercased()
        guard let word = words.first(where: { $0.lowercased() == wanted }) else {
            throw Self.refusal(field, "is not one of \(words.joined(separator: ", "))")
        }
        return word
    }

    private func assignees(_ value: JSONValue?) throws(Refusal) -> [String]? {
        guard let value else { return nil }
        if value.isNull { return [] }
        let id = value["accountId"]?.string
        let found = world.people(of: "jira").first { person($0)["accountId"]?.string == id }
        guard let found else { throw Self.refusal("assignee", "names nobody") }
        return [found]
    }

    private func labelSteps(
        _ value: JSONValue?
    ) throws(Refusal) -> (added: [String], removed: [String]) {
        let steps = try fields(value, ["labels"])["labels"]?.array ?? []
        let added = steps.compactMap { $0["add"]?.string }
        let removed = steps.compactMap { $0["remove"]?.string }
        guard added.count + removed.count == steps.count else {
            throw Self.refusal("labels", "takes `add` and `remove`")
        }
        try Self.check(added)
        return (added, removed)
    }

    private static func check(_ labels: [String]) throws(Refusal) {
        if let label = labels.first(where: { $0.contains(" ") }) {
            throw refusal("labels", "holds '\(label)': a label must not contain spaces")
        }
    }

    /// An Atlassian document whose texts are neither empty nor too long together; null as it is.
    private static func document(
        _ value: JSONValue,
        field: String
    ) throws(Refusal) -> JSONValue {
        guard !value.isNull else { return ["type": "doc", "version": 1, "content": []] }
        guard value["type"]?.string == "doc", value["version"]?.integer == 1,
            let content = value["content"]?.array
        else { throw refusal(field, "must be an Atlassian Document") }
        guard let length = length(content) else { throw refusal(field, "holds an empty text node") }
        guard length <= longestText else {
            throw refusal(field, "exceeds the limit of \(longestText) characters")
        }
        return value
    }

    /// The characters of all texts; nil when one of them is empty.
    ///
    /// The parser has bounded the depth.
    private static func length(_ nodes: [JSONValue]) -> Int? {
        var sum = 0
        for node in nodes {
            if node["type"]?.string == "text" {
                guard let text = node["text"]?.string, !text.isEmpty else { return nil }
                sum += text.unicodeScalars.count
            }
            guard let inner = length(node["content"]?.array ?? []) else { return nil }
            sum += inner
        }
        return sum
    }

    // MARK: - States

    /// The steps from where an issue is: each to the state it is called for.
    func transitions(of item: World.Item) -> JSONValue {
        let steps = Self.states.enumerated().filter { $0.element.name != status(item).name }
        let offers = steps.map { index, state -> JSONValue in
            var fields = JSONObject()
            if state.category == "done" {
                fields["resolution"] = [
                    "required": false, "name": "Resolution",
                    "allowedValues": .array(Self.resolutions.map { ["name": .string($0)] }),
                ]
            }
            return [
                "id": .string(String(11 + 10 * index)), "name": .string(state.name),
                "isAvailable": true, "fields": .object(fields),
                "to": [
                    "name": .string(state.name),
                    "statusCategory": ["key": .string(state.category)],
                ],
            ]
        }
        return ["expand": "transitions", "transitions": .array(offers)]
    }

    private mutating func take(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let whole = try fields(try body(request), ["transition", "fields"])
        let offers = transitions(of: item)["transitions"]?.array ?? []
        let id = whole["transition"]?["id"]?.string
        guard let step = offers.first(where: { $0["id"]?.string == id }),
            let name = step["to"]?["name"]?.string
        else {
            let text = "The requested transition is not one of this issue's."
            throw Refusal(Answers.json(["errorMessages": [.string(text)]], status: 400))
        }
        let isFinal = step["to"]?["statusCategory"]?["key"]?.string == "done"
        let fields = try fields(whole["fields"], isFinal ? ["resolution"] : [])
        let resolution = try named("resolution", of: Self.resolutions, fields)
        world.change(item.id, of: "jira") { item in
            item.status = name
            item.isOpen = !isFinal
            item.resolution = isFinal ? resolution ?? Self.resolutions[0] : nil
        }
        return HTTPServer.Response(status: 204)
    }

    // MARK: - Comments and links

    private mutating func addComment(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let text = try commentText(request)
        let remark = world.comment(on: item.id, of: "jira", "", document: text)
        return Answers.json(comment(remark), status: 201)
    }

    private mutating func changeComment(
        _ request: HTTPServer.Request,
        _ id: String,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let text = try commentText(request)
        let changed = Int64(id).flatMap {
            world.changeComment($0, on: item.id, of: "jira", "", document: text)
        }
        return changed.map { Answers.json(comment($0)) } ?? Answers.notFound
    }

    private func commentText(_ request: HTTPServer.Request) throws(Refusal) -> JSONValue {
        let fields = try fields(try body(request), ["body"])
        let document = try Self.document(fields["body"] ?? .null, field: "body")
        guard let nodes = document["content"]?.array, !nodes.isEmpty else {
            throw Self.refusal("body", "is required")
        }
        return document
    }

    /// The one at the inward end then reads "duplicates", the other "is duplicated by".
    private mutating func link(
        _ request: HTTPServer.Request
    ) throws(Refusal) -> HTTPServer.Response {
        let fields = try fields(try body(request), ["type", "inwardIssue", "outwardIssue"])
        guard fields["type"]?["name"]?.string == "Duplicate" else {
            let text = "No issue link type with this name found."
            throw Refusal(Answers.json(["errorMessages": [.string(text)]], status: 404))
        }
        let (inward, outward) = (fields["inwardIssue"], fields["outwardIssue"])
        let item = try item(inward?["key"]?.string ?? inward?["id"]?.string ?? "")
        let original = try self.item(outward?["key"]?.string ?? outward?["id"]?.string ?? "")
        guard item.id != original.id else {
            throw Self.refusal("outwardIssue", "is the issue itself")
        }
        world.change(item.id, of: "jira") { item in
            if !item.duplicates.contains(original.id) { item.duplicates.append(original.id) }
        }
        world.change(original.id, of: "jira") { _ in }
        return HTTPServer.Response(status: 201)
    }
}
