import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// Requests for approvals over REST: what waits, and decisions about it.
struct ApprovalRoutes: Sendable {
    /// The calls of an account, whose desk keeps its requests.
    let calls: @Sendable (AccountID) async throws -> GuardedCall
    let store: Store

    private static let tag = "Approvals"
    private static let path = "/api/v1/approval-requests"
    private static let remembered = "/api/v1/approvals/remembered"
    private static let workflow = Shape.text(
        200,
        "The workflow that the answer is for, `asked_workflow` of the request; to be said where "
            + "several have to approve."
    )

    /// The routes.
    var routes: [Route] {
        let view = Route.Access.permission(.viewApprovals)
        let comment = Shape.text(
            ApprovalState.maximumReasonCharacters,
            "Why; the workflow may ask for it."
        )
        let remember = Shape.integer(
            ApprovalWorkflow.rememberedRange,
            "For how many seconds the same call may run again, within what the workflow allows."
        )
        let session: JSONValue = [
            "type": "boolean",
            "description": "Whether the same call may run again in its session, likewise.",
        ]
        let deciding = Route.Access.permission(.decideApprovals)
        let statuses = ApprovalState.Status.allCases.map(\.rawValue)
        return [
            .on(.get, Self.path, view, tag: Self.tag, "Requests for approvals, latest first") {
                request in
                try await list(request)
            }
            .query("status", Shape.choice(statuses)).paged
            .answers(.ok, Shape.list(of: ["type": "object"])),
            .on(.get, "\(Self.path)/{id}", view, tag: Self.tag, "A request, with its events") {
                request in
                try await show(request)
            }.answers(.ok, ["type": "object"]),
            decision("approve", "Approve a call, which runs once, or an answer") { _ in .approve }
                .body(
                    Shape.object([
                        "comment?": comment, "remember_seconds?": remember,
                        "remember_session?": session, "workflow?": Self.workflow,
                    ])
                ),
            decision("decline", "Decline a call, or an answer") { _ in .decline }
                .body(Shape.object(["comment?": comment, "workflow?": Self.workflow])),
            decision("decide", "Approve or decline a call") { request in
                request.content["decision"]?.string == "approve" ? .approve : .decline
            }.body(
                Shape.object([
                    "decision": Shape.choice(ApprovalState.Decision.allCases.map(\.rawValue)),
                    "comment?": comment, "remember_seconds?": remember,
                    "remember_session?": session, "workflow?": Self.workflow,
                ])
            ),
            .on(
                .get,
                Self.remembered,
                view,
                tag: Self.tag,
                "Approvals that are remembered for the same call, latest request first",
                handler: listRemembered
            ).paged.answers(.ok, Shape.list(of: ["type": "object"])),
            .on(
                .delete,
                "\(Self.remembered)/{id}",
                deciding,
                tag: Self.tag,
                "Take a remembered approval back",
                handler: forget
            ).answers(.noContent),
            .on(
                .delete,
                Self.remembered,
                deciding,
                tag: Self.tag,
                "Take all remembered approvals back",
                handler: forgetAll
            ).answers(.ok, Shape.object(["forgotten": Shape.count])),
        ]
    }

    private func decision(
        _ name: String,
        _ summary: String,
        _ choice: @escaping @Sendable (APIRequest) -> ApprovalState.Decision
    ) -> Route {
        .on(
            .post,
            "\(Self.path)/{id}/\(name)",
            .permission(.decideApprovals),
            tag: Self.tag,
            summary
        ) { request in
            try await decide(request, choice(request))
        }
        .answers(.ok, ["type": "object"])
        .problems(.conflict, .forbidden)
    }

    /// The desk of whoever asks; a 404 where calls are not held at all.
    private func desk(_ request: APIRequest) async throws -> ApprovalDesk {
        let principal = try request.user()
        guard let desk = try await calls(principal.account).approvals else {
            throw Problem.notFound()
        }
        return desk
    }

    private func list(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let status = request.arguments["status"]?.string
            .flatMap(ApprovalState.Status.init(rawValue:))
        let found = try await desk(request).list(
            status: status,
            before: page.cursor,
            skip: page.cursor == nil ? page.skip : 0,
            limit: page.limit
        )
        let now = store.clock.now()
        // A page that is short of those that expired just now may still have a next one.
        let next = found.count < page.limit ? nil : found.last?.id
        return page.answer(found.map { $0.json(at: now) }, next: next, to: request)
    }

