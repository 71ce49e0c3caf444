package import Domain
import HTTPTypes
package import Store

extension AccountDesk {
    /// By whose word something about users is done, and what lets them.
    ///
    /// A request is let in by the role that its user had when it came. Until it writes, a password
    /// may have to be hashed and others may have to write: what counts is what the transaction
    /// finds that does the writing.
    package struct Authority: Sendable {
        /// Who asks, as they were let in.
        package var principal: Principal
        /// What the route has asked for.
        package var permission: Permission

        /// The authority of somebody.
        package init(_ principal: Principal, _ permission: Permission) {
            self.principal = principal
            self.permission = permission
        }

        /// Refuses what somebody may not do any more, or not about this user.
        ///
        /// Owners are the owners' business: an administrator neither makes nor changes one.
        ///
        /// - Parameters:
        ///   - user: Whom it is about, as the transaction finds them; nil for one that there is
        ///     not, or not yet.
        ///   - role: What the user is to be; nil where that stays.
        ///   - now: The time.
        ///   - account: Whose users.
        ///   - connection: That of the transaction that writes.
        /// - Throws: ``Problem``: 401 when the key or session is over, 403 when the role or the
        ///   scopes do not include it; and what the store refuses.
        package func verify(
            about user: User?,
            becoming role: Role? = nil,
            at now: Timestamp,
            account: AccountID,
            on connection: any SQLConnection
        ) throws {
            let found = try StoreAuthenticator.current(
                [principal],
                account,
                at: now,
                on: connection
            )
            guard let current = found.first else { throw StoreAuthenticator.refused }
            guard current.may(permission) else { throw Problem.denied(permission, to: current) }
            guard current.role == .owner || user?.role != .owner && role != .owner else {
                throw Problem(.forbidden, "only an owner may do that", code: "permission_denied")
            }
        }
    }
}

extension AccountDesk {
    /// What is told whoever sets another password and does not know the one that there is.
    static let wrongPassword = Problem.invalid("current_password", "is wrong")
}

extension UserTable.Login {
    /// Whether what somebody has shown a password for is still to be had for it.
    ///
    /// A password takes its time to look at, and may be another one when that is done: what counts
    /// is what the transaction finds that writes what the password is good for. It has to lock the
    /// feed, as those do that change users.
    func isCurrent(on connection: any SQLConnection) throws(StoreError) -> Bool {
        let current = try UserTable.login(name: user.name, account: account, on: connection)
        guard let current else { return false }
        return current.user.id == user.id && current.user.isActive
            && current.passwordHash == passwordHash
    }
}
