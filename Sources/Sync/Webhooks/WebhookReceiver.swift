package import Domain
package import Store
package import Trackers

/// Takes trackers' deliveries in: verified, then kept for good, then acknowledged.
///
/// What cannot be verified is neither kept nor told to anyone. Deliveries that come at the same
/// time share a transaction, so that thousands a second can be kept.
package actor WebhookReceiver {
    /// What is to be answered.
    package enum Verdict: Sendable, Equatable {
        /// It is kept, and will be worked on: 202.
        case accepted
        /// It has come before: 202 as well.
        case repeated
        /// There is no such webhook: 404.
        case unknown
        /// It is not to be believed, or not to be understood: 401, 413 or 400.
        case refused(WebhookError)
        /// It could not be kept; the tracker may send it again: 503.
        case unavailable(reason: String)
    }

    /// Bounds on what is held.
    package struct Limits: Sendable {
        /// Deliveries that wait for their transaction; some seconds of a storm.
        package var waiting = 10_000
        /// Deliveries in one transaction: a longer one keeps those behind it waiting.
        package var batch = 512
        /// How long a webhook's secret is believed to be the stored one.
        package var secretLife: Duration = .seconds(5)
        /// How old a secret must be before a forged delivery makes us read it anew.
        package var secretPatience: Duration = .seconds(1)
        /// Webhooks whose secrets are held; there is one an organisation.
        package var webhooks = 10_000
        /// How long a delivery is remembered: GitHub repeats one for three days.
        package var memory: Duration = .seconds(7 * 86_400)
        /// Old deliveries forgotten at a time; again at once while there are more.
        package var forgotten = 2_000
        /// How long workers are left alone after they were woken: in a storm they find new jobs
        /// whenever they look, and each waking makes every follower read the database.
        package var wakingPause: Duration = .milliseconds(50)

        package init() {}
    }

    private let database: any Database
    private let box: SecretBox
    private let clock: WallClock
    private let limits: Limits

    private var hooks: [WebhookAddress: Hook] = [:]
    private var waiting: [(entry: Entry, written: CheckedContinuation<Bool, any Error>)] = []
    /// Writes what waits; nil when nothing does.
    private var writer: Task<Void, Never>?
    /// Accounts with new jobs whose workers have not been woken.
    private var sleeping: Set<AccountID> = []
    /// Wakes them; nil when there is nobody to wake.
    private var waker: Task<Void, Never>?
    /// When old deliveries are looked for again.
    private var nextForgetting = ContinuousClock.now

    /// - Parameters:
    ///   - database: Where deliveries are kept, of all accounts.
    ///   - box: Opens the secrets.
    ///   - clock: Dates deliveries, and tells how old signatures are.
    ///   - limits: Bounds on what is held.
    package init(
        database: any Database,
        box: SecretBox,
        clock: WallClock = .system,
        limits: Limits = Limits()
    ) {
        self.database = database
        self.box = box
        self.clock = clock
        self.limits = limits
    }

    /// Takes a delivery in; when this returns ``Verdict/accepted``, it is not lost any more.
    ///
    /// - Parameters:
    ///   - kind: Which tracker it claims to come from, by the address it was sent to.
    ///   - address: The rest of that address; see ``WebhookAddress``.
    ///   - headers: As received.
    ///   - body: As received.
    /// - Returns: What is to be answered.
    nonisolated package func receive(
        kind: TrackerKind,
        address: String,
        headers: [(name: String, value: String)],
        body: [UInt8]
    ) async -> Verdict {
        guard let address = WebhookAddress(address) else { return .unknown }
        do {
            guard let hook = try await hook(at: address), hook.kind == kind else {
                return .unknown
            }
            var delivery = WebhookDelivery(
                kind: kind,
                deployment: hook.deployment,
                fields: headers,
                body: body
            )
            // Where to look is all that is kept of it.
            delivery.readsContents = false
            let event: WebhookEvent
            do throws(WebhookError) {
                try await verify(delivery, by: hook, at: address)
                event = try delivery.event()
            } catch {
                return .refused(error)
            }
            let now = clock.now()
            let entry = Entry(
                account: address.account,
                row: WebhookDeliveryTable.Row(
                    organization: address.organization,
                    id: event.deliveryID,
                    action: event.action,
                    receivedAt: now
                ),
                job: WebhookWork(event, tracker: hook.tracker)?.job(at: now)
            )
            return try await keep(entry) ? .accepted : .repeated
        } catch {
            return .unavailable(reason: "\(error)")
        }
    }

    // MARK: - Secrets

    /// What is known of a webhook, and since when.
    private struct Hook: Sendable {
        var kind: TrackerKind
        var deployment: TrackerDeployment
        var tracker: TrackerID
        var secrets: [Secret]
        var readAt: ContinuousClock.Instant
    }

    /// A secret that was changed a moment ago is read anew, but only now and then: whoever sends
    /// forged deliveries must not make us read the store for each of them.
    nonisolated private func verify(
        _ delivery: WebhookDelivery,
        by hook: Hook,
        at address: WebhookAddress
    ) async throws(WebhookError) {
        do throws(WebhookError) {
            try delivery.verify(secrets: hook.secrets, now: clock.now())
        } catch {
            guard error == .forged, hook.readAt.duration(to: .now) > limits.secretPatience,
                let other = await newer(than: hook, at: address)
            else { throw error }
            try delivery.verify(secrets: other.secrets, now: clock.now())
        }
    }

    private func newer(than hook: Hook, at address: WebhookAddress) async -> Hook? {
        if let known = hooks[address], known.readAt > hook.readAt { return known }
        hooks[address] = nil
        // A store that fails leaves the delivery refused; trackers show that and send again.
        return try? await self.hook(at: address)
    }

    private func hook(at address: WebhookAddress) async throws -> Hook? {
        if let known = hooks[address], known.readAt.duration(to: .now) < limits.secretLife {
            return known
        }
        let (account, organization) = (address.account, address.organization)
        let readAt = ContinuousClock.now
        let row = try await database.read { connection in
            try WebhookTable.find(organization, account: account, on: connection)
        }
        guard let row else {
            hooks[address] = nil
            return nil
        }
        let owner = SecretOwner.webhook(organization, account: account)
        var secrets = [try box.open(row.secret, for: owner)]
        if let previous = row.previous, let until = row.previousUntil, until > clock.now() {
            // One that was sealed with another key opens no more, and only the present one counts.
            do throws(StoreError) {
                secrets.append(try box.open(previous, for: owner))
            } catch {
                guard case .undecryptable = error else { throw error }
            }
        }
        let hook = Hook(
            kind: row.kind,
            deployment: row.deployment,
            tracker: row.tracker,
            secrets: secrets,
            readAt: readAt
        )
        if hooks.count >= limits.webhooks { hooks.removeAll() }
        hooks[address] = hook
        return hook
    }

    // MARK: - Keeping

    private struct Entry: Sendable {
        var account: AccountID
        var row: WebhookDeliveryTable.Row
        var job: Job.Draft?
    }

    private struct Overload: Error, CustomStringConvertible {
        var description: String { "too many deliveries wait to be kept" }
    }

    /// Whether the delivery is new; whoever finds nobody writing writes for all who come meanwhile.
    private func keep(_ entry: Entry) async throws -> Bool {
        guard waiting.count < limits.waiting else { throw Overload() }
        return try await withCheckedThrowingContinuation { written in
            waiting.append((entry, written))
            guard writer == nil else { return }
            // Not a child of the caller: the others' deliveries must not die with its cancellation.
            writer = Task { await self.writeAll() }
        }
    }

    private func writeAll() async {
        while !waiting.isEmpty {
            let batch = Array(waiting.prefix(limits.batch))
            waiting.removeFirst(batch.count)
            do {
                let entries = batch.map(\.entry)
                let isNew = try await database.write { connection in
                    try Self.write(entries, on: connection)
                }
                for (item, isNew) in zip(batch, isNew) { item.written.resume(returning: isNew) }
                for (entry, isNew) in zip(entries, isNew) where isNew && entry.job != nil {
                    sleeping.insert(entry.account)
                }
                wake()
                await forget(of: Set(entries.map(\.account)))
            } catch {
                for item in batch { item.written.resume(throwing: error) }
            }
        }
        writer = nil
    }

    /// Wakes workers soon, in no delivery's transaction: the answer does not wait for it.
    private func wake() {
        guard waker == nil, !sleeping.isEmpty else { return }
        // Not a child, as the writer is none.
        waker = Task { await self.wakeAll() }
    }

    private func wakeAll() async {
        while !sleeping.isEmpty {
            let accounts = sleeping.sorted()
            sleeping = []
            // Workers that nobody wakes look by themselves within a second.
            try? await database.wakeFollowers(of: accounts)
            // This task is not cancelled by anyone.
            try? await Task.sleep(for: limits.wakingPause)
        }
        waker = nil
    }

    /// Forgets old deliveries now and then, a bounded number at a time.
    private func forget(of accounts: Set<AccountID>) async {
        guard ContinuousClock.now >= nextForgetting else { return }
        let (before, limit) = (clock.now().advanced(by: .zero - limits.memory), limits.forgotten)
        // A store that fails keeps them until the next time.
        let forgotten = try? await database.write { connection in
            try accounts.sorted().map { account in
                try WebhookDeliveryTable.prune(
                    before: before,
                    limit: limit,
                    account: account,
                    on: connection
                )
            }
        }
        if forgotten?.contains(limit) != true {
            nextForgetting = ContinuousClock.now.advanced(by: Self.forgettingInterval)
        }
    }

    private static let forgettingInterval: Duration = .seconds(60)

    /// What tells deliveries apart.
    private struct Key: Hashable {
        var organization: OrganizationID
        var id: String
    }

    /// For each entry whether it is new.
    private static func write(
        _ entries: [Entry],
        on connection: any SQLConnection
    ) throws -> [Bool] {
        var isNew = [Bool](repeating: false, count: entries.count)
        let places = Dictionary(grouping: entries.indices) { entries[$0].account }
        for (account, places) in places.sorted(by: { $0.key < $1.key }) {
            var known: Set<Key> = []
            let organizations = Dictionary(grouping: places) { entries[$0].row.organization }
            for (organization, places) in organizations {
                let ids = try WebhookDeliveryTable.known(
                    places.map { entries[$0].row.id },
                    of: organization,
                    account: account,
                    on: connection
                )
                known.formUnion(ids.map { Key(organization: organization, id: $0) })
            }
            var added: [Entry] = []
            for place in places {
                let row = entries[place].row
                guard known.insert(Key(organization: row.organization, id: row.id)).inserted
                else { continue }
                isNew[place] = true
                added.append(entries[place])
            }
            try write(new: added, account: account, on: connection)
        }
        return isNew
    }

    /// In the order of their keys, lest two processes wait for each other.
    private static func write(
        new entries: [Entry],
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        let rows = entries.map(\.row).sorted { left, right in
            left.organization == right.organization
                ? left.id.utf8.lexicographicallyPrecedes(right.id.utf8)
                : left.organization < right.organization
        }
        var jobs: [String: Job.Draft] = [:]
        for job in entries.compactMap(\.job) {
            guard case .whileWaiting(let key) = job.uniqueness else { continue }
            jobs[key] = jobs[key] ?? job
        }
        let ordered = jobs.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        // Together, for each waits for an answer of the database otherwise.
        try connection.execute(batch: [
            WebhookDeliveryTable.insertion(of: rows, account: account),
            JobTable.addition(of: ordered.map(\.value), account: account),
        ])
    }
}

/// The end of a webhook's address: whose deliveries come there.
///
/// Not secret: the signature is what is believed. `ACCOUNT-ORGANISATION`, in decimal numbers.
package struct WebhookAddress: Sendable, Hashable, CustomStringConvertible {
    package var account: AccountID
    package var organization: OrganizationID

    package init(account: AccountID, organization: OrganizationID) {
        self.account = account
        self.organization = organization
    }

    /// Reads one; nil for anything else.
    package init?(_ text: String) {
        // Two numbers of nineteen digits and what is between.
        guard text.utf8.count <= 39 else { return nil }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let account = Self.number(parts[0]),
            let organization = Self.number(parts[1])
        else { return nil }
        self.init(account: AccountID(account), organization: OrganizationID(organization))
    }

    private static func number(_ text: Substring) -> Int64? {
        guard let number = Int64(text), number > 0, text.utf8.first != UInt8(ascii: "+") else {
            return nil
        }
        return number
    }

    /// As it stands in the address.
    package var description: String { "\(account)-\(organization)" }
}
