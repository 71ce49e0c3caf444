import Domain

extension GitLabService {
    /// GitLab's own limits, in characters.
    private static let longestTitle = 255
    private static let longestText = 1_048_576

    /// Creates and changes issues and notes; of all else what can be read is answered with 405.
    ///
    /// - Parameters:
    ///   - request: Whole.
    ///   - project: The project's path.
    ///   - path: The segments below the project.
    /// - Returns: What the client gets.
    mutating func write(
        _ request: HTTPServer.Request,
        _ project: String,
        _ path: [String]
    ) -> HTTPServer.Response {
        do throws(Refusal) {
            switch (request.method, path.count) {
            case ("POST", 1) where path[0] == "issues": return try create(request, project)
            case ("PUT", 2) where path[0] == "issues":
                return try change(request, try item(path, project))
            case ("POST", 3) where path[2] == "notes":
                return try addNote(request, try item(path, project))
            case ("PUT", 4) where path[2] == "notes":
                return try changeNote(request, path[3], try item(path, project))
            case ("POST", 5) where path[2] == "discussions" && path[4] == "notes":
                return try reply(request, to: path[3], try item(path, project))
            default: return Answers.notFound
            }
        } catch {
            return error.response
        }
    }

    private func item(_ path: [String], _ project: String) throws(Refusal) -> World.Item {
        guard ["issues", "merge_requests"].contains(path[0]) else {
            throw Refusal(Answers.notFound)
        }
        let found = world.items["gitlab"]?.first {
            $0.project == project && String($0.number) == path[1]
                && $0.isPullRequest == (path[0] == "merge_requests")
        }
        guard let found else { throw Refusal(Answers.notFound) }
        return found
    }

    private func fields(
        _ request: HTTPServer.Request,
        _ known: Set<String>
    ) throws(Refusal) -> WriteFields {
        // What is no JSON is told so; what the parser says of it is for no client.
        guard let value = try? JSONParser.parse(request.body), value.object != nil else {
            throw Refusal(
                Answers.json(["error": "message body does not match declared format"], status: 400)
            )
        }
        return try WriteFields(value, known: known) { Self.refusal($0, $1) }
    }

    private static func refusal(_ field: String, _ problem: String) -> Refusal {
        var fields = JSONObject()
        fields[field] = .array([.string(problem)])
        return Refusal(Answers.json(["message": .object(fields)], status: 400))
    }

    private static func missing(_ field: String) -> Refusal {
        Refusal(Answers.json(["error": .string("\(field) is missing")], status: 400))
    }

    // MARK: - Issues

    private mutating func create(
        _ request: HTTPServer.Request,
        _ project: String
    ) throws(Refusal) -> HTTPServer.Response {
        let known: Set = ["title", "description", "labels", "assignee_ids", "issue_type"]
        let fields = try fields(request, known)
        guard fields["title"] != nil else { throw Self.missing("title") }
        let edit = try edit(fields)
        return Answers.json(issue(world.add(to: project, of: "gitlab", edit)), status: 201)
    }

    private mutating func change(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let known: Set = [
            "title", "description", "labels", "add_labels", "remove_labels", "assignee_ids",
            "issue_type", "state_event",
        ]
        let fields = try fields(request, known)
        guard !fields.isEmpty else {
            let names = known.sorted().joined(separator: ", ")
            let error = "\(names) are missing, at least one parameter must be provided"
            throw Refusal(Answers.json(["error": .string(error)], status: 400))
        }
        let changed = world.change(item.id, of: "gitlab", try edit(fields))
        return Answers.json(issue(changed ?? item))
    }

