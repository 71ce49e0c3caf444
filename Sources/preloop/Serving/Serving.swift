import API
import Bootstrap
import Domain
import Gateway
import Logging
import Search
import Store

/// Makes the server's application of an installation.
struct Serving: Sendable {
    private let installation: Installation
    private let settings: ServerSettings
    private let host: String
    /// The tools and indexes of each account; stopped last.
    let accounts: AccountTools
    /// Scans that the server runs; stopped with it.
    let scans: ServedScans

    init(
        _ installation: Installation,
        _ settings: ServerSettings,
        host: String,
        _ logger: Logger
    ) {
        self.installation = installation
        self.settings = settings
        self.host = host
        accounts = AccountTools(installation) { error in
            logger.error(
                "the audit could not be written",
                metadata: ["reason": .string("\(error)")]
            )
        }
        scans = ServedScans(installation) { reason in
            logger.warning(
                "the index of the vectors in the database was not made",
                metadata: ["reason": .string(reason)]
            )
        }
    }

    /// What takes deliveries in; throws when there is no key to open their secrets with.
    func webhooks(_ logger: Logger) throws -> ServedWebhooks {
        try ServedWebhooks(installation, accounts, scans, logger)
    }

    /// What tells people of calls that wait, at the address people use.
    func approvals(at url: String?, _ logger: Logger) async throws -> ApprovalWork {
        try ApprovalWork(
            installation,
            desk: try await accounts.calls(of: installation.store.account).approvals,
            publicURL: url,
            report: { event in
                event.tell(
                    logger,
                    failing: "people were not told of a call that waits for approval"
                )
            }
        )
    }

    /// What sends spans to a collector; nil where nobody wants any.
    func exporter(_ logger: Logger) throws -> SpanExporter? {
        guard let telemetry = settings.telemetry else { return nil }
        let transport = try installation.transport()
        return SpanExporter(
            telemetry,
            version: Installation.version,
            transport: transport
        ) { reason, count in
            logger.warning(
                "spans were lost",
                metadata: ["reason": .string(reason), "count": .stringConvertible(count)]
            )
        }
    }

    /// What the server shows of itself by TLS; nil where it speaks none.
    func identity() throws(CommandFailure) -> TLSIdentity? {
        guard let (certificate, key) = settings.identity else { return nil }
        do {
            return try TLSIdentity(certificateFile: certificate, keyFile: key)
        } catch {
            throw CommandFailure(
                .usage,
                "the certificate `\(certificate)` and the key `\(key)` cannot be used",
                reason: "\(error)",
                hint: "both are PEM files, the key without a password"
            )
        }
    }

    /// The application; throws when there is no key to sign with.
    func application(
        _ logger: Logger,
        _ webhooks: ServedWebhooks,
        spans: Trace.Recorder? = nil
    ) throws(CommandFailure) -> Application {
        let (installation, accounts) = (installation, accounts)
        guard let proxies = TrustedProxies(settings.trustedProxies) else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_TRUSTED_PROXIES` is no list of addresses",
                hint: "write addresses and ranges such as 10.0.0.0/8, by commas"
            )
        }
        var means = Application.Means(
            store: installation.store,
            signingKey: try installation.secretBox().signingKey,
            audit: { account in try installation.auditWriter(of: account) },
            version: Installation.version,
            description: Installation.serverDescription,
            guardian: RequestGuard(
                listening: host,
                publicURL: settings.publicURL,
                hosts: settings.allowedHosts,
                origins: settings.allowedOrigins
            ),
            logger: logger,
            trackers: ServedTrackers(installation: installation, scans: scans).operations,
            calls: { account in try await accounts.calls(of: account) },
            upstreams: { account in try await accounts.upstreams(of: account) },
            search: { account, mode in try await accounts.search(mode, of: account) }
        )
        means.lifetimes.access = settings.accessTime
        means.lifetimes.refresh = settings.refreshTime
        means.lifetimes.session = settings.sessionTime
        means.allowsRegistration = settings.allowsRegistration
        means.webhooks = webhooks.receiver
        means.allowsPrograms = installation.settings.upstreams.allowsPrograms
        means.publicURL = settings.publicURL
        means.auditKey = try installation.auditKeys().publicKey
        means.proxies = proxies
        means.spans = spans
        return Application(means)
    }
}
