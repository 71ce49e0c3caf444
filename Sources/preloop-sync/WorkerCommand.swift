import ArgumentParser
import Bootstrap
import Domain
import Search
import Store
import Sync

/// `preloop-sync worker`: does the jobs that a scheduler enqueues, and those of approvals.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Do the scans that `preloop-sync scheduler` enqueues, and what approvals need.",
        discussion: """
            Runs until it is stopped by SIGTERM or SIGINT: a scan that runs then ends at its next \
            page and is given back, and another worker goes on there. Any number of workers may \
            run, on any number of machines with one PostgreSQL database.

            Beside that it tells people of calls that wait for approval, asks more of them when \
            time has run out, and lets requests expire, as `preloop serve` does; it decides about \
            none. Give it the SECRET_KEY, PRELOOP_URL, SMTP_… and PRELOOP_CHANNEL_… of the server: \
            what it lacks it leaves to a process that has it.
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
        // The index over vectors is made in a place of its own: a tracker's next scan and the
        // others of this worker need not wait for it.
        let indexing = VectorIndexing(installation)
        let (scanEnds, scanEnd) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let scans = ScanJobs(installation, transport: transport) {
            tracker,
            outcome in
            scanEnd.yield()
            let totals = outcome.scan.totals
            log(
                "\(tracker): scanned, \(counted(totals.written, "row")) written, "
                    + "\(counted(outcome.index.embedded, "passage")) embedded"
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
        let approvals = try await Self.approvals(installation, log)
        if once {
            try await Self.runOnce(worker, approvals, log)
            try await interruptible { Self.tell(await indexing.run(), to: log) }
        } else {
            log("this worker is at work")
            if approvals?.leavesMails == true { log(Self.leftMails) }
            if approvals != nil, installation.settings.publicURL == nil {
                log("PRELOOP_URL is not set: notices of approvals have a command and no link")
            }
            try await interruptible {
                // Places of their own: no notice waits for a scan.
                async let approving: Void? = approvals?.run()
                async let making: Void = indexing.run(after: scanEnds) { outcome in
                    Self.tell(outcome, to: log)
                }
                await worker.run()
                scanEnd.finish()
                await approving
                await making
            }
            log("stopped")
        }
        try await attempt("cannot close the store") { try await installation.close() }
    }

    /// Does what is due.
    private static func runOnce(
        _ worker: JobWorker,
        _ approvals: ApprovalWork?,
        _ log: ServiceLog
    ) async throws {
        _ = try await interruptible {
            try await attempt("the worker stopped") {
                // People wait for these; scans take minutes.
                let told = try await approvals?.drain() ?? 0
                let leavesMails = try await approvals?.hasLeftMails() == true
                if leavesMails { log(leftMails) }
                let scanned = try await worker.drain()
                if told + scanned == 0, !leavesMails {
                    log(approvals == nil ? "no scan is due" : "nothing is due")
                }
                return scanned
            }
        }
    }

    private static let leftMails =
        "no mail server is configured here (SMTP_HOST): mails about approvals are left to a "
        + "process that has one"

    /// The work of approvals; nil, and a warning, where there is no key to record it with.
    private static func approvals(
        _ installation: Installation,
        _ log: ServiceLog
    ) async throws -> ApprovalWork? {
        do throws(CommandFailure) {
            return try await attempt("cannot tell people of approvals") {
                try ApprovalWork(
                    installation,
                    publicURL: installation.settings.publicURL,
                    report: { event in tell(event, to: log) }
                )
            }
        } catch {
            guard error.status == .authentication else { throw error }
            let reason = error.reason.map { ": \($0)" } ?? ""
            log("warning: approvals are left to a process that has the secret key\(reason)")
            return nil
        }
    }

    private static func tell(_ outcome: VectorIndexing.Outcome, to log: ServiceLog) {
        if let line = outcome.line { log(line) }
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
