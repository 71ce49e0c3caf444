import Domain
package import Search
import Store
import Synchronization

/// The indexes of one scan, opened when there is something to index.
///
/// Opening them loads the model, maps the snapshot and checks it: more than a scan costs in which
/// nothing has changed (see ``SettledIndex``).
package actor ScanIndexes {
    private let installation: Installation
    private let open: @Sendable () async throws -> IndexPipeline
    private var pipeline: IndexPipeline?
    /// What the pipeline's writes ask for first.
    nonisolated let fence: Fence
    /// Whether something may be waiting from before the scan.
    nonisolated let areOpenedAtOnce: Bool

    /// Opens the indexes at once unless nothing was waiting when the last scan ended and neither
    /// store nor files have changed since.
    ///
    /// Whatever else is the case, a model that is missing is told before anything is read: a scan
    /// without one would leave all of it unsearchable.
    ///
    /// - Parameters:
    ///   - installation: Whose indexes.
    ///   - open: Opens them; the installation's own when nil.
    /// - Throws: What opening them throws.
    package init(
        _ installation: Installation,
        open: (@Sendable () async throws -> IndexPipeline)? = nil
    ) async throws {
        self.installation = installation
        let fence = Fence(IndexTurn.leaseName)
        self.fence = fence
        self.open = open ?? { try await installation.pipeline(fence: fence) }
        areOpenedAtOnce = try await !SettledIndex.holds(in: installation)
        guard areOpenedAtOnce else { return }
        pipeline = try await self.open()
    }

    /// The indexes, once there is a reason to open them; nil when there was none until the wake-ups
    /// ended.
    func needed(after wakeUps: AsyncStream<Void>) async throws -> IndexPipeline? {
        if let pipeline { return pipeline }
        var isWoken = false
        for await _ in wakeUps {
            isWoken = true
            break
        }
        // Others may have written: an import, or a scan of which no step was told.
        if !isWoken {
            guard !Task.isCancelled, try await !SettledIndex.holds(in: installation) else {
                return nil
            }
        }
        let opened = try await open()
        pipeline = opened
        return opened
    }

    /// Closes what was opened, and remembers that nothing is waiting when `isComplete`.
    package func close(isComplete: Bool) async throws {
        guard let pipeline else { return }
        let backlog = isComplete ? try await pipeline.backlog() : 1
        // Before the files are closed: what is written later is not known to be indexed.
        let position = try await installation.feedPosition()
        try await pipeline.close()
        self.pipeline = nil
        if backlog == 0 { SettledIndex.save(position, in: installation) }
    }
}

/// What the indexer told last, for when it fails.
final class LastReport: Sendable {
    private let kept = Mutex(IndexReport())

    func note(_ report: IndexReport) { kept.withLock { $0 = report } }

    var report: IndexReport { kept.withLock { $0 } }
}
