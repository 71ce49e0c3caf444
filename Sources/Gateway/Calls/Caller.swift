/// On whose behalf a tool is called.
package struct Caller: Sendable, Equatable {
    /// How a call reaches us.
    package enum Channel: String, Sendable {
        /// `preloop mcp`, over standard input and output.
        case stdio
        /// `preloop tools call`.
        case command
    }

    /// The name in records: `local:ann`.
    package var name: String
    package var channel: Channel

    package init(name: String, channel: Channel) {
        self.name = name
        self.channel = channel
    }
}
