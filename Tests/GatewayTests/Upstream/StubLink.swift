import Domain
import MCP
import Synchronization

@testable import Gateway

/// A link to a server of the older era that answers when a test says so.
final class StubLink: UpstreamLink {
    private struct State {
        var deliver: (@Sendable (LinkEvent) async -> Void)?
        var open: [ClientSession.CallID] = []
        var sent: [String] = []
        var answers: [Result<JSONObject, RPCError>] = []
    }

    private let state = Mutex(State())
    /// What the server says that it can do.
    private let offered: JSONValue

    init(offering offered: JSONValue = [:]) { self.offered = offered }

    /// The methods of the requests that were sent.
    var sent: [String] { state.withLock { $0.sent } }

    /// What the server was answered.
    var answers: [Result<JSONObject, RPCError>] { state.withLock { $0.answers } }

    func start(deliver: @escaping @Sendable (LinkEvent) async -> Void) async throws(UpstreamError) {
        state.withLock { $0.deliver = deliver }
    }

    func send(_ message: Message, _ context: LinkContext) async throws(UpstreamError) {
        if case .response(let response) = message {
            state.withLock { $0.answers.append(response.outcome) }
        }
        guard case .request(let request) = message, let call = context.call else { return }
        state.withLock {
            $0.sent.append(request.method)
            if request.method == "tools/call" { $0.open.append(call) }
        }
        guard request.method == "initialize" else { return }
        await answer(
            call,
            object([
                "protocolVersion": "2025-11-25", "capabilities": offered,
                "serverInfo": ["name": "stub", "version": "1"],
            ])
        )
    }

    /// A session by this link, which has begun.
    func opened(_ capabilities: JSONObject = JSONObject()) async throws -> UpstreamConnection {
        let connection = UpstreamConnection(
            session: ClientSession(
                client: ClientDescription(name: "test", version: "1"),
                capabilities: capabilities
            ),
            link: self,
            notice: { _ in }
        )
        _ = try await connection.open(.initialize)
        return connection
    }

    /// Answers the call that has waited the longest.
    func answerNext() async {
        if let call = takeNext() { await answer(call, object(["content": []])) }
    }

    /// Answers the call that has waited the shortest.
    func answerLast() async {
        let call = state.withLock { $0.open.popLast() }
        if let call { await answer(call, object(["content": []])) }
    }

    /// Tells that the session is gone for the call that has waited the longest.
    func forgetNext() async {
        let deliver = state.withLock { $0.deliver }
        if let call = takeNext() { await deliver?(.failed(call, .sessionEnded)) }
    }

    private func takeNext() -> ClientSession.CallID? {
        state.withLock { state in
            guard !state.open.isEmpty else { return nil }
            return state.open.removeFirst()
        }
    }

    /// Says something that names no call.
    func log() async {
        let deliver = state.withLock { $0.deliver }
        let notification = Message.Notification(
            method: "notifications/message",
            parameters: object(["level": "error", "data": "a remark"])
        )
        await deliver?(.incoming(.message(.notification(notification)), during: nil))
    }

    /// Says that a page has served its purpose.
    func endPage(_ id: String) async {
        let deliver = state.withLock { $0.deliver }
        let notification = Message.Notification(
            method: "notifications/elicitation/complete",
            parameters: object(["elicitationId": .string(id)])
        )
        await deliver?(.incoming(.message(.notification(notification)), during: nil))
    }

    /// Asks the client something that names no call.
    func ask(
        _ method: String = "elicitation/create",
        _ parameters: JSONObject = JSONObject()
    ) async {
        let deliver = state.withLock { $0.deliver }
        let request = Message.Request(
            id: .string("question"),
            method: method,
            parameters: parameters
        )
        await deliver?(.incoming(.message(.request(request)), during: nil))
    }

    private func answer(_ call: ClientSession.CallID, _ result: JSONObject) async {
        let deliver = state.withLock { $0.deliver }
        let response = Message.Response(id: .integer(call), outcome: .success(result))
        await deliver?(.incoming(.message(.response(response)), during: call))
    }

    /// Waits until so many requests were sent; gives up after a while.
    func waitForRequests(_ count: Int) async throws {
        try await wait { self.sent.count >= count }
    }

    /// Waits until the server was answered so often; gives up after a while.
    func waitForAnswers(_ count: Int) async throws {
        try await wait { self.answers.count >= count }
    }

    private func wait(_ isOver: () -> Bool) async throws {
        var looks = 0
        while !isOver(), looks < 1_000 {
            try await Task.sleep(for: .milliseconds(5))
            looks += 1
        }
    }

    func begun(_ profile: ServerProfile) async {}
    func stop(_ call: ClientSession.CallID) async {}
    func close() async { state.withLock { $0.deliver = nil } }
}
