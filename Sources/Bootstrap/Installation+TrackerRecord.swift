package import Domain
import Gateway
package import Store
import Sync

/// What is done to trackers is on record: in the transaction that does it, so that what cannot be
/// recorded is not done.
extension Installation {
    /// Changes a tracker, and writes into the audit what is different about it then.
    ///
    /// A change after which everything is as it was writes nothing.
    ///
    /// - Parameters:
    ///   - id: Which one.
    ///   - secret: The credential that `body` stores; nil when the one that is there stays.
    ///   - author: Who changes it, for the record.
    ///   - body: Writes the change.
    /// - Returns: What `body` gives.
    /// - Throws: What `body` throws, what the store refuses, and why it cannot be recorded.
    package func change<Value: Sendable>(
        _ id: TrackerID,
        secret: Secret?,
        by author: String,
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Value
    ) async throws -> Value {
        let (audit, box) = (try auditWriter(), try secretBox())
        return try await store.write { connection, account in
            let before = try TrackerSettings(of: id, account: account, on: connection)
            var isOther = false
            if let secret {
                isOther = try !Self.isStored(secret, of: id, box, account, connection)
            }
            let value = try body(connection, account)
            guard let before,
                let after = try TrackerSettings(of: id, account: account, on: connection)
            else { return value }
            var settings = after.members(unlike: before)
            if isOther { settings.append(("credential", .bool(true))) }
            guard !settings.isEmpty else { return value }
            let change = AuditedChange(
                .trackerUpdated,
                of: before.subject,
                settings,
                by: author
            )
            try audit.record([change], at: store.clock.now(), account: account, on: connection)
            return value
        }
    }

    /// Writes into the audit that a tracker was removed; called in the transaction that removes it.
    ///
    /// - Parameters:
    ///   - tracker: Which one, as it was.
    ///   - issues: How many issues went with it.
    ///   - author: Who removed it.
    ///   - connection: Of the transaction.
    /// - Throws: Why it cannot be recorded.
    package func recordRemoval(
        of tracker: Tracker,
        issues: Int,
        by author: String,
        on connection: any SQLConnection
    ) throws {
        let change = AuditedChange(
            .trackerRemoved,
            of: TrackerSettings(tracker: tracker, scope: Scope()).subject,
            [("issues_removed", .integer(Int64(issues)))],
            by: author
        )
        try record(change, on: connection)
    }

    /// Writes into the audit that a tracker was added; called in the transaction that adds it.
    ///
    /// - Parameters:
    ///   - tracker: Which one.
    ///   - scope: What is read of it.
    ///   - hasCredential: Whether something is sealed for it.
    ///   - author: Who added it.
    ///   - connection: Of the transaction.
    /// - Throws: Why it cannot be recorded.
    func recordAddition(
        of tracker: Tracker,
        scope: Scope,
        hasCredential: Bool,
        by author: String,
        on connection: any SQLConnection
    ) throws {
        let added = TrackerSettings(tracker: tracker, scope: scope)
        var settings = added.members
        settings.append(("credential", .bool(hasCredential)))
        let change = AuditedChange(.trackerAdded, of: added.subject, settings, by: author)
        try record(change, on: connection)
    }

    /// What writes into the audit that secrets of a tracker's webhooks are there or gone.
    ///
    /// - Parameters:
    ///   - tracker: Whose.
    ///   - author: Who has them changed.
    /// - Returns: What is called in the transactions that change them.
    func webhookRecorder(of tracker: Tracker, by author: String) -> WebhookChange.Recorder {
        { change, _, connection in
            try record(AuditedChange(change, of: tracker, by: author), on: connection)
        }
    }

    private func record(_ change: AuditedChange, on connection: any SQLConnection) throws {
        let now = store.clock.now()
        try auditWriter().record([change], at: now, account: store.account, on: connection)
    }

    /// Whether a tracker has this credential already.
    private static func isStored(
        _ secret: Secret,
        of id: TrackerID,
        _ box: SecretBox,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        let sealed = try TrackerTable.credential(of: id, account: account, on: connection)
        guard let sealed else { return false }
        do throws(StoreError) {
            return try box.open(sealed, for: .tracker(id, account: account)) == secret
        } catch {
            // Which one it was nobody can tell any more: the new one counts as another.
            guard case .undecryptable = error else { throw error }
            return false
        }
    }
}

/// What people have set about a tracker, without its credential.
private struct TrackerSettings {
    let tracker: Tracker
    let scope: Scope
    /// Nil for the scheduler's own; zero for never.
    private var interval: Duration?

    init(tracker: Tracker, scope: Scope) {
        self.tracker = tracker
        self.scope = scope
    }

    /// What is stored; nil when there is no such tracker.
    init?(
        of id: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let found = try TrackerTable.find(id, account: account, on: connection)
        guard let found else { return nil }
        tracker = found
        scope = try ScopeRuleTable.scope(of: id, account: account, on: connection)
        let schedules = try ScanScheduleTable.list(account: account, on: connection)
        interval = schedules.first { $0.tracker == id }?.interval
    }

    /// What the record calls it.
    var subject: String { "tracker \(tracker.name)" }

    /// By the names that REST and the schedule give them.
    var members: [(String, JSONValue)] {
        [
            ("name", .string(tracker.name)), ("tracker_type", .string(tracker.kind.rawValue)),
            ("deployment", .string(tracker.deployment.rawValue)),
            ("url", .string(tracker.url)), ("username", JSONValue(tracker.userName)),
            ("include", patterns(.include)), ("exclude", patterns(.exclude)),
            // Whether its address is held to where the server may go.
            ("vetted", .bool(tracker.isVetted)),
            ("interval_s", interval.map { JSONValue.integer($0.components.seconds) } ?? .null),
        ]
    }

    private func patterns(_ action: ScopeRule.Action) -> JSONValue {
        JSONValue(scope.rules.filter { $0.action == action }.map(\.pattern))
    }

    /// Those that were something else before, by their bytes.
    func members(unlike before: TrackerSettings) -> [(String, JSONValue)] {
        zip(members, before.members).filter { now, old in
            now.1.serialized() != old.1.serialized()
        }.map { now, _ in now }
    }
}

extension AuditedChange {
    /// A secret of a tracker's webhooks is there or gone.
    fileprivate init(_ change: WebhookChange, of tracker: Tracker, by author: String) {
        let subject = "webhook of \(change.organization) at tracker \(tracker.name)"
        var settings: [(String, JSONValue)] = [
            ("tracker", .string(tracker.name)), ("organization", .string(change.organization)),
        ]
        switch change.deed {
        case .installed(let isRenewed):
            settings.append(("renewed", .bool(isRenewed)))
            self.init(.webhookInstalled, of: subject, settings, by: author)
        case .removed:
            self.init(.webhookRemoved, of: subject, settings, by: author)
        case .withdrawn:
            // Nobody has asked for that.
            settings.append(("refused", .bool(true)))
            self.init(.webhookRemoved, of: subject, settings, by: AuditTable.Event.ownName)
        }
    }
}
