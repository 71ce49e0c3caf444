import Domain
package import Firewall
import MCP
import Store

/// Looks through arguments and results for what should not pass, as far as rules ask for it.
package struct SensitiveValues: Sendable {
    /// The rules in force; asked for at every call, so that a new policy counts at once.
    private let policy: @Sendable () async -> RedactionPolicy
    private let redactor: Redactor

    /// - Parameters:
    ///   - redactor: Makes the marks; with the account's key.
    ///   - policy: Gives the rules in force.
    package init(
        redactor: Redactor,
        policy: @escaping @Sendable () async -> RedactionPolicy
    ) {
        self.redactor = redactor
        self.policy = policy
    }

    /// What the rules say about a value; nil when they say nothing.
    fileprivate func verdict(
        on value: @autoclosure () -> JSONValue,
        _ side: RedactionPolicy.Side,
        _ call: ToolCallTable.Call
    ) async -> RedactionPolicy.Verdict? {
        let policy = await policy()
        guard !policy.rules.isEmpty else { return nil }
        let subject = RedactionPolicy.Subject(
            tool: call.tool,
            server: call.server,
            caller: call.caller
        )
        let verdict = policy.evaluate(value(), on: side, of: subject, with: redactor)
        return verdict.action == nil ? nil : verdict
    }
}

extension RedactionPolicy.Verdict {
    /// What was found and by which rules, for the record and for whoever is refused.
    fileprivate var words: String { "\(summary) (\(rules.joined(separator: ", ")))" }
}

extension GuardedCall {
    /// Looks through the arguments of a call before it is decided about, through what its caller
    /// says about why, and through what it answers to questions of the tool's server.
    ///
    /// - Returns: What the caller hears when the call must not go on.
    func screenArguments(
        _ request: inout Request,
        _ reason: inout String?,
        _ schema: JSONSchema,
        _ call: inout ToolCallTable.Call
    ) async -> ToolResult? {
        // The reason was one of the arguments; a tool that has such an argument itself gives none.
        var given = request.arguments
        if let reason { given[Justification.key] = .string(reason) }
        let answers = request.extras.inputs
        if !answers.members.isEmpty { given[HeldCall.answersKey] = .object(answers) }
        guard let verdict = await sensitive?.verdict(on: .object(given), .arguments, call),
            let action = verdict.action
        else { return nil }
        call.rule = verdict.rules.last
        switch action {
        case .notify:
            call.add(reason: "noted: \(verdict.words)")
            return nil
        case .redact:
            var redacted = verdict.value.object ?? JSONObject()
            if reason != nil {
                reason = redacted[Justification.key]?.string
                redacted[Justification.key] = nil
            }
            if !answers.members.isEmpty {
                request.extras.inputs = redacted[HeldCall.answersKey]?.object ?? JSONObject()
                redacted[HeldCall.answersKey] = nil
            }
            guard verdict.value.object != nil, schema.violations(of: .object(redacted)).isEmpty
            else { return deny(&call, "the arguments without \(verdict.words) are not right") }
            request.arguments = redacted
            call.add(reason: "redacted: \(verdict.words)")
            return nil
        case .requireApproval:
            return deny(&call, "\(verdict.words) needs an approval, and nobody can give one")
        case .deny: return deny(&call, "the arguments contain \(verdict.words)")
        }
    }

    /// Looks through what a tool gave before the caller sees it.
    ///
    /// - Returns: What the caller gets, and what is to be noted about it. What would need an
    ///   approval is withheld: the tool has done its work, and nobody waits for an answer.
    func screenResult(
        _ result: ToolResult,
        of call: ToolCallTable.Call
    ) async -> (result: ToolResult, note: String?) {
        guard let verdict = await sensitive?.verdict(on: Self.whole(result), .result, call),
            let action = verdict.action
        else { return (result, nil) }
        switch action {
        case .notify: return (result, "noted in the answer: \(verdict.words)")
        case .redact:
            let note = "redacted in the answer: \(verdict.words)"
            return (Self.result(result, as: verdict.value), note)
        case .requireApproval, .deny:
            let note = "withheld: the answer contains \(verdict.words)"
            return (.failure("The call has run, and its answer is \(note).", .denied), note)
        }
    }

    /// Everything that the caller would see: of another server's answer each block, for texts and
    /// structured content need not say the same there.
    private static func whole(_ result: ToolResult) -> JSONValue {
        if let error = result.protocolError { return error.json }
        return result.original.map(JSONValue.object) ?? result.structured ?? .string(result.text)
    }

    /// The result with what is left of ``whole(_:)``.
    private static func result(_ result: ToolResult, as value: JSONValue) -> ToolResult {
        if result.protocolError != nil {
            return .failure(value["message"]?.string ?? "", .refused)
        }
        if result.original != nil { return ToolResult(original: value.object ?? JSONObject()) }
        guard result.structured == nil else { return ToolResult(value) }
        return .failure(value.string ?? "", result.kind ?? .invalid)
    }
}
