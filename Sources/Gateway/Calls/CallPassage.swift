import Crypto
import Domain
import Firewall
import MCP
import Synchronization

/// What passes between a client and another server while a call runs: log messages, progress,
/// questions, answers.
///
/// The rules for results hold for what the server says, those for arguments for what the client
/// answers. What they forbid is dropped, and noted in the call's record; so is each question and
/// answer, as a digest. Our own tools say nothing that is not ours.
final class CallPassage: Sendable {
    /// Notes of one call that are kept; a server may ask without end.
    private static let maximumNotes = 16
    /// Bytes of a digest that are shown: enough to compare, and no line of digits.
    private static let digestBytes = 12
    /// Of a method's name, which the server has chosen.
    private static let nameBytes = 64

    private struct Notes {
        var texts: [String] = []
        var further = 0
    }

    private let tool: ToolIdentity
    private let source: CallSource
    private let sensitive: SensitiveValues?
    private let send: @Sendable (GuardedCall.Event) async -> Void
    private let notes = Mutex(Notes())

    /// - Parameters:
    ///   - tool: Which tool runs.
    ///   - source: Where the call comes from.
    ///   - sensitive: Looks through what passes; nil where nothing is looked for.
    ///   - send: Tells the client.
    init(
        of tool: ToolIdentity,
        _ source: CallSource,
        _ sensitive: SensitiveValues?,
        _ send: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) {
        self.tool = tool
        self.source = source
        self.sensitive = sensitive
        self.send = send
    }

    /// What came with the call, with a way to ask the client that goes through here.
    ///
    /// What is of the client or of its trace, and not of this call, is no reason to refuse it:
    /// where rules find something in it, the server does not hear of it.
    var extras: GuardedCall.Extras {
        get async {
            var extras = source.extras
            guard tool.server != nil else { return extras }
            if let ask = extras.ask {
                extras.ask = { method, parameters in await self.ask(method, parameters, by: ask) }
            }
            extras.baggage = await whole(extras.baggage, "baggage")
            extras.traceState = await whole(Trace.current?.context.state, "a trace state")
            extras.parameterHeaders = await whole(extras.parameterHeaders)
            if !extras.capabilities.members.isEmpty {
                let capabilities = JSONValue.object(extras.capabilities)
                let left = await passed(capabilities, .arguments, "capabilities")
                if left != capabilities { extras.capabilities = JSONObject() }
            }
            return extras
        }
    }

    /// A text that may be handed on as it is; nil for others, for with marks it has no meaning.
    private func whole(_ text: String?, _ what: String) async -> String? {
        guard let text, await passed(.string(text), .arguments, what) == .string(text) else {
            return nil
        }
        return text
    }

    /// The headers in which nothing is found; what is in Base64 is looked at as what it stands for.
    private func whole(_ headers: HeaderFields) async -> HeaderFields {
        var left = HeaderFields()
        for field in headers.fields {
            let text = HeaderValue.decoded(field.value) ?? field.value
            guard await whole("\(field.name): \(text)", "a header") != nil else { continue }
            left.append(field.name, field.value)
        }
        return left
    }

    /// Tells the client what may be told.
    func report(_ event: GuardedCall.Event) async {
        guard tool.server != nil else { return await send(event) }
        switch event {
        case .progress(var progress):
            if let text = progress.message {
                progress.message = await passed(.string(text), .result, "progress")?.string
            }
            await send(.progress(progress))
        case .message(let level, let parameters):
            let told = await passed(.object(parameters), .result, "a message")?.object
            if let told { await send(.message(level, told)) }
        case .log: await send(event)
        }
    }

    /// What is to be noted of the call in all; nil for nothing.
    func noted(with note: String?) -> String? {
        let (texts, further) = notes.withLock { ($0.texts, $0.further) }
        var all = [note].compactMap { $0 } + texts
        if further > 0 { all.append("and \(further) more") }
        return all.isEmpty ? nil : all.joined(separator: "; ")
    }

    // MARK: - Questions

    private func ask(
        _ method: String,
        _ parameters: JSONObject,
        by ask: @Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>
    ) async -> Result<JSONObject, RPCError> {
        let name = sanitized(String(decoding: method.utf8.prefix(Self.nameBytes), as: UTF8.self))
        let asked = "asked \(name) \(digest(parameters))"
        guard let question = await passed(.object(parameters), .result, "a question")?.object
        else {
            note("\(asked), which was not handed on")
            return .failure(Self.refusal)
        }
        switch await ask(method, question) {
        case .failure(let error):
            note("\(asked), not answered")
            return .failure(error)
        case .success(let answer):
            note("\(asked), answered \(digest(answer))")
            let given = await passed(.object(answer), .arguments, "an answer")?.object
            if let given { return .success(given) }
            return .failure(Self.refusal)
        }
    }

    /// What the server hears, which need not know why.
    private static let refusal = RPCError.invalidRequest("the question was not handed on")

    private func digest(_ object: JSONObject) -> String {
        let value = JSONValue.object(object)
        let digest =
            sensitive?.digest(of: value)
            ?? Array(SHA256.hash(data: value.serialized(sortedKeys: true)))
        return hexadecimal(digest.prefix(Self.digestBytes))
    }

    // MARK: - Looking through

    /// A value as the rules leave it; nil when it must not pass.
    private func passed(
        _ value: JSONValue,
        _ side: RedactionPolicy.Side,
        _ what: String
    ) async -> JSONValue? {
        guard let sensitive else { return value }
        let found: RedactionPolicy.Verdict?
        do {
            found = try await sensitive.verdict(on: value, side, tool, source)
        } catch {
            note("\(what) withheld: the policy cannot be read")
            return nil
        }
        guard let verdict = found, let action = verdict.action else { return value }
        switch action {
        case .notify:
            note("noted in \(what): \(verdict.words)")
            return value
        case .redact:
            note("redacted in \(what): \(verdict.words)")
            return verdict.value
        case .requireApproval, .deny:
            // Nobody can be asked in the middle of a call.
            note("\(what) withheld: it contains \(verdict.words)")
            return nil
        }
    }

    private func note(_ text: String) {
        notes.withLock { notes in
            guard !notes.texts.contains(where: { haveEqualBytes($0, text) }) else { return }
            if notes.texts.count < Self.maximumNotes {
                notes.texts.append(text)
            } else {
                notes.further += 1
            }
        }
    }
}

extension ToolSet.Entry {
    /// What to tell of a call that was stopped; `harmless` where it could change nothing.
    func advice(_ harmless: String) -> String {
        definition.isSurelyReadOnly
            ? harmless
            : "What it was to change may be changed all the same: look before you call it again."
    }
}
