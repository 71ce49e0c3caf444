import Search

/// Opens the indexes when they are first needed, and keeps them open.
///
/// An attempt that fails may have read the whole model before: the next one waits ten times as long
/// as the last one took, and until then the same failure is told.
actor SearchProvider {
    private static let pausePerAttempt = 10

    private struct Attempt {
        var task: Task<IssueSearch, any Error>
        var start: ContinuousClock.Instant
    }

    private struct Failure {
        var error: any Error
        /// When opening is tried again.
        var end: ContinuousClock.Instant
    }

    private let open: @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    /// By whether the model is needed.
    private var opened: [Bool: Attempt] = [:]
    private var failures: [Bool: Failure] = [:]
    private let now: @Sendable () -> ContinuousClock.Instant

    init(
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
        open: @escaping @Sendable (SearchRequest.Mode) async throws -> IssueSearch
    ) {
        self.now = now
        self.open = open
    }

    /// The indexes; throws why they cannot be opened, and tries again later.
    func search(_ mode: SearchRequest.Mode = .hybrid) async throws -> IssueSearch {
        let needsModel = mode != .text
        let start = now()
        if let failure = failures[needsModel], start < failure.end { throw failure.error }
        let attempt =
            opened[needsModel]
            // Not a child of the first caller: the others wait for the same.
            ?? Attempt(task: Task { [open] in try await open(mode) }, start: start)
        opened[needsModel] = attempt
        do {
            return try await attempt.task.value
        } catch {
            guard opened[needsModel]?.task == attempt.task else { throw error }
            opened[needsModel] = nil
            let end = now()
            let pause = attempt.start.duration(to: end) * Self.pausePerAttempt
            failures[needsModel] = Failure(error: error, end: end + pause)
            throw error
        }
    }

    /// The indexes with their model, when somebody has needed them before.
    func searchAtHand() async -> IssueSearch? {
        // Why they could not be opened was told to whoever asked for them.
        try? await opened[true]?.task.value
    }
}
