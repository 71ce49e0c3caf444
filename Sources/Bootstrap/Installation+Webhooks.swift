package import Domain
package import HTTPClient
import Store
package import Sync
import Trackers

extension Installation {
    /// Takes trackers' deliveries in, of all accounts of the database.
    package func webhookReceiver() throws(CommandFailure) -> WebhookReceiver {
        WebhookReceiver(database: store.database, box: try secretBox(), clock: store.clock)
    }

    /// Works on what deliveries have made necessary; its kind of job is
    /// ``WebhookProcessor/kind``.
    ///
    /// - Parameters:
    ///   - transport: How trackers are reached.
    ///   - requestScan: Has a scan done soon.
    ///   - didWrite: Told when something new may have to be indexed.
    /// - Returns: What handles the jobs.
    package func webhookProcessor(
        transport: any HTTPTransport,
        requestScan: @escaping @Sendable (WebhookProcessor.ScanWish) async throws -> Void,
        didWrite: @escaping @Sendable () async -> Void
    ) -> WebhookProcessor {
        let clients = ClientCache { tracker in
            try await client(for: tracker, transport: transport)
        }
        return WebhookProcessor(
            store: store,
            clients: { try await clients.client(of: $0) },
            requestScan: requestScan,
            didWrite: didWrite
        )
    }

    /// What is stored about the webhooks of a tracker, for where nobody has said at which address
    /// the server is to be reached: the tracker's own are told apart by that.
    ///
    /// - Parameters:
    ///   - tracker: Whose.
    ///   - author: Who takes them away, for the record.
    /// - Returns: Nil where the address is known.
    package func storedWebhooks(of tracker: Tracker, by author: String) -> StoredWebhooks? {
        guard settings.publicURL == nil else { return nil }
        return StoredWebhooks(
            store: store,
            tracker: tracker.id,
            record: webhookRecorder(of: tracker, by: author)
        )
    }

    /// Registers our webhooks at a tracker.
    ///
    /// - Parameters:
    ///   - tracker: Whose.
    ///   - author: Who has them registered or taken away, for the record.
    ///   - transport: How the tracker is reached.
    /// - Returns: What does it.
    /// - Throws: ``CommandFailure`` when nobody has said where the server is to be reached, and
    ///   when nothing could be recorded.
    package func webhookInstaller(
        of tracker: Tracker,
        by author: String,
        transport: any HTTPTransport
    ) async throws -> WebhookInstaller {
        guard let base = settings.publicURL else {
            throw CommandFailure(
                .usage,
                "`PRELOOP_URL` is not set",
                hint: "set it to the address under which the tracker reaches this server, such as "
                    + "https://preloop.example.com"
            )
        }
        // Before the tracker is asked for anything.
        _ = try auditWriter()
        return WebhookInstaller(
            store: store,
            box: try secretBox(),
            tracker: tracker,
            registrar: try await writers(for: tracker, transport: transport).webhooks,
            base: base,
            record: webhookRecorder(of: tracker, by: author)
        )
    }
}

extension Installation {
    /// For how long a tracker may take to let go of its webhooks: one that is gone for good must
    /// not keep anybody from removing it.
    private static let takingBackTime: Duration = .seconds(30)

    /// Takes our webhooks away from a tracker that is to be removed.
    ///
    /// Nothing is asked where none were ever registered: then there is no secret.
    ///
    /// - Parameters:
    ///   - tracker: Whose.
    ///   - author: Who removes it, for the record.
    /// - Returns: What stays there and why, a line each; the organisations' secrets stay, too.
    /// - Throws: What the store refuses, and when nothing could be recorded; what the tracker
    ///   refuses is told.
    package func takeBackWebhooks(
        of tracker: Tracker,
        by author: String
    ) async throws -> [String] {
        // The removal would be refused afterwards.
        _ = try auditWriter()
        let known = try await store.read { connection, account in
            try WebhookTable.list(of: tracker.id, account: account, on: connection)
        }
        guard !known.isEmpty else { return [] }
        do {
            let outcomes: [WebhookInstaller.Outcome]? = try await withThrowingTaskGroup(
                of: [WebhookInstaller.Outcome]?.self
            ) { group in
                group.addTask {
                    try await webhookInstaller(
                        of: tracker,
                        by: author,
                        transport: try transport()
                    ).remove()
                }
                group.addTask {
                    try await Task.sleep(for: Self.takingBackTime)
                    return nil
                }
                defer { group.cancelAll() }
                return try await group.next() ?? nil
            }
            guard let outcomes else {
                return ["\(tracker.name): it did not answer within \(Self.takingBackTime)"]
            }
            return outcomes.flatMap { outcome in
                outcome.refused.map { "\($0.place): \($0.error)" }
            }
        } catch let failure as CommandFailure {
            return ["\(tracker.name): \(failure.reason ?? failure.what)"]
        } catch let error as TrackerError {
            try Task.checkCancellation()
            return ["\(tracker.name): \(error)"]
        } catch let error as StoreError {
            // A token that cannot be read any more is a reason to remove the tracker.
            guard case .undecryptable = error else { throw error }
            return ["\(tracker.name): \(error)"]
        }
    }
}

/// The client of each tracker, made when it is first needed: all work shares its connections and
/// its rate budget.
private actor ClientCache {
    private let make: @Sendable (Tracker) async throws -> any TrackerClient
    private var made: [TrackerID: (tracker: Tracker, client: any TrackerClient)] = [:]

    init(make: @escaping @Sendable (Tracker) async throws -> any TrackerClient) {
        self.make = make
    }

    func client(of tracker: Tracker) async throws -> any TrackerClient {
        if let known = made[tracker.id], haveEqualBytes(known.tracker.url, tracker.url),
            known.tracker.userName == tracker.userName,
            known.tracker.isVetted == tracker.isVetted
        {
            return known.client
        }
        let client = try await make(tracker)
        made[tracker.id] = (tracker, client)
        return client
    }
}
