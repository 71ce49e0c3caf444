import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// The approval workflows of the policy one by one.
///
/// Every change is a new version of the policy, and one that leaves a rule without its workflow is
/// refused. `If-Match` takes the version it was made for. To see one takes the permission to change
/// it: channels have addresses and headers that are as good as passwords.
struct WorkflowRoutes: Sendable {
    let books: PolicyShelf

    private static let tag = "Approval workflows"
    private static let path = "/api/v1/approval-workflows"
    private static let names = Shape.list(
        of: Shape.text(200, minimum: 1),
        atMost: ApprovalWorkflow.maximumNames
    )
    private static let kinds = PolicyDocument.Workflow.ApprovalKind.allCases.map(\.rawValue)
    private static let fallbacks = PolicyDocument.Workflow.Fallback.allCases.map(\.rawValue)
    private static let body = Shape.object([
        "name": Shape.text(200, minimum: 1), "description?": Shape.text(4_096),
        "is_default?": Shape.flag, "approver_users?": names, "escalation_users?": names,
        "approvals_required?": Shape.integer(ApprovalWorkflow.quorumRange),
        "timeout_seconds?": Shape.integer(ApprovalWorkflow.timeoutRange),
        "require_reason?": Shape.flag, "async_approval?": Shape.flag,
        "allow_self_approval?": Shape.flag,
        "remember_seconds?": Shape.integer(ApprovalWorkflow.rememberedRange),
        "remember_session?": Shape.flag,
        // The others are nothing that is done here.
        "workflow_type?": Shape.choice([PolicyDocument.Workflow.Kind.simple.rawValue]),
        "approval_type?": Shape.choice(kinds),
        "ai_model?": Shape.text(200), "ai_guidelines?": Shape.text(16 << 10),
        "ai_context?": ["type": "object"],
        "ai_confidence_threshold?": Shape.number(0...1, "How sure the model has to be."),
        "ai_fallback_behavior?": Shape.choice(fallbacks),
        "escalation_workflow?": Shape.text(200), "channel_configs?": ["type": "object"],
    ])
    /// The same with what answers have besides.
    private static let changedBody = Shape.object(body, orWith: ["id": PolicyShelf.identifier])
    private static let answer: JSONValue = ["type": "object"]

    /// The routes.
    var routes: [Route] {
        let manage = Route.Access.permission(.managePolicies)
        let one = "\(Self.path)/{id}"
        return [
            .on(.get, Self.path, manage, tag: Self.tag, "The workflows", handler: list)
                .paged.answers(.ok, Shape.list(of: Self.answer)).tagged.problems(.notFound),
            .on(.post, Self.path, manage, tag: Self.tag, "Add a workflow", handler: add)
                .body(Self.body).answers(.created, Self.answer)
                .tagged.guarded.problems(.conflict, .notFound),
            .on(.get, one, manage, tag: Self.tag, "One workflow", handler: show)
                .answers(.ok, Self.answer).tagged.problems(.notFound),
            .on(
                .put,
                one,
                manage,
                tag: Self.tag,
                "Put a workflow in the place of another; what is left out has its usual value",
                handler: update
            ).body(Self.changedBody).answers(.ok, Self.answer)
                .tagged.guarded.problems(.notFound, .conflict),
            .on(.delete, one, manage, tag: Self.tag, "Remove a workflow", handler: remove)
                .answers(.noContent).tagged.guarded.problems(.notFound),
        ]
    }

    @Sendable private func list(_ request: APIRequest) async throws -> APIResponse {
        let current = try await books.book(of: request).current()
        let page = try PageRequest(request)
        let (shown, next) = try page.slice(of: current?.document.workflows ?? [])
        var answer = page.answer(shown.map(Self.json), next: next, to: request)
        answer.headers[.eTag] = PolicyShelf.tag(of: current?.row.version.number ?? 0)
        return answer
    }

    @Sendable private func show(_ request: APIRequest) async throws -> APIResponse {
        guard let current = try await books.book(of: request).current() else {
            throw Problem.notFound()
        }
        let id = request.parameters["id"] ?? ""
        let place = try PolicyEntries.place(ofWorkflow: id, in: current.document)
        return .json(
            Self.json(current.document.workflows[place]),
            headers: [.eTag: PolicyShelf.tag(of: current.row.version.number)]
        )
    }

    @Sendable private func add(_ request: APIRequest) async throws -> APIResponse {
        let workflow = try PolicyEntries.workflow(.object(request.content))
        return try await change(request, status: .created) { document in
            try PolicyEntries.add(workflow, to: &document)
        }
    }

    @Sendable private func update(_ request: APIRequest) async throws -> APIResponse {
        let id = try PolicyShelf.identifier(request)
        var content = request.content
        content["id"] = nil
        let workflow = try PolicyEntries.workflow(.object(content))
        return try await change(request) { document in
            try PolicyEntries.update(workflow: id, to: workflow, in: &document)
        }
    }

    @Sendable private func remove(_ request: APIRequest) async throws -> APIResponse {
        let id = request.parameters["id"] ?? ""
        let book = try await books.book(of: request)
        let made = try await book.edit(try books.intent(of: request)) { document in
            let place = try PolicyEntries.place(ofWorkflow: id, in: document)
            document.workflows.remove(at: place)
        }
        let version = made.application.version.number
        return APIResponse(.noContent, headers: [.eTag: PolicyShelf.tag(of: version)])
    }

    /// Edits the policy, and answers with the workflow that the edit names.
    private func change(
        _ request: APIRequest,
        status: HTTPResponse.Status = .ok,
        _ edit: @escaping @Sendable (inout PolicyDocument) throws -> String
    ) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let made = try await book.edit(try books.intent(of: request)) { document in
            let id = try edit(&document)
            let place = try PolicyEntries.place(ofWorkflow: id, in: document)
            return Self.json(document.workflows[place])
        }
        let version = made.application.version.number
        return .json(made.value, status: status, headers: [.eTag: PolicyShelf.tag(of: version)])
    }

    @Sendable private static func json(_ workflow: PolicyDocument.Workflow) -> JSONValue {
        var object = JSONObject([("id", .string(PolicyEntries.identifier(of: workflow)))])
        for member in workflow.json.object?.members ?? [] {
            object.append(key: member.key, value: member.value)
        }
        return .object(object)
    }
}
