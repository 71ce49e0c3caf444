package import Domain

/// Who a request comes from, as its credential says and the store confirms.
package struct Principal: Sendable, Hashable {
    /// How somebody has shown who they are.
    package enum Credential: Sendable, Hashable {
        /// An access token of a session.
        case session(SessionID)
        case apiKey(APIKeyID, scopes: Set<KeyScope>)
    }

    package var account: AccountID
    package var user: UserID
    package var name: String
    package var role: Role
    package var credential: Credential

    /// Whether a route may be used.
    package func may(_ permission: Permission) -> Bool {
        guard role.permissions.contains(permission) else { return false }
        guard case .apiKey(_, let scopes) = credential, !scopes.isEmpty else { return true }
        return scopes.contains { $0.permissions.contains(permission) }
    }

    /// Whether tools that change something may be called.
    package var mayWriteByTools: Bool {
        guard role.permissions.contains(.editIssues) else { return false }
        guard case .apiKey(_, let scopes) = credential, !scopes.isEmpty else { return true }
        return scopes.contains(where: \.mayWriteByTools)
    }

    /// The key or session, for records.
    package var credentialName: String {
        switch credential {
        case .session(let session): "session:\(session)"
        case .apiKey(let key, _): "key:\(key)"
        }
    }

    /// The same for all requests of one user by one credential: whose sessions are whose.
    ///
    /// With the role, so that a session that was begun with another one is not gone on with.
    package var identity: String {
        switch credential {
        case .session: "\(account)/\(user)/\(role.rawValue)"
        case .apiKey(let key, _): "\(account)/\(user)/\(role.rawValue)/\(key)"
        }
    }
}

extension Principal {
    /// Whom the audit names for what they do.
    var author: String { "user:\(name)" }
}
