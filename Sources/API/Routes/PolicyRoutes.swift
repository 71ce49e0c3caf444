import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// The policy as a whole: validated, applied, compared, exported, rolled back.
///
/// A policy comes as JSON (`{"policy": "…"}`), as YAML, or as a form with the file `file`.
struct PolicyRoutes: Sendable {
    let books: PolicyShelf

    static let tag = "Policies"
    static let path = "/api/v1/policies"
    static let problemShape = Shape.object([
        "severity": Shape.choice(["error", "warning"]), "path": Shape.text,
        "line": ["type": ["integer", "null"]], "column": ["type": ["integer", "null"]],
        "message": Shape.text,
    ])
    static let changeShape = Shape.object([
        "path": Shape.text, "operation": Shape.choice(["add", "remove", "modify"]),
        "old_value": [:], "new_value": [:],
    ])
    private static let versionShape = Shape.object([
        "version": Shape.identifier, "name": Shape.text, "author": Shape.text,
        "origin": Shape.text, "created_at": Shape.instant, "tag": Shape.optionalText,
        "digest": Shape.text, "is_active": Shape.flag,
    ])
    private static let resultShape = Shape.object([
        "success": Shape.flag, "policy_name": Shape.text, "version": Shape.count,
        "is_new": Shape.flag, "changes": Shape.list(of: changeShape),
        "warnings": Shape.list(of: problemShape),
    ])

    /// The routes.
    var routes: [Route] { changing + telling + reading + trying }

    private var changing: [Route] {
        let manage = Route.Access.permission(.managePolicies)
        return [
            .on(
                .post,
                "\(Self.path)/upload",
                manage,
                tag: Self.tag,
                "Apply a policy as a new version; `If-Match` takes the version it was made for",
                handler: upload
            ).query("dry_run", Shape.flag).query("prune", Shape.flag)
                .query("tag", Shape.text(100)).takesAnyBody
                .answers(.ok, Self.resultShape).tagged.guarded
                .problems(.notFound, .unprocessableContent),
            .on(
                .put,
                "\(Self.path)/versions/{id}/tag",
                manage,
                tag: Self.tag,
                "Name a version; null takes its name away",
                handler: name
            ).body(Shape.object(["tag": ["type": ["string", "null"], "maxLength": 100]]))
                .answers(.noContent).problems(.notFound),
            .on(
                .post,
                "\(Self.path)/versions/{id}/rollback",
                manage,
                tag: Self.tag,
                "Put an earlier version in force again, as a new version",
                handler: rollBack
            ).body(Shape.object(["preview_only?": Shape.flag]))
                .answers(.ok, Self.resultShape).tagged.guarded.problems(.notFound),
        ]
    }

    /// What shows the text, or differences from it, takes the permission to change it: channels of
    /// workflows have addresses and headers that are as good as passwords.
    private var telling: [Route] {
        let manage = Route.Access.permission(.managePolicies)
        return [
            .on(
                .post,
                "\(Self.path)/diff",
                manage,
                tag: Self.tag,
                "How a policy differs from the one in force",
                handler: compare
            ).takesAnyBody.answers(
                .ok,
                Shape.object([
                    "has_changes": Shape.flag, "changes": Shape.list(of: Self.changeShape),
                    "summary": Shape.text,
                ])
            ).problems(.notFound, .unprocessableContent),
            .on(
                .get,
                "\(Self.path)/export",
                manage,
                tag: Self.tag,
                "The policy in force, or an earlier version, as YAML",
                handler: export
            ).query("version", Shape.identifier)
                .answers(.ok, ["description": "A policy, as `policies/schema` tells its form."])
                .ofType("application/yaml").tagged.problems(.notFound),
        ]
    }

    private var reading: [Route] {
        let view = Route.Access.permission(.viewPolicies)
        return [
            .on(
                .post,
                "\(Self.path)/validate",
                view,
                tag: Self.tag,
                "Check a policy",
                handler: validate
            ).takesAnyBody.answers(
                .ok,
                Shape.object([
                    "is_valid": Shape.flag, "errors": Shape.list(of: Self.problemShape),
                    "warnings": Shape.list(of: Self.problemShape),
                ])
            ).problems(.notFound),
            .on(.get, "\(Self.path)/schema", view, tag: Self.tag, "The form of a policy") { _ in
                .json(PolicySchema.json)
            }.answers(.ok, ["type": "object"]),
            .on(
                .get,
                "\(Self.path)/versions",
                view,
                tag: Self.tag,
                "The versions, the one in force first",
                handler: versions
            ).paged.answers(.ok, Shape.list(of: Self.versionShape)).problems(.notFound),
            .on(
                .post,
                "\(Self.path)/explain",
                view,
                tag: Self.tag,
                "Decide about a call without making it, and tell each rule",
                handler: explain
            ).body(
                Shape.object([
                    "tool": Shape.text(512, minimum: 1), "arguments?": ["type": "object"],
                    "user?": Shape.text(256), "role?": Shape.text(64), "may_write?": Shape.flag,
                    "agent?": Shape.text(256), "agent_version?": Shape.text(256),
                    "session?": Shape.text(256), "channel?": Shape.text(64),
                    "trace_parent?": Shape.text(64),
                    "now?": Shape.text(64, "When the call comes (RFC 3339); without it now."),
                ])
            ).answers(.ok, ["type": "object"]).problems(.notFound, .unprocessableContent),
        ]
    }

