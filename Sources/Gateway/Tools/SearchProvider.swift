import Search

/// Opens the indexes when they are first needed, and keeps them open.
///
/// An attempt that fails may have read the whole model before: the next one waits ten times as long
/// as the last one took, and until then the same failure is told.
actor SearchProvider {
    private static let pausePerAttempt = 10

    private struct Failure {
        var error: any Error
        /// When opening is tried again.
        var end: ContinuousClock.Instant
    }

    private let open: @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    /// By whether the model is needed.
    private var opened: [Bool: Task<IssueSearch, any Error>] = [:]
    private var failures: [Bool: Failure] = [:]

    init(open: @escaping @Sendable (SearchRequest.Mode) async throws -> IssueSearch) {
        self.open = open
    }

    /// The indexes; throws why they cannot be opened, and tries again later.
    func search(_ mode: SearchRequest.Mode = .hybrid) async throws -> IssueSearch {
        let needsModel = mode != .text
        let start = ContinuousClock.now
        if let failure = failures[needsModel], start < failure.end { throw failure.error }
        let task =
            opened[needsModel]
            // Not a child of the first caller: the others wait for the same.
            ?? Task { [open] in try await open(mode) }
        opened[needsModel] = task
        do {
            return try await task.value
        } catch {
            guard opened[needsModel] == task else { throw error }
            opened[needsModel] = nil
            let end = ContinuousClock.now
            let pause = start.duration(to: end) * Self.pausePerAttempt
            failures[needsModel] = Failure(error: error, end: end + pause)
            throw error
        }
    }

    /// The indexes with their model, when somebody has needed them before.
    func searchAtHand() async -> IssueSearch? {
        // Why they could not be opened was told to whoever asked for them.
        try? await opened[true]?.value
    }
}