    private func show(_ request: APIRequest) async throws -> APIResponse {
        let desk = try await desk(request)
        let found = try await desk.find(request.parameters["id"] ?? "")
        let events = try await desk.events(of: found.id)
        // Who decides sees all of it, but nobody the answer of a call that they made themselves: it
        // is what they wait for. Sealed with another key it cannot be opened; then there is what
        // was kept to be shown.
        let principal = try request.user()
        let isOwn = found.row.request.credential.map { $0 == principal.credentialName } ?? false
        let mayDecide =
            principal.may(.decideApprovals) && !(isOwn && found.row.request.kind == .answer)
        var whole: JSONValue?
        if mayDecide {
            whole = (try? desk.wholeArguments(of: found)) ?? found.row.request.shown
        }
        return .json(found.json(at: store.clock.now(), events: events, arguments: whole))
    }

    private func decide(
        _ request: APIRequest,
        _ decision: ApprovalState.Decision
    ) async throws -> APIResponse {
        let principal = try request.user()
        let seconds = request.content["remember_seconds"]?.integer
        var word = ApprovalDesk.Word(
            decision,
            reason: request.content["comment"]?.string,
            rememberedFor: seconds.map { .seconds($0) },
            isForSession: request.content["remember_session"]?.bool ?? false
        )
        word.workflow = request.content["workflow"]?.string
        let decided = try await desk(request).decide(
            request.parameters["id"] ?? "",
            by: Approver(.user, principal.name),
            credential: principal.credentialName,
            isUser: true,
            word
        )
        return .json(decided.json(at: store.clock.now()))
    }

    // MARK: - What is remembered

    @Sendable private func listRemembered(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let guarded = try await calls(try request.user().account)
        let version = await guarded.policyBook?.versionInForce()
        let found = try await desk(request).remembered(
            policyVersion: version,
            before: page.cursor,
            skip: page.cursor == nil ? page.skip : 0,
            limit: page.limit
        )
        let next = found.count < page.limit ? nil : found.last?.request.id
        return page.answer(found.map(\.json), next: next, to: request)
    }

    @Sendable private func forget(_ request: APIRequest) async throws -> APIResponse {
        let person = Approver(.user, try request.user().name)
        try await desk(request).forget(request.parameters["id"] ?? "", by: person)
        return APIResponse(.noContent)
    }

    @Sendable private func forgetAll(_ request: APIRequest) async throws -> APIResponse {
        let person = Approver(.user, try request.user().name)
        let count = try await desk(request).forgetAll(by: person)
        return .json(["forgotten": .integer(Int64(count))])
    }
}

extension Problem {
    /// What a refusal of the approvals is over HTTP.
    static func problem(of refusal: ApprovalRefusal) -> Problem {
        let detail = refusal.hint.map { "\(refusal); \($0)" } ?? "\(refusal)"
        return switch refusal {
        case .unknownRequest, .notRemembered: .notFound()
        case .unknownLink: Problem(.notFound, detail, code: "unknown_link")
        case .usedLink: Problem(.gone, detail, code: "used_link")
        case .sameCredential: Problem(.forbidden, detail, code: "same_credential")
        case .lostApprover: Problem(.conflict, detail, code: "lost_approver")
        case .refused(let error): problem(of: error)
        case .crowded: .overloaded(detail, after: 60)
        case .unknownWorkflow: Problem(.unprocessableContent, detail, code: "unknown_workflow")
        case .unavailable: .overloaded(detail, after: 10)
        }
    }

    private static func problem(of error: ApprovalError) -> Problem {
        switch error {
        case .alreadyDecided(let status, let by, let at):
            var problem = Problem(.conflict, "\(error)", code: "already_decided")
            problem.extensions.append(key: "decided_status", value: .string(status.rawValue))
            problem.extensions.append(key: "decided_by", value: JSONValue(by))
            problem.extensions.append(key: "decided_at", value: JSONValue(at?.iso8601))
            return problem
        case .alreadyVoted: return Problem(.conflict, "\(error)", code: "already_voted")
        case .otherWorkflow(let asked):
            return Problem(.conflict, "\(error)", code: "other_workflow").asking(asked)
        case .workflowMissing(let asked):
            return Problem.invalid("workflow", "is missing: \(error)").asking(asked)
        case .notAnApprover: return Problem(.forbidden, "\(error)", code: "not_an_approver")
        case .ownCall: return Problem(.forbidden, "\(error)", code: "own_call")
        case .reasonRequired, .reasonTooLong: return .invalid("comment", "\(error)")
        case .invalidWorkflow:
            return Problem(.unprocessableContent, "\(error)", code: "invalid_workflow")
        }
    }

    /// The same with the workflow that is asked now.
    private func asking(_ workflow: String) -> Problem {
        var problem = self
        problem.extensions.append(key: "asked_workflow", value: .string(workflow))
        return problem
    }
}
