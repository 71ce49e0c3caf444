import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// The entries of the policy one by one: what is said about a tool, and its rules.
///
/// Every change is a new version of the policy. `If-Match` takes the version it was made for.
struct RuleRoutes: Sendable {
    let books: PolicyShelf

    private static let tag = "Access rules"
    private static let path = "/api/v1/tool-configurations"
    /// Says the same as `approval_workflow`, by its identifier.
    private static let workflowID = "approval_workflow_id"
    private static let condition: JSONValue = ["type": "array", "maxItems": 64]
    private static let ruleBody = Shape.object([
        "action": Shape.choice(PolicyDocument.Action.allCases.map(\.rawValue)),
        "condition_expression?": ["type": ["string", "null"], "maxLength": 16_384],
        "condition_type?": Shape.choice(PolicyDocument.Language.allCases.map(\.rawValue)),
        "all_of?": condition, "any_of?": condition, "none_of?": condition,
        "priority?": ["type": ["integer", "null"]], "approval_workflow?": Shape.optionalText,
        workflowID + "?": Shape.optionalText,
        "description?": Shape.optionalText, "message?": Shape.optionalText,
        "mode?": Shape.choice(PolicyDocument.Rule.Mode.allCases.map(\.rawValue)),
        "is_enabled?": Shape.flag,
    ])
    private static let toolBody = Shape.object([
        "tool_name": Shape.text(256, minimum: 1), "tool_source?": Shape.optionalText,
        "is_enabled?": ["type": ["boolean", "null"]], "approval_workflow?": Shape.optionalText,
        workflowID + "?": Shape.optionalText,
        "tool_description?": Shape.optionalText,
        "justification_mode?": ["enum": ["optional", "required", nil]],
        "custom_config?": ["type": ["object", "null"]],
    ])
    /// The same with what answers have besides.
    private static let changedRuleBody = Shape.object(
        ruleBody,
        orWith: ["id": PolicyShelf.identifier]
    )
    private static let changedToolBody = Shape.object(
        toolBody,
        orWith: [
            "id": PolicyShelf.identifier,
            rulesKey: [
                "type": "array", "items": ["type": "object"],
                "description": "As answers have them; other routes change them.",
            ],
        ]
    )
    private static let rulesKey = "access_rules"
    private static let answer: JSONValue = ["type": "object"]

    /// The routes.
    var routes: [Route] { tools + rules }

    private var tools: [Route] {
        let view = Route.Access.permission(.viewPolicies)
        let manage = Route.Access.permission(.managePolicies)
        return [
            .on(
                .get,
                Self.path,
                view,
                tag: Self.tag,
                "What the policy says about tools, with their rules in the order of the file",
                handler: list
            ).paged.answers(.ok, Shape.list(of: Self.answer)).tagged.problems(.notFound),
            .on(.post, Self.path, manage, tag: Self.tag, "Add an entry", handler: add)
                .body(Self.toolBody).answers(.created, Self.answer)
                .tagged.guarded.problems(.conflict, .notFound),
            .on(.get, "\(Self.path)/{id}", view, tag: Self.tag, "One entry", handler: show)
                .answers(.ok, Self.answer).tagged.problems(.notFound),
            .on(
                .put,
                "\(Self.path)/{id}",
                manage,
                tag: Self.tag,
                "Change what is said about a tool; its rules stay",
                handler: update
            ).body(Self.changedToolBody).answers(.ok, Self.answer)
                .tagged.guarded.problems(.notFound, .conflict),
            .on(
                .delete,
                "\(Self.path)/{id}",
                manage,
                tag: Self.tag,
                "Remove an entry with its rules",
                handler: remove
            ).answers(.noContent).tagged.guarded.problems(.notFound),
        ]
    }

    private var rules: [Route] {
        let manage = Route.Access.permission(.managePolicies)
        return [
            .on(
                .post,
                "\(Self.path)/{id}/access-rules",
                manage,
                tag: Self.tag,
                "Add a rule behind the others of a tool",
                handler: addRule
            ).body(Self.ruleBody).answers(.created, Self.answer)
                .tagged.guarded.problems(.notFound),
            .on(
                .put,
                "\(Self.path)/{id}/access-rules/order",
                manage,
                tag: Self.tag,
                "Put the rules of a tool in an order, all at once",
                handler: reorder
            ).body(
                Shape.object(["rule_ids": Shape.list(of: Shape.text(128), atMost: 200)])
            ).answers(.ok, Self.answer).tagged.guarded.problems(.notFound),
            .on(
                .put,
                "/api/v1/access-rules/{id}",
                manage,
                tag: Self.tag,
                "Put a rule in the place of another",
                handler: updateRule
            ).body(Self.changedRuleBody).answers(.ok, Self.answer)
                .tagged.guarded.problems(.notFound),
            .on(
                .delete,
                "/api/v1/access-rules/{id}",
                manage,
                tag: Self.tag,
                "Remove a rule",
                handler: removeRule
            ).answers(.noContent).tagged.guarded.problems(.notFound),
        ]
    }

