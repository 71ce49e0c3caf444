import Domain
import MCP
import Store

/// `list_projects`: what is synchronised.
struct ListProjectsTool: Tool {
    let reading: StoreReading
    let tally: ProjectTally

    var definition: ToolDefinition {
        ToolDefinition(
            name: "list_projects",
            title: "List projects",
            summary: """
                List the synchronised projects of all trackers with their paths, which other tools \
                take as `project`, and how many issues they have.
                """,
            inputSchema: Schema.object([
                "tracker": Schema.text("Only projects of this tracker, by its name."),
                "query": Schema.text("Only projects with this text in their path or name."),
            ]),
            outputSchema: Schema.answer([
                "projects": Schema.list(
                    of: Schema.answer([
                        "project": Schema.string, "name": Schema.string,
                        "tracker": Schema.string, "tracker_type": Schema.string,
                        "url": Schema.string, "state": Schema.string, "issues": Schema.count,
                        "pull_requests": Schema.count,
                        "last_synchronised_at": Schema.optionalString,
                    ])
                )
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let status = try await SyncReading(store: reading.store, tally: tally).read()
        let tracker = arguments.optionalText("tracker")?.lowercased()
        let query = arguments.optionalText("query")?.lowercased()
        if let tracker, !status.trackers.contains(where: { $0.name.lowercased() == tracker }) {
            let names = status.trackers.map { "`\($0.name)`" }.joined(separator: ", ")
            throw ToolFailure(
                "there is no tracker `\(tracker)`",
                hint: names.isEmpty ? "none is connected" : "there are \(names)",
                kind: .notFound
            )
        }
        let projects = status.projects.compactMap { project -> JSONValue? in
            guard let owner = status.tracker(of: project) else { return nil }
            if let tracker, owner.name.lowercased() != tracker { return nil }
            if let query, !project.path.lowercased().contains(query),
                !project.name.lowercased().contains(query)
            {
                return nil
            }
            let counts = status.counts[project.id] ?? ProjectCounts.Row()
            return [
                "project": .string(project.path), "name": .string(project.name),
                "tracker": .string(owner.name), "tracker_type": .string(owner.kind.rawValue),
                "url": .string(project.url), "state": .string(project.state.rawValue),
                "issues": .integer(Int64(counts.issues)),
                "pull_requests": .integer(Int64(counts.pullRequests)),
                "last_synchronised_at": JSONValue(project.lastScanAt?.iso8601),
            ]
        }
        return ["projects": .array(projects)]
    }
}
