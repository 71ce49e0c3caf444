package import Domain
package import HTTPClient

/// Makes the client for a configured tracker.
package enum TrackerClients {
    /// What an operator configured, and the parts of the outside world a client needs.
    package struct Parameters: Sendable {
        package var kind: TrackerKind
        package var deployment: TrackerDeployment
        /// As configured; nil for the vendor's own cloud.
        package var url: String?
        /// The user name or e-mail where the service wants one beside the token (Jira).
        package var userName: String?
        package var credential: TrackerSession.CredentialSource
        package var transport: any HTTPTransport
        /// Shared by every client of the same token; nil for one of the client's own.
        package var budget: RateBudget?
        /// Whether somebody waits for the answers.
        package var priority: RequestPriority = .background
        /// Told until when, before requests wait for the service's rate limit.
        package var willWait: @Sendable (Timestamp) -> Void = { _ in }
        /// What to do about a refused token; nil for the general advice.
        package var tokenCure: TokenCure?
        package var clock: any Clock<Duration> = ContinuousClock()
        package var now: @Sendable () -> Timestamp = wallClock
        /// Changes a session's configuration, such as its patience; called with the client's own.
        package var adjust: @Sendable (inout TrackerSession.Configuration) -> Void = { _ in }

        package init(
            kind: TrackerKind,
            deployment: TrackerDeployment,
            url: String?,
            userName: String? = nil,
            credential: @escaping TrackerSession.CredentialSource,
            transport: any HTTPTransport
        ) {
            self.kind = kind
            self.deployment = deployment
            self.url = url
            self.userName = userName
            self.credential = credential
            self.transport = transport
        }

        /// A session for `configuration` after ``adjust``.
        package func session(
            _ configuration: TrackerSession.Configuration
        ) -> TrackerSession {
            let credential = credential
            return session(configuration) { () async throws(TrackerError) in
                TrackerSession.Credential(try await credential())
            }
        }

        /// A session that shows what `credential` gives instead of the configured one.
        func session(
            _ configuration: TrackerSession.Configuration,
            credential: @escaping TrackerSession.RenewableCredentialSource
        ) -> TrackerSession {
            var configuration = configuration
            adjust(&configuration)
            let cure = tokenCure
            var session = TrackerSession(
                configuration: configuration,
                transport: transport,
                renewable: { () async throws(TrackerError) in
                    do throws(TrackerError) {
                        return try await credential()
                    } catch {
                        throw error.cured(by: cure)
                    }
                },
                budget: budget,
                clock: clock,
                now: now
            )
            session.priority = priority
            session.willWait = willWait
            session.tokenCure = cure
            return session
        }
    }
}