    // MARK: - Tools

    @Sendable private func list(_ request: APIRequest) async throws -> APIResponse {
        let current = try await books.book(of: request).current()
        let tools = current?.document.tools ?? []
        let page = try PageRequest(request)
        let (shown, next) = try page.slice(of: tools)
        var answer = page.answer(shown.map(Self.json), next: next, to: request)
        answer.headers[.eTag] = PolicyShelf.tag(of: current?.row.version.number ?? 0)
        return answer
    }

    @Sendable private func show(_ request: APIRequest) async throws -> APIResponse {
        guard let current = try await books.book(of: request).current() else {
            throw Problem.notFound()
        }
        let id = request.parameters["id"] ?? ""
        let place = try PolicyEntries.place(ofTool: id, in: current.document)
        return .json(
            Self.json(current.document.tools[place]),
            headers: [.eTag: PolicyShelf.tag(of: current.row.version.number)]
        )
    }

    @Sendable private func add(_ request: APIRequest) async throws -> APIResponse {
        let (content, tool) = (request.content, try Self.tool(request.content))
        return try await change(request, status: .created) { document in
            var tool = tool
            tool.approvalWorkflow = try Self.workflow(content, document)
            return try PolicyEntries.add(tool, to: &document)
        }
    }

    @Sendable private func update(_ request: APIRequest) async throws -> APIResponse {
        let (id, content) = (try PolicyShelf.identifier(request), request.content)
        let tool = try Self.tool(content)
        return try await change(request) { document in
            try Self.checkRules(content[Self.rulesKey], ofTool: id, document)
            var tool = tool
            tool.approvalWorkflow = try Self.workflow(content, document)
            return try PolicyEntries.update(tool: id, to: tool, in: &document)
        }
    }

    @Sendable private func remove(_ request: APIRequest) async throws -> APIResponse {
        let id = request.parameters["id"] ?? ""
        let book = try await books.book(of: request)
        let made = try await book.edit(try books.intent(of: request)) { document in
            let place = try PolicyEntries.place(ofTool: id, in: document)
            document.tools.remove(at: place)
        }
        return Self.empty(made.application)
    }

    // MARK: - Rules

    @Sendable private func addRule(_ request: APIRequest) async throws -> APIResponse {
        let (id, content) = (request.parameters["id"] ?? "", request.content)
        let rule = try Self.rule(content)
        return try await change(request, status: .created, answersRule: true) { document in
            var rule = rule
            rule.approvalWorkflow = try Self.workflow(content, document)
            return try PolicyEntries.add(rule, toTool: id, in: &document)
        }
    }

    @Sendable private func updateRule(_ request: APIRequest) async throws -> APIResponse {
        let (id, content) = (try PolicyShelf.identifier(request), request.content)
        let rule = try Self.rule(content)
        return try await change(request, answersRule: true) { document in
            var rule = rule
            rule.approvalWorkflow = try Self.workflow(content, document)
            try PolicyEntries.update(rule: id, to: rule, in: &document)
            return id
        }
    }

    @Sendable private func removeRule(_ request: APIRequest) async throws -> APIResponse {
        let id = request.parameters["id"] ?? ""
        let book = try await books.book(of: request)
        let made = try await book.edit(try books.intent(of: request)) { document in
            try PolicyEntries.remove(rule: id, from: &document)
        }
        return Self.empty(made.application)
    }

    @Sendable private func reorder(_ request: APIRequest) async throws -> APIResponse {
        let id = request.parameters["id"] ?? ""
        let order = (request.content["rule_ids"]?.array ?? []).compactMap(\.string)
        return try await change(request) { document in
            try PolicyEntries.reorder(order, ofTool: id, in: &document)
            return id
        }
    }

    // MARK: - Changing

    /// Edits the policy, and answers with the entry or rule that the edit names.
    private func change(
        _ request: APIRequest,
        status: HTTPResponse.Status = .ok,
        answersRule: Bool = false,
        _ edit: @escaping @Sendable (inout PolicyDocument) throws -> String
    ) async throws -> APIResponse {
        let book = try await books.book(of: request)
        let made = try await book.edit(try books.intent(of: request)) { document in
            let id = try edit(&document)
            guard answersRule else {
                let place = try PolicyEntries.place(ofTool: id, in: document)
                return Self.json(document.tools[place])
            }
            let place = try PolicyEntries.place(ofRule: id, in: document)
            return Self.json(document.tools[place.tool].rules[place.rule], id)
        }
        let version = made.application.version.number
        return .json(made.value, status: status, headers: [.eTag: PolicyShelf.tag(of: version)])
    }

    private static func empty(_ application: PolicyApplication) -> APIResponse {
        APIResponse(.noContent, headers: [.eTag: PolicyShelf.tag(of: application.version.number)])
    }

