import Domain
import HTTPTypes
import Store

/// Reads the body that makes an issue, in any of the ways in which it may name the project.
struct IssueDraftReading: Sendable {
    let store: Store

    /// What trackers have no field for is refused, not lost.
    static let metaData = Shape.object([
        "labels?": Shape.list(of: Shape.text(255, minimum: 1), atMost: 100),
        "assignee?": Shape.text(255),
        "assignees?": Shape.list(of: Shape.text(255, minimum: 1), atMost: 1),
    ])
    /// How a body may say where the issue belongs; the tool takes one `project`.
    private static let places = [
        "project", "project_name", "project_id", "organization", "organization_name",
        "organization_id", "meta_data",
    ]

    /// One of the ways in which a body names something.
    private struct Mention: Sendable {
        /// Where it stands.
        var member: String
        var id: Int64?
        var word: String?

        /// As words are compared.
        var lowered: String? { word?.lowercased() }
    }

    /// A project with the name of its tracker.
    private typealias Candidate = (project: StoredProject, tracker: String)

    /// The arguments of `create_issue`.
    ///
    /// - Throws: ``Problem``: 404 for a project that there is not, 400 for one of several, 422 for
    ///   a body that names two.
    func arguments(_ request: APIRequest) async throws -> JSONObject {
        let content = request.content
        var arguments = content
        for name in Self.places { arguments[name] = nil }
        try Self.take(content["meta_data"]?.object, into: &arguments)
        // A new issue is nobody's unless it is said whose it is.
        if content["assignee"] == nil, arguments["assignee"] == "" { arguments["assignee"] = nil }
        if let project = try await project(content, request) {
            arguments["project"] = .string(project)
        }
        return arguments
    }

    /// Moves what `meta_data` has to the members that mean the same, which may not say otherwise.
    static func take(_ metaData: JSONObject?, into arguments: inout JSONObject) throws(Problem) {
        arguments["meta_data"] = nil
        guard let metaData else { return }
        // An empty list is nobody.
        let first = (metaData["assignees"]?.array).map { $0.first ?? "" }
        if let assignee = metaData["assignee"], let first, first != assignee {
            throw .contradiction("meta_data.assignee", "meta_data.assignees")
        }
        let assignee = metaData["assignee"] ?? first
        for (name, value) in [("labels", metaData["labels"]), ("assignee", assignee)] {
            guard let value else { continue }
            guard arguments[name] == nil || arguments[name] == value else {
                throw .contradiction("meta_data.\(name)", name)
            }
            arguments[name] = value
        }
    }

    /// What the tool takes for the project; nil when the body names none.
    private func project(_ content: JSONObject, _ request: APIRequest) async throws -> String? {
        let places = Self.mentions(["project", "project_name", "project_id"], in: content)
        let owners = Self.mentions(
            ["organization", "organization_name", "organization_id"],
            in: content
        )
        let account = try request.user().account
        guard let first = places.first else {
            guard owners.isEmpty else {
                throw Problem.invalid("project", "is missing: an organisation has several")
            }
            return nil
        }
        if owners.isEmpty, let path = first.word,
            places.allSatisfy({ $0.lowered == first.lowered })
        {
            try await checkIsOne(path, account)
            return path
        }
        let found = try await store.viewed(by: account).read { connection, account in
            let trackers = try TrackerTable.list(account: account, on: connection)
            let wanted = try Self.meant(
                try OrganizationTable.all(account: account, on: connection),
                by: owners,
                Self.matches
            ).map(\.id)
            let candidates = try ProjectTable.list(account: account, on: connection)
                .filter { wanted.contains($0.organizationID) }
                .map { project in
                    let tracker = trackers.first { $0.id == project.trackerID }
                    return (project: project, tracker: tracker?.name ?? "")
                }
            return try Self.meant(candidates, by: places, Self.matches)
                .map { "\($0.tracker):\($0.project.path)" }
        }
        guard !found.isEmpty else { throw Problem(.notFound, "there is no such project") }
        guard found.count == 1 else { throw Problem.ambiguousProject(found) }
        return found[0]
    }

    private static func mentions(_ members: [String], in content: JSONObject) -> [Mention] {
        members.compactMap { member in
            guard let value = content[member] else { return nil }
            return Mention(member: member, id: value.integer, word: value.string)
        }
    }

    /// The items that all mentions fit.
    ///
    /// - Throws: ``Problem``: 422 where two of them fit something each, and nothing together.
    private static func meant<Item>(
        _ items: [Item],
        by mentions: [Mention],
        _ fits: (Item, Mention) -> Bool
    ) throws(Problem) -> [Item] {
        let found = items.filter { item in mentions.allSatisfy { fits(item, $0) } }
        guard found.isEmpty else { return found }
        for (index, one) in mentions.enumerated() {
            let fitting = items.filter { fits($0, one) }
            guard !fitting.isEmpty else { continue }
            let others = mentions.dropFirst(index + 1).filter { other in
                items.contains { fits($0, other) } && !fitting.contains { fits($0, other) }
            }
            if let other = others.first { throw .contradiction(one.member, other.member) }
        }
        return []
    }

    /// Refuses a path that several trackers have, as lists of issues do; what there is not, and
    /// other ways to name one, are the tool's.
    private func checkIsOne(_ path: String, _ account: AccountID) async throws {
        let wanted = path.lowercased()
        let found = try await store.viewed(by: account).read { connection, account in
            // Where issues were imported from a file, none can be created.
            let trackers = try TrackerTable.list(account: account, on: connection)
                .filter(\.isRemote)
            return try ProjectTable.list(account: account, on: connection).compactMap { project in
                let tracker = trackers.first { $0.id == project.trackerID }
                guard let tracker, project.path.lowercased() == wanted else { return String?.none }
                return "\(tracker.name):\(project.path)"
            }
        }
        guard found.count <= 1 else { throw Problem.ambiguousProject(found) }
    }

    private static func matches(_ owner: StoredOrganization, _ mention: Mention) -> Bool {
        if let id = mention.id { return owner.id.rawValue == id }
        return owner.path.lowercased() == mention.lowered
            || owner.name.lowercased() == mention.lowered
    }

    /// A project goes by its path, with or without its tracker's name, by its name, its address, or
    /// the last part of its path.
    private static func matches(_ candidate: Candidate, _ mention: Mention) -> Bool {
        let project = candidate.project
        if let id = mention.id { return project.id.rawValue == id }
        guard let word = mention.lowered, !word.isEmpty else { return false }
        let path = project.path.lowercased()
        return path == word || path.hasSuffix("/\(word)") || project.name.lowercased() == word
            || "\(candidate.tracker.lowercased()):\(path)" == word
            || project.url.lowercased() == word
    }
}

extension Problem {
    /// What was said about a project fits several; a path with its tracker's name fits one.
    static func ambiguousProject(_ found: [String]) -> Problem {
        Problem(
            .badRequest,
            "this may be any of \(found.prefix(5).joined(separator: ", "))",
            code: "ambiguous_project"
        )
    }
}
