import Domain
package import Firewall
import MCP
import Store

/// Looks through arguments and results for what should not pass, as far as rules ask for it.
package struct SensitiveValues: Sendable {
    /// The rules in force; asked for at every call, so that a new policy counts at once.
    private let policy: @Sendable () async throws -> RedactionPolicy
    private let redactor: Redactor

    /// - Parameters:
    ///   - redactor: Makes the marks; with the account's key.
    ///   - policy: Gives the rules in force; what it throws keeps calls from running.
    package init(
        redactor: Redactor,
        policy: @escaping @Sendable () async throws -> RedactionPolicy
    ) {
        self.redactor = redactor
        self.policy = policy
    }

    /// What the rules say about a value; nil when they say nothing.
    ///
    /// - Throws: What keeps the rules from being read.
    func verdict(
        on value: @autoclosure () -> JSONValue,
        _ side: RedactionPolicy.Side,
        _ tool: ToolIdentity,
        _ source: CallSource
    ) async throws -> RedactionPolicy.Verdict? {
        let policy = try await policy()
        guard !policy.rules.isEmpty else { return nil }
        let subject = RedactionPolicy.Subject(
            tool: tool.name,
            server: tool.server ?? ToolIdentity.builtIn,
            caller: source.caller.name,
            agent: source.client?.name ?? ""
        )
        let verdict = policy.evaluate(value(), on: side, of: subject, with: redactor)
        return verdict.action == nil ? nil : verdict
    }

    /// A digest of a value that only who has the account's key can compute.
    func digest(of value: JSONValue) -> [UInt8] {
        redactor.digest(of: value.serialized(sortedKeys: true))
    }
}

extension RedactionPolicy.Verdict {
    /// What was found and by which rules, for the record and for whoever is refused.
    var words: String { "\(summary) (\(rules.joined(separator: ", ")))" }
}

extension GuardedCall {
    /// What comes of looking through the arguments of a call.
    enum Screening: Sendable {
        /// It may go on, perhaps with other arguments.
        case passed
        /// Each of the workflows has to allow what was found.
        case approval(workflows: [String?], words: String)
        /// What the caller hears of a call that must not go on.
        case refused(ToolResult)
    }

    /// Looks through the arguments of a call before it is decided about, through what its caller
    /// says about why, and through what it tells the tool's server beside them: answers to its
    /// questions, and `_meta`.
    func screenArguments(
        _ request: inout Request,
        _ reason: inout String?,
        _ entry: ToolSet.Entry,
        _ source: CallSource,
        _ call: inout ToolCallTable.Call
    ) async -> Screening {
        // The reason was one of the arguments; a tool that has such an argument itself gives none.
        var given = request.arguments
        if let reason { given[Justification.key] = .string(reason) }
        given = HeldCall.kept(given, request.extras)
        let found: RedactionPolicy.Verdict?
        do {
            found = try await sensitive?
                .verdict(on: .object(given), .arguments, entry.identity, source)
        } catch PolicyError.unusable(let version, let reason) {
            call.policyVersion = version
            let error = PolicyError.unusable(version: version, reason: reason)
            return .refused(deny(&call, "\(error)"))
        } catch {
            // What the store says about why is nothing for callers.
            return .refused(deny(&call, "the policy cannot be read"))
        }
        guard let verdict = found, let action = verdict.action else { return .passed }
        call.rule = verdict.rules.last
        if action == .deny {
            return .refused(deny(&call, "the arguments contain \(verdict.words)"))
        }
        // Marks also where another rule asks for more than them.
        if verdict.value != .object(given) {
            var redacted = verdict.value.object ?? JSONObject()
            request.extras.take(from: &redacted)
            if reason != nil {
                reason = redacted[Justification.key]?.string
                redacted[Justification.key] = nil
            }
            guard verdict.value.object != nil,
                entry.schema.violations(of: .object(redacted)).isEmpty
            else {
                return .refused(
                    deny(&call, "the arguments without \(verdict.words) are not right")
                )
            }
            request.arguments = redacted
        }
        switch action {
        case .notify: call.add(reason: "noted: \(verdict.words)")
        case .redact: call.add(reason: "redacted: \(verdict.words)")
        case .requireApproval, .deny:
            // The gateway's own tools wait for nobody: they are how one waits.
            guard !entry.tool.isOfGateway else {
                return .refused(deny(&call, "the arguments contain \(verdict.words)"))
            }
            call.add(reason: "needs an approval: \(verdict.words)")
            return .approval(workflows: verdict.workflows, words: verdict.words)
        }
        return .passed
    }

