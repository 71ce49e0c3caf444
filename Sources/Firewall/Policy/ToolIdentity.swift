import Domain

/// Which tool is meant, whatever it is called towards agents.
package struct ToolIdentity: Sendable, Equatable, CustomStringConvertible {
    /// The name of the server it is of; nil for tools that are built in.
    package var server: String?
    /// Its name at that server.
    package var name: String

    package init(server: String? = nil, name: String) {
        self.server = server
        self.name = name
    }

    /// By bytes: a name that only looks the same is of another tool.
    package static func == (left: ToolIdentity, right: ToolIdentity) -> Bool {
        guard (left.server == nil) == (right.server == nil) else { return false }
        return haveEqualBytes(left.name, right.name)
            && haveEqualBytes(left.server ?? "", right.server ?? "")
    }

    /// As policies write it: `github/create_issue`, `builtin/search`.
    package var description: String { "\(server ?? Self.builtIn)/\(name)" }

    /// What policies call the server of the built-in tools.
    package static let builtIn = "builtin"

    /// Names that no server can have: policies mean something else by them.
    package static let reservedServers = PolicyWords.reservedSources

    /// The gateway's own tools: by them callers wait for approvals, so no rule for tools is asked
    /// about them.
    package static let namesOfGateway = ["get_approval_status", "request_approval"]

    /// Whether it is one of the gateway's own.
    package var isOfGateway: Bool {
        server == nil && Self.namesOfGateway.contains { haveEqualBytes($0, name) }
    }
}
