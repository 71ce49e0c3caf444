/// Another MCP server, whose tools are offered through the gateway.
package struct UpstreamServer: Sendable, Hashable {
    package var id: UpstreamServerID
    /// Unique in the account; lower-case letters, digits, `-` and `_`.
    package var name: String
    package var transport: Transport
    /// Where it is; empty for a program.
    package var url: String
    /// The program and its arguments; empty for an address.
    package var command: [String]
    package var authentication: Authentication
    /// The header that an API key goes into.
    package var headerName: String
    package var prefix: PrefixMode
    /// Whether tools that a later scan finds wait until somebody has accepted them.
    package var holdsNewTools: Bool
    /// Whether what it says of its tools' effects is believed: `readOnlyHint` is the word of a
    /// stranger else, and opens nothing to credentials that may only read.
    package var trustsHints: Bool
    /// What it may take for the answer to a call.
    package var timeLimitSeconds: Int
    package var status: Status
    /// Whether nobody has looked at what it offers yet: the first scan that somebody asks for
    /// accepts what is not suspicious.
    package var awaitsFirstScan: Bool
    package var lastScanAt: Timestamp?
    /// Why the latest scan failed; nil when it did not.
    package var lastError: String?
    package var createdAt: Timestamp

    /// How messages reach it.
    package enum Transport: String, Sendable, CaseIterable {
        case streamableHTTP = "streamable-http"
        /// HTTP with server-sent events, of the protocol's first revision.
        case sse
        /// A program of this machine, over its standard input and output.
        case stdio
    }

    /// What it wants to see before it answers.
    package enum Authentication: String, Sendable, CaseIterable {
        case none
        /// `Authorization: Bearer …`.
        case bearer
        /// A header of its own.
        case apiKey = "api_key"
        /// Tokens that somebody has signed in for, renewed when they end; or a stored one, sent
        /// as `bearer` is.
        case oauth
    }

    /// When its tools get its name in front of theirs.
    package enum PrefixMode: String, Sendable, CaseIterable {
        case always
        /// Where the name alone would not be the only one.
        case conflict
        case never
    }

    /// What the latest scan says.
    package enum Status: String, Sendable, CaseIterable {
        /// Not scanned yet.
        case new
        case active
        case error
    }

    /// The usual header of API keys.
    package static let standardHeaderName = "X-API-Key"
    /// Calls of all tools end after 120 seconds: a server that has not answered ten before is told
    /// from a caller who gives up.
    package static let longestTimeLimitSeconds = 110

    package init(
        id: UpstreamServerID,
        name: String,
        transport: Transport,
        url: String = "",
        command: [String] = [],
        createdAt: Timestamp
    ) {
        self.id = id
        self.name = name
        self.transport = transport
        self.url = url
        self.command = command
        self.createdAt = createdAt
        authentication = .none
        headerName = Self.standardHeaderName
        prefix = .conflict
        holdsNewTools = true
        trustsHints = false
        timeLimitSeconds = Self.longestTimeLimitSeconds
        status = .new
        awaitsFirstScan = true
    }
}

/// A tool of an upstream server, as it was accepted and as it is now.
package struct UpstreamTool: Sendable, Hashable {
    /// What the server calls it.
    package var name: String
    /// The definition that was accepted; nil when none ever was.
    package var accepted: JSONObject?
    /// The one that waits to be accepted; nil when none does.
    package var proposed: JSONObject?
    package var state: State
    /// What somebody should look at before accepting it.
    package var flags: [String]
    /// When it was last found.
    package var seenAt: Timestamp

    /// Whether it can be called.
    package enum State: String, Sendable, CaseIterable {
        /// Its definition is the one that was accepted.
        case accepted
        /// It is new, or not what was accepted: it cannot be called.
        case held
        /// The server does not list it any more.
        case gone
    }

    package init(
        name: String,
        accepted: JSONObject?,
        proposed: JSONObject?,
        state: State,
        flags: [String],
        seenAt: Timestamp
    ) {
        self.name = name
        self.accepted = accepted
        self.proposed = proposed
        self.state = state
        self.flags = flags
        self.seenAt = seenAt
    }
}
