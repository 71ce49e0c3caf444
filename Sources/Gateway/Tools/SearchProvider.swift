import Search

/// Opens the indexes when they are first needed, and keeps them open.
actor SearchProvider {
    private let open: @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    /// By whether the model is needed.
    private var opened: [Bool: Task<IssueSearch, any Error>] = [:]

    init(open: @escaping @Sendable (SearchRequest.Mode) async throws -> IssueSearch) {
        self.open = open
    }

    /// The indexes; throws why they cannot be opened, and tries again the next time.
    func search(_ mode: SearchRequest.Mode = .hybrid) async throws -> IssueSearch {
        let needsModel = mode != .text
        let task =
            opened[needsModel]
            // Not a child of the first caller: the others wait for the same.
            ?? Task { [open] in try await open(mode) }
        opened[needsModel] = task
        do {
            return try await task.value
        } catch {
            if opened[needsModel] == task { opened[needsModel] = nil }
            throw error
        }
    }

    /// The indexes with their model, when somebody has needed them before.
    func searchAtHand() async -> IssueSearch? {
        // Why they could not be opened was told to whoever asked for them.
        try? await opened[true]?.value
    }
}
