import Crypto
import Domain
import Firewall
import MCP
import Store

/// What passes between a client's session and a server that its calls use, outside of calls.
///
/// It is looked through as what passes during a call is, by the rules for every tool of the server
/// that the session has called: which of them a message is of is not known. What they forbid is
/// dropped. Messages are not on record, for they belong to no call; questions and answers are.
struct OpenPassage: Sendable {
    /// How long a client may think about an answer that no call waits for.
    private static let patience: Duration = .seconds(30)

    let session: OpenSession
    let server: String
    private let source: CallSource
    private let calls: GuardedCall

    /// - Parameters:
    ///   - session: The client's.
    ///   - tool: What a call of it uses; nothing passes for our own tools.
    ///   - source: Where the call comes from.
    ///   - calls: Knows what may pass.
    init?(
        of session: OpenSession?,
        _ tool: ToolIdentity,
        _ source: CallSource,
        _ calls: GuardedCall
    ) {
        guard let session, let server = tool.server else { return nil }
        session.use(tool)
        var source = source
        source.extras = GuardedCall.Extras()
        (self.session, self.server, self.source, self.calls) = (session, server, source, calls)
    }

    /// Tells the client what may be told.
    func tell(_ notice: OpenSession.Notice) async {
        switch notice {
        case .message(let level, let parameters):
            if let told = await told(parameters) { session.tell(.message(level, told)) }
        case .elicitationEnded(let parameters):
            if let told = await told(parameters) { session.tell(.elicitationEnded(told)) }
        }
    }

    private func told(_ parameters: JSONObject) async -> JSONObject? {
        let used = session.used(of: server)
        let byteCount = JSONValue.object(parameters).serialized().count
        guard session.hasRoom(for: byteCount, of: server),
            await calls.sees(source.caller, anyOf: used)
        else { return nil }
        return await passed(parameters, .result, used)
    }

    /// Asks the client what no call waits for.
    func ask(_ method: String, _ parameters: JSONObject) async -> Result<JSONObject, RPCError> {
        let refusal = RPCError.invalidRequest("the question was not handed on")
        // Not on record: a server that asks without end must not fill it.
        guard session.mayBeAsked(by: server) else { return .failure(refusal) }
        let used = session.used(of: server)
        guard await calls.sees(source.caller, anyOf: used),
            let question = await passed(parameters, .result, used)
        else {
            _ = await note(method, "asked outside of calls, not handed on", .denied)
            return .failure(refusal)
        }
        let outcome = await answer(to: method, question)
        guard case .success(let answer) = outcome else {
            _ = await note(method, "asked outside of calls, not answered", .failed)
            return outcome
        }
        guard let given = await passed(answer, .arguments, used) else {
            _ = await note(method, "asked outside of calls, answer withheld", .denied)
            return .failure(refusal)
        }
        let digest = SHA256.hash(data: JSONValue.object(answer).serialized(sortedKeys: true))
        let bytes = calls.sensitive?.digest(of: .object(answer)) ?? Array(digest)
        let text = "asked outside of calls, answered \(hexadecimal(bytes.prefix(12)))"
        guard await note(method, text, .succeeded) else { return .failure(refusal) }
        return .success(given)
    }

    private func answer(
        to method: String,
        _ parameters: JSONObject
    ) async -> Result<JSONObject, RPCError> {
        let late = RPCError.internalError("there was no answer")
        return await withTaskGroup(of: Result<JSONObject, RPCError>.self) { group in
            group.addTask { await session.ask(method, parameters) }
            group.addTask {
                // Ends early when there is an answer.
                try? await Task.sleep(for: Self.patience)
                return .failure(late)
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(late)
        }
    }

    /// An object as the rules leave it; nil when it must not pass.
    private func passed(
        _ object: JSONObject,
        _ side: RedactionPolicy.Side,
        _ used: [ToolIdentity]
    ) async -> JSONObject? {
        guard let sensitive = calls.sensitive else { return object }
        var value = JSONValue.object(object)
        for tool in used {
            do {
                guard let verdict = try await sensitive.verdict(on: value, side, tool, source),
                    let action = verdict.action
                else { continue }
                switch action {
                case .notify: break
                case .redact: value = verdict.value
                // Nobody can be asked outside of a call.
                case .requireApproval, .deny: return nil
                }
            } catch {
                // Rules that cannot be read let nothing pass.
                return nil
            }
        }
        return value.object
    }

    /// Puts a question on record; false when that failed.
    private func note(
        _ method: String,
        _ text: String,
        _ outcome: ToolCallTable.Outcome
    ) async -> Bool {
        let asked = GuardedCall.Request(tool: method, JSONObject(), source)
        var call = calls.record(of: asked, by: source.caller)
        call.take(ToolIdentity(server: server, name: method))
        call.outcome = outcome
        call.decision = outcome == .denied ? .deny : .allow
        call.add(reason: text)
        call.end = ToolCallTable.End(endedAt: calls.clock.now(), duration: .zero, resultBytes: 0)
        do {
            try await calls.journal.begin(call)
            return true
        } catch {
            return false
        }
    }
}

extension GuardedCall {
    /// Whether a caller can still see any of some tools and requests.
    func sees(_ caller: Caller, anyOf used: [ToolIdentity]) async -> Bool {
        for identity in used {
            guard let definition = await definition(of: identity) else { continue }
            if await policy.isVisible(definition, identity, to: caller) { return true }
        }
        return false
    }

    /// Ends a session, for the servers that its calls have reached.
    package func end(_ session: OpenSession) async { await session.finish() }
}
