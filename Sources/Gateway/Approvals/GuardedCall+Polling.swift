package import Domain
import Firewall
package import MCP
import Store

/// Calls that were held, asked for later: by `get_approval_status` and as tasks.
extension GuardedCall {
    /// Tells how a request of this caller stands; runs what is approved and has not run, once, or
    /// gives an approved answer out.
    ///
    /// - Throws: ``ToolFailure`` when it is no request of theirs.
    func status(
        of id: String,
        by source: CallSource,
        report: @escaping @Sendable (Event) async -> Void
    ) async throws -> JSONValue {
        guard let approvals else { throw ToolFailure("this installation holds no calls") }
        let (request, problem, _) = try await standing(of: id, source, approvals, report)
        return try await ApprovalAnswer.status(request, approvals, problem: problem)
    }

    /// A request of this caller after what is to be done about it; why that was not done, and
    /// whether it may be the next time.
    private func standing(
        of id: String,
        _ source: CallSource,
        _ approvals: ApprovalDesk,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async throws -> (request: ApprovalRequest, problem: String?, isPassing: Bool) {
        let request = try await request(id, of: source.caller, approvals)
        let kind = request.row.request.kind
        guard request.status == .approved, kind != .question, request.row.execution == .none
        else { return (request, nil, false) }
        let (problem, isPassing): (String?, Bool)
        if kind == .answer {
            (problem, isPassing) = await giveOut(request, source)
        } else {
            (problem, isPassing) = (await resume(request, source, report), false)
        }
        let after = try await approvals.find(id)
        // An approval that was spent unused has run nothing, and why is to be told.
        let hasNotRun = after.row.execution == .none || after.row.execution == .cancelled
        return (after, hasNotRun ? problem : nil, isPassing)
    }

    /// Does something with a task of this caller: a call that waits, or has waited, for approval.
    ///
    /// - Parameters:
    ///   - id: The task, which is the request's identifier.
    ///   - method: What to do; an update changes nothing, for our tasks ask nothing.
    ///   - request: What it came with; tool and arguments are not looked at.
    ///   - caller: Who asks.
    ///   - report: Told how far a call is that runs now.
    /// - Returns: The result in the protocol's terms.
    /// - Throws: ``RPCError`` when there is no such task of the caller.
    package func task(
        _ id: String,
        _ method: ServerSession.TaskMethod,
        _ request: Request,
        by caller: Caller,
        report: @escaping @Sendable (Event) async -> Void
    ) async throws(RPCError) -> JSONObject {
        let source = CallSource(request, by: caller)
        do {
            guard let approvals else { throw Self.unknown(id) }
            // Whoever only looks whether it is theirs, or gives it up, must not run it by that.
            _ = try await self.request(id, of: caller, approvals)
            switch method {
            case .get:
                let (found, problem, isPassing) =
                    try await standing(of: id, source, approvals, report)
                let status = try await ApprovalAnswer.status(found, approvals, problem: problem)
                return try ApprovalAnswer.task(
                    found,
                    approvals,
                    problem: isPassing ? nil : status["tool_execution_error"]?.string
                )
            case .update: return JSONObject()
            case .cancel:
                _ = try await approvals.cancel(id)
                return JSONObject()
            }
        } catch is ToolFailure {
            throw .invalidParameters("there is no task of this identifier")
        } catch {
            throw .internalError("the task cannot be read")
        }
    }

    /// A request of a caller.
    ///
    /// - Throws: ``ToolFailure`` when there is none, or it is somebody else's.
    private func request(
        _ id: String,
        of caller: Caller,
        _ approvals: ApprovalDesk
    ) async throws -> ApprovalRequest {
        let found: ApprovalRequest
        do {
            found = try await approvals.find(id)
        } catch ApprovalRefusal.unknownRequest {
            throw Self.unknown(id)
        }
        let requester = Approver(caller.name) ?? Approver(.local, caller.name)
        guard found.state.requester == requester else { throw Self.unknown(id) }
        return found
    }

    private static func unknown(_ id: String) -> ToolFailure {
        ToolFailure(
            "there is no approval request `\(id.prefix(64))` of yours",
            hint: "use the `request_id` that came with `pending_approval`",
            kind: .notFound
        )
    }

    /// Runs what was approved; gives why it did not run, nil when it did.
    private func resume(
        _ request: ApprovalRequest,
        _ source: CallSource,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> String? {
        guard let approvals else { return nil }
        let (arguments, extras): (JSONObject, Extras)
        do {
            (arguments, extras) = HeldCall.opened(try approvals.heldArguments(of: request))
        } catch {
            return "the held call cannot be opened: \(error)"
        }
        // What came with the question about it is none of the call's, and nobody is there any more
        // who could be asked.
        var source = source
        source.extras = extras
        guard let entry = await entry(named: request.tool, arguments, source)
        else { return "the tool `\(request.tool)` is not there any more" }
        let violations = entry.schema.violations(of: .object(arguments))
        guard violations.isEmpty else {
            return "the tool's arguments have changed: \(violations[0])"
        }
        let demand = ApprovalDemand(
            workflow: request.row.request.workflow,
            policyVersion: request.row.request.policyVersion
        )
        let held = HeldCall(
            entry: entry,
            arguments: arguments,
            source: source,
            demand: demand
        )
        if let reason = await changed(request, held) { return reason }
        var call = record(of: Request(tool: request.tool, arguments, source), by: source.caller)
        call.take(entry.identity)
        call.decision = .requireApproval
        call.approvalID = request.id
        call.policyVersion = request.row.request.policyVersion
        call.rule = request.row.request.rule
        call.add(reason: request.reference)
        do {
            try await journal.begin(call)
        } catch {
            return "the call could not be recorded: \(error)"
        }
        let result = await perform(request, held, call, report)
        return result.isError ? result.text : nil
    }
}
