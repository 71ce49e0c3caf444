package import Domain

/// What a route asks of whoever calls it; every route names one, or is open.
package enum Permission: String, Sendable, CaseIterable {
    /// Issues, comments, projects, search, duplicates, how fresh they are.
    case viewIssues = "view_issues"
    /// Trackers and their state, without credentials.
    case viewTrackers = "view_trackers"
    /// Metrics of the process.
    case viewMetrics = "view_metrics"
    /// Say whether two issues are duplicates.
    case reviewDuplicates = "review_duplicates"
    /// Create, change and comment issues in trackers.
    case editIssues = "edit_issues"
    /// Begin a scan.
    case syncTrackers = "sync_trackers"
    /// Add, change and remove trackers; needs their credentials.
    case manageTrackers = "manage_trackers"
    /// Other MCP servers, their tools and their state, without credentials.
    case viewServers = "view_mcp_servers"
    /// Add, change, scan and remove other MCP servers, and accept their tools.
    case manageServers = "manage_mcp_servers"
    /// Add, change and remove users.
    case manageUsers = "manage_users"
    /// Who one is: what every credential may ask, whatever else it is for.
    case viewSelf = "view_self"
    /// One's own address, password, sessions and API keys.
    case manageSelf = "manage_self"
    /// What was called, decided and done, by everybody.
    case viewAudit = "view_audit_logs"
    /// Requests for approvals, with the arguments of what waits.
    case viewApprovals = "view_approvals"
    /// Approve and decline calls; whose, their workflow says.
    case decideApprovals = "decide_approvals"
    /// The rules by which calls of tools are decided, and their versions.
    case viewPolicies = "view_policies"
    /// Change those rules.
    case managePolicies = "manage_policies"
    /// Call tools; which ones, the gateway decides.
    case callTools = "call_tools"
}

extension Role {
    /// What a role may do.
    package var permissions: Set<Permission> {
        switch self {
        case .owner, .admin: Set(Permission.allCases)
        case .editor:
            [
                .viewIssues, .viewTrackers, .viewServers, .viewMetrics, .reviewDuplicates,
                .editIssues, .syncTrackers, .viewSelf, .manageSelf, .viewPolicies, .callTools,
                .viewApprovals, .decideApprovals,
            ]
        case .viewer:
            [
                .viewIssues, .viewTrackers, .viewServers, .viewSelf, .manageSelf, .viewPolicies,
                .callTools, .viewApprovals,
            ]
        }
    }
}

/// What an API key is restricted to; a key without any may do what its user may.
package enum KeyScope: String, Sendable, CaseIterable {
    /// Read over REST.
    case read
    /// Read and write over REST, but nothing about users, trackers, keys and policies.
    case write
    /// Tools that change nothing, over MCP.
    case mcpRead = "mcp:read"
    /// All tools, over MCP.
    case mcpWrite = "mcp:write"
    /// See and decide what waits for approval.
    case approvals
    /// The metrics of the process, for a collector.
    case metrics

    /// What a key with this scope may do at most.
    var permissions: Set<Permission> {
        switch self {
        case .read: [.viewSelf, .viewIssues, .viewTrackers, .viewServers, .viewPolicies]
        case .write:
            [
                .viewSelf, .viewIssues, .viewTrackers, .viewServers, .reviewDuplicates,
                .editIssues, .syncTrackers, .viewPolicies,
            ]
        case .mcpRead, .mcpWrite: [.viewSelf, .callTools]
        case .approvals: [.viewSelf, .viewApprovals, .decideApprovals]
        case .metrics: [.viewSelf, .viewMetrics]
        }
    }

    /// The scope that lets a key do something, and the least besides; nil when none does.
    static func least(with permission: Permission) -> KeyScope? {
        allCases.filter { $0.permissions.contains(permission) }
            .min { $0.permissions.count < $1.permissions.count }
    }

    /// Whether tools that change something may be called.
    var mayWriteByTools: Bool { self == .mcpWrite }
}
