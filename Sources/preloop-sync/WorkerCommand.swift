import ArgumentParser
import Bootstrap
import Domain
import Search
import Store
import Sync

/// `preloop-sync worker`: does the jobs that a scheduler enqueues.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Do the scans that `preloop-sync scheduler` enqueues.",
        discussion: """
            Runs until it is stopped by SIGTERM or SIGINT: a scan that runs then ends at its next \
            page and is given back, and another worker goes on there. Any number of workers may \
            run, on any number of machines with one PostgreSQL database.
            """
    )

    @Option(help: "Scans of different trackers that run side by side.")
    var jobs = 2

    @Flag(help: "Do what is due and end.")
    var once = false

    func validate() throws {
        // Each holds a model and pages in memory.
        guard (1...64).contains(jobs) else { throw ValidationError("--jobs is from 1 to 64") }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let transport = try await attempt("the worker cannot begin") {
            try installation.transport()
        }
        let log = ServiceLog()
        let scans = ScanJobs(installation, transport: transport) {
            tracker,
            outcome in
            let totals = outcome.scan.totals
            log(
                "\(tracker): scanned, \(totals.written) rows written, "
                    + "\(outcome.index.embedded) passages embedded"
            )
            for failure in outcome.scan.failures.prefix(10) { log("\(tracker): \(failure)") }
            if let failure = outcome.indexFailure {
                log("\(tracker): \(failure.what): \(failure.reason ?? "")")
            }
        }
        var configuration = JobWorker.Configuration()
        configuration.concurrency = jobs
        let worker = JobWorker(
            installation.store,
            handlers: [.scan: { claim in try await scans.run(claim) }],
            configuration: configuration,
            report: { event in Self.tell(event, to: log) }
        )
        if once {
            _ = try await interruptible {
                try await attempt("the worker stopped") { try await worker.drain() }
            }
        } else {
            log("this worker is at work")
            try await interruptible { await worker.run() }
            log("stopped")
        }
        try await attempt("cannot close the store") { try await installation.close() }
    }

    private static func tell(_ event: JobWorker.Event, to log: ServiceLog) {
        switch event {
        case .began(let claim):
            log("\(claim.job.kind) \(claim.job.id): begun, attempt \(claim.job.attempts)")
        case .ended(let claim, let ending):
            log("\(claim.job.kind) \(claim.job.id): \(text(ending))")
        case .lost(let claim):
            log("\(claim.job.kind) \(claim.job.id): another worker has taken it over")
        case .storeFailed(let error):
            log("the store refuses, trying again: \(error)")
        }
    }

    private static func text(_ ending: JobEnding) -> String {
        switch ending {
        case .done: "done"
        case .failed(let error, let retryAt): "failed, to be tried again at \(retryAt): \(error)"
        case .givenBack(let reason, let until):
            "given back until \(until)" + (reason.map { ": \($0)" } ?? "")
        case .hopeless(let error): "given up: \(error)"
        }
    }
}
