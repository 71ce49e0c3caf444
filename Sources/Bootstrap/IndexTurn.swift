import Domain
import Search
import Store
import Synchronization

/// One scan at a time indexes an account, whatever number of them read.
///
/// Scans of different trackers run side by side; the indexer follows the feed of all of them. Two
/// would do no harm, for a page of vectors is written only at the place in the feed it was read
/// from, but each would embed what the other embeds. A scan that does not get its turn leaves the
/// work to the one that has it, and ends when what it read is indexed, by whomever.
struct IndexTurn: Sendable {
    /// The lease of the indexer at work.
    static let leaseName = "index"
    /// How often a scan that waits looks; an indexer works for seconds at least.
    private static let interval = Duration.milliseconds(500)

    private let store: Store
    private let fence: Fence
    private let clock: any Clock<Duration>

    /// Turns of a store's indexers; `fence` is the one of the pipeline that is run.
    init(_ store: Store, fence: Fence, clock: any Clock<Duration> = ContinuousClock()) {
        self.store = store
        self.fence = fence
        self.clock = clock
    }

    /// Runs the pipeline when it is its turn.
    ///
    /// - Parameters:
    ///   - pipeline: Writes under the fence.
    ///   - wakeUps: Until they end the pipeline follows the feed.
    ///   - isReadingOver: Whether they have ended.
    ///   - progress: Told what was done.
    /// - Returns: What this pipeline did.
    /// - Throws: `StoreError.leaseLost` when this process was taken for dead, and what the pipeline
    ///   throws.
    func run(
        _ pipeline: IndexPipeline,
        following wakeUps: AsyncStream<Void>,
        isReadingOver: @escaping @Sendable () -> Bool,
        progress: @escaping @Sendable (IndexReport) -> Void
    ) async throws -> IndexReport {
        let (fence, keeper) = (fence, LeaseKeeper(store, holder: .task(), clock: clock))
        while true {
            do {
                return try await keeper.hold([Self.leaseName]) { leases in
                    fence.raise(leases[0])
                    defer { fence.lower() }
                    return try await follow(wakeUps, with: pipeline, progress)
                }
            } catch StoreError.leaseHeld {
                // The order matters: what is read after the question could be missed.
                let isOver = isReadingOver()
                if isOver, try await pipeline.backlog() == 0 { return IndexReport() }
            }
            try await clock.sleep(for: Self.interval)
        }
    }

    /// Runs the pipeline, woken by this scan's writes and by everybody else's.
    private func follow(
        _ wakeUps: AsyncStream<Void>,
        with pipeline: IndexPipeline,
        _ progress: @escaping @Sendable (IndexReport) -> Void
    ) async throws -> IndexReport {
        try await withThrowingTaskGroup(of: IndexReport?.self) { group in
            let (all, waker) = AsyncStream.makeStream(
                of: Void.self,
                bufferingPolicy: .bufferingNewest(1)
            )
            group.addTask {
                for await _ in wakeUps { waker.yield() }
                waker.finish()
                return nil
            }
            group.addTask {
                try await watch(waker)
                return nil
            }
            group.addTask { try await pipeline.run(following: all, progress: progress) }
            defer { group.cancelAll() }
            while let report = try await group.next() {
                if let report { return report }
            }
            throw CancellationError()
        }
    }

    /// Wakes the pipeline when somebody has written, until the task is cancelled.
    private func watch(_ waker: AsyncStream<Void>.Continuation) async throws {
        let watcher = ChangeWatcher(store)
        var revision = Revision.zero
        while true {
            do {
                revision = try await watcher.waitForChange(after: revision)
                waker.yield()
            } catch is StoreError {
                // This scan's own writes wake it too, and find out what is the matter.
            }
            try await clock.sleep(for: Self.interval)
        }
    }
}

/// Something that is reached once, told by any thread.
final class Milestone: Sendable {
    private let value = Atomic(false)

    func set() { value.store(true, ordering: .releasing) }

    var isSet: Bool { value.load(ordering: .acquiring) }
}
