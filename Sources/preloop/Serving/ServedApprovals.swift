import API
import Bootstrap
import Domain
import Gateway
import HTTPClient
import Logging
import Store

/// Tells people of calls that wait for approval while the server runs, and ends what nobody
/// decides; for every account.
struct ServedApprovals: Sendable {
    /// The installation's own account has places of its own: however many accounts strangers made,
    /// its people wait for none of them.
    private let own: JobWorker
    private let others: AccountWorker

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
            ?? Self.desk(installation)
        let means = ApprovalNotifier.Means(
            transport: try installation.transport(),
            mail: try MailSettings(environment: environment).mailer(now: clock.now),
            publicURL: publicURL,
            environment: environment,
            egress: EgressGuard(allowing: installation.settings.upstreams.allowed),
            makeToken: { account in ApprovalLink.makeToken(of: account) }
        )
        let report: @Sendable (JobWorker.Event) -> Void = { event in
            event.tell(logger, failing: "people were not told of a call that waits for approval")
        }
        own = JobWorker(
            installation.store,
            handlers: ApprovalNotifier(desk: desk, means: means).handlers,
            report: report
        )
        let meansOfOthers = means.forStrangers(within: NoticeBudget())
        others = AccountWorker(
            installation.store,
            kinds: ApprovalJobs.kinds,
            except: [installation.store.account],
            handlers: { account in
                // A desk of its own: those that calls wait at find its decisions in the store, and
                // an account whose people are told needs no tools for that.
                let desk = Self.desk(installation.viewed(by: account))
                return ApprovalNotifier(desk: desk, means: meansOfOthers).handlers
            },
            report: report
        )
    }

    private static func desk(_ installation: Installation) -> ApprovalDesk {
        installation.approvalDesk(installation.policyBook { [] })
    }

    /// Works until the task is cancelled; what is not done then is given back.
    func run() async {
        async let others: Void = self.others.run()
        await own.run()
        await others
    }
}