    // MARK: - Handlers

    @Sendable private func validate(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let reading = try await book.validate(try PolicyUpload.text(of: request))
        return .json([
            "is_valid": .bool(reading.document != nil),
            "errors": .array(reading.errors.map(\.json)),
            "warnings": .array(reading.warnings.map(\.json)),
        ])
    }

    @Sendable private func upload(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let text = try PolicyUpload.text(of: request)
        let prunes = request.arguments["prune"]?.bool ?? false
        if request.arguments["dry_run"]?.bool == true {
            return Self.answer(try await book.propose(text, prunes: prunes))
        }
        var intent = try books.intent(of: request)
        intent.prunes = prunes
        intent.tag = request.arguments["tag"]?.string
        return Self.answer(try await book.apply(text, intent))
    }

    @Sendable private func compare(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let text = try PolicyUpload.text(of: request)
        let changes = try await book.propose(text, prunes: true).changes
        return .json([
            "has_changes": .bool(!changes.isEmpty), "changes": .array(changes.map(\.json)),
            "summary": .string("\(changes.count) change\(changes.count == 1 ? "" : "s")"),
        ])
    }

    @Sendable private func export(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let row: PolicyTable.Row
        if let number = request.arguments["version"]?.integer {
            row = try await book.version(number)
        } else {
            guard let number = try await book.versions(limit: 1).first?.number else {
                throw PolicyError.none
            }
            row = try await book.version(number)
        }
        let headers: HTTPFields = [
            .contentType: "application/yaml; charset=utf-8",
            .eTag: PolicyShelf.tag(of: row.version.number),
        ]
        return APIResponse(.ok, headers: headers, body: Array(row.text.utf8))
    }

    @Sendable private func versions(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let page = try PageRequest(request)
        var before: Int64?
        if let cursor = page.cursor {
            guard let number = Int64(cursor) else { throw PageRequest.invalidCursor }
            before = number
        }
        let found = try await book.versions(before: before, limit: page.skip + page.limit + 1)
        let current = try await book.versions(limit: 1).first?.number
        let shown = found.dropFirst(page.skip).prefix(page.limit)
        let hasMore = found.count > page.skip + page.limit
        let items = shown.map { version -> JSONValue in
            var object = version.json.object ?? JSONObject()
            object.append(key: "is_active", value: .bool(version.number == current))
            return .object(object)
        }
        return page.answer(
            items,
            next: hasMore ? shown.last.map { "\($0.number)" } : nil,
            to: request
        )
    }

    @Sendable private func name(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let tag = request.content["tag"]?.string
        try await book.tag(
            try PolicyShelf.version(request),
            tag?.isEmpty == true ? nil : tag,
            by: try request.user().author
        )
        return .noContent
    }