    /// What is in the arguments of a call that was held, by the rules in force now.
    ///
    /// - Returns: The action, and the workflows of one that needs an approval; nil when there is
    ///   nothing to do about them.
    /// - Throws: What keeps the rules from being read.
    func screening(
        of held: HeldCall
    ) async throws -> (action: RedactionPolicy.Action, workflows: [String?], words: String)? {
        let verdict = try await sensitive?.verdict(
            on: .object(held.kept),
            .arguments,
            held.entry.identity,
            held.source
        )
        return verdict.flatMap { verdict in
            verdict.action.map { ($0, verdict.workflows, verdict.words) }
        }
    }

    /// What comes of looking through what a tool gave.
    struct ScreenedAnswer: Sendable {
        /// What the caller gets; of an answer that needs an approval, where nobody can be asked.
        var result: ToolResult
        /// What is to be noted about it.
        var note: String?
        /// Whether the caller gets nothing of what the tool gave.
        var isWithheld = false
        /// Whether that is because nobody knows the rules.
        var isUnreadable = false
        /// What somebody would have to allow; nil where nobody is to be asked.
        var approval: AnswerDemand?
    }

    /// An answer that needs an approval.
    struct AnswerDemand: Sendable {
        /// Who is asked, one after the other; nil for the usual ones.
        var workflows: [String?]
        /// What was found, and by which rules.
        var words: String
        /// The answer, with marks where another rule asks for them.
        var answer: ToolResult
    }

    /// Looks through what a tool gave before the caller sees it.
    func screenResult(
        _ result: ToolResult,
        of tool: ToolIdentity,
        _ source: CallSource
    ) async -> ScreenedAnswer {
        let found: RedactionPolicy.Verdict?
        do {
            found = try await sensitive?.verdict(on: Self.whole(result), .result, tool, source)
        } catch {
            var answer = Self.withheld("withheld: the policy cannot be read")
            answer.isUnreadable = true
            return answer
        }
        guard let verdict = found, let action = verdict.action else {
            return ScreenedAnswer(result: result)
        }
        switch action {
        case .notify:
            return ScreenedAnswer(result: result, note: "noted in the answer: \(verdict.words)")
        case .redact:
            let note = "redacted in the answer: \(verdict.words)"
            return ScreenedAnswer(result: Self.result(result, as: verdict.value), note: note)
        case .requireApproval:
            var answer = Self.withheld("withheld: the answer contains \(verdict.words)")
            answer.approval = AnswerDemand(
                workflows: verdict.workflows,
                words: verdict.words,
                answer: Self.result(result, as: verdict.value)
            )
            return answer
        case .deny: return Self.withheld("withheld: the answer contains \(verdict.words)")
        }
    }

    private static func withheld(_ note: String) -> ScreenedAnswer {
        let text = "The call has run, and its answer is \(note)."
        return ScreenedAnswer(result: .failure(text, .denied), note: note, isWithheld: true)
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

extension GuardedCall.Extras {
    /// Takes back what rules have left of what ``GuardedCall/HeldCall/kept(_:_:)`` put behind the
    /// arguments; what they have left no object of is not handed on.
    fileprivate mutating func take(from redacted: inout JSONObject) {
        if !meta.members.isEmpty { meta = redacted.removeLast()?.value.object ?? JSONObject() }
        if !inputs.members.isEmpty { inputs = redacted.removeLast()?.value.object ?? JSONObject() }
    }
}
