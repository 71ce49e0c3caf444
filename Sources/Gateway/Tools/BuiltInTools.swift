package import Search
package import Store

/// The tools that come with Preloop, made of what they work with.
package struct BuiltInTools: Sendable {
    package var store: Store
    /// Opens the indexes; called when they are first needed.
    package var openSearch: @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    /// The lease that a scan holds.
    package var scanLease: String
    /// Reads the metrics of the installation.
    package var metrics: @Sendable () throws -> MetricCatalogue
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

    /// The tools, ready to be called.
    package func make() -> ToolSet {
        let reading = StoreReading(store: store)
        let provider = SearchProvider(open: openSearch)
        let finder = DuplicateFinder(provider: provider, reading: reading)
        let desk = ComplianceDesk(reading: reading, catalogue: metrics, model: model)
        return ToolSet([
            SearchTool(provider: provider, reading: reading),
            GetIssueTool(reading: reading),
            SimilarIssuesTool(provider: provider, reading: reading),
            FindDuplicatesTool(finder: finder),
            ListProjectsTool(reading: reading),
            SyncStatusTool(reading: reading, scanLease: scanLease),
            EstimateComplianceTool(desk: desk),
            ImproveComplianceTool(desk: desk),
        ])
    }
}
