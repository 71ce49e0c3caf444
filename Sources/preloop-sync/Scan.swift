import Bootstrap
import Domain
import Search
import Store
import Sync

/// One run of `preloop-sync scan`: the scan, and beside it the indexer that follows the feed.
struct Scan {
    let request: ScanRequest
    let isQuiet: Bool
    let isJSON: Bool

    /// How the two halves ended.
    private struct Outcome {
        var scan: ScanReport
        var index = IndexReport()
        /// Why indexing stopped, when it did not come to its end.
        var indexFailure: CommandFailure?
    }

    func run() async throws {
        let installation = try await Installation.open()
        // Loaded before anything is read: a scan without a model would leave all of it
        // unsearchable.
        let pipeline =
            request.isDryRun
            ? nil
            : try await attempt("cannot open the indexes") { try await installation.pipeline() }
        let progress = ProgressBoard()
        let style: ProgressDisplay.Style = Terminal.showsProgress ? .bars : .lines
        let display = ProgressDisplay(board: progress, style: isQuiet ? .none : style)
        let result = try await interruptible {
            try await display.show {
                try await scan(installation, pipeline: pipeline, progress: progress)
            }
        }
        try await attempt("cannot close the store") {
            try await pipeline?.close()
            try await installation.close()
        }
        try report(result)
    }

    private func scan(
        _ installation: Installation,
        pipeline: IndexPipeline?,
        progress: ProgressBoard
    ) async throws(CommandFailure) -> Outcome {
        let startedAt = ContinuousClock.now
        return try await attempt("the scan failed") {
            let transport = try installation.transport()
            let runner = ScanRunner(store: installation.store) { tracker in
                try await installation.client(for: tracker, transport: transport) { until in
                    progress.noteWait(of: tracker.name, until: until)
                }
            }
            let (wakeUps, waker) = AsyncStream.makeStream(
                of: Void.self,
                bufferingPolicy: .bufferingNewest(1)
            )
            let (ends, end) = AsyncStream.makeStream(of: Void.self)
            async let indexed = index(pipeline, following: wakeUps, ending: end, progress: progress)
            do {
                var report = try await runner.run(
                    request,
                    progress: { step in if progress.note(step) { waker.yield() } },
                    finishing: {
                        // Under the lease: the next scan must not begin beside this one's indexing.
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
        _ pipeline: IndexPipeline?,
        following wakeUps: AsyncStream<Void>,
        ending end: AsyncStream<Void>.Continuation,
        progress: ProgressBoard
    ) async -> (IndexReport, CommandFailure?) {
        defer { end.finish() }
        guard let pipeline else { return (IndexReport(), nil) }
        do {
            let report = try await pipeline.run(following: wakeUps) { report in
                progress.note(report)
            }
            return (report, nil)
        } catch {
            let failure = CommandFailure(
                "what was read is stored, but not all of it is indexed",
                cause: error
            )
            return (progress.indexed, failure)
        }
    }

    // MARK: - Reporting

    private func report(_ outcome: Outcome) throws {
        if isJSON {
            try Output.result(outcome.scan.members(with: outcome.index))
        } else if !isQuiet {
            try Output.text(lines(outcome))
        }
        if let failure = failure(of: outcome) { throw failure }
    }

    private func failure(of outcome: Outcome) -> CommandFailure? {
        if outcome.scan.wasCancelled {
            return CommandFailure(
                .interrupted,
                "the scan was stopped; what it read is stored",
                hint: "run it again: it goes on where it stopped"
            )
        }
        if let failure = outcome.indexFailure { return failure }
        guard !outcome.scan.isComplete else { return nil }
        let reasons = outcome.scan.failures
        let isAuthentication = outcome.scan.trackers.allSatisfy(\.isInvalid)
        return CommandFailure(
            isAuthentication ? .authentication : .partial,
            isAuthentication ? "no tracker has a usable token" : "not everything was read",
            reason: reasons.prefix(10).joined(separator: "\n       "),
            hint: (outcome.scan.hints.prefix(10)
                + ["what was read is stored; run the scan again once the cause is gone"])
                .joined(separator: "\n         ")
        )
    }

    private func lines(_ outcome: Outcome) -> [String] {
        let (scan, counts) = (outcome.scan, outcome.scan.totals)
        if scan.isDryRun {
            return scan.projects.map { project in
                "\(project.tracker) \(singleLine(project.path)): "
                    + singleLine(project.outcome.detail ?? project.outcome.name)
            }
        }
        let seconds = scan.duration / .seconds(1)
        return [
            "\(scan.projects.count) projects in \(twoDecimals(min(seconds, 999))) s: "
                + "\(counts.issuesCreated) issues new, \(counts.issuesChanged) changed, "
                + "\(counts.issuesDeleted) deleted; \(counts.commentsCreated) comments new, "
                + "\(counts.commentsChanged) changed, \(counts.commentsDeleted) deleted",
            "\(outcome.index.embedded) passages embedded, "
                + "\(outcome.index.unchanged) unchanged, \(outcome.index.removed) removed",
        ]
            + (counts.quarantined == 0
                ? [] : ["\(counts.quarantined) items could not be understood and are kept aside"])
    }
}