    /// What the fields of an issue do to one; nothing is changed before all are understood.
    private func edit(_ fields: WriteFields) throws(Refusal) -> (inout World.Item) -> Void {
        let title = try fields.title("title", most: Self.longestTitle, problem: "can't be blank")
        let body = try fields.text("description", most: Self.longestText)
        let labels = try Self.labels(fields, "labels")
        let added = try Self.labels(fields, "add_labels") ?? []
        let removed = try Self.labels(fields, "remove_labels") ?? []
        let type = try fields.word("issue_type", of: ["issue", "incident", "task"])
        let event = try fields.word("state_event", of: ["close", "reopen"])
        let assignees = try people(fields["assignee_ids"])
        return { item in
            if let title { item.title = title }
            if let body { item.body = body }
            if let labels { item.labels = labels }
            item.labels = (item.labels.without(removed) + added).withoutRepeats
            if let type { item.type = type }
            if let assignees { item.assignees = assignees }
            if let event { item.isOpen = event == "reopen" }
        }
    }

    /// Names between commas.
    private static func labels(
        _ fields: WriteFields,
        _ name: String
    ) throws(Refusal) -> [String]? {
        // A hundred names of 255 characters.
        let text = try fields.text(name, most: 25_600)
        return text?.split(separator: ",").map { String($0) }.withoutRepeats
    }

    private func people(_ identifiers: JSONValue?) throws(Refusal) -> [String]? {
        guard let identifiers else { return nil }
        if identifiers.isNull { return [] }
        guard let list = identifiers.array else { throw Self.refusal("assignee_ids", "is invalid") }
        let all = world.people(of: "gitlab")
        var names: [String] = []
        for identifier in list {
            let place = identifier.integer.flatMap { Int(exactly: $0) } ?? 0
            guard all.indices.contains(place - 1) else {
                throw Self.refusal("assignee_ids", "is invalid")
            }
            names.append(all[place - 1])
        }
        return names.withoutRepeats
    }

    // MARK: - Notes

    private mutating func addNote(
        _ request: HTTPServer.Request,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let text = try noteText(request)
        if !item.isPullRequest, text.hasPrefix("/duplicate ") {
            return try close(item, asDuplicateOf: String(text.dropFirst("/duplicate ".count)))
        }
        let remark = world.comment(on: item.id, of: "gitlab", text)
        return Answers.json(note(remark), status: 201)
    }

    private mutating func changeNote(
        _ request: HTTPServer.Request,
        _ id: String,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let text = try noteText(request)
        let changed = Int64(id).flatMap {
            world.changeComment($0, on: item.id, of: "gitlab", text)
        }
        return changed.map { Answers.json(note($0)) } ?? Answers.notFound
    }

    private mutating func reply(
        _ request: HTTPServer.Request,
        to discussion: String,
        _ item: World.Item
    ) throws(Refusal) -> HTTPServer.Response {
        let thread = item.comments.first { self.discussion(of: $0) == discussion }
        guard let thread else { throw Refusal(Answers.notFound) }
        let remark = world.comment(
            on: item.id,
            of: "gitlab",
            try noteText(request),
            thread: thread.thread ?? thread.id
        )
        return Answers.json(note(remark), status: 201)
    }

    private func noteText(_ request: HTTPServer.Request) throws(Refusal) -> String {
        let fields = try fields(request, ["body"])
        let text = try fields.title("body", most: Self.longestText, problem: "can't be blank")
        guard let text else { throw Self.missing("body") }
        return text
    }

    /// The command that closes; `reference` is `#N` or `group/project#N`.
    private mutating func close(
        _ item: World.Item,
        asDuplicateOf reference: String
    ) throws(Refusal) -> HTTPServer.Response {
        let parts = reference.split(separator: "#", omittingEmptySubsequences: false)
        let project = parts[0].isEmpty ? item.project : String(parts[0])
        let original = world.items["gitlab"]?.first { other in
            other.project == project && !other.isPullRequest && parts.count == 2
                && String(other.number) == parts[1] && other.id != item.id
        }
        guard let original else {
            let text = "400 Bad request - Failed to mark this issue as a duplicate"
            throw Refusal(Answers.json(["message": .string(text)], status: 400))
        }
        world.change(item.id, of: "gitlab") { item in
            item.isOpen = false
            item.duplicates = [original.id]
        }
        return Answers.json(
            [
                "commands_changes": ["state_event": "close"],
                "summary": ["Closed this issue. Marked as related to, and a duplicate of, it."],
            ],
            status: 202
        )
    }
}
