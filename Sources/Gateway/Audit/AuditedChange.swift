package import Domain
import Firewall
package import Store

/// Something that somebody has changed about who may use an installation and what it reads: users,
/// keys, sessions, trackers, webhooks.
package struct AuditedChange: Sendable, Equatable {
    /// What was done; the raw value is the event's decision.
    package enum Deed: String, Sendable, CaseIterable {
        case userAdded = "user_added"
        /// Role, address or whether the user may sign in.
        case userUpdated = "user_updated"
        case userRemoved = "user_removed"
        case passwordChanged = "password_changed"
        case keyAdded = "key_added"
        case keyRemoved = "key_removed"
        case sessionBegun = "session_begun"
        case sessionEnded = "session_ended"
        /// A refresh token came a second time: its session is over.
        case tokenReused = "token_reused"
        case setupLinkMade = "setup_link_made"
        case trackerAdded = "tracker_added"
        case trackerUpdated = "tracker_updated"
        case trackerRemoved = "tracker_removed"
        /// The secret by which deliveries of an organization are verified is there, or another one.
        case webhookInstalled = "webhook_installed"
        case webhookRemoved = "webhook_removed"
    }

    package var deed: Deed
    /// What it was done to, by its name: `user ann`, `key ci of user ann`, `tracker work`.
    package var subject: String
    /// What was set, by the names of the interface and without secrets; a secret that is another
    /// one is only named, as true.
    package var settings: JSONObject
    /// Who did it: `user:ann`, `local:root`.
    package var author: String

    /// A change that was made.
    package init(
        _ deed: Deed,
        of subject: String,
        _ settings: [(String, JSONValue)] = [],
        by author: String
    ) {
        self.deed = deed
        self.subject = subject
        self.settings = JSONObject(settings)
        self.author = author
    }
}

extension AuditWriter {
    /// Writes changes into the chain of an account.
    ///
    /// Called in the transaction of the changes: what cannot be recorded is not done.
    ///
    /// - Parameters:
    ///   - changes: What was done, in its order.
    ///   - now: When.
    ///   - account: Whose chain it is.
    ///   - connection: Of the transaction.
    /// - Throws: Why it cannot be recorded.
    package func record(
        _ changes: [AuditedChange],
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        let events = changes.map { AuditTable.Event($0, at: now, keys.redactor) }
        try append(events, at: now, account: account, on: connection)
    }
}

extension AuditTable.Event {
    /// Somebody has changed a user, a key, a session, a tracker or its webhooks.
    init(_ change: AuditedChange, at now: Timestamp, _ redactor: Redactor) {
        self.init(.change, at: now, caller: change.author)
        decision = change.deed.rawValue
        reason = redactor.redact(text: change.subject).text
        guard !change.settings.members.isEmpty else { return }
        // Addresses may hold secrets.
        arguments = AuditArguments.text(of: redactor.redact(.object(change.settings)).value)
    }
}
