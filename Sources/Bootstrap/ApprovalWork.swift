package import Gateway
import HTTPClient
package import Store

/// Tells people of calls that wait for approval, and ends what nobody decides; for every account.
///
/// The server does this, and the worker beside it: each job is done by whichever of them claims it.
/// It asks more people, and lets requests expire; it decides about none.
package struct ApprovalWork: Sendable {
    /// The installation's own account has places of its own: however many accounts strangers made,
    /// its people wait for none of them.
    private let own: JobWorker
    private let others: AccountWorker
    private let store: Store
    private let kinds: [JobKind]

    /// The work of an installation.
    ///
    /// - Parameters:
    ///   - installation: Whose, and with what its environment says of mail and channels.
    ///   - desk: That at which calls of this process wait; nil where none do.
    ///   - publicURL: Where people reach the server, without a final slash; nil when nobody has
    ///     said, and notices have a command in place of a link.
    ///   - report: Told what happens, from any thread.
    /// - Throws: ``CommandFailure`` when there is no key, without which nothing can be recorded,
    ///   and when what the environment says of mail makes no sense.
    package init(
        _ installation: Installation,
        desk: ApprovalDesk? = nil,
        publicURL: String?,
        report: @escaping @Sendable (JobWorker.Event) -> Void
    ) throws {
        _ = try installation.secretBox()
        let environment = installation.settings.environment
        store = installation.store
        let mail = try MailSettings(environment: environment).mailer(now: store.clock.now)
        let means = ApprovalNotifier.Means(
            transport: try installation.transport(),
            mail: mail,
            publicURL: publicURL,
            environment: environment,
            egress: EgressGuard(allowing: installation.settings.upstreams.allowed)
        )
        kinds = means.kinds
        let desk = desk ?? Self.desk(installation)
        own = JobWorker(
            store,
            handlers: ApprovalNotifier(desk: desk, means: means).handlers,
            report: report
        )
        let meansOfOthers = means.forStrangers(within: NoticeBudget())
        others = AccountWorker(
            store,
            kinds: meansOfOthers.kinds,
            except: [store.account],
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

    /// Whether mails are left to another process, for want of a mail server.
    package var leavesMails: Bool { !kinds.contains(ApprovalJobs.mail) }

    /// Works until the task is cancelled; what is not done then is given back.
    package func run() async {
        async let others: Void = self.others.run()
        await own.run()
        await others
    }

    /// Does what is due.
    ///
    /// - Returns: How many jobs were run.
    /// - Throws: What the store refuses.
    package func drain() async throws -> Int {
        let count = try await own.drain()
        return try await count + others.drain()
    }

    /// Whether something of the installation's own account is due that this process leaves to one
    /// that has a mail server.
    package func hasLeftMails() async throws -> Bool {
        guard leavesMails else { return false }
        let now = store.clock.now()
        return try await store.read { connection, account in
            try JobTable.hasWork(
                of: [ApprovalJobs.mail],
                dueBy: now,
                account: account,
                on: connection
            )
        }
    }
}