    @Sendable private func rollBack(_ request: APIRequest) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let number = try PolicyShelf.version(request)
        if request.content["preview_only"]?.bool == true {
            let text = try await book.version(number).text
            return Self.answer(try await book.propose(text, prunes: true))
        }
        return Self.answer(try await book.rollBack(to: number, try books.intent(of: request)))
    }

    @Sendable private func explain(_ request: APIRequest) async throws -> APIResponse {
        let calls = try await books.calls(try request.user().account)
        let book = try PolicyShelf.book(of: calls)
        let policy = try await Self.policy(of: book)
        let name = request.content["tool"]?.string ?? ""
        let context = try Self.context(of: request.content, now: book.store.clock.now())
        guard let told = await calls.explain(name, context, by: policy) else {
            throw Problem(.notFound, "there is no tool `\(name)`", code: "unknown_tool")
        }
        return .json(told.json)
    }

    /// A call that somebody asks about, as rules see it.
    private static func context(
        of given: JSONObject,
        now present: Timestamp
    ) throws(Problem) -> PolicyContext {
        let name = given["tool"]?.string ?? ""
        var context = PolicyContext(tool: ToolIdentity(naming: name), now: present)
        context.arguments = given["arguments"]?.object ?? JSONObject()
        context.user = given["user"]?.string ?? ""
        context.role = given["role"]?.string ?? ""
        context.agent = given["agent"]?.string ?? ""
        context.agentVersion = given["agent_version"]?.string ?? ""
        context.session = given["session"]?.string ?? ""
        context.channel = given["channel"]?.string ?? "mcp"
        context.traceParent = given["trace_parent"]?.string ?? ""
        // A role that is none of REST, such as `local`, may write, as may whoever gives none.
        let mayWrite = Role(rawValue: context.role)?.permissions.contains(.editIssues) ?? true
        context.mayWrite = given["may_write"]?.bool ?? mayWrite
        if let text = given["now"]?.string {
            guard let instant = Timestamp(parsing: text) else {
                throw .invalid("now", "must be a time such as 2026-01-31T12:00:00Z")
            }
            context.now = instant
        }
        return context
    }

    /// The policy in force.
    private static func policy(of book: PolicyBook) async throws -> CompiledPolicy {
        switch try await book.state() {
        case .compiled(let policy, _): return policy
        case .open: throw PolicyError.none
        case .unusable(let version, let reason):
            throw PolicyError.unusable(version: version, reason: reason)
        }
    }

    // MARK: - Answers

    private static func answer(_ proposal: PolicyProposal) -> APIResponse {
        answer(
            proposal.after.metadata.name,
            proposal.base,
            isNew: false,
            proposal.changes,
            proposal.warnings
        )
    }

    private static func answer(_ application: PolicyApplication) -> APIResponse {
        answer(
            application.version.name,
            application.version.number,
            isNew: application.isNew,
            application.changes,
            application.warnings
        )
    }

    private static func answer(
        _ name: String,
        _ version: Int64,
        isNew: Bool,
        _ changes: [PolicyChange],
        _ warnings: [PolicyProblem]
    ) -> APIResponse {
        .json(
            [
                "success": true, "policy_name": .string(name), "version": .integer(version),
                "is_new": .bool(isNew), "changes": .array(changes.map(\.json)),
                "warnings": .array(warnings.map(\.json)),
            ],
            headers: [.eTag: PolicyShelf.tag(of: version)]
        )
    }
}

/// The policy books of accounts, and what routes about policies have in common.
struct PolicyShelf: Sendable {
    let calls: @Sendable (AccountID) async throws -> GuardedCall

    /// The book of whoever asks.
    func book(of request: APIRequest) async throws -> PolicyBook {
        let account = try request.user().account
        return try Self.book(of: try await calls(account))
    }

    /// The book of an account's calls.
    static func book(of calls: GuardedCall) throws(Problem) -> PolicyBook {
        guard let book = calls.policyBook else {
            throw Problem(.notFound, "this server keeps no policies", code: "no_policies")
        }
        return book
    }

    /// A change on behalf of whoever asks, made for the version that `If-Match` names.
    func intent(of request: APIRequest) throws -> PolicyBook.Intent {
        PolicyBook.Intent(
            author: try request.user().author,
            expected: try Self.expected(request)
        )
    }

    /// The entity tag of a version.
    static func tag(of version: Int64) -> String { "\"policy-\(version)\"" }

    private static func expected(_ request: APIRequest) throws(Problem) -> Int64? {
        guard let given = request.headers[.ifMatch].map({ $0[...].trimmed }), given != "*"
        else { return nil }
        let prefix = "\"policy-"
        guard given.hasPrefix(prefix), given.hasSuffix("\""),
            let version = Int64(given.dropFirst(prefix.count).dropLast())
        else {
            throw Problem(
                .preconditionFailed,
                "`If-Match` must be the `ETag` of a policy, such as \(tag(of: 3))",
                code: "changed_meanwhile"
            )
        }
        return version
    }

    /// What an answer has and a change need not say again: the identifier of the path.
    static let identifier = Shape.text(128, "As answers have it; that of the path.")

    /// The identifier that the path names.
    ///
    /// What a body says of it is what an answer has said, or it is meant for something else.
    static func identifier(_ request: APIRequest) throws(Problem) -> String {
        let id = request.parameters["id"] ?? ""
        guard let given = request.content["id"]?.string, !haveEqualBytes(given, id) else {
            return id
        }
        throw .invalid("id", "is not the one of the path, and nothing gets another one")
    }

    /// The version that the path names.
    static func version(_ request: APIRequest) throws(Problem) -> Int64 {
        guard let text = request.parameters["id"], let number = Int64(text), number > 0 else {
            throw .notFound()
        }
        return number
    }
}

extension PolicyProblem {
    /// As answers show one.
    var json: JSONValue {
        [
            "severity": .string(severity.rawValue), "path": .string(path),
            "line": position.map { .integer(Int64($0.line)) } ?? .null,
            "column": position.map { .integer(Int64($0.column)) } ?? .null,
            "message": .string(message),
        ]
    }
}
