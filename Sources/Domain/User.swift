/// What somebody may do in an account; ``permissions`` of each are the server's.
package enum Role: String, Sendable, CaseIterable {
    /// Everything; an account has at least one.
    case owner
    /// Everything but making owners.
    case admin
    /// Reads, writes to trackers, begins scans.
    case editor
    /// Reads.
    case viewer
}

/// Somebody who signs in.
package struct User: Sendable, Equatable {
    package var id: UserID
    /// Unique in the installation, lower case.
    package var name: String
    package var email: String?
    package var role: Role
    /// Whether signing in and keys work.
    package var isActive: Bool
    package var createdAt: Timestamp
    package var lastLoginAt: Timestamp?

    package init(
        id: UserID,
        name: String,
        email: String? = nil,
        role: Role,
        isActive: Bool = true,
        createdAt: Timestamp,
        lastLoginAt: Timestamp? = nil
    ) {
        self.id = id
        self.name = name
        self.email = email
        self.role = role
        self.isActive = isActive
        self.createdAt = createdAt
        self.lastLoginAt = lastLoginAt
    }
}
