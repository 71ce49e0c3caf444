import Domain
import Firewall
import MCP
import Store

/// Answers that wait for somebody's approval: the call has run, and its caller does not have what
/// it gave.
extension GuardedCall {
    /// The members of what is kept of an answer.
    private static let (callKey, argumentsKey, answerKey) = ("call_id", "arguments", "answer")

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
        guard let (workflow, words) = screened.approval else { return nil }
        // The gateway's own tools tell of answers that were looked through when they were given.
        guard !entry.tool.isOfGateway else {
            screened = ScreenedAnswer(result: given)
            return nil
        }
        // An error of the protocol has no form in which it could be kept and told later.
        guard let approvals, given.protocolError == nil else { return nil }
        let kept = JSONObject([
            (Self.callKey, .string(call.id)),
            (Self.argumentsKey, .object(HeldCall.kept(arguments, source.extras))),
            (Self.answerKey, .object(given.json(for: .latest))),
        ])
        do {
            let version = call.policyVersion ?? 0
            let binding = CallBinding(
                tool: entry.definition.name,
                definition: .null,
                arguments: kept,
                principal: source.caller.name,
                policyVersion: version
            )
            let (request, _) = try await approvals.open(
                ApprovalDesk.Draft(
                    kind: .answer,
                    tool: entry.definition.name,
                    identity: entry.identity.server == nil ? nil : entry.identity,
                    arguments: kept,
                    caller: source.caller,
                    digest: try binding.digest(),
                    demand: ApprovalDemand(
                        workflow: workflow,
                        policyVersion: version,
                        message: "the answer contains \(words)"
                    ),
                    session: source.session
                )
            )
            screened.note = "held: the answer contains \(words), approval request \(request.id)"
            return request
        } catch {
            screened.note = "\(screened.note ?? ""), and nobody can be asked: \(error)"
            return nil
        }
    }

    /// Waits for the decision about an answer, and gives it to whoever made the call.
    ///
    /// - Parameters:
    ///   - given: What the tool gave.
    ///   - tool: Which one.
    ///   - request: The request about it.
    ///   - source: Who made the call, and is there.
    ///   - limit: How long it may wait; nil for a caller that gets a handle at once.
    ///   - report: Told that it waits.
    /// - Returns: The answer, a handle, or why it is not shown.
    func release(
        _ given: ToolResult,
        of tool: ToolIdentity,
        _ request: ApprovalRequest,
        _ source: CallSource,
        within limit: Duration?,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        guard let approvals else { return .failure(ApprovalAnswer.refusal(request), .denied) }
        let isJudged = request.state.terms.judge != nil
        if limit != nil, source.takesTasks, !isJudged, request.state.isPending {
            return ApprovalAnswer.task(of: request, approvals)
        }
        let decided: ApprovalRequest
        do {
            let isAsynchronous = request.state.terms.isAsynchronous
            decided =
                isAsynchronous && !isJudged
                ? request
                : try await decision(
                    about: request,
                    source,
                    within: isAsynchronous ? .zero : max(.zero, limit ?? .zero),
                    isNew: true,
                    report
                )
        } catch {
            // The request stays: what the call gave can be had no other way.
            let text = "The call has run; its answer waits for approval (request \(request.id))."
            return .failure(text, Task.isCancelled ? .cancelled : .busy)
        }
        switch decided.status {
        case .pending: return ApprovalAnswer.handle(decided, approvals)
        case .approved: return await giveOut(decided, given, of: tool, source).result
        case .declined, .expired, .cancelled:
            return .failure(ApprovalAnswer.refusal(decided), .denied)
        }
    }

    /// Keeps an approved answer for whoever asks for it; gives why it cannot, nil when it is kept.
    func giveOut(_ request: ApprovalRequest, _ source: CallSource) async -> String? {
        guard let approvals else { return nil }
        let kept: JSONObject
        do {
            kept = try approvals.heldArguments(of: request)
        } catch {
            return "the held answer cannot be opened: \(error)"
        }
        guard let answer = kept[Self.answerKey]?.object else { return "the answer is not there" }
        let given = ToolResult(original: answer)
        let shown = await giveOut(request, given, of: request.toolIdentity, source)
        return shown.isGiven ? nil : shown.result.text
    }

    /// Gives an approved answer as the rules in force now leave it, and keeps that on record.
    private func giveOut(
        _ request: ApprovalRequest,
        _ given: ToolResult,
        of tool: ToolIdentity,
        _ source: CallSource
    ) async -> (result: ToolResult, isGiven: Bool) {
        let screened = await screenResult(given, of: tool, source)
        guard screened.approval != nil || !screened.isWithheld else {
            return (screened.result, false)
        }
        // What needs an approval has it.
        let result = screened.approval == nil ? screened.result : given
        do {
            guard let approvals else { return (result, false) }
            if try await approvals.release(request.id, .object(result.json(for: .latest))) {
                return (result, true)
            }
            // Whoever asked for it a moment before has it as well.
            if try await approvals.find(request.id).row.execution == .done { return (result, true) }
            let text = "The approval is over; the answer is not shown (request \(request.id))."
            return (.failure(text, .denied), false)
        } catch {
            let text = "The call has run; that its answer is shown could not be recorded: \(error)."
            return (.failure(text, ToolFailure(cause: error).kind), false)
        }
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
