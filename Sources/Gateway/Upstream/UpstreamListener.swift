import Domain
import MCP

/// Who hears what a server says during a call.
struct UpstreamListener: Sendable {
    /// Asks the client, and gives what it answers.
    typealias Ask = @Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>

    /// Whose call it is.
    struct Client: Hashable, Sendable {
        var caller: String
        /// The client's session; nil where each call comes alone.
        var session: String?

        /// By bytes: names that only look the same are of two callers, and what a server says
        /// without naming a call is for neither then.
        static func == (left: Client, right: Client) -> Bool {
            left.bytes == right.bytes
        }

        func hash(into hasher: inout Hasher) { hasher.combine(bytes) }

        private var bytes: [[UInt8]?] { [Array(caller.utf8), session.map { Array($0.utf8) }] }
    }

    /// Nil for what is asked by nobody's order, such as lists: no server means such a request by
    /// what names no call.
    var client: Client?
    /// The parameters of `notifications/progress`.
    var progress: @Sendable (JSONObject) async -> Void = { _ in }
    /// The parameters of `notifications/message`.
    var message: @Sendable (LogLevel, JSONObject) async -> Void = { _, _ in }
    /// The parameters of `notifications/subscriptions/acknowledged`.
    var acknowledged: @Sendable (JSONObject) async -> Void = { _ in }
    /// Answers what the server asks of the client; nil where nobody can.
    var ask: Ask?
    /// Whether the client has gone with a question, and may not come back.
    var isAway: @Sendable () -> Bool = { false }
    /// The client's session, for what the server says later; nil for what comes alone.
    var guest: Guest?
}

/// Which log messages the client of a call wants to hear.
enum LogWish: Sendable, Equatable {
    case nothing
    /// What the server tells those who say nothing.
    case usual
    case from(LogLevel)

    /// From where on; nil where that was not said.
    var level: LogLevel? {
        if case .from(let level) = self { level } else { nil }
    }
}
