import Domain
import MCP

/// A session that is spoken to in JSON text; what it sends is collected.
struct Conversation {
    var session: ServerSession
    private(set) var sent: [JSONValue] = []
    private(set) var started: [ServerSession.Job] = []
    private(set) var cancelled: [ServerSession.JobID] = []
    private(set) var answers: [ServerSession.AskID: Result<JSONObject, RPCError>] = [:]
    private(set) var announced: [ServerSession.Announcement] = []
    private(set) var endedExchanges: [Int] = []
    private var exchange = 0

    static let server = ServerDescription(
        name: "test",
        title: "Test",
        version: "1.0",
        instructions: "be kind",
        tellsListChanges: true
    )

    init(
        limits: ServerSession.Limits = .init(),
        server: ServerDescription = Conversation.server
    ) {
        session = ServerSession(server: server, limits: limits)
    }

    /// Says something, and gives what is sent at once.
    @discardableResult
    mutating func say(_ text: String) -> [JSONValue] {
        exchange += 1
        do throws(MessageParser.Failure) {
            return apply(session.receive(try MessageParser().parse(Array(text.utf8)), in: exchange))
        } catch {
            return apply(session.refuse(error, in: exchange))
        }
    }

    @discardableResult
    mutating func apply(_ actions: [ServerSession.Action]) -> [JSONValue] {
        var messages: [JSONValue] = []
        for action in actions {
            switch action {
            case .send(let message, _): messages.append(message)
            case .exchangeEnded(let exchange): endedExchanges.append(exchange)
            case .start(let job): started.append(job)
            case .cancel(let job): cancelled.append(job)
            case .answered(let ask, let outcome): answers[ask] = outcome
            case .announced(let announcement): announced.append(announcement)
            }
        }
        sent += messages
        return messages
    }

    /// Ends a job with a text as its result.
    @discardableResult
    mutating func finish(_ job: ServerSession.JobID, _ text: String = "ok") -> [JSONValue] {
        apply(session.finish(job, .success(.result(ToolResult(["said": .string(text)])))))
    }

    /// A modern request.
    @discardableResult
    mutating func ask(
        _ id: String,
        _ method: String,
        _ parameters: String = "",
        version: String = "2026-07-28",
        meta: String = ""
    ) -> [JSONValue] {
        say(
            """
            {"jsonrpc":"2.0","id":\(id),"method":"\(method)","params":{\(parameters)\
            \(parameters.isEmpty ? "" : ",")"_meta":{\
            "io.modelcontextprotocol/protocolVersion":"\(version)",\
            "io.modelcontextprotocol/clientCapabilities":{}\(meta.isEmpty ? "" : ",")\(meta)}}}
            """
        )
    }

    /// Begins a legacy session.
    @discardableResult
    mutating func initialize(_ version: String = "2025-11-25") -> [JSONValue] {
        let answer = say(
            """
            {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":\
            "\(version)","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}
            """
        )
        say(#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        return answer
    }

    /// Cancels a request.
    @discardableResult
    mutating func cancel(_ id: String) -> [JSONValue] {
        say(
            """
            {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":\(id)}}
            """
        )
    }

    static func tool(_ name: String) -> ToolDefinition {
        ToolDefinition(
            name: name,
            title: name,
            summary: "does \(name)",
            inputSchema: ["type": "object"],
            outputSchema: ["type": "object"],
            annotations: .init(isReadOnly: true)
        )
    }
}
