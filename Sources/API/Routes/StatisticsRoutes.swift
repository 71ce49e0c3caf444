import Domain
import HTTPTypes
import Store

/// Figures about an account.
struct StatisticsRoutes: Sendable {
    let store: Store

    /// The routes.
    var routes: [Route] {
        [
            .on(
                .get,
                "/api/v1/stats",
                .permission(.viewIssues),
                tag: "Statistics",
                "How much there is"
            ) { request in
                let store = store.viewed(by: try request.user().account)
                let (trackers, projects, counts) = try await store.read { connection, account in
                    (
                        try TrackerTable.list(account: account, on: connection).count,
                        try ProjectTable.list(account: account, on: connection),
                        try ProjectCounts.all(account: account, on: connection)
                    )
                }
                func sum(_ what: (ProjectCounts.Row) -> Int) -> JSONValue {
                    .integer(Int64(counts.values.reduce(0) { $0 + what($1) }))
                }
                return .json([
                    "trackers": .integer(Int64(trackers)),
                    "projects": .integer(Int64(projects.count { $0.state == .active })),
                    "issues": sum(\.issues), "pull_requests": sum(\.pullRequests),
                    "comments": sum(\.comments),
                    "last_synced": JSONValue(projects.compactMap(\.lastScanAt).max()?.iso8601),
                ])
            }.answers(
                .ok,
                Shape.object([
                    "trackers": Shape.count, "projects": Shape.count, "issues": Shape.count,
                    "pull_requests": Shape.count, "comments": Shape.count,
                    "last_synced": Shape.optionalInstant,
                ])
            )
        ]
    }
}
