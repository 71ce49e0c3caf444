/// On whose behalf a tool is called.
package struct Caller: Sendable, Equatable {
    /// How a call reaches us.
    package enum Channel: String, Sendable {
        /// `preloop mcp`, over standard input and output.
        case stdio
        /// `preloop tools call`.
        case command
        /// The MCP endpoint of a server.
        case mcp
        /// The routes of a server that stand for tools.
        case rest
    }

    /// The name in records: `local:ann`.
    package var name: String
    package var channel: Channel
    /// Whether tools that change something are for them.
    package var mayWrite: Bool
    /// What the user is in the account: `editor`; empty where there are no roles.
    package var role: String

    /// The key or session they came with, such as `key:7`; nil on this machine.
    package var credential: String?

    package init(name: String, channel: Channel, mayWrite: Bool = true, role: String = "") {
        self.name = name
        self.channel = channel
        self.mayWrite = mayWrite
        self.role = role
    }
}
