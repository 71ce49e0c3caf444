package import Domain

extension Role {
    /// Whether a role may decide approvals: the server's permission `decide_approvals`, for links,
    /// which are looked at where no permissions are known.
    package var mayDecideApprovals: Bool {
        switch self {
        case .owner, .admin, .editor: true
        case .viewer: false
        }
    }
}

extension User {
    /// Whether a link may decide in this user's name now.
    package var mayDecideApprovals: Bool { isActive && role.mayDecideApprovals }
}
