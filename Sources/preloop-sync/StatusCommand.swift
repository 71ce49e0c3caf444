import ArgumentParser
import Bootstrap
import Domain
import Search
import Store
import Sync

/// `preloop-sync status`: where every project stands.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show where every project stands."
    )

    @OptionGroup var output: OutputOptions

    fileprivate struct Status: Sendable {
        var trackers: [Tracker]
        var projects: [StoredProject]
        var counts: [ProjectID: ProjectCounts.Row]
        /// Changed texts the indexer has not looked at; projects without any are left out.
        var waiting: [ProjectID: Int]
        /// Who scans now.
        var holder: LeaseHolder?
        /// The scheduler at work.
        var scheduler: LeaseHolder?
        /// Of every tracker, whether anything schedules it or not.
        var schedules: [ScanSchedule]
        var jobs: [JobCount]

        /// How many jobs were given up.
        var deadJobs: Int { jobs.filter { $0.state == .dead }.reduce(0) { $0 + $1.count } }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let now = installation.store.clock.now()
        var status = try await attempt("cannot read the status") {
            try await installation.store.read { connection, account in
                Status(
                    trackers: try TrackerTable.list(account: account, on: connection),
                    projects: try ProjectTable.list(account: account, on: connection),
                    counts: try ProjectCounts.all(account: account, on: connection),
                    waiting: try Self.waiting(account: account, on: connection),
                    holder: try LeaseTable.holder(
                        of: ScanRunner.leaseName,
                        now: now,
                        account: account,
                        on: connection
                    ),
                    scheduler: try LeaseTable.holder(
                        of: ScanScheduler.leaseName,
                        now: now,
                        account: account,
                        on: connection
                    ),
                    schedules: try ScanScheduleTable.list(account: account, on: connection),
                    jobs: try JobTable.counts(account: account, on: connection)
                )
            }
        }
        status.sort()
        if output.isJSON {
            try Output.result([
                "scanning": JSONValue(status.holder?.description),
                "backlog": .integer(Int64(status.backlog)),
                "scheduler": JSONValue(status.scheduler?.description),
                "jobs": .array(status.jobs.map(json)),
                "trackers": .array(status.trackers.map { json($0, in: status) }),
                "projects": .array(status.projects.map { json($0, in: status) }),
            ])
        } else {
            try Output.text(lines(status))
        }
    }

    private static func waiting(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ProjectID: Int] {
        let models = try EmbeddingModelTable.all(account: account, on: connection)
        var revision = Revision.zero
        if let current = models.first(where: \.isCurrent) {
            revision = try FollowerTable.revision(
                of: Indexer.follower(of: current.id),
                account: account,
                on: connection
            )
        }
        return try ProjectCounts.changedTexts(
            after: revision,
            account: account,
            on: connection
        )
    }

    private func json(_ tracker: Tracker, in status: Status) -> JSONValue {
        let schedule = status.schedules.first { $0.tracker == tracker.id }
        return [
            "name": .string(tracker.name), "kind": .string(tracker.kind.rawValue),
            "status": .string(tracker.status.rawValue),
            "status_detail": JSONValue(tracker.statusDetail),
            "interval_s": schedule?.interval.map { JSONValue.integer($0.components.seconds) }
                ?? .null,
            "next_scan_at": JSONValue(schedule?.nextAt?.iso8601),
            "last_scan_started_at": JSONValue(schedule?.lastStartedAt?.iso8601),
            "last_scan_ended_at": JSONValue(schedule?.lastEndedAt?.iso8601),
            "failures": .integer(Int64(schedule?.failures ?? 0)),
            "last_error": JSONValue(schedule?.lastError),
        ]
    }

    private func json(_ count: JobCount) -> JSONValue {
        [
            "kind": .string(count.kind.name), "state": .string(count.state.rawValue),
            "count": .integer(Int64(count.count)),
        ]
    }

    /// What a scheduler has planned; nothing where none has ever been at work.
    private func scheduleLines(_ status: Status) -> [String] {
        let planned = status.schedules.filter { $0.nextAt != nil || $0.interval != nil }
        guard !planned.isEmpty else { return [] }
        var table = TextTable(["TRACKER", "INTERVAL", "NEXT SCAN", "FAILURES", "LAST ERROR"])
        for schedule in planned {
            let interval = schedule.interval.map { $0 > .zero ? TimeLength.text($0) : "never" }
            table.append([
                schedule.name, interval ?? "default", schedule.nextAt?.iso8601 ?? "-",
                "\(schedule.failures)", brief(schedule.lastError ?? "-"),
            ])
        }
        let scheduler = status.scheduler.map { "The scheduler is \($0)." }
        return [scheduler ?? "No scheduler is at work."] + table.lines
    }

    /// Trackers whose last scans failed and that no schedule tells of.
    private func failureLines(_ status: Status) -> [String] {
        status.schedules.filter { $0.failures > 0 && $0.nextAt == nil && $0.interval == nil }
            .map { schedule in
                let count = schedule.failures
                let when = schedule.lastEndedAt.map { " (\($0.iso8601))" } ?? ""
                let reason = schedule.lastError.map { ": \(brief($0))" } ?? ""
                return "\(schedule.name): the last "
                    + (count == 1 ? "scan" : "\(count) scans") + " failed\(when)\(reason)"
            }
    }

    /// A reason on one line of a terminal, or two; `--json` has all of it.
    private func brief(_ reason: String) -> String {
        let line = singleLine(reason)
        return line.count > 160 ? line.prefix(159) + "…" : line
    }

    private func json(_ project: StoredProject, in status: Status) -> JSONValue {
        let counts = status.counts[project.id] ?? ProjectCounts.Row()
        return [
            "tracker": JSONValue(status.trackerName(of: project)),
            "project": .string(project.path), "state": .string(project.state.rawValue),
            "cursor": project.cursor,
            "last_scan_at": JSONValue(project.lastScanAt?.iso8601),
            "last_census_at": JSONValue(project.lastCensusAt?.iso8601),
            "last_error": JSONValue(project.lastError),
            "issues": .integer(Int64(counts.issues)),
            "pull_requests": .integer(Int64(counts.pullRequests)),
            "comments": .integer(Int64(counts.comments)),
            "deleted": .integer(Int64(counts.deleted)),
            "quarantined": .integer(Int64(counts.quarantined)),
            "backlog": .integer(Int64(status.waiting[project.id] ?? 0)),
        ]
    }

    private func lines(_ status: Status) -> [String] {
        var lines: [String] = []
        if let holder = status.holder { lines.append("A scan is running: \(holder).") }
        lines += scheduleLines(status)
        if status.deadJobs > 0 {
            lines.append("\(status.deadJobs) jobs were given up; see `preloop-sync jobs`.")
        }
        for tracker in status.trackers where tracker.status == .invalid {
            lines.append("\(tracker.name): \(singleLine(tracker.statusDetail ?? "token refused"))")
        }
        lines += failureLines(status)
        guard !status.projects.isEmpty else {
            let advice =
                status.schedules.isEmpty
                ? "Add a tracker: preloop trackers add github --name NAME --token-env VARIABLE"
                : "Run `preloop-sync scan all`."
            return lines + ["Nothing has been scanned yet. \(advice)"]
        }
        var table = TextTable([
            "TRACKER", "PROJECT", "LAST SCAN", "READ UP TO", "ISSUES", "PULLS", "COMMENTS",
            "TO INDEX", "NOTE",
        ])
        for project in status.projects { table.append(cells(project, in: status)) }
        return lines + table.lines + ["\(counted(status.backlog, "text")) waiting to be indexed"]
    }

    private func cells(_ project: StoredProject, in status: Status) -> [String] {
        let counts = status.counts[project.id] ?? ProjectCounts.Row()
        let cursor = ProjectCursor(project.cursor)
        var notes: [String] = []
        if project.state != .active { notes.append(project.state.rawValue) }
        if let error = project.lastError { notes.append(error) }
        if project.lastError == nil, status.wasMissed(project) { notes.append("last scan failed") }
        if counts.quarantined > 0 { notes.append("\(counts.quarantined) in quarantine") }
        return [
            status.trackerName(of: project) ?? "-", project.path,
            project.lastScanAt?.iso8601 ?? "never",
            cursor.hasReadEverything ? cursor.watermark?.iso8601 ?? "-" : "first scan",
            "\(counts.issues)", "\(counts.pullRequests)", "\(counts.comments)",
            "\(status.waiting[project.id] ?? 0)",
            notes.joined(separator: "; "),
        ]
    }
}

extension StatusCommand.Status {
    /// Of all projects, and of those that are no longer there.
    fileprivate var backlog: Int { waiting.values.reduce(0, +) }

    /// Puts trackers in the order of their names, and projects below them in that of their paths.
    fileprivate mutating func sort() {
        trackers.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        var ranks: [TrackerID: Int] = [:]
        for (rank, tracker) in trackers.enumerated() { ranks[tracker.id] = rank }
        projects.sort { left, right in
            let (first, second) = (ranks[left.trackerID], ranks[right.trackerID])
            guard first == second else { return (first ?? .max) < (second ?? .max) }
            return left.path.utf8.lexicographicallyPrecedes(right.path.utf8)
        }
    }

    /// Whether the last scan of its tracker failed before it came to the project.
    fileprivate func wasMissed(_ project: StoredProject) -> Bool {
        schedules.contains { schedule in
            guard schedule.tracker == project.trackerID, schedule.failures > 0,
                let startedAt = schedule.lastStartedAt
            else { return false }
            return project.lastScanAt.map { $0 < startedAt } ?? true
        }
    }

    fileprivate func trackerName(of project: StoredProject) -> String? {
        trackers.first { $0.id == project.trackerID }?.name
    }
}
