package import Domain
package import HTTPClient
package import Search
package import Sync

/// A scan with the indexer beside it: what was read is searchable when it ends.
package struct IndexedScan: Sendable {
    /// How the two halves ended.
    package struct Outcome: Sendable {
        /// What was read.
        package var scan: ScanReport
        /// What was indexed.
        package var index = IndexReport()
        /// Why indexing stopped, when it did not come to its end.
        package var indexFailure: CommandFailure?
    }

    /// Told what happens meanwhile, from any thread.
    package protocol Observer: Sendable {
        /// A step of the scan; returns whether it wrote rows that nobody has been told of.
        func note(_ step: ScanProgress) -> Bool
        /// What the indexer has done so far.
        func note(_ report: IndexReport)
        /// Requests to a tracker wait for its rate limit.
        func noteWait(of tracker: String, until end: Timestamp)
    }

    private let installation: Installation
    private let transport: any HTTPTransport
    private let indexes: ScanIndexes?
    private let observer: any Observer

    /// Prepares a scan.
    ///
    /// - Parameters:
    ///   - installation: What is scanned.
    ///   - transport: How trackers are reached.
    ///   - indexes: Where what was read is indexed; nil for a dry run.
    ///   - observer: Told what happens.
    package init(
        _ installation: Installation,
        transport: any HTTPTransport,
        indexes: ScanIndexes?,
        observer: any Observer
    ) {
        self.installation = installation
        self.transport = transport
        self.indexes = indexes
        self.observer = observer
    }

    /// Scans what is asked for and indexes it; cancelling the task ends both cleanly.
    package func run(_ request: ScanRequest) async throws(CommandFailure) -> Outcome {
        let startedAt = ContinuousClock.now
        let (installation, transport) = (installation, transport)
        let (indexes, observer) = (indexes, observer)
        return try await attempt("the scan failed") {
            let runner = ScanRunner(store: installation.store) { tracker in
                try await installation.client(for: tracker, transport: transport) { until in
                    observer.noteWait(of: tracker.name, until: until)
                }
            }
            let (wakeUps, waker) = AsyncStream.makeStream(
                of: Void.self,
                bufferingPolicy: .bufferingNewest(1)
            )
            let (ends, end) = AsyncStream.makeStream(of: Void.self)
            let isReadingOver = Milestone()
            async let indexed = index(following: wakeUps, ending: end, isReadingOver)
            do {
                var report = try await runner.run(
                    request,
                    progress: { step in if observer.note(step) { waker.yield() } },
                    beginning: {
                        // What an earlier scan left is indexed while the first pages come.
                        if indexes?.areOpenedAtOnce == true { waker.yield() }
                    },
                    finishing: {
                        // Under the lease: the next scan must not begin beside this one's indexing.
                        isReadingOver.set()
                        waker.finish()
                        for await _ in ends {}
                    }
                )
                waker.finish()
                let (index, failure) = await indexed
                // Also when only the indexing was left to stop.
                report.wasCancelled = Task.isCancelled
                report.duration = ContinuousClock.now - startedAt
                return Outcome(scan: report, index: index, indexFailure: failure)
            } catch {
                // Leaving the scope cancels the indexer: a scan that did not run leaves it to
                // others.
                waker.finish()
                throw error
            }
        }
    }

    /// Follows the feed until the wake-ups end; a failure ends the indexing and not the scan.
    private func index(
        following wakeUps: AsyncStream<Void>,
        ending end: AsyncStream<Void>.Continuation,
        _ isReadingOver: Milestone
    ) async -> (IndexReport, CommandFailure?) {
        defer { end.finish() }
        guard let indexes else { return (IndexReport(), nil) }
        let last = LastReport()
        do {
            guard let pipeline = try await indexes.needed(after: wakeUps) else {
                return (IndexReport(), nil)
            }
            let turn = IndexTurn(installation.store, fence: indexes.fence)
            let observer = observer
            let report = try await turn.run(
                pipeline,
                following: wakeUps,
                isReadingOver: { isReadingOver.isSet },
                progress: { report in
                    last.note(report)
                    observer.note(report)
                }
            )
            return (report, nil)
        } catch {
            let failure = CommandFailure(
                "what was read is stored, but not all of it is indexed",
                cause: error
            )
            return (last.report, failure)
        }
    }
}
