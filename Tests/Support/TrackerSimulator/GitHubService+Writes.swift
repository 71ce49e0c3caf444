import Domain

extension GitHubService {
    /// GitHub's own limits, in characters.
    private static let longestTitle = 256
    private static let longestText = 65_536

    /// Creates and changes issues, their labels and comments; GitHub answers 404 to all else.
    mutating func write(
        _ request: HTTPServer.Request,
        _ project: String,
        _ path: [String]
    ) -> HTTPServer.Response {
        do throws(Refusal) {
            switch (request.method, path.count) {
            case ("POST", 1) where path[0] == "issues": return try create(request, project)
            case ("PATCH", 2) where path[0] == "issues":
                return try change(request, try issue(path[1], project))
            case ("PATCH", 3) where path[0] == "issues" && path[1] == "comments":
                return try changeComment(request, path[2], project)
            case ("POST", 3) where path[0] == "issues" && path[2] == "comments":
                return try addComment(request, try item(path[1], project))
            case ("POST", 3) where path[0] == "issues" && path[2] == "labels":
                return try addLabels(request, try issue(path[1], project))
            case ("DELETE", 4) where path[0] == "issues" && path[2] == "labels":
                return try removeLabel(path[3], of: try issue(path[1], project))
            default: return Answers.notFound
            }
        } catch {
            return error.response
        }
    }

    private func item(_ number: String, _ project: String) throws(Refusal) -> World.Item {
        let found = world.items["github"]?.first {
            $0.project == project && String($0.number) == number
        }
        guard let found else { throw Refusal(Answers.notFound) }
        return found
    }

    /// The same, unless it is a pull request: those can be read and commented on only.
    private func issue(_ number: String, _ project: String) throws(Refusal) -> World.Item {
        let found = try item(number, project)
        guard !found.isPullRequest else { throw Refusal(Answers.notFound) }
        return found
    }

    private func fields(
        _ request: HTTPServer.Request,
        _ known: Set<String>,
        resource: String = "Issue"
    ) throws(Refusal) -> WriteFields {
        // What is no JSON is told so; what the parser says of it is for no client.
        guard let value = try? JSONParser.parse(request.body), value.object != nil else {
            throw Refusal(Answers.json(["message": "Problems parsing JSON"], status: 400))
        }
        return try WriteFields(value, known: known) { field, problem in
            Self.refusal(resource, field, problem)
        }
    }

    private static func refusal(_ resource: String, _ field: String, _ problem: String) -> Refusal {
        Refusal(
            Answers.json(
                [
                    "message": "Validation Failed",
                    "errors": [
                        [
                            "resource": .string(resource), "field": .string(field),
                            "code": "custom", "message": .string("\(field) \(problem)"),
                        ]
                    ],
                ],
                status: 422
            )
        )
    }

    private mutating func create(
        _ request: HTTPServer.Request,
        _ project: String
    ) throws(Refusal) -> HTTPServer.Response {
        let fields = try fields(request, ["title", "body", "labels", "assignees", "type"])
        guard fields["title"] != nil else { throw Self.refusal("Issue", "title", "is missing") }
        let edit = try edit(fields)
        let item = world.add(to: project, of: "github", edit)
        return Answers.json(issue(item), status: 201)
    }

    private mutating func change(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let known: Set = [
            "title", "body", "labels", "assignees", "type", "state", "state_reason",
        ]
        let edit = try edit(try fields(request, known))
        let changed = world.change(item.id, of: "github", edit)
        return Answers.json(issue(changed ?? item))
    }

    /// What the fields of an issue do to one; nothing is changed before all are understood.
    private func edit(_ fields: WriteFields) throws(Refusal) -> (inout World.Item) -> Void {
        let title = try fields.title("title", most: Self.longestTitle, problem: "can't be blank")
        let body = try fields.text("body", most: Self.longestText)
        let labels = try fields.texts("labels")
        let type = try fields.word("type", of: ["Bug", "Feature", "Task"])
        let isTyped = fields["type"] != nil
        let state = try fields.word("state", of: ["open", "closed"])
        let reason = try fields.word(
            "state_reason",
            of: ["completed", "not_planned", "duplicate", "reopened"]
        )
        var assignees: [String]?
        if let names = try fields.texts("assignees") {
            let people = world.people(of: "github")
            assignees = []
            for name in names {
                guard let person = people.first(where: { $0.lowercased() == name.lowercased() })
                else { throw Self.refusal("Issue", "assignees", "holds nobody's name: \(name)") }
                assignees?.append(person)
            }
        }
        return { [assignees] item in
            if let title { item.title = title }
            if let body { item.body = body }
            if let labels { item.labels = labels }
            if let assignees { item.assignees = assignees }
            if isTyped { item.type = type }
            guard let state else { return }
            // Closing what is closed keeps the reason it has.
            let present = item.isOpen ? "completed" : item.status
            item.isOpen = state == "open"
            item.status = item.isOpen ? "reopened" : reason ?? present
        }
    }

    private mutating func addComment(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let remark = world.comment(on: item.id, of: "github", try commentText(request))
        return Answers.json(comment(remark, of: item), status: 201)
    }

    private mutating func changeComment(
        _ request: HTTPServer.Request,
        _ id: String,
        _ project: String
    ) throws(Refusal) -> HTTPServer.Response {
        let found = world.items["github"]?.first { item in
            item.project == project && item.comments.contains { String($0.id) == id }
        }
        guard let found, let number = Int64(id) else { throw Refusal(Answers.notFound) }
        let text = try commentText(request)
        let changed = world.changeComment(number, on: found.id, of: "github", text)
        return changed.map { Answers.json(comment($0, of: found)) } ?? Answers.notFound
    }

    private func commentText(_ request: HTTPServer.Request) throws(Refusal) -> String {
        let fields = try fields(request, ["body"], resource: "IssueComment")
        let text = try fields.title("body", most: Self.longestText, problem: "can't be blank")
        guard let text else { throw Self.refusal("IssueComment", "body", "is missing") }
        return text
    }

    private mutating func addLabels(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let added = try fields(request, ["labels"], resource: "Label").texts("labels") ?? []
        let changed = world.change(item.id, of: "github") { item in
            item.labels = (item.labels + added).withoutRepeats
        }
        return Answers.json(.array((changed?.labels ?? []).map { ["name": .string($0)] }))
    }

    private mutating func removeLabel(
        _ name: String,
        of item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let rest = item.labels.without([name])
        guard rest.count < item.labels.count else {
            throw Refusal(Answers.json(["message": "Label does not exist"], status: 404))
        }
        world.change(item.id, of: "github") { $0.labels = rest }
        return Answers.json(.array(rest.map { ["name": .string($0)] }))
    }
}
