import Domain
import MCP

/// Carries the messages of one session to a server and back.
///
/// Contract: what comes is given to `deliver`, one after the other for each call, and waited for;
/// after ``LinkEvent/closed(_:)`` nothing more comes. A message is delivered once, or its call
/// fails.
protocol UpstreamLink: Sendable {
    /// Connects, where there is something to connect, and begins to deliver.
    func start(deliver: @escaping @Sendable (LinkEvent) async -> Void) async throws(UpstreamError)

    /// Sends a message; for a request, returns when it is under way.
    func send(_ message: Message, _ context: LinkContext) async throws(UpstreamError)

    /// What the server said of itself when the session began.
    func begun(_ profile: ServerProfile) async

    /// Nothing more is wanted of a call.
    func stop(_ call: ClientSession.CallID) async

    /// Ends everything.
    func close() async
}

/// What a link needs to know of a message besides its text.
struct LinkContext: Sendable {
    /// The request that it is, or belongs to.
    var call: ClientSession.CallID?
    /// Headers that mirror arguments.
    var headers: [(name: String, value: String)] = []
}

/// What comes from a server.
enum LinkEvent: Sendable {
    case incoming(MessageParser.Incoming, during: ClientSession.CallID?)
    case malformed(MessageParser.Failure, during: ClientSession.CallID?)
    /// A call's stream has ended without its answer.
    case failed(ClientSession.CallID, UpstreamError)
    /// The link is over.
    case closed(UpstreamError)
}