    // MARK: - Forms

    /// What a request says about a tool, under the names of the policy's file.
    private static func tool(_ given: JSONObject) throws(PolicyError) -> PolicyDocument.Tool {
        try PolicyEntries.tool(
            renamed(
                given,
                [
                    "tool_name": "name", "tool_source": "source", "is_enabled": "enabled",
                    "tool_description": "description", "justification_mode": "justification",
                ]
            )
        )
    }

    private static func rule(_ given: JSONObject) throws(PolicyError) -> PolicyDocument.Rule {
        try PolicyEntries.rule(
            renamed(given, ["condition_expression": "expression", "is_enabled": "enabled"])
        )
    }

    /// The name of the workflow that a request names, by its name or its identifier or both.
    private static func workflow(
        _ given: JSONObject,
        _ document: PolicyDocument
    ) throws(Problem) -> String? {
        let name = given["approval_workflow"]?.string
        guard let id = given[workflowID]?.string else { return name }
        // What an answer has said may be said again, also of a workflow that has gone since: that
        // it is not there is told of the whole policy.
        if let name, PolicyEntries.identifier(ofWorkflow: name) == id { return name }
        guard
            let found = document.workflows.first(where: { PolicyEntries.identifier(of: $0) == id })
        else { throw .invalid(workflowID, "there is no such workflow") }
        guard name == nil || name.map({ haveEqualBytes($0, found.name) }) == true else {
            throw .invalid(workflowID, "is not the identifier of `approval_workflow`")
        }
        return found.name
    }

    private static func workflowID(of name: String?) -> JSONValue {
        JSONValue(name.map(PolicyEntries.identifier(ofWorkflow:)))
    }

    /// Refuses rules in an entry that are not those it has: they are changed one by one.
    private static func checkRules(
        _ given: JSONValue?,
        ofTool id: String,
        _ document: PolicyDocument
    ) throws {
        guard let given else { return }
        let place = try PolicyEntries.place(ofTool: id, in: document)
        let rules = json(document.tools[place])[rulesKey] ?? []
        // Programs write members in an order of their own.
        guard given.serialized(sortedKeys: true) != rules.serialized(sortedKeys: true) else {
            return
        }
        throw Problem.invalid(
            rulesKey,
            "are not the entry's; `\(path)/{id}/access-rules` and `/api/v1/access-rules/{id}` "
                + "change them"
        )
    }

    private static func renamed(_ given: JSONObject, _ names: [String: String]) -> JSONValue {
        var object = JSONObject()
        // The workflow's identifier is looked for in the whole policy; the others are those of what
        // is changed.
        let others = [workflowID, "id", rulesKey]
        for member in given.members where !member.value.isNull && !others.contains(member.key) {
            object.append(key: names[member.key] ?? member.key, value: member.value)
        }
        return .object(object)
    }

    @Sendable private static func json(_ tool: PolicyDocument.Tool) -> JSONValue {
        let identifiers = PolicyEntries.identifiers(ofRulesIn: tool)
        return [
            "id": .string(PolicyEntries.identifier(of: tool)), "tool_name": .string(tool.name),
            "tool_source": JSONValue(tool.source), "is_enabled": .bool(tool.isEnabled ?? true),
            "approval_workflow": JSONValue(tool.approvalWorkflow),
            "approval_workflow_id": workflowID(of: tool.approvalWorkflow),
            "tool_description": JSONValue(tool.description),
            "justification_mode": JSONValue(tool.justification?.rawValue),
            "custom_config": tool.settings ?? .null,
            "access_rules": .array(zip(tool.rules, identifiers).map { json($0, $1) }),
        ]
    }

    private static func json(_ rule: PolicyDocument.Rule, _ id: String) -> JSONValue {
        let file = rule.json
        var object: JSONObject = JSONObject()
        object.append(key: "id", value: .string(id))
        object.append(key: "action", value: .string(rule.effectiveAction.rawValue))
        object.append(key: "condition_expression", value: file["expression"] ?? .null)
        object.append(
            key: "condition_type",
            value: .string((rule.language ?? .simple).rawValue)
        )
        for name in ["all_of", "any_of", "none_of"] {
            if let value = file[name] { object.append(key: name, value: value) }
        }
        object.append(key: "priority", value: .integer(Int64(rule.effectivePriority)))
        object.append(key: "approval_workflow", value: JSONValue(rule.approvalWorkflow))
        object.append(key: workflowID, value: workflowID(of: rule.approvalWorkflow))
        object.append(key: "description", value: JSONValue(rule.description))
        object.append(key: "message", value: JSONValue(rule.message))
        object.append(key: "mode", value: .string((rule.mode ?? .enforce).rawValue))
        object.append(key: "is_enabled", value: .bool(rule.isEnabled ?? true))
        return .object(object)
    }
}
