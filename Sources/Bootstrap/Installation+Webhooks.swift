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

    /// Registers our webhooks at a tracker.
    ///
    /// - Throws: ``CommandFailure`` when nobody has said where the server is to be reached.
    package func webhookInstaller(
        of tracker: Tracker,
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
        return WebhookInstaller(
            store: store,
            box: try secretBox(),
            tracker: tracker,
            registrar: try await writers(for: tracker, transport: transport).webhooks,
            base: base
        )
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
            known.tracker.userName == tracker.userName
        {
            return known.client
        }
        let client = try await make(tracker)
        made[tracker.id] = (tracker, client)
        return client
    }
}
