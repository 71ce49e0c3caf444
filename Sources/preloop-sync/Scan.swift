import Bootstrap
import Domain
import Search
import Sync

/// One run of `preloop-sync scan`, from opening the installation to the report.
struct Scan {
    let request: ScanRequest
    let isQuiet: Bool
    let isJSON: Bool

    func run() async throws {
        let installation = try await Installation.open()
        let indexes =
            request.isDryRun
            ? nil
            : try await attempt("cannot open the indexes") { try await ScanIndexes(installation) }
        let progress = ProgressBoard()
        let style: ProgressDisplay.Style = Terminal.showsProgress ? .bars : .lines
        let display = ProgressDisplay(board: progress, style: isQuiet ? .none : style)
        let transport = try await attempt("the scan failed") { try installation.transport() }
        let scan = IndexedScan(
            installation,
            transport: transport,
            indexes: indexes,
            observer: progress
        )
        let result = try await interruptible {
            try await display.show { try await scan.run(request) }
        }
        try await attempt("cannot note how the scan went") {
            try await installation.note(result, of: request)
        }
        try await attempt("cannot close the store") {
            let isIndexed = !result.scan.wasCancelled && result.indexFailure == nil
            try await indexes?.close(isComplete: isIndexed)
        }
        let written = Result { try report(result) }
        if !request.isDryRun, !result.scan.wasCancelled {
            // All is read and told by now, and other scans go on beside it.
            let isQuiet = isQuiet
            try await interruptible {
                await VectorIndexing(installation).runTelling(isQuiet: isQuiet)
            }
        }
        try await attempt("cannot close the store") { try await installation.close() }
        try written.get()
        if let failure = failure(of: result) { throw failure }
    }

    // MARK: - Reporting

    private func report(_ outcome: IndexedScan.Outcome) throws {
        if isJSON {
            try Output.result(outcome.scan.members(with: outcome.index))
        } else if !isQuiet {
            try Output.text(lines(outcome))
        }
    }

    private func failure(of outcome: IndexedScan.Outcome) -> CommandFailure? {
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

    private func lines(_ outcome: IndexedScan.Outcome) -> [String] {
        let (scan, counts) = (outcome.scan, outcome.scan.totals)
        if scan.isDryRun, !scan.trackers.isEmpty {
            return scan.projects.map { project in
                "\(project.tracker) \(singleLine(project.path)): "
                    + singleLine(project.outcome.detail ?? project.outcome.name)
            }
        }
        guard !scan.trackers.isEmpty else {
            return [
                "There is no tracker to scan. Add one: preloop trackers add github --name NAME "
                    + "--token-env VARIABLE"
            ]
        }
        let seconds = scan.duration / .seconds(1)
        let asides =
            counts.quarantined == 1
            ? "1 item could not be understood and is kept aside"
            : "\(counts.quarantined) items could not be understood and are kept aside"
        return [
            "\(counted(scan.projects.count, "project")) in \(twoDecimals(min(seconds, 999))) s: "
                + "\(counted(counts.issuesCreated, "issue")) new, \(counts.issuesChanged) changed, "
                + "\(counts.issuesDeleted) deleted; "
                + "\(counted(counts.commentsCreated, "comment")) new, "
                + "\(counts.commentsChanged) changed, \(counts.commentsDeleted) deleted",
            "\(counted(outcome.index.embedded, "passage")) embedded, "
                + "\(outcome.index.unchanged) unchanged, \(outcome.index.removed) removed",
        ] + (counts.quarantined == 0 ? [] : [asides])
    }
}
