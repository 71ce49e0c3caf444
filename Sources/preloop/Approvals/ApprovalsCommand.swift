import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Gateway
import Store

/// `preloop approvals …`: what waits for approval, and decisions about it.
struct ApprovalsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approvals",
        abstract: "See calls that wait for approval, and approve or deny them.",
        subcommands: [
            ApprovalsListCommand.self, ApprovalsWatchCommand.self, ApprovalsShowCommand.self,
            ApprovalsApproveCommand.self, ApprovalsDenyCommand.self,
            ApprovalsRememberedCommand.self, ApprovalsForgetCommand.self,
        ],
        defaultSubcommand: ApprovalsListCommand.self
    )
}

/// Where approvals are: in the installation of this machine, or at a server.
enum ApprovalSource: Sendable {
    case local(Installation, ApprovalDesk)
    case remote(RemoteServer)

    private static let path = "/api/v1/approval-requests"
    private static let remembered = "/api/v1/approvals/remembered"

    /// The server of `--url`, else the installation.
    static func open(_ remote: RemoteOptions) async throws -> ApprovalSource {
        if let server = try remote.server(try Settings.read()) { return .remote(server) }
        let installation = try await Installation.open()
        return .local(installation, installation.approvalDesk(installation.policyBook { [] }))
    }

    /// Requests as documents, latest first.
    func list(_ status: ApprovalState.Status?, limit: Int) async throws -> [JSONValue] {
        switch self {
        case .local(let installation, let desk):
            let now = installation.store.clock.now()
            return try await desk.list(status: status, limit: limit).map { $0.json(at: now) }
        case .remote(let server):
            let query = status.map { "&status=\($0.rawValue)" } ?? ""
            let answer = try await server.call("GET", "\(Self.path)?limit=\(limit)\(query)")
            return answer.array ?? []
        }
    }

    /// A request with its events and all of its arguments.
    func show(_ id: String) async throws -> JSONValue {
        switch self {
        case .local(let installation, let desk):
            let request = try await desk.find(id)
            let events = try await desk.events(of: id)
            // Sealed with another key they cannot be opened; some of them were kept to be shown.
            let whole = try? desk.wholeArguments(of: request)
            return request.json(
                at: installation.store.clock.now(),
                events: events,
                arguments: whole
            )
        case .remote(let server): return try await server.call("GET", "\(Self.path)/\(id)")
        }
    }

    /// Decides as the workflow of a name is asked, and gives the request after that.
    func decide(
        _ id: String,
        _ decision: ApprovalState.Decision,
        for workflow: String?,
        reason: String?,
        remembering: DecisionMemory
    ) async throws -> JSONValue {
        switch self {
        case .local(let installation, let desk):
            var word = ApprovalDesk.Word(
                decision,
                reason: reason,
                rememberedFor: remembering.seconds.map { .seconds($0) },
                isForSession: remembering.isForSession
            )
            word.workflow = workflow
            let request = try await desk.decide(id, by: installation.localApprover, word)
            return request.json(at: installation.store.clock.now())
        case .remote(let server):
            var body = JSONObject()
            body.append(key: "decision", value: .string(decision.rawValue))
            if let workflow { body.append(key: "workflow", value: .string(workflow)) }
            if let reason { body.append(key: "comment", value: .string(reason)) }
            if let seconds = remembering.seconds {
                body.append(key: "remember_seconds", value: .integer(Int64(seconds)))
            }
            if remembering.isForSession { body.append(key: "remember_session", value: true) }
            return try await server.call("POST", "\(Self.path)/\(id)/decide", .object(body))
        }
    }

    /// Approvals that are remembered, as documents, latest request first.
    func remembered(limit: Int) async throws -> [JSONValue] {
        switch self {
        case .local(let installation, let desk):
            let version = await installation.policyBook { [] }.versionInForce()
            return try await desk.remembered(policyVersion: version, limit: limit).map(\.json)
        case .remote(let server):
            let answer = try await server.call("GET", "\(Self.remembered)?limit=\(limit)")
            return answer.array ?? []
        }
    }

    /// Takes a remembered approval back, all of them for nil; gives how many that were.
    func forget(_ id: String?) async throws -> Int64 {
        switch self {
        case .local(let installation, let desk):
            let person = installation.localApprover
            guard let id else { return Int64(try await desk.forgetAll(by: person)) }
            try await desk.forget(id, by: person)
            return 1
        case .remote(let server):
            guard let id else {
                return try await server.call("DELETE", Self.remembered)["forgotten"]?.integer ?? 0
            }
            let path = "\(Self.remembered)/\(RemoteServer.encoded(id))"
            let answer = try await server.send("DELETE", path)
            guard answer.status != 404 else { throw ApprovalRefusal.notRemembered }
            guard (200..<300).contains(answer.status) else {
                throw RemoteServer.failure(answer, "`\(server.url)` refuses the request")
            }
            return 1
        }
    }

