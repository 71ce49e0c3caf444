import API
import Bootstrap
import Domain
import Gateway
import HTTPClient
import Logging
import Store

/// Tells people of calls that wait for approval while the server runs, and ends what nobody
/// decides.
struct ServedApprovals: Sendable {
    private let worker: JobWorker

    init(
        _ installation: Installation,
        _ accounts: AccountTools,
        publicURL: String,
        _ logger: Logger
    ) async throws {
        let environment = installation.settings.environment
        let clock = installation.store.clock
        let desk =
            try await accounts.calls(of: installation.store.account).approvals
            ?? installation.approvalDesk(installation.policyBook { [] })
        let notifier = ApprovalNotifier(
            desk: desk,
            means: ApprovalNotifier.Means(
                transport: try installation.transport(),
                mail: try MailSettings(environment: environment).mailer(now: clock.now),
                publicURL: publicURL,
                environment: environment,
                egress: EgressGuard(allowing: installation.settings.upstreams.allowed),
                makeToken: { account in ApprovalLink.makeToken(of: account) }
            )
        )
        worker = JobWorker(
            installation.store,
            handlers: notifier.handlers,
            report: { event in
                event.tell(
                    logger,
                    failing: "people were not told of a call that waits for approval"
                )
            }
        )
    }

    /// Works until the task is cancelled; what is not done then is given back.
    func run() async { await worker.run() }
}
