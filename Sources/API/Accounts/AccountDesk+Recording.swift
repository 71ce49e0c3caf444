import Domain
import Gateway
import Store

/// What is done about users, sessions and keys is in the account's audit, or is not done.
extension AccountDesk {
    /// By what way somebody has become a user; the raw value is what the audit says.
    enum Origin: String {
        /// Somebody who has signed in and manages users.
        case administrator
        /// Whoever runs the installation, by a command.
        case command
        /// A stranger, with an account of their own.
        case registration
        case setupLink = "setup_link"
    }

    /// Why sessions are over; the raw value is what the audit says.
    enum Ending: String {
        case signedOut = "signed_out"
        case passwordChanged = "password_changed"
        case userDeactivated = "user_deactivated"
        case userRemoved = "user_removed"
    }

    /// Writes what was done into the account's audit.
    ///
    /// Called in the transaction of what was done, and last: it locks the end of the chain, which
    /// every call of a tool goes on with.
    ///
    /// - Parameters:
    ///   - changes: What was done, in its order; nothing is written for none.
    ///   - now: When.
    ///   - account: Whose chain it is.
    ///   - connection: Of the transaction.
    /// - Throws: Why it cannot be recorded.
    func record(
        _ changes: [AuditedChange],
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        guard !changes.isEmpty else { return }
        try audit(account).record(changes, at: now, account: account, on: connection)
    }

    /// Whom the audit names for what is done by somebody's word, or by nobody's.
    func authorName(of authority: Authority?) -> String { authority?.principal.author ?? author }

    /// A user is there.
    static func added(_ user: User, _ origin: Origin, by author: String) -> AuditedChange {
        var settings: [(String, JSONValue)] = [
            ("role", .string(user.role.rawValue)), ("origin", .string(origin.rawValue)),
        ]
        if let email = user.email { settings.append(("email", .string(email))) }
        return AuditedChange(.userAdded, of: user.auditSubject, settings, by: author)
    }

    /// Open sessions of a user are over; nothing where there were none.
    static func ended(
        _ count: Int,
        of user: User,
        _ ending: Ending,
        by author: String
    ) -> [AuditedChange] {
        guard count > 0 else { return [] }
        let settings: [(String, JSONValue)] = [
            ("sessions", .integer(Int64(count))), ("because", .string(ending.rawValue)),
        ]
        return [AuditedChange(.sessionEnded, of: user.auditSubject, settings, by: author)]
    }
}

extension AccountDesk.Change {
    /// What of it is not so already, but the password.
    func settings(changing user: User) -> [(String, JSONValue)] {
        var settings: [(String, JSONValue)] = []
        if let email, user.email.map({ !haveEqualBytes($0, email) }) ?? true {
            settings.append(("email", .string(email)))
        }
        if let role, role != user.role { settings.append(("role", .string(role.rawValue))) }
        if let isActive, isActive != user.isActive {
            settings.append(("is_active", .bool(isActive)))
        }
        return settings
    }
}

extension User {
    /// Whom the audit names for what the user does.
    var author: String { "user:\(name)" }

    /// What the audit calls the user that something is done to.
    var auditSubject: String { "user \(name)" }

    /// The same of a key of the user.
    func auditSubject(ofKey key: String) -> String { "key \(key) of \(auditSubject)" }
}
