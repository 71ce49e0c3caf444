import Domain
import Firewall
import MCP
import Store

/// What callers are told about their requests.
enum ApprovalAnswer {
    /// The handle of a call that waits, or whose answer does: what to poll with, and how often.
    static func handle(
        _ request: ApprovalRequest,
        of tool: ToolDefinition,
        _ desk: ApprovalDesk
    ) -> ToolResult {
        let names = request.state.askedNames
        // Names alone: addresses of channels are secrets. Whether mails go is known to the process
        // that sends them.
        let channels = request.state.terms.channels.members.map(\.key)
        let handle: JSONValue = [
            "status": "pending_approval",
            "request_id": .string(request.id),
            "message": .string(instructions(for: request)),
            "workflow": .string(request.row.request.workflow),
            "approvers": JSONValue(names), "channels": JSONValue(channels),
            "timeout_seconds": .integer(Int64(request.state.terms.timeoutSeconds)),
            "remaining_seconds": .integer(request.remainingSeconds(at: desk.store.clock.now())),
            "poll_interval_seconds": .integer(Int64(pollInterval(request.state.terms))),
        ]
        return ToolResult(handle, inPlaceOf: tool)
    }

    private static func instructions(for request: ApprovalRequest) -> String {
        let words = request.row.request.message.map { " (\($0))" } ?? ""
        guard request.row.request.kind == .answer else {
            return """
                The call has not run: it waits for approval\(words). Call `get_approval_status` \
                with this request_id; once approved, that runs the call and gives its result. Do \
                not call the tool again meanwhile.
                """
        }
        return """
            The call has run; its answer waits for approval\(words). Call `get_approval_status` \
            with this request_id; once approved, that gives the answer. Do not call the tool \
            again: it would run once more.
            """
    }

    /// Asks the client to have its person open the request's page, and to make the call again; nil
    /// where nobody knows where the page is, or people are not to be asked yet.
    ///
    /// The address has no authority: whoever decides signs in on the page. Nor has the pass that
    /// comes back: a call is known by its digest.
    static func page(
        of request: ApprovalRequest,
        _ desk: ApprovalDesk,
        pass: String
    ) -> ToolResult? {
        let terms = request.state.terms
        guard request.state.isPending, !terms.isAsynchronous, terms.judge == nil,
            let question = question(about: request, desk)
        else { return nil }
        let answer: JSONValue = [
            "resultType": "input_required",
            "inputRequests": [
                "approval": [
                    "method": "elicitation/create",
                    "params": .object(question),
                ]
            ],
            "requestState": .string(pass),
        ]
        return answer.object.map { ToolResult(original: $0) }
    }

    /// Asks for the request's page to be opened; nil where nobody knows where the page is.
    static func question(about request: ApprovalRequest, _ desk: ApprovalDesk) -> JSONObject? {
        guard let address = desk.pageAddress else { return nil }
        let words = request.row.request.message.map { ": \($0)" } ?? "."
        return JSONObject([
            ("mode", "url"), ("url", .string("\(address)/approval/\(request.id)")),
            ("message", .string("\(subject(of: request)) needs an approval\(words)")),
        ])
    }

    /// Tells what a call waits for, as a form without fields.
    ///
    /// It can be answered by going on waiting or by taking the call back, and by nothing else: the
    /// agent's client must not decide about the agent's call.
    static func form(about request: ApprovalRequest, _ desk: ApprovalDesk) -> JSONObject {
        let words = request.row.request.message.map { ": \($0)" } ?? "."
        let page = desk.pageAddress.map { " They decide at \($0)/approval/\(request.id)." } ?? ""
        let isAnswer = request.row.request.kind == .answer
        let way = isAnswer ? "do without it" : "take the call back"
        let message =
            "\(subject(of: request)) needs an approval\(words) It is \(waiting(for: request)), "
            + "who are told.\(page) What you say here does not approve it: accept to go on "
            + "waiting, decline to \(way) (request \(request.id))."
        return JSONObject([
            ("mode", "form"), ("message", .string(message)),
            ("requestedSchema", ["type": "object", "properties": .object(JSONObject())]),
        ])
    }

    private static func subject(of request: ApprovalRequest) -> String {
        let isAnswer = request.row.request.kind == .answer
        return "The \(isAnswer ? "answer" : "call") of \(request.tool)"
    }

    // MARK: - Tasks

    /// A call that waits as a task, for clients that take one.
    static func task(of request: ApprovalRequest, _ desk: ApprovalDesk) -> ToolResult {
        var answer = seed(of: request, desk, ("working", waiting(for: request)))
        answer.append(key: "resultType", value: "task")
        return ToolResult(original: answer)
    }

    /// How a task stands, with what came of it.
    ///
    /// A call that was denied, or whose time was over, is completed with an error that the model
    /// reads; what has not run has no result.
    ///
    /// - Parameters:
    ///   - request: The request behind it.
    ///   - desk: Where it is.
    ///   - problem: Why an approved call did not run just now; nil when it did.
    /// - Returns: The task, with a result when it has ended.
    /// - Throws: What keeps the result from being opened.
    static func task(
        _ request: ApprovalRequest,
        _ desk: ApprovalDesk,
        problem: String?
    ) throws -> JSONObject {
        func completed(_ result: JSONValue) -> JSONObject {
            var answer = seed(of: request, desk, ("completed", nil))
            answer.append(key: "result", value: result)
            return answer
        }
        func failed(_ text: String) -> JSONObject {
            completed(.object(ToolResult.failure(text, .denied).json(for: .latest)))
        }
        guard !request.isGivenUp else { return seed(of: request, desk, ("cancelled", problem)) }
        switch request.status {
        case .pending: return seed(of: request, desk, ("working", waiting(for: request)))
        case .cancelled: return seed(of: request, desk, ("cancelled", nil))
        case .declined, .expired: return failed(refusal(request))
        case .approved:
            if let result = try desk.heldResult(of: request) { return completed(result) }
            if let problem { return failed(problem) }
            return seed(of: request, desk, ("working", "the call was approved and runs"))
        }
    }

