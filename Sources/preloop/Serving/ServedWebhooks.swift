import Bootstrap
import Domain
import Logging
import Search
import Store
import Sync

/// Takes trackers' deliveries in while the server runs, and works on what they make necessary.
///
/// Scans that a delivery asks for are jobs of `preloop-sync worker`; without one, the next scan
/// from cron does as well.
struct ServedWebhooks: Sendable {
    /// What the route gives deliveries to.
    let receiver: WebhookReceiver
    private let worker: JobWorker

    init(_ installation: Installation, _ accounts: AccountTools, _ logger: Logger) throws {
        receiver = try installation.webhookReceiver()
        let store = installation.store
        let processor = installation.webhookProcessor(
            transport: try installation.transport(),
            requestScan: { wish in
                let job = ScanJob(tracker: wish.tracker.id, isFull: wish.isFull)
                try await store.enqueue(job.draft(now: store.clock.now()))
            },
            didWrite: {
                do {
                    let search = try await accounts.search(.hybrid, of: store.account)
                    try await search.embedWritten()
                } catch {
                    logger.warning(
                        "what a delivery told is stored, and embedded by the next scan",
                        metadata: ["reason": .string("\(error)")]
                    )
                }
            }
        )
        worker = JobWorker(
            store,
            handlers: [WebhookProcessor.kind: { claim in try await processor.handle(claim) }],
            report: { event in
                event.tell(logger, failing: "a delivery was not worked on")
            }
        )
    }

    /// Works until the task is cancelled; what is not done then is given back.
    func run() async { await worker.run() }
}
