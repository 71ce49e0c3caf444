package import Domain
package import Store
package import Trackers

/// Registers our webhooks at a tracker, for each organisation with followed projects.
package struct WebhookInstaller: Sendable {
    /// What became of one organisation.
    package struct Outcome: Sendable {
        /// Its path.
        package var organization: String
        /// Whether the tracker was asked what is registered there.
        package var isAsked = false
        /// What is registered at the tracker now, ours alone.
        package var webhooks: [RegisteredWebhook] = []
        /// Where the tracker refuses, by the place's path.
        package var refused: [(place: String, error: TrackerError)] = []
        /// Whether a secret is stored, without which no delivery is believed.
        package var hasSecret = false
        /// The last delivery that was believed.
        package var lastDelivery: WebhookDeliveryTable.Row?
    }

    private let store: Store
    private let stored: StoredWebhooks
    private let box: SecretBox
    private let tracker: Tracker
    private let registrar: any WebhookRegistrar
    private let base: String
    private let record: WebhookChange.Recorder

    /// How long the secret before counts beside a new one: deliveries under way are repeated by
    /// trackers within the hour.
    private static let previousLife: Duration = .seconds(3_600)
    /// Until when the secret before counts as long as the tracker has not taken the new one.
    private static let unlimited = Timestamp(milliseconds: 253_402_300_799_000)

    /// - Parameters:
    ///   - store: Where secrets are kept.
    ///   - box: Seals them.
    ///   - tracker: Whose webhooks.
    ///   - registrar: Registers them there.
    ///   - base: The server's public address, without a final slash.
    ///   - record: Writes down which secrets are there and which are gone.
    package init(
        store: Store,
        box: SecretBox,
        tracker: Tracker,
        registrar: any WebhookRegistrar,
        base: String,
        record: @escaping WebhookChange.Recorder
    ) {
        self.store = store
        self.record = record
        stored = StoredWebhooks(store: store, tracker: tracker.id, record: record)
        self.box = box
        self.tracker = tracker
        self.registrar = registrar
        self.base = base
    }

    /// Where the deliveries of an organisation go.
    package static func url(
        base: String,
        kind: TrackerKind,
        address: WebhookAddress
    ) -> String {
        "\(base)/api/v1/private/webhooks/\(kind.rawValue)/\(address)"
    }

    /// Registers what is missing and brings the rest up to date.
    ///
    /// The secret is stored before the tracker hears of it: deliveries may come at once. The one
    /// before counts until every place has the new one, and an hour longer; where the tracker
    /// refuses, it counts on, and the next installation goes on with the new one. A first secret
    /// that the tracker takes nowhere is forgotten: nothing there is signed with it.
    ///
    /// - Parameter renewsSecrets: Whether new secrets take the place of those in use.
    /// - Returns: What became of each organisation.
    /// - Throws: What the store refuses; what the tracker refuses is in the outcome.
    package func install(renewsSecrets: Bool = false) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for place in try await stored.places() {
            let isFirst = try await !stored.look(at: place).hasSecret
            let secret = try await secret(of: place, renews: renewsSecrets)
            var outcome = Outcome(organization: place.organization.path, isAsked: true)
            outcome.hasSecret = true
            do throws(TrackerError) {
                let installed = try await registrar.install(
                    WebhookRegistration(url: url(of: place), secret: secret),
                    for: RemoteOrganization(place.organization),
                    projects: place.projects.map { RemoteProject($0) }
                )
                outcome.webhooks = installed.webhooks
                outcome.refused = installed.refused.map { refusal in
                    (place: refusal.project.path, error: refusal.error)
                }
            } catch {
                outcome.refused = [(place.organization.path, error)]
            }
            if outcome.refused.isEmpty {
                try await letPreviousEnd(of: place.organization.id)
            } else if isFirst, outcome.isRefusedEverywhere {
                try await stored.forget(place, .withdrawn)
                outcome.hasSecret = false
            }
            outcomes.append(outcome)
        }
        return outcomes
    }

    /// Takes our webhooks away, and with them the secrets.
    ///
    /// Where the tracker refuses, the secret stays: by it the next removal finds the organisation
    /// again, also when nothing of it is followed any more.
    package func remove() async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for place in try await stored.places(all: true) {
            var outcome = try await look(at: place)
            for webhook in outcome.webhooks {
                do throws(TrackerError) {
                    try await registrar.removeWebhook(webhook.id, at: webhook.place)
                    outcome.webhooks.removeAll { $0 == webhook }
                } catch {
                    outcome.refused.append((webhook.place.path, error))
                }
            }
            if outcome.refused.isEmpty {
                try await stored.forget(place)
                outcome.hasSecret = false
            }
            outcomes.append(outcome)
        }
        return outcomes
    }

    /// What is registered at the tracker, and what has come from there.
    package func status() async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for place in try await stored.places(all: true) {
            outcomes.append(try await look(at: place))
        }
        return outcomes
    }

    // MARK: - One organisation

    private typealias Place = StoredWebhooks.Place

    private func url(of place: Place) -> String {
        Self.url(
            base: base,
            kind: tracker.kind,
            address: WebhookAddress(account: store.account, organization: place.organization.id)
        )
    }

    private func look(at place: Place) async throws -> Outcome {
        var outcome = try await stored.look(at: place)
        outcome.isAsked = true
        let (url, whole) = (url(of: place), RemoteOrganization(place.organization))
        do throws(TrackerError) {
            outcome.webhooks = try await webhooks(at: .organization(whole), url)
        } catch {
            // Users, and groups of GitLab's free edition, have none of their own.
            guard error.concernsOneItem else { throw error }
        }
        for project in place.projects {
            do throws(TrackerError) {
                for webhook in try await webhooks(at: .project(RemoteProject(project)), url)
                where !outcome.webhooks.contains(where: { $0.id == webhook.id }) {
                    outcome.webhooks.append(webhook)
                }
            } catch {
                guard error.concernsOneItem else { throw error }
                // It is gone, and its webhooks with it.
                if project.state != .active, case .notFound = error { continue }
                outcome.refused.append((project.path, error))
            }
        }
        return outcome
    }

    private func webhooks(
        at place: WebhookPlace,
        _ url: String
    ) async throws(TrackerError) -> [RegisteredWebhook] {
        try await registrar.webhooks(at: place).filter { haveEqualBytes($0.url, url) }
    }

    /// The tracker has the new secret everywhere: the one before counts for an hour more.
    private func letPreviousEnd(of organization: OrganizationID) async throws {
        let end = store.clock.now().advanced(by: Self.previousLife)
        try await store.writeOutsideFeed { connection, account in
            try WebhookTable.endPrevious(
                of: organization,
                at: end,
                account: account,
                on: connection
            )
        }
    }

    /// The secret in use, or a new one; one that does not open any more is replaced.
    ///
    /// A new one that the tracker has not taken everywhere is not replaced by another new one: the
    /// tracker still signs with the one before, and only one before is kept.
    private func secret(of place: Place, renews: Bool) async throws -> Secret {
        let organization = place.organization.id
        let owner = SecretOwner.webhook(organization, account: store.account)
        let row = try await store.read { connection, account in
            try WebhookTable.find(organization, account: account, on: connection)
        }
        let isUnfinished = row?.previousUntil.map { $0 >= Self.unlimited } == true
        if let row, !renews || isUnfinished {
            do throws(StoreError) {
                return try box.open(row.secret, for: owner)
            } catch {
                guard case .undecryptable = error else { throw error }
            }
        }
        let secret = Self.newSecret()
        let sealed = try box.seal(secret, for: owner)
        let now = store.clock.now()
        let (path, record) = (place.organization.path, record)
        try await store.writeOutsideFeed { connection, account in
            let isRenewed = try WebhookTable.set(
                sealed,
                of: organization,
                keepingPreviousUntil: Self.unlimited,
                at: now,
                account: account,
                on: connection
            )
            let change = WebhookChange(.installed(isRenewed: isRenewed), at: path)
            try record(change, account, connection)
        }
        return secret
    }

    /// 256 random bits from the system, in hexadecimal digits.
    private static func newSecret() -> Secret {
        let numbers = (0..<4).map { _ in UInt64.random(in: 0...UInt64.max) }
        return Secret(numbers.map { hexadecimal($0, digits: 16) }.joined())
    }
}

extension WebhookInstaller.Outcome {
    /// Whether nothing is registered, for certain: one that was lost on the way, or that others
    /// came before, may be there all the same.
    fileprivate var isRefusedEverywhere: Bool {
        webhooks.isEmpty
            && refused.allSatisfy { refusal in
                if case .unauthenticated = refusal.error { return true }
                return refusal.error.concernsOneItem
            }
    }
}

extension TrackerError {
    /// Whether other places of the tracker may still answer.
    fileprivate var concernsOneItem: Bool {
        switch self {
        case .notFound, .forbidden, .refused: true
        case .unauthenticated, .rateLimited, .unavailable, .invalidResponse, .pageTokenExpired,
            .outcomeUnknown, .cancelled:
            false
        }
    }
}

extension WebhookPlace {
    /// Its path, for people.
    package var path: String {
        switch self {
        case .organization(let organization): organization.path
        case .project(let project): project.path
        }
    }
}

extension RemoteOrganization {
    fileprivate init(_ stored: StoredOrganization) {
        self.init(externalID: stored.externalID, path: stored.path, name: stored.name)
    }
}
