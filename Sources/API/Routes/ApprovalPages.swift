import Crypto
import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// The page behind a link in a message: shows a request, and decides by a form.
///
/// It works without JavaScript and loads nothing. Opening it decides nothing, for programs that
/// look through mail open every link. The token in the link, or signing in on the page, says who
/// decides; the address alone says nothing.
struct ApprovalPages: Sendable {
    let calls: @Sendable (AccountID) async throws -> GuardedCall
    let desk: AccountDesk
    let store: Store

    /// How long somebody who has signed in on the page may think.
    private static let thinkingTime: Duration = .seconds(900)

    private static let path = "/approval/{id}"
    private static let tag = "Approvals"

    /// The routes; the document has those for programs.
    var routes: [Route] {
        let pages: [Route] = [
            .on(.get, Self.path, .open, tag: Self.tag, "The page of a request") { request in
                guard let token = request.query["token"] else {
                    return ApprovalPage.signIn(request.parameters["id"] ?? "", problem: nil)
                }
                return try await show(request, token, problem: nil)
            },
            .on(.post, Self.path, .open, tag: Self.tag, "Sign in on the page of a request") {
                request in
                try await signIn(request)
            }.forSmallBodies.endingWithClient,
        ]
        return pages.map { $0.undocumented.withoutKeeping } + programs.map(\.withoutKeeping)
    }

    /// What programs do by a link, each of whose tokens names one request and who decides.
    private var programs: [Route] {
        let token = Shape.described("That of a link to the request: it says who asks.")
        let id: JSONValue = [
            "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[0-9A-Za-z-]+$",
            "description": "The request's `request_id`.",
        ]
        let reading = Route.on(
            .get,
            "\(Self.path)/data",
            .open,
            tag: Self.tag,
            "A request for an approval, by a link to it"
        ) { request in
            let (approvals, link, isGood) = try await find(request, request.query["token"])
            let found = try await approvals.find(link.request)
            // A link that is used up or over may have been kept by anybody.
            let status: JSONValue = [
                "request_id": .string(found.id), "status": .string(found.status.rawValue),
            ]
            return .json([
                "request": isGood ? found.json(at: store.clock.now()) : status,
                "is_open": .bool(isGood),
            ])
        }
        let deciding = Route.on(
            .post,
            "\(Self.path)/decide",
            .open,
            tag: Self.tag,
            "Approve or decline a request, by a link to it, once"
        ) { request in
            try await decide(request)
        }
        let answer = Shape.object([
            "request_id": Shape.text,
            "status": Shape.choice(ApprovalState.Status.allCases.map(\.rawValue)),
            "message": Shape.text,
        ])
        let request = Shape.object(["request": ["type": "object"], "is_open": Shape.flag])
        return [
            reading.identified(by: id).query("token", token).answers(.ok, request),
            // The page's form comes here, too, and is answered by a page.
            deciding.identified(by: id).query("token", token).takes(Said.shape).forSmallBodies
                .answers(.ok, answer).problems(.conflict, .gone),
        ]
    }

    // MARK: - Links

    /// The link that a token stands for, which must be one to the request of the address.
    private func find(
        _ request: APIRequest,
        _ text: String?
    ) async throws -> (ApprovalDesk, ApprovalTokenTable.Token, isGood: Bool) {
        guard let token = text.flatMap({ OpaqueToken(.approval, $0) }),
            let approvals = try await calls(of: token.account)?.approvals
        else { throw ApprovalRefusal.unknownLink }
        let (link, isGood) = try await approvals.link(
            digest: token.digest,
            to: request.parameters["id"] ?? ""
        )
        return (approvals, link, isGood)
    }

    /// A token may name an account that there is not.
    private func calls(of account: AccountID) async throws -> GuardedCall? {
        let exists = try await store.database.read { connection in
            try AccountTable.exists(account, on: connection)
        }
        return exists ? try await calls(account) : nil
    }

    private func show(
        _ request: APIRequest,
        _ token: String,
        problem: String?,
        status: HTTPResponse.Status = .ok
    ) async throws -> APIResponse {
        do {
            let page = try await page(request, token).page
            return page.response(problem: problem, status: status)
        } catch let refusal as ApprovalRefusal {
            return ApprovalPage.message("\(refusal).", Problem.problem(of: refusal).status)
        }
    }

