package import Domain
package import Store

/// What is stored about the webhooks of a tracker: secrets, and what came in last.
///
/// It can be seen, and taken away, also where nobody knows the address the tracker delivers to.
package struct StoredWebhooks: Sendable {
    private let store: Store
    private let tracker: TrackerID
    private let record: WebhookChange.Recorder

    /// - Parameters:
    ///   - store: Where it is.
    ///   - tracker: Whose.
    ///   - record: Writes down that a secret is gone.
    package init(
        store: Store,
        tracker: TrackerID,
        record: @escaping WebhookChange.Recorder
    ) {
        self.store = store
        self.tracker = tracker
        self.record = record
    }

    /// What is there of each organisation; the tracker is not asked.
    package func status() async throws -> [WebhookInstaller.Outcome] {
        var outcomes: [WebhookInstaller.Outcome] = []
        for place in try await places(all: true) { outcomes.append(try await look(at: place)) }
        return outcomes
    }

    /// Takes the secrets away: deliveries are refused from then on.
    ///
    /// - Returns: What was there of each organisation that had one.
    package func remove() async throws -> [WebhookInstaller.Outcome] {
        var outcomes: [WebhookInstaller.Outcome] = []
        for place in try await places(all: true) {
            var outcome = try await look(at: place)
            if outcome.hasSecret { try await forget(place) }
            outcome.hasSecret = false
            outcomes.append(outcome)
        }
        return outcomes
    }

    // MARK: - One organisation

    struct Place: Sendable {
        var organization: StoredOrganization
        /// Those it concerns.
        var projects: [StoredProject]
    }

    /// The organisations with followed projects; with `all` also those that have a secret, and
    /// every project of theirs: what was followed once may still be registered.
    func places(all: Bool = false) async throws -> [Place] {
        let tracker = tracker
        return try await store.read { connection, account in
            let projects = try ProjectTable.list(
                tracker: tracker,
                account: account,
                on: connection
            )
            let known = try WebhookTable.list(of: tracker, account: account, on: connection)
                .map(\.organization)
            return try OrganizationTable.list(of: tracker, account: account, on: connection)
                .compactMap { organization in
                    let isKnown = all && known.contains(organization.id)
                    let wanted = projects.filter { project in
                        project.organizationID == organization.id
                            && (isKnown || project.state == .active)
                    }
                    guard isKnown || !wanted.isEmpty else { return nil }
                    return Place(organization: organization, projects: wanted)
                }
        }
    }

    /// Whether there is a secret, and what came last.
    func look(at place: Place) async throws -> WebhookInstaller.Outcome {
        let organization = place.organization.id
        let (row, delivery) = try await store.read { connection, account in
            (
                try WebhookTable.find(organization, account: account, on: connection),
                try WebhookDeliveryTable.list(
                    of: organization,
                    limit: 1,
                    account: account,
                    on: connection
                ).first
            )
        }
        var outcome = WebhookInstaller.Outcome(organization: place.organization.path)
        outcome.hasSecret = row != nil
        outcome.lastDelivery = delivery
        return outcome
    }

    /// Takes the secret away; where there is none nothing is written down.
    func forget(
        _ place: Place,
        _ deed: WebhookChange.Deed = .removed
    ) async throws {
        let (organization, record) = (place.organization, record)
        try await store.writeOutsideFeed { connection, account in
            let isThere = try WebhookTable.remove(
                organization.id,
                account: account,
                on: connection
            )
            guard isThere else { return }
            try record(WebhookChange(deed, at: organization.path), account, connection)
        }
    }
}
