package import Domain
package import Firewall
package import Gateway
package import Logging
package import MCP
package import Search
package import Store
package import Sync

/// Everything behind the server's address: routes, users, the MCP endpoint, and what they share.
package struct Application: Sendable {
    /// What the application is made of.
    package struct Means: Sendable {
        /// The installation's own account; others are views of the same database.
        package var store: Store
        /// Signs access tokens.
        package var signingKey: [UInt8]
        /// Writes the audit of an account: what is done about users, sessions and keys is in it.
        package var audit: AccountDesk.Audit
        package var version: String
        /// What the MCP server says of itself.
        package var description: ServerDescription
        /// The way to call tools of an account.
        package var calls: @Sendable (AccountID) async throws -> GuardedCall
        /// The other MCP servers of an account.
        package var upstreams: @Sendable (AccountID) async throws -> UpstreamDesk
        /// Whether users may add programs of this machine as MCP servers.
        package var allowsPrograms = false
        /// Where browsers reach the server, without a final slash; nil where nobody has said.
        package var publicURL: String?
        /// Opens the indexes of an account, or gives those that are open.
        package var search: @Sendable (AccountID, SearchRequest.Mode) async throws -> IssueSearch
        package var trackers: TrackerOperations
        /// Whose signatures in the audit count; nil where nobody signs.
        package var auditKey: AuditKey?
        /// Takes trackers' deliveries in; nil where none are taken.
        package var webhooks: WebhookReceiver?
        package var guardian: RequestGuard
        package var limits = ServerLimits()
        package var lifetimes = AccountDesk.Lifetimes()
        /// Whether strangers may make accounts.
        package var allowsRegistration = false
        package var logger: Logger
        /// Whose word counts for where a request comes from.
        package var proxies = TrustedProxies()
        /// Collects spans; nil when nobody does.
        package var spans: Trace.Recorder?

        package init(
            store: Store,
            signingKey: [UInt8],
            audit: @escaping AccountDesk.Audit,
            version: String,
            description: ServerDescription,
            guardian: RequestGuard,
            logger: Logger,
            trackers: TrackerOperations,
            calls: @escaping @Sendable (AccountID) async throws -> GuardedCall,
            upstreams: @escaping @Sendable (AccountID) async throws -> UpstreamDesk,
            search: @escaping @Sendable (AccountID, SearchRequest.Mode) async throws -> IssueSearch
        ) {
            self.store = store
            self.signingKey = signingKey
            self.audit = audit
            self.version = version
            self.description = description
            self.guardian = guardian
            self.logger = logger
            self.trackers = trackers
            self.calls = calls
            self.upstreams = upstreams
            self.search = search
        }
    }

    /// Users, sessions and keys.
    package let desk: AccountDesk
    let connections: ConnectionTable
    let readiness = Readiness()
    let responder: Responder
    let endpoint: MCPEndpoint
    private let metrics: ServerMetrics

    package init(_ means: Means) {
        let connections = ConnectionTable(limits: means.limits)
        let metrics = ServerMetrics()
        let desk = AccountDesk(
            store: means.store,
            signingKey: means.signingKey,
            audit: means.audit,
            lifetimes: means.lifetimes
        )
        let endpoint = MCPEndpoint(
            means: MCPEndpoint.Means(
                server: means.description,
                calls: means.calls,
                authenticator: desk.authenticator,
                guardian: means.guardian,
                connections: connections,
                streamTime: means.limits.streamTime,
                spans: means.spans
            )
        )
        let operation = OperationRoutes(
            store: means.store,
            version: means.version,
            readiness: readiness,
            metrics: metrics,
            connections: connections,
            authenticator: desk.authenticator,
            samples: {
                [
                    ServerMetrics.Sample(
                        name: "preloop_mcp_sessions",
                        help: "Open MCP sessions.",
                        kind: "gauge",
                        value: Double(await endpoint.sessionCount)
                    )
                ]
            }
        )
        var routes = operation.routes + SetupRoutes(desk: desk).routes + endpoint.routes
        routes += Self.interface(means, desk)
        routes += ApprovalPages(calls: means.calls, desk: desk, store: means.store).routes
        routes += DocumentationRoutes(routes, version: means.version).routes
        responder = Responder(
            table: RouteTable(routes),
            guardian: means.guardian,
            authenticator: desk.authenticator,
            metrics: metrics,
            idempotency: Idempotency(
                store: means.store,
                signingKey: means.signingKey,
                limits: means.limits,
                logger: means.logger
            ),
            connections: connections,
            limits: means.limits,
            logger: means.logger,
            proxies: means.proxies,
            spans: means.spans
        )
        self.desk = desk
        self.connections = connections
        self.endpoint = endpoint
        self.metrics = metrics
    }

    /// What is below `/api/v1`.
    private static func interface(_ means: Means, _ desk: AccountDesk) -> [Route] {
        let (store, tools) = (means.store, ToolRoutes(calls: means.calls))
        let shelf = PolicyShelf(calls: means.calls)
        let logins = UpstreamLoginRoutes(
            servers: means.upstreams,
            store: store,
            publicURL: means.publicURL
        )
        let own = AuthRoutes(desk: desk, allowsRegistration: means.allowsRegistration)
        // Of requests, rules and workflows: all others are numbers.
        let named =
            ApprovalRoutes(calls: means.calls, store: store).routes
            + RuleRoutes(books: shelf).routes + WorkflowRoutes(books: shelf).routes
        return own.routes + UserRoutes(desk: desk, own: own).routes
            + TrackerRoutes(store: store, operations: means.trackers).routes
            + ProjectRoutes(store: store, operations: means.trackers).routes
            + IssueRoutes(store: store, search: means.search, tools: tools).routes
            + DuplicateRoutes(store: store).routes + StatisticsRoutes(store: store).routes
            + UpstreamRoutes(desk: means.upstreams, allowsPrograms: means.allowsPrograms).routes
            + logins.routes
            + tools.routes + AuditRoutes(store: store, key: means.auditKey).routes
            + named.map { $0.identified(by: Shape.text) }
            + WebhookRoutes(receiver: means.webhooks, logger: means.logger).routes
            + PolicyRoutes(books: shelf).routes
    }

    /// Requests that are being served.
    var inFlight: Int { metrics.inFlight }

    /// Does what goes on behind the requests, until it is cancelled.
    func run() async { await endpoint.run() }

    /// Ends streams that only wait, and others when their work has ended or the time is over.
    func endStreams(within limit: Duration) async { await endpoint.stop(within: limit) }
}
