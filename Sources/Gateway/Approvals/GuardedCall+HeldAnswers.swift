import Domain
import Firewall
import MCP
import Store

/// Answers that wait for somebody's approval: the call has run, and its caller does not have what
/// it gave.
extension GuardedCall {
    /// The members of what is kept of an answer.
    private enum Kept {
        static let call = "call_id"
        static let client = "client"
        static let arguments = "arguments"
        static let answer = "answer"
    }

    /// Asks for the approval of an answer that needs one; where that cannot be done, the answer
    /// stays withheld.
    ///
    /// - Returns: The request; nil where there is none.
    func hold(
        _ screened: inout ScreenedAnswer,
        _ given: ToolResult,
        _ entry: ToolSet.Entry,
        _ arguments: JSONObject,
        _ call: ToolCallTable.Call,
        _ source: CallSource
    ) async -> ApprovalRequest? {
        guard let demand = screened.approval else { return nil }
        // The gateway's own tools tell of answers that were looked through when they were given.
        guard !entry.tool.isOfGateway else {
            screened = ScreenedAnswer(result: demand.answer)
            return nil
        }
        // An error of the protocol has no form in which it could be kept and told later.
        guard let approvals, given.protocolError == nil else { return nil }
        do {
            let draft = try Self.draft(demand, given, entry, arguments, call, source)
            // Not cancelled with the caller: what the call gave can be had no other way.
            let request = try await Task { try await approvals.open(draft).request }.value
            let words = "held: the answer contains \(demand.words)"
            screened.note = "\(words), approval request \(request.id)"
            return request
        } catch {
            screened.note = "\(screened.note ?? ""), and nobody can be asked: \(error)"
            return nil
        }
    }

    private static func draft(
        _ demand: AnswerDemand,
        _ given: ToolResult,
        _ entry: ToolSet.Entry,
        _ arguments: JSONObject,
        _ call: ToolCallTable.Call,
        _ source: CallSource
    ) throws -> ApprovalDesk.Draft {
        let kept = JSONObject([
            (Kept.call, .string(call.id)), (Kept.client, JSONValue(source.client?.name)),
            (Kept.arguments, .object(HeldCall.kept(arguments, source.extras))),
            (Kept.answer, .object(given.json(for: .latest))),
        ])
        let version = call.policyVersion ?? 0
        let binding = CallBinding(
            tool: entry.definition.name,
            definition: .null,
            arguments: kept,
            principal: source.caller.name,
            policyVersion: version
        )
        return ApprovalDesk.Draft(
            kind: .answer,
            tool: entry.definition.name,
            identity: entry.identity.server == nil ? nil : entry.identity,
            arguments: kept,
            caller: source.caller,
            digest: try binding.digest(),
            demand: asked(for: demand, policyVersion: version),
            session: source.session
        )
    }

    /// The same as the desk is asked.
    private static func asked(
        for demand: AnswerDemand,
        policyVersion: Int64
    ) -> ApprovalDemand {
        ApprovalDemand(
            workflows: demand.workflows,
            policyVersion: policyVersion,
            message: message(demand)
        )
    }

    /// What those who decide are told of it.
    private static func message(_ demand: AnswerDemand) -> String {
        "the answer contains \(demand.words)"
    }

    /// Waits for the decision about an answer, and gives it to whoever made the call.
    ///
    /// - Parameters:
    ///   - given: What the tool gave.
    ///   - entry: The tool.
    ///   - request: The request about it.
    ///   - source: Who made the call, and is there.
    ///   - limit: How long it may wait; nil for a caller that gets a handle at once.
    ///   - report: Told that it waits.
    /// - Returns: The answer, a handle, or why it is not shown.
    func release(
        _ given: ToolResult,
        of entry: ToolSet.Entry,
        _ request: ApprovalRequest,
        _ source: CallSource,
        within limit: Duration?,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        guard let approvals else { return .failure(ApprovalAnswer.refusal(request), .denied) }
        let isJudged = request.state.terms.judge != nil
        let limit = request.state.terms.isAsynchronous ? .zero : max(.zero, limit ?? .zero)
        // A client that takes tasks has one in place of a wait, where it may wait at all.
        let takesTask = source.takesTasks && limit > .zero
        func handle(_ request: ApprovalRequest) -> ToolResult {
            ApprovalAnswer.handle(request, of: entry.definition, approvals)
        }
        var decided = request
        do {
            if isJudged || !takesTask && limit > .zero {
                decided = try await decision(
                    about: request,
                    source,
                    within: limit,
                    isNew: true,
                    report
                )
            }
        } catch {
            // Cancelled, or the store fails: the request stays, and is the way to the answer.
            return handle(request)
        }
        switch decided.status {
        case .pending:
            return takesTask ? ApprovalAnswer.task(of: decided, approvals) : handle(decided)
        case .approved:
            let shown = await giveOut(decided, given, of: entry.identity, source)
            return shown.isPassing ? handle(decided) : shown.result
        case .declined, .expired, .cancelled:
            return .failure(ApprovalAnswer.refusal(decided), .denied)
        }
    }

