import Domain
import MCP
import Search
import Store

/// What several tools read from the store.
struct StoreReading: Sendable {
    let store: Store

    /// The one issue that a reference means.
    ///
    /// - Parameters:
    ///   - reference: A URL of it or of what lies below its page, a key, a number where only one
    ///     issue has it, the tracker's identifier, or where no issue has it as either the store's.
    ///   - kind: Goes before the other kind where both have the reference; nil for neither.
    ///   - takesIdentifier: Whether the store's identifier counts.
    /// - Returns: As lists show it.
    /// - Throws: ``SearchError/unknownIssue(reference:)``,
    ///   ``SearchError/ambiguousIssue(reference:candidates:)``.
    func issue(
        _ reference: String,
        preferring kind: IssueKind? = nil,
        takesIdentifier: Bool = true
    ) async throws -> IssueSummary {
        var found = try await summaries(reference, takesIdentifier)
        if found.isEmpty {
            for meaning in try await meanings(of: reference, kind: kind ?? .issue) {
                found += try await summaries(meaning.key, false)
                    .filter { $0.project == meaning.project.id }
            }
        }
        if let kind, found.contains(where: { $0.kind == kind }) {
            found.removeAll { $0.kind != kind }
        }
        guard let first = found.first else { throw SearchError.unknownIssue(reference: reference) }
        guard found.count == 1 else {
            throw SearchError.ambiguousIssue(
                reference: reference,
                candidates: found.prefix(5).map { $0.url.isEmpty ? $0.key : $0.url }
            )
        }
        return first
    }

    private func summaries(
        _ reference: String,
        _ takesIdentifier: Bool
    ) async throws -> [IssueSummary] {
        try await store.read { connection, account in
            try PassageTable.summaries(
                forReference: reference,
                takesIdentifier: takesIdentifier,
                account: account,
                on: connection
            )
        }
    }

    /// The project and number that a reference means, whether that issue is stored or not.
    func meaning(
        of reference: String,
        kind: IssueKind
    ) async throws -> ReferenceReader.Meaning {
        let found = try await meanings(of: reference, kind: kind)
        guard let first = found.first else { throw SearchError.unknownIssue(reference: reference) }
        guard found.count == 1 else {
            throw SearchError.ambiguousIssue(
                reference: reference,
                candidates: found.prefix(5).map { $0.project.url }
            )
        }
        return first
    }

    private func meanings(
        of reference: String,
        kind: IssueKind
    ) async throws -> [ReferenceReader.Meaning] {
        let projects = try await store.read { connection, account in
            try ProjectTable.list(account: account, on: connection)
        }
        return ReferenceReader.meanings(of: reference, kind: kind, in: projects)
    }

    /// The issue with its texts.
    func row(_ issue: IssueSummary) async throws -> ExportTable.Row {
        let row = try await store.read { connection, account in
            try ExportTable.issue(issue.issue, account: account, on: connection)
        }
        guard let row else { throw SearchError.unknownIssue(reference: issue.key) }
        return row
    }

    /// The projects of a path, of a URL, or of `tracker:path` where a path alone is not enough.
    func projects(_ reference: String) async throws -> [StoredProject] {
        let (all, trackers) = try await store.read { connection, account in
            (
                try ProjectTable.list(account: account, on: connection),
                try TrackerTable.list(account: account, on: connection)
            )
        }
        let wanted = reference.lowercased()
        let found = all.filter { project in
            let tracker = trackers.first { $0.id == project.trackerID }?.name ?? ""
            let path = project.path.lowercased()
            return path == wanted || "\(tracker.lowercased()):\(path)" == wanted
                || (!project.url.isEmpty && project.url.lowercased() == wanted)
        }
        guard !found.isEmpty else {
            throw ToolFailure(
                "there is no project `\(reference)`",
                hint: "list_projects shows the projects and their paths",
                kind: .notFound
            )
        }
        return found
    }

    /// What the account has of trackers.
    func means() async throws -> AccountMeans {
        let trackers = try await store.read { connection, account in
            try TrackerTable.list(account: account, on: connection).filter(\.isRemote)
        }
        var means: AccountMeans = trackers.isEmpty ? [] : .tracker
        if trackers.contains(where: \.kind.hasPullRequests) { means.insert(.pullRequests) }
        return means
    }

    /// The restriction that `project` and `state` of a call mean.
    func filter(_ arguments: ToolArguments) async throws -> IssueFilter {
        var filter = IssueFilter()
        if let project = arguments.optionalText("project") {
            filter.projectIDs = try await projects(project).map(\.id)
        }
        filter.state = IssueState(rawValue: arguments.text("state"))
        return filter
    }
}

extension IssueSummary {
    /// As tools show an issue in a list; `id` is what every tool takes as a reference.
    var toolMembers: JSONObject {
        var object = JSONObject()
        object.append(key: "id", value: .string(url.isEmpty ? key : url))
        object.append(key: "key", value: .string(key))
        object.append(key: "kind", value: .string(kind.rawValue))
        object.append(key: "title", value: .string(title))
        object.append(key: "state", value: .string(state.rawValue))
        object.append(key: "project", value: .string(projectPath))
        object.append(key: "tracker", value: .string(tracker))
        object.append(key: "url", value: .string(url))
        object.append(key: "created_at", value: .string(createdAt.iso8601))
        object.append(key: "updated_at", value: .string(updatedAt.iso8601))
        return object
    }

    /// The same as a value.
    var toolJSON: JSONValue { .object(toolMembers) }
}

/// A score as answers show it: more digits mean nothing.
func rounded(_ score: Double) -> JSONValue {
    .double((score * 10_000).rounded() / 10_000)
}