    /// The page of the request that a token stands for, and the desk that decides about it.
    private func page(
        _ request: APIRequest,
        _ token: String
    ) async throws -> (approvals: ApprovalDesk, page: ApprovalPage) {
        let (approvals, link, isGood) = try await find(request, token)
        let page = ApprovalPage(
            request: try await approvals.find(link.request),
            approver: link.approver,
            token: isGood ? token : nil,
            now: store.clock.now()
        )
        return (approvals, page)
    }

    // MARK: - Forms

    /// Nobody has this name and password, or no more.
    private struct WrongPassword: Error {}

    private func signIn(_ request: APIRequest) async throws -> APIResponse {
        let form = try request.form(known: ["username", "password"])
        let id = request.parameters["id"] ?? ""
        do {
            let found = try await desk.identify(
                name: form["username"] ?? "",
                password: form["password"] ?? "",
                address: request.peer
            )
            guard let login = found else { throw WrongPassword() }
            guard login.user.role.permissions.contains(.decideApprovals),
                let approvals = try await calls(login.account).approvals
            else { return ApprovalPage.message("You may not decide approvals.", .forbidden) }
            // Of another account's request nothing is told.
            _ = try await approvals.find(id)
            let token = OpaqueToken(.approval, account: login.account)
            try await approvals.addLink(
                digest: token.digest,
                to: id,
                for: Approver(.user, login.user.name),
                lifetime: Self.thinkingTime
            ) { connection in
                guard try login.isCurrent(on: connection) else { throw WrongPassword() }
            }
            return try await show(request, token.text, problem: nil)
        } catch is WrongPassword {
            return ApprovalPage.signIn(id, problem: "The name or the password is wrong.")
        } catch let problem as Problem where problem.status == .tooManyRequests {
            return ApprovalPage.signIn(id, problem: "\(problem.detail).")
        } catch let refusal as ApprovalRefusal {
            return ApprovalPage.message("\(refusal).", Problem.problem(of: refusal).status)
        }
    }

    private func decide(_ request: APIRequest) async throws -> APIResponse {
        if request.mediaType == "application/json" { return try await decideByProgram(request) }
        let said = Said(try request.form(known: Said.names))
        guard let text = try said.token(beside: request.query["token"]),
            OpaqueToken(.approval, text) != nil, said.decision != nil
        else { return ApprovalPage.message("The link is not valid.", .notFound) }
        do {
            let decided = try await decide(said, text, request)
            return try await show(request, text, problem: ApprovalPage.thanks(decided))
        } catch is UnreadPart {
            return try await show(
                request,
                text,
                problem: ApprovalPage.partProblem,
                status: .unprocessableContent
            )
        } catch ApprovalRefusal.refused(let error) {
            let status = Problem.problem(of: .refused(error)).status
            return try await show(request, text, problem: "\(error).", status: status)
        } catch let refusal as ApprovalRefusal {
            return try await show(
                request,
                text,
                problem: "\(refusal).",
                status: Problem.problem(of: refusal).status
            )
        }
    }

    /// The same for a program, which is answered in kind.
    private func decideByProgram(_ request: APIRequest) async throws -> APIResponse {
        let said = try Said(try request.object())
        guard let text = try said.token(beside: request.query["token"]) else {
            throw ApprovalRefusal.unknownLink
        }
        do {
            let decided = try await decide(said, text, request)
            // The link is used up: what was asked is not told any more.
            return .json([
                "request_id": .string(decided.id), "status": .string(decided.status.rawValue),
                "message": .string(ApprovalPage.thanks(decided)),
            ])
        } catch is UnreadPart {
            throw Problem(
                .unprocessableContent,
                "the call holds more than its page shows; send `read_all` as true when all of it "
                    + "has been read",
                code: "unread_part"
            )
        }
    }

