import Domain
import MCP
import Search
import Store

/// `sync_status`: how fresh the answers are.
struct SyncStatusTool: Tool {
    let reading: StoreReading
    let tally: ProjectTally
    /// The lease that a scan holds.
    let scanLease: String

    var definition: ToolDefinition {
        ToolDefinition(
            name: "sync_status",
            title: "Synchronisation status",
            summary: """
                Tell how fresh the synchronised issues are: per tracker whether its token works, \
                per project when it was last read, what failed, and what waits to be indexed.
                """,
            inputSchema: Schema.object([
                "project": Schema.projectPath
            ]),
            outputSchema: Schema.answer([
                "now": Schema.string,
                "scanning": Schema.optionalString,
                "waiting_to_be_indexed": Schema.count,
                "trackers": Schema.list(
                    of: Schema.answer([
                        "tracker": Schema.string, "tracker_type": Schema.string,
                        "status": Schema.string, "detail": Schema.optionalString,
                    ])
                ),
                "projects": Schema.list(
                    of: Schema.answer([
                        "project": Schema.string, "tracker": Schema.string,
                        "state": Schema.string, "last_synchronised_at": Schema.optionalString,
                        "last_error": Schema.optionalString, "issues": Schema.count,
                        "pull_requests": Schema.count, "comments": Schema.count,
                        "not_understood": Schema.count, "waiting_to_be_indexed": Schema.count,
                    ])
                ),
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let store = reading.store
        let (now, lease) = (store.clock.now(), scanLease)
        let status = try await SyncReading(store: store, tally: tally).read()
        let holder = try await store.read { connection, account in
            try LeaseTable.holder(of: lease, now: now, account: account, on: connection)
        }
        var wanted: Set<ProjectID>?
        if let project = arguments.optionalText("project") {
            wanted = Set(try await reading.projects(project).map(\.id))
        }
        let projects = status.projects.filter { wanted?.contains($0.id) ?? true }
        let trackers: [JSONValue] = status.trackers.map { tracker in
            [
                "tracker": .string(tracker.name), "tracker_type": .string(tracker.kind.rawValue),
                "status": .string(tracker.status.rawValue),
                "detail": JSONValue(tracker.statusDetail),
            ]
        }
        return [
            "now": .string(now.iso8601), "scanning": JSONValue(holder?.description),
            "waiting_to_be_indexed": .integer(Int64(status.waiting.values.reduce(0, +))),
            "trackers": .array(trackers),
            "projects": .array(projects.map { json($0, status) }),
        ]
    }

    private func json(_ project: StoredProject, _ status: SyncReading.Status) -> JSONValue {
        let counts = status.counts[project.id] ?? ProjectCounts.Row()
        return [
            "project": .string(project.path),
            "tracker": .string(status.tracker(of: project)?.name ?? ""),
            "state": .string(project.state.rawValue),
            "last_synchronised_at": JSONValue(project.lastScanAt?.iso8601),
            "last_error": JSONValue(project.lastError),
            "issues": .integer(Int64(counts.issues)),
            "pull_requests": .integer(Int64(counts.pullRequests)),
            "comments": .integer(Int64(counts.comments)),
            "not_understood": .integer(Int64(counts.quarantined)),
            "waiting_to_be_indexed": .integer(Int64(status.waiting[project.id] ?? 0)),
        ]
    }
}

/// Reads where every project stands, on one snapshot.
struct SyncReading: Sendable {
    let store: Store
    let tally: ProjectTally

    struct Status: Sendable {
        var trackers: [Tracker]
        /// By tracker, then path.
        var projects: [StoredProject]
        var counts: [ProjectID: ProjectCounts.Row]
        /// Changed texts that the index does not have yet.
        var waiting: [ProjectID: Int]

        func tracker(of project: StoredProject) -> Tracker? {
            trackers.first { $0.id == project.trackerID }
        }
    }

    func read() async throws -> Status {
        try await store.read { connection, account in
            var revision = Revision.zero
            let models = try EmbeddingModelTable.all(account: account, on: connection)
            if let current = models.first(where: \.isCurrent) {
                revision = try FollowerTable.revision(
                    of: Indexer.follower(of: current.id),
                    account: account,
                    on: connection
                )
            }
            let trackers = try TrackerTable.list(account: account, on: connection)
                .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            var projects: [StoredProject] = []
            for tracker in trackers {
                projects += try ProjectTable.list(
                    tracker: tracker.id,
                    account: account,
                    on: connection
                )
            }
            return Status(
                trackers: trackers,
                projects: projects,
                counts: try tally.counts(account: account, on: connection),
                waiting: try ProjectCounts.changedTexts(
                    after: revision,
                    account: account,
                    on: connection
                )
            )
        }
    }
}
