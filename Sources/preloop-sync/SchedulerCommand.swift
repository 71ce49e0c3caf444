import ArgumentParser
import Bootstrap
import Store
import Sync

/// `preloop-sync scheduler`: enqueues scans when they are due.
struct SchedulerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scheduler",
        abstract: "Enqueue a scan of each tracker when it is due, for `preloop-sync worker`.",
        discussion: """
            Runs until it is stopped by SIGTERM or SIGINT. Of several schedulers on one database \
            one is at work; another takes over when it is gone. `preloop trackers update NAME \
            --interval 1h` gives a tracker an interval of its own. A tracker that fails is asked \
            less and less often, every six hours at least.
            """
    )

    @OptionGroup var interval: PaceOption

    func run() async throws {
        let installation = try await Installation.open()
        let log = ServiceLog()
        let scheduler = ScanScheduler(installation.store, pace: interval.pace) { event in
            switch event {
            case .active: log("this scheduler is at work")
            case .standby(let holder): log("standing by: \(holder) is at work")
            case .enqueued(let tracker): log("\(tracker): scan enqueued")
            case .storeFailed(let reason): log("the store refuses, trying again: \(reason)")
            }
        }
        try await interruptible { await scheduler.run() }
        log("stopped")
        try await attempt("cannot close the store") { try await installation.close() }
    }
}

/// How often trackers without an interval of their own are scanned.
struct PaceOption: ParsableArguments {
    @Option(help: "How often trackers without an interval of their own are scanned: 90s, 15m, 6h.")
    var interval = "15m"

    /// A minute of rest at least; a year is never.
    static let range = Duration.seconds(10)...Duration.seconds(366 * 86_400)

    func validate() throws {
        guard TimeLength.parse(interval, in: Self.range) != nil else {
            throw ValidationError("--interval is a time from 10s to 366d, such as 90s, 15m, 6h")
        }
    }

    var pace: ScanPace {
        var pace = ScanPace()
        pace.interval = TimeLength.parse(interval, in: Self.range) ?? pace.interval
        return pace
    }
}