    /// Decides as whoever has the link says, unless something is in the way.
    private func decide(
        _ said: Said,
        _ text: String,
        _ request: APIRequest
    ) async throws -> ApprovalRequest {
        guard let token = OpaqueToken(.approval, text), let decision = said.decision else {
            throw ApprovalRefusal.unknownLink
        }
        let (approvals, page) = try await page(request, text)
        let (asked, isCut) = (page.request, page.isCut)
        let isOpen = page.token != nil && asked.state.isPending
        if isOpen, isCut, decision == .approve, !said.hasReadAll { throw UnreadPart() }
        // What nobody has seen on the page is approved once.
        let seconds = isCut ? 0 : said.rememberedSeconds
        var word = ApprovalDesk.Word(
            decision,
            reason: said.comment,
            rememberedFor: seconds > 0 ? .seconds(seconds) : nil,
            isForSession: !isCut && said.isForSession
        )
        word.workflow = said.workflow
        return try await approvals.decide(asked.id, linkDigest: token.digest, word)
    }

    /// The page shows less than the call holds, and nobody says to have read the rest.
    private struct UnreadPart: Error {}

    /// What the page's form says, or a program in its place.
    private struct Said {
        /// What a program sends.
        static let shape: JSONValue = [
            "type": "object",
            "required": ["decision"],
            "properties": [
                "decision": Shape.choice(ApprovalState.Decision.allCases.map(\.rawValue)),
                "token": [
                    "type": ["string", "null"],
                    "description": "Of the link, where the address does not have it.",
                ],
                "comment": [
                    "type": ["string", "null"],
                    "maxLength": .integer(Int64(ApprovalState.maximumReasonCharacters)),
                    "description": "Why; the workflow may ask for it.",
                ],
                "workflow": [
                    "type": ["string", "null"],
                    "description": "Of the workflow that the answer is for; the link tells it too.",
                ],
                "read_all": [
                    "type": "boolean",
                    "description": "That all of a call was read of which its page shows a part.",
                ],
                "remember_seconds": Shape.integer(
                    ApprovalWorkflow.rememberedRange,
                    "For how many seconds the same call may run again, if the workflow allows it."
                ),
                "remember_session": [
                    "type": "boolean",
                    "description": "Whether the same call may run again in its session, likewise.",
                ],
            ],
        ]

        /// The fields of the form.
        static let names = [
            "decision", "token", "comment", "workflow", "read_all", "remember_seconds",
            "remember_session",
        ]

        var token: String?
        /// Nil when it is none.
        var decision: ApprovalState.Decision?
        var comment: String?
        /// The workflow that it is said to; nil where the link alone tells.
        var workflow: String?
        var hasReadAll: Bool
        /// For how long the same call may run again.
        var rememberedSeconds: Int
        var isForSession: Bool

        init(_ form: FormFields) {
            token = form["token"]
            decision = form["decision"].flatMap(ApprovalState.Decision.init(rawValue:))
            comment = form["comment"]
            workflow = form["workflow"]
            hasReadAll = form["read_all"] != nil
            rememberedSeconds = form["remember_seconds"].flatMap { Int($0) } ?? 0
            isForSession = form["remember_session"] == "yes"
        }

        init(_ object: JSONObject) throws(Problem) {
            token = try Self.text("token", in: object)
            let word = try Self.text("decision", in: object)
            decision = word.flatMap(ApprovalState.Decision.init(rawValue:))
            guard decision != nil else {
                throw .invalid("decision", "must be `approve` or `decline`")
            }
            comment = try Self.text("comment", in: object)
            workflow = try Self.text("workflow", in: object)
            hasReadAll = object["read_all"]?.bool ?? false
            let seconds = object["remember_seconds"]?.integer ?? 0
            rememberedSeconds = Int(exactly: seconds) ?? 0
            isForSession = object["remember_session"]?.bool ?? false
        }

        /// The link's token, which the address may have in the body's place.
        func token(beside other: String?) throws(Problem) -> String? {
            guard let token, let other, !haveEqualBytes(token, other) else { return token ?? other }
            throw .invalid("token", "is another one in the address; send one of the two")
        }

        /// A text that may be missing; an empty one counts as missing, as in a form.
        private static func text(
            _ name: String,
            in object: JSONObject
        ) throws(Problem) -> String? {
            guard let value = object[name], !value.isNull else { return nil }
            guard let text = value.string else { throw .invalid(name, "must be a text") }
            return text.isEmpty ? nil : text
        }
    }
}
