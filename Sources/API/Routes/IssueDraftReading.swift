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

    /// The arguments of `create_issue`.
    ///
    /// - Throws: ``Problem``: 404 for a project that there is not, 400 for one of several, 422 for
    ///   a body that names two.
    func arguments(_ request: APIRequest) async throws -> JSONObject {
        let content = request.content
        var arguments = content
        for name in Self.places { arguments[name] = nil }
        try Self.take(content["meta_data"]?.object, into: &arguments)
        let name = content["project"]?.string ?? content["project_name"]?.string
        if let project = try await project(named: name, content, request) {
            arguments["project"] = .string(project)
        }
        return arguments
    }

    /// Moves what `meta_data` has to the members that mean the same, unless those are given.
    static func take(_ metaData: JSONObject?, into arguments: inout JSONObject) throws(Problem) {
        arguments["meta_data"] = nil
        guard let metaData else { return }
        let assignee = metaData["assignee"] ?? metaData["assignees"]?.array?.first
        for (name, value) in [("labels", metaData["labels"]), ("assignee", assignee)] {
            guard let value else { continue }
            guard arguments[name] == nil || arguments[name] == value else {
                throw .invalid("meta_data.\(name)", "says something else than `\(name)`")
            }
            arguments[name] = value
        }
    }

    /// What the tool takes for the project; nil when the body names none.
    private func project(
        named name: String?,
        _ content: JSONObject,
        _ request: APIRequest
    ) async throws -> String? {
        let id = content["project_id"]?.integer
        let owner = content["organization"]?.string ?? content["organization_name"]?.string
        let ownerID = content["organization_id"]?.integer
        let account = try request.user().account
        guard id != nil || owner != nil || ownerID != nil else {
            if let name { try await checkIsOne(name, account) }
            return name
        }
        let found = try await store.viewed(by: account).read { connection, account in
            let trackers = try TrackerTable.list(account: account, on: connection)
            let owners = try OrganizationTable.all(account: account, on: connection)
                .filter { Self.matches($0, id: ownerID, name: owner) }.map(\.id)
            let projects = try ProjectTable.list(account: account, on: connection)
                .filter { Self.matches($0, id: id, name: name) }
            return projects.filter { owners.contains($0.organizationID) }.map { project in
                let tracker = trackers.first { $0.id == project.trackerID }
                return "\(tracker?.name ?? ""):\(project.path)"
            }
        }
        guard id != nil || name != nil else {
            throw Problem.invalid("project", "is missing: an organisation has several")
        }
        guard !found.isEmpty else { throw Problem(.notFound, "there is no such project") }
        guard found.count == 1 else { throw Problem.ambiguousProject(found) }
        return found[0]
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

    private static func matches(_ owner: StoredOrganization, id: Int64?, name: String?) -> Bool {
        if let id, owner.id.rawValue != id { return false }
        guard let word = name?.lowercased() else { return true }
        return owner.path.lowercased() == word || owner.name.lowercased() == word
    }

    /// A project goes by its path, its name, or the last part of its path.
    private static func matches(_ project: StoredProject, id: Int64?, name: String?) -> Bool {
        if let id, project.id.rawValue != id { return false }
        guard let word = name?.lowercased() else { return true }
        let path = project.path.lowercased()
        return path == word || path.hasSuffix("/\(word)") || project.name.lowercased() == word
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