    /// Brings what was written into the store's file.
    func close() async throws {
        if case .local(let installation, _) = self { try await installation.close() }
    }
}

/// Runs `body`; a refusal becomes a failure in the operator's terms.
func attemptApprovals<Value>(
    _ what: String,
    _ body: () async throws -> Value
) async throws(CommandFailure) -> Value {
    try await attempt(what) {
        do {
            return try await body()
        } catch let refusal as ApprovalRefusal {
            let isUnknown = refusal == .unknownRequest
            throw CommandFailure(
                isUnknown || refusal == .notRemembered ? .notFound : .failure,
                what,
                reason: "\(refusal)",
                hint: isUnknown ? "`preloop approvals list --all` shows the requests" : refusal.hint
            )
        }
    }
}

/// A request on the terminal.
enum ApprovalText {
    /// One request as a table's row: identifier, age, requester, tool, arguments.
    static func row(_ request: JSONValue) -> [String] {
        [
            text(request, "request_id"), state(request), text(request, "requester"),
            tool(request), arguments(request, limit: 60),
        ]
    }

    static let columns = ["REQUEST", "STATE", "REQUESTER", "TOOL", "ARGUMENTS"]

    /// All of a request.
    static func lines(_ request: JSONValue) -> [String] {
        var lines = [
            "Request    \(text(request, "request_id"))", "State      \(state(request))",
            "Tool       \(tool(request))",
            "Requester  \(text(request, "requester")) by \(text(request, "channel"))",
        ]
        let optional = [
            ("Rule", "message"), ("Reason", "justification"), ("Workflow", "workflow"),
            ("Requested", "requested_at"), ("Expires", "expires_at"), ("Decided", "resolved_at"),
            ("By", "resolved_by"), ("Comment", "resolution"),
        ]
        for (name, key) in optional where request[key]?.string != nil {
            let padding = String(repeating: " ", count: 11 - name.count)
            lines.append("\(name)\(padding)\(text(request, key))")
        }
        let workflows = request["workflows"]?.array ?? []
        if workflows.count > 1, request["status"] == "pending" {
            lines.append("Asked now  \(text(request, "asked_workflow"))")
        }
        let required = request["approvals_required"]?.integer ?? 1
        if required > 1 {
            lines.append("Approvals  \(request["approvals_received"]?.integer ?? 0) of \(required)")
        }
        lines.append(isAnswer(request) ? "Call and answer" : "Arguments")
        for member in request["arguments"]?.object?.members ?? [] {
            let value = member.value.string ?? member.value.serializedText()
            lines.append("  \(singleLine(visible(member.key))): \(visible(value))")
        }
        let events = request["events"]?.array ?? []
        if !events.isEmpty { lines.append("Events") }
        for event in events {
            let words = ["actor", "detail"].map { text(event, $0) }.filter { !$0.isEmpty }
            lines.append(
                "  \(text(event, "timestamp")) \(text(event, "type"))"
                    + (words.isEmpty ? "" : "  \(words.joined(separator: ": "))")
            )
        }
        return lines
    }

    /// Whether it is about what a call has given, and not about a call.
    static func isAnswer(_ request: JSONValue) -> Bool { request["kind"] == "answer" }

    /// The tool as policies name it: two servers may have tools of one name.
    static func tool(_ request: JSONValue) -> String {
        // A server that is older than this program does not tell it.
        text(request, request["policy_name"] == nil ? "tool_name" : "policy_name")
    }

    private static func state(_ request: JSONValue) -> String {
        let status = text(request, "status")
        guard status == "pending" else {
            guard status == "approved" else { return status }
            switch text(request, "execution") {
            case "done": return "\(status), \(isAnswer(request) ? "was given out" : "has run")"
            case "claimed": return "\(status), running"
            case "cancelled": return "\(status), given up"
            default: return status
            }
        }
        return "pending, \(request["remaining_seconds"]?.integer ?? 0) s left"
    }

    static func arguments(_ request: JSONValue, limit: Int) -> String {
        let text = singleLine(visible((request["arguments"] ?? .null).serializedText()))
        return text.count > limit ? text.prefix(limit - 1) + "…" : text
    }

    /// A text of a request, on one line, hidden characters shown.
    static func text(_ request: JSONValue, _ key: String) -> String {
        singleLine(visible(request[key]?.string ?? ""))
    }
}