    /// Keeps an approved answer for whoever asks for it.
    ///
    /// - Returns: Why it cannot, nil when it is kept, and whether that may be otherwise the next
    ///   time.
    func giveOut(
        _ request: ApprovalRequest,
        _ source: CallSource
    ) async -> (problem: String?, isPassing: Bool) {
        guard let approvals else { return (nil, false) }
        let kept: JSONObject
        do {
            kept = try approvals.heldArguments(of: request)
        } catch {
            return ("the held answer cannot be opened: \(error)", true)
        }
        // Somebody else was faster.
        guard let answer = kept[Kept.answer]?.object else { return (nil, false) }
        // Rules ask for whom the call was made by, not for who comes for what it gave.
        var source = source
        source.client = kept[Kept.client]?.string.map { ClientDescription(name: $0, version: "") }
        let given = ToolResult(original: answer)
        let shown = await giveOut(request, given, of: request.toolIdentity, source)
        return (shown.isGiven ? nil : shown.result.text, shown.isPassing)
    }

    /// What comes of giving an answer out.
    private struct GivenAnswer {
        var result: ToolResult
        var isGiven = false
        /// Whether it may be given the next time somebody asks for it.
        var isPassing = false
    }

    /// Gives an approved answer as the rules in force now leave it, and keeps that on record.
    private func giveOut(
        _ request: ApprovalRequest,
        _ given: ToolResult,
        of tool: ToolIdentity,
        _ source: CallSource
    ) async -> GivenAnswer {
        let screened = await screenResult(given, of: tool, source)
        if let demand = screened.approval, let reason = await otherDemand(demand, request) {
            return GivenAnswer(result: .failure(reason, .denied))
        }
        guard screened.approval != nil || !screened.isWithheld else {
            // A rule that denies may be gone tomorrow; whether one does is not known without them.
            return GivenAnswer(result: screened.result, isPassing: screened.isUnreadable)
        }
        // What needs an approval has it.
        let result = screened.approval?.answer ?? screened.result
        do {
            guard let approvals else { return GivenAnswer(result: result) }
            if try await approvals.release(request.id, .object(result.json(for: .latest))) {
                return GivenAnswer(result: result, isGiven: true)
            }
            // Whoever asked for it a moment before has it as well.
            let after = try await approvals.find(request.id, withSealed: false)
            if after.row.execution == .done { return GivenAnswer(result: result, isGiven: true) }
            return GivenAnswer(result: .failure(ApprovalAnswer.refusal(after), .denied))
        } catch {
            let text = "The call has run; that its answer is shown could not be recorded: \(error)."
            let result = ToolResult.failure(text, ToolFailure(cause: error).kind)
            return GivenAnswer(result: result, isPassing: true)
        }
    }

    /// Why an approval is not the one that the rules ask for now; nil when it is.
    private func otherDemand(_ demand: AnswerDemand, _ request: ApprovalRequest) async -> String? {
        let stored = request.row.request
        let asked = Self.asked(for: demand, policyVersion: stored.policyVersion)
        // One that cannot be found is not the one that was asked.
        let found = try? await approvals?.askedWorkflows(of: asked)
        guard let wanted = found, request.isApproved(by: wanted) else {
            // Also one that was held before each of several rules had its workflow asked.
            let names = found.map { ApprovalRequest.names($0) } ?? "others, who cannot be asked"
            return """
                The call has run, and its answer is withheld: it contains \(demand.words), which \
                needs an approval by \(names), and was approved by \(stored.workflow) \
                (request \(request.id)).
                """
        }
        guard haveEqualBytes(Self.message(demand), stored.message ?? "") else {
            return """
                The call has run, and its answer is withheld: the rules have changed since it was \
                approved, and find \(demand.words) (request \(request.id)).
                """
        }
        return nil
    }
}

extension ApprovalRequest {
    /// Which tool it is about, as policies name it.
    fileprivate var toolIdentity: ToolIdentity {
        let parts = (row.request.identity ?? "").split(separator: "/", maxSplits: 1)
        guard parts.count == 2 else { return ToolIdentity(name: tool) }
        return ToolIdentity(server: String(parts[0]), name: String(parts[1]))
    }
}
