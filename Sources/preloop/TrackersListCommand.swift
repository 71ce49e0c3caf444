import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop trackers list`.
struct TrackersListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the trackers and their scope."
    )

    @OptionGroup var output: OutputOptions

    private struct Entry: Sendable {
        var tracker: Tracker
        var scope: Scope
        var projectCount: Int
    }

    func run() async throws {
        let installation = try await Installation.open()
        let entries = try await attempt("cannot list the trackers") {
            try await installation.store.read { connection, account in
                try TrackerTable.list(account: account, on: connection).map { tracker in
                    Entry(
                        tracker: tracker,
                        scope: try ScopeRuleTable.scope(
                            of: tracker.id,
                            account: account,
                            on: connection
                        ),
                        projectCount: try ProjectTable.list(
                            tracker: tracker.id,
                            account: account,
                            on: connection
                        ).count { $0.state == .active }
                    )
                }
            }
        }
        guard !output.isJSON else {
            try Output.result(["trackers": .array(entries.map(json))])
            return
        }
        guard !entries.isEmpty else {
            try Output.text(["There are no trackers. Add one with `preloop trackers add`."])
            return
        }
        var table = TextTable(["NAME", "KIND", "URL", "TOKEN", "PROJECTS", "SCOPE"])
        for entry in entries { table.append(cells(entry)) }
        try Output.text(table.lines)
    }

    private func json(_ entry: Entry) -> JSONValue {
        let tracker = entry.tracker
        func patterns(_ action: ScopeRule.Action) -> JSONValue {
            JSONValue(entry.scope.rules.filter { $0.action == action }.map(\.pattern))
        }
        return [
            "name": .string(tracker.name), "kind": .string(tracker.kind.rawValue),
            "deployment": .string(tracker.deployment.rawValue), "url": .string(tracker.url),
            "user": JSONValue(tracker.userName), "status": .string(tracker.status.rawValue),
            "status_detail": JSONValue(tracker.statusDetail),
            "checked_at": JSONValue(tracker.checkedAt?.iso8601),
            "created_at": .string(tracker.createdAt.iso8601),
            "include": patterns(.include), "exclude": patterns(.exclude),
            "projects": .integer(Int64(entry.projectCount)),
        ]
    }

    private func cells(_ entry: Entry) -> [String] {
        let tracker = entry.tracker
        let scope = entry.scope.rules.map { rule in
            (rule.action == .include ? "+" : "-") + rule.pattern
        }
        return [
            tracker.name, "\(tracker.kind.rawValue) \(tracker.deployment.rawValue)",
            tracker.url.isEmpty ? "-" : tracker.url,
            tracker.status.rawValue + (tracker.statusDetail.map { " (\($0))" } ?? ""),
            "\(entry.projectCount)",
            scope.isEmpty ? "everything" : scope.joined(separator: " "),
        ]
    }
}