    private static func waiting(for request: ApprovalRequest) -> String {
        let names = request.state.askedNames
        let asked = names.isEmpty ? "somebody" : names.joined(separator: ", ")
        return "waiting for approval by \(asked)"
    }

    private static func seed(
        of request: ApprovalRequest,
        _ desk: ApprovalDesk,
        _ status: (word: String, message: String?)
    ) -> JSONObject {
        let made = request.row.request.requestedAt
        var task = JSONObject([("taskId", .string(request.id)), ("status", .string(status.word))])
        if let message = status.message {
            task.append(key: "statusMessage", value: .string(message))
        }
        task.append(key: "createdAt", value: .string(made.iso8601))
        let changed = request.state.resolvedAt ?? made
        task.append(key: "lastUpdatedAt", value: .string(changed.iso8601))
        let lifetime = Int64(desk.limits.retention / .milliseconds(1))
        task.append(key: "ttlMs", value: .integer(lifetime))
        let pause = Int64(pollInterval(request.state.terms)) * 1_000
        task.append(key: "pollIntervalMs", value: .integer(pause))
        return task
    }

    /// Why a call did not run, or its answer is not shown, that was decided against.
    static func refusal(_ request: ApprovalRequest) -> String {
        let words = request.state.resolution.map { ": \($0)" } ?? ""
        guard request.row.request.kind != .answer else {
            let end: String
            switch request.status {
            case .declined:
                let who = request.state.resolvedBy ?? "somebody"
                end = "\(who) declined to show its answer\(words)"
            case .expired: end = "nobody allowed its answer in time"
            case .cancelled, .pending, .approved: end = "its answer is not shown"
            }
            return "Access denied: the call has run, and \(end) (request \(request.id))."
        }
        switch request.status {
        case .declined:
            let who = request.state.resolvedBy ?? "somebody"
            return "Access denied: \(who) declined the call\(words) (request \(request.id))."
        case .expired:
            return """
                Access denied: nobody approved the call in time (request \(request.id)). Call \
                again to ask anew.
                """
        case .cancelled: return "The call was cancelled. It did not run."
        case .pending, .approved: return "Access denied (request \(request.id))."
        }
    }

    /// How a request stands, with what came of it; `problem` is why an approved call did not run
    /// just now.
    static func status(
        _ request: ApprovalRequest,
        _ desk: ApprovalDesk,
        problem: String?
    ) async throws -> JSONValue {
        let events = try await desk.events(of: request.id)
        var object = JSONObject()
        object.append(key: "request_id", value: .string(request.id))
        object.append(key: "status", value: .string(word(for: request, desk)))
        object.append(key: "tool_name", value: .string(request.tool))
        object.append(
            key: "remaining_seconds",
            value: .integer(request.remainingSeconds(at: desk.store.clock.now()))
        )
        object.append(
            key: "poll_interval_seconds",
            value: .integer(Int64(pollInterval(request.state.terms)))
        )
        let received = Int64(request.state.approvalCount)
        object.append(key: "approvals_received", value: .integer(received))
        let required = Int64(request.state.terms.quorum)
        object.append(key: "approvals_required", value: .integer(required))
        object.append(key: "decided_by", value: JSONValue(request.state.resolvedBy))
        object.append(key: "comment", value: JSONValue(request.state.resolution))
        object.append(key: "events", value: .array(events.map(ApprovalRequest.json)))
        let result = try desk.heldResult(of: request)
        let isError = result?["isError"]?.bool == true
        object.append(key: "tool_result", value: isError ? .null : answer(result))
        var failure = isError ? texts(result) ?? "it failed" : problem
        if desk.isOutcomeUnknown(request) {
            failure = """
                the process that ran the call ended before it told how it went: look at what it \
                was to change before calling again
                """
        }
        object.append(key: "tool_execution_error", value: JSONValue(failure))
        return .object(object)
    }

    /// The structured answer of a tool, else its content; all of what has more than that, such as
    /// pictures beside it, or the contents of a resource.
    private static func answer(_ result: JSONValue?) -> JSONValue {
        let content = result?["content"]?.array ?? []
        let isOfTexts = content.allSatisfy { $0["type"] == "text" }
        if let structured = result?["structuredContent"], isOfTexts { return structured }
        guard result?["structuredContent"] == nil, let blocks = result?["content"] else {
            return result ?? .null
        }
        return blocks
    }

    private static func texts(_ result: JSONValue?) -> String? {
        let texts = (result?["content"]?.array ?? []).compactMap { $0["text"]?.string }
        return texts.isEmpty ? nil : texts.joined(separator: "\n")
    }

    private static func word(for request: ApprovalRequest, _ desk: ApprovalDesk) -> String {
        if request.isGivenUp { return ApprovalState.Status.cancelled.rawValue }
        guard request.status == .approved, request.row.execution == .claimed else {
            return request.status.rawValue
        }
        return desk.isOutcomeUnknown(request) ? "outcome_unknown" : "executing"
    }

    /// Often enough for whoever waits, seldom enough for the store.
    private static func pollInterval(_ terms: ApprovalWorkflow) -> Int {
        max(5, min(15, terms.timeoutSeconds / 20))
    }
}
