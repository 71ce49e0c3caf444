package import Domain
import Search
package import Store

/// Makes the index over the mirror of vectors when searches need it and it is missing.
///
/// Outside every scan and under no lease: it takes minutes for a million vectors, and waits for
/// transactions that were there before it. Of processes that find it missing one makes it, and
/// nobody waits for that one. A try that fails is followed by a pause, whoever begins next.
package struct VectorIndexing: Sendable {
    /// How it ended.
    package enum Outcome: Sendable, Equatable {
        /// Searches need none, there is one, or there are too few vectors.
        case unneeded
        /// There was none, and there is one now.
        case made
        /// Another process makes it.
        case busy
        /// A try has failed a while ago.
        case resting(until: Timestamp)
        /// Searches go on without it; nil where the next try need not wait.
        case failed(reason: String, until: Timestamp?)
        /// The task was cancelled.
        case stopped
    }

    private let installation: Installation
    private let minimumRows: Int
    private let patience: Duration
    private let clock: WallClock

    /// The making of an index for an account's vectors.
    ///
    /// - Parameters:
    ///   - installation: Whose.
    ///   - minimumRows: Rows of the mirror from which an index is worthwhile.
    ///   - patience: How long it may wait for older transactions without a break.
    ///   - clock: Tells when a pause is over.
    package init(
        _ installation: Installation,
        from minimumRows: Int = VectorMirror.indexedFrom,
        patience: Duration = VectorMirror.indexingPatience,
        clock: WallClock = .system
    ) {
        self.installation = installation
        self.minimumRows = minimumRows
        self.patience = patience
        self.clock = clock
    }

    /// Makes it when it is missing; what fails is an outcome, for nothing else has.
    ///
    /// `beginning` is called before it is made.
    package func run(beginning: @Sendable () -> Void = {}) async -> Outcome {
        guard installation.settings.vectorBackend == .pgvector else { return .unneeded }
        let store = installation.store
        do {
            let models = try await installation.embeddingModels()
            guard let model = models.first(where: { $0.isCurrent && !$0.isAbsent }),
                case .ready(_, let indexed, let rows) = try await VectorMirror.state(of: store),
                model.dimension <= PassageVectorTable.maximumIndexedDimension,
                !indexed.contains(model.dimension), rows >= minimumRows
            else { return .unneeded }
            let (dimension, now) = (model.dimension, clock.now())
            let (pauseEnd, isBusy) = try await store.database.read { connection in
                (
                    try PassageVectorTable.indexingPauseEnd(
                        dimension: dimension,
                        now: now,
                        on: connection
                    ),
                    try PassageVectorTable.isBeingIndexed(on: connection)
                )
            }
            if let pauseEnd { return .resting(until: pauseEnd) }
            if isBusy { return .busy }
            return try await make(dimension, beginning)
        } catch {
            return Self.isStopped(error) ? .stopped : .failed(reason: Self.text(error), until: nil)
        }
    }

    /// Makes it whenever it may be missing, until the wake-ups end or the task is cancelled.
    ///
    /// - Parameters:
    ///   - wakeUps: Something was indexed.
    ///   - report: Told of every outcome.
    package func run(
        after wakeUps: AsyncStream<Void>,
        report: @Sendable (Outcome) -> Void
    ) async {
        for await _ in wakeUps { report(await run()) }
    }

    /// Makes it when it is missing, and says on standard error that it begins and that it failed:
    /// for commands.
    package func runTelling(isQuiet: Bool = false) async {
        let outcome = await run {
            guard !isQuiet else { return }
            standardError(
                "making the HNSW index of the vectors in the database; all else is done, and "
                    + "other scans may run"
            )
        }
        if case .failed = outcome, let line = outcome.line { standardError(line) }
    }

    private func make(
        _ dimension: Int,
        _ beginning: @Sendable () -> Void
    ) async throws -> Outcome {
        beginning()
        let store = installation.store
        let reason: String
        do {
            let isMade = try await VectorMirror.makeIndex(
                store,
                dimension: dimension,
                from: minimumRows,
                patience: patience
            )
            if isMade { return .made }
            let isBusy = try await store.database.read { connection in
                try PassageVectorTable.isBeingIndexed(on: connection)
            }
            if isBusy { return .busy }
            reason = "transactions that were there before it did not end in time"
        } catch {
            guard !Self.isStopped(error) else { throw error }
            reason = Self.text(error)
        }
        let now = clock.now()
        try await store.database.write { connection in
            try PassageVectorTable.noteFailedIndexing(
                dimension: dimension,
                at: now,
                on: connection
            )
        }
        return .failed(
            reason: reason,
            until: now.advanced(by: PassageVectorTable.indexingPause)
        )
    }

    private static func isStopped(_ error: any Error) -> Bool {
        error is CancellationError || Task.isCancelled
    }

    private static func text(_ error: any Error) -> String {
        let failure = CommandFailure("it could not be made", cause: error)
        return failure.reason ?? failure.what
    }
}

extension VectorIndexing.Outcome {
    /// What an operator should hear; nil when there is nothing to tell.
    package var line: String? {
        switch self {
        case .unneeded, .busy, .resting, .stopped: nil
        case .made: "the HNSW index of the vectors in the database is made"
        case .failed(let reason, let end):
            "warning: the HNSW index of the vectors in the database was not made: \(reason); "
                + "searches compare row by row until it is. It is tried again by the next scan"
                + (end.map { " after \($0.iso8601)" } ?? "")
                + ", and at once by `preloop doctor --vectors --repair`"
        }
    }
}
