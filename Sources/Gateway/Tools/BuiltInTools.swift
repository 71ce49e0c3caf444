package import Domain
import MCP
package import Search
package import Store
package import Trackers

/// The tools that come with Preloop, made of what they work with.
package struct BuiltInTools: Sendable {
    /// Of a description or comment that is written: issues and comments of trackers have at most
    /// 65,536 characters; GitLab takes a megabyte.
    package static let maximumTextCharacters = 200_000

    package var store: Store
    /// Opens the indexes; called when they are first needed.
    package var openSearch: @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    /// The lease that a scan holds.
    package var scanLease: String
    /// Reads the metrics of the installation.
    package var metrics: @Sendable () throws -> MetricCatalogue
    /// Makes what writes to a tracker; nil for tools that only read what is stored.
    package var writers: (@Sendable (Tracker) async throws -> TrackerWriters)?
    /// Judges and rewrites; nil where none is configured.
    package var model: LanguageModel?

    /// Tools that read the store, without a model.
    package init(
        store: Store,
        scanLease: String,
        openSearch: @escaping @Sendable (SearchRequest.Mode) async throws -> IssueSearch,
        metrics: @escaping @Sendable () throws -> MetricCatalogue = { .standard }
    ) {
        self.store = store
        self.scanLease = scanLease
        self.openSearch = openSearch
        self.metrics = metrics
    }

    /// The tools, ready to be called, beside those of other servers; nil for none.
    package func make(upstreams: UpstreamDesk? = nil) -> ToolSet {
        let reading = StoreReading(store: store)
        return ToolSet(tools(), source: upstreams, means: { try await reading.means() })
    }

    /// The names of the tools, which nobody else's may have.
    package var names: [String] { tools().map(\.definition.name) }

    private func tools() -> [any Tool] {
        let reading = StoreReading(store: store)
        let tally = ProjectTally()
        let provider = SearchProvider(open: openSearch)
        let finder = DuplicateFinder(provider: provider, reading: reading)
        let desk = ComplianceDesk(reading: reading, catalogue: metrics, model: model)
        var tools: [any Tool] = [
            SearchTool(provider: provider, reading: reading),
            GetIssueTool(reading: reading),
            SimilarIssuesTool(provider: provider, reading: reading),
            FindDuplicatesTool(finder: finder),
            ListProjectsTool(reading: reading, tally: tally),
            SyncStatusTool(reading: reading, tally: tally, scanLease: scanLease),
            EstimateComplianceTool(desk: desk),
            ImproveComplianceTool(desk: desk),
            GetApprovalStatusTool(),
            RequestApprovalTool(),
        ]
        if let writers {
            let trackers = TrackerDesk(
                reading: reading,
                writers: WriterProvider(make: writers),
                searches: provider
            )
            tools += [
                CreateIssueTool(desk: trackers, finder: finder),
                UpdateIssueTool(desk: trackers),
                AddCommentTool(desk: trackers),
                UpdateCommentTool(desk: trackers),
                GetPullRequestTool(desk: trackers),
                CreatePullRequestTool(desk: trackers),
                UpdatePullRequestTool(desk: trackers),
            ]
        }
        return tools
    }
}
