import Domain

extension PolicyReader {
    /// The section `sensitive_data`.
    mutating func sensitiveRules(_ node: YAMLNode) -> [PolicyDocument.SensitiveRule] {
        guard let own = fields.fields(node, "$.sensitive_data", known: ["rules", "detectors"])
        else { return [] }
        if let detectors = own["detectors"] {
            // Without them less would be found than the file says.
            fields.report(
                "`detectors` are not supported here; what is found is built in, and `types` of a "
                    + "rule choose among it",
                at: detectors.position,
                "$.sensitive_data.detectors"
            )
        }
        fields.refuseNull(["rules"], in: own, "nothing is looked for")
        var rules: [PolicyDocument.SensitiveRule] = []
        for (node, path) in fields.list(own, "rules", limit: PolicyLimits.sensitiveRules) {
            if let rule = sensitiveRule(node, path) { rules.append(rule) }
        }
        return rules
    }

    private mutating func sensitiveRule(
        _ node: YAMLNode,
        _ path: String
    ) -> PolicyDocument.SensitiveRule? {
        guard let own = fields.fields(node, path, known: PolicyWords.sensitiveRuleKeys) else {
            return nil
        }
        places[path] = own["id"]?.position ?? node.position
        for name in ["on", "types", "action"] where own[name] == nil {
            fields.report("`\(name)` is missing", at: node.position, path)
        }
        let id = fields.name(own, "id", isRequired: true)
        checkIdentifier(id, own)
        let side = fields.choice(own, "on", RedactionPolicy.Side.self)
        let action = fields.choice(own, "action", RedactionPolicy.Action.self)
        let types = types(own)
        guard let id, let side, let action else { return nil }
        var rule = PolicyDocument.SensitiveRule(id: id, on: side, types: types, action: action)
        rule.isEnabled = fields.flag(own, "enabled")
        rule.approvalWorkflow = fields.name(own, "approval_workflow")
        if rule.approvalWorkflow != nil, action != .requireApproval {
            fields.warn(
                "`approval_workflow` counts for `require_approval` alone",
                at: own["approval_workflow"]?.position,
                path
            )
        }
        scope(own, &rule)
        return rule
    }

    private mutating func types(_ own: FieldReader.Fields) -> [String] {
        let types = fields.names(own, "types") ?? []
        if own.has("types"), types.isEmpty {
            fields.report("`types` is empty", at: own["types"]?.position, "\(own.path).types")
        }
        for word in types where SensitiveKind.kinds(named: word) == nil {
            let hint = fields.hint(for: word, among: SensitiveKind.words)
            fields.report(
                "there is no type `\(sanitized(word))`\(hint)",
                at: own["types"]?.position,
                "\(own.path).types"
            )
        }
        return types
    }

    /// Who and what a rule is for; a list that is left empty would mean all, and is an error.
    private mutating func scope(
        _ own: FieldReader.Fields,
        _ rule: inout PolicyDocument.SensitiveRule
    ) {
        fields.refuseNull(["scope"], in: own, "all calls are meant")
        guard let node = own["scope"],
            let scope = fields.fields(
                node,
                "\(own.path).scope",
                known: PolicyWords.sensitiveScopes
            )
        else { return }
        fields.refuseNull(PolicyWords.sensitiveScopes, in: scope, "all are meant")
        rule.tools = fields.names(scope, "tools")
        rule.servers = fields.names(scope, "servers")
        rule.callers = fields.names(scope, "users")
        rule.agents = fields.names(scope, "agents")
        let lists = [rule.tools, rule.servers, rule.callers, rule.agents]
        for (name, list) in zip(PolicyWords.sensitiveScopes, lists) where list?.isEmpty == true {
            fields.report("`\(name)` is empty", at: scope[name]?.position, scope.path)
        }
    }
}
