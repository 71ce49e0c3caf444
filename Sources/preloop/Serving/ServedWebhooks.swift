import Bootstrap
import Domain
import Logging
import Search
import Store
import Sync

/// Takes trackers' deliveries in while the server runs, and works on what they make necessary.
///
/// Scans that a delivery asks for are jobs of `preloop-sync worker`; without one, the next scan
/// from cron does as well. Neither knows of accounts that somebody registered: for them the server
/// scans.
struct ServedWebhooks: Sendable {
    /// What the route gives deliveries to.
    let receiver: WebhookReceiver
    private let own: JobWorker
    private let others: AccountWorker

    init(
        _ installation: Installation,
        _ accounts: AccountTools,
        _ scans: ServedScans,
        _ logger: Logger
    ) throws {
        receiver = try installation.webhookReceiver()
        let (store, transport) = (installation.store, try installation.transport())
        @Sendable func handlers(
            _ account: AccountID,
            requestScan: @escaping @Sendable (WebhookProcessor.ScanWish) async throws -> Void
        ) -> [JobKind: JobWorker.Handler] {
            let viewed = installation.viewed(by: account)
            let processor = viewed.webhookProcessor(
                transport: transport,
                requestScan: requestScan
            ) {
                // A search takes new words in by itself.
                guard !viewed.searchesByWordsAlone else { return }
                do {
                    try await accounts.search(.hybrid, of: account).embedWritten()
                } catch {
                    logger.warning(
                        "what a delivery told is stored, and embedded by the next scan",
                        metadata: ["reason": .string("\(error)")]
                    )
                }
            }
            return [WebhookProcessor.kind: { claim in try await processor.handle(claim) }]
        }
        let report: @Sendable (JobWorker.Event) -> Void = { event in
            event.tell(logger, failing: "a delivery was not worked on")
        }
        own = JobWorker(
            store,
            handlers: handlers(store.account) { wish in
                let job = ScanJob(tracker: wish.tracker.id, isFull: wish.isFull)
                try await store.enqueue(job.draft(now: store.clock.now()))
            },
            report: report
        )
        others = AccountWorker(
            store,
            kinds: [WebhookProcessor.kind],
            except: [store.account],
            handlers: { account in
                handlers(account) { wish in
                    // Refused while one runs, which may be past it: the job comes back.
                    _ = try await scans.start(wish.tracker, account, isFull: wish.isFull)
                }
            },
            report: report
        )
    }

    /// Works until the task is cancelled; what is not done then is given back.
    func run() async {
        async let others: Void = self.others.run()
        await own.run()
        await others
    }
}
