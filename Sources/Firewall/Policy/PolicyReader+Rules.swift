import Domain

extension PolicyReader {
    mutating func rule(_ node: YAMLNode, _ path: String) -> PolicyDocument.Rule? {
        guard let own = fields.fields(node, path, known: PolicyWords.ruleKeys) else { return nil }
        var rule = PolicyDocument.Rule()
        fields.refuseNull(["action"], in: own, "an approval is required")
        rule.id = fields.name(own, "id")
        rule.action = fields.choice(own, "action", PolicyDocument.Action.self)
        rule.language = fields.choice(own, "condition_type", PolicyDocument.Language.self)
        rule.description = fields.text(own, "description")
        rule.message = fields.text(own, "message")
        rule.approvalWorkflow = fields.name(own, "approval_workflow")
        rule.mode = fields.choice(own, "mode", PolicyDocument.Rule.Mode.self)
        rule.priority = fields.integer(own, "priority", PolicyLimits.priorities)
        rule.isEnabled = fields.flag(own, "enabled")
        places[path] = node.position
        var count = 0
        rule.condition = condition(own, depth: 1, language: rule.language, count: &count)
        if count > PolicyLimits.expressions {
            fields.report(
                "more than \(PolicyLimits.expressions) expressions in one rule",
                at: node.position,
                path
            )
        }
        if let id = rule.id, !Self.isIdentifier(id) {
            fields.report(
                "`id` has 1 to 64 letters, digits, `-` and `_`",
                at: own["id"]?.position,
                "\(path).id"
            )
        }
        return rule
    }

    private static func isIdentifier(_ text: String) -> Bool {
        text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte) || byte == 0x2D || byte == 0x5F
            }
    }

    /// The condition of a rule, or one in a list; nil when there is none.
    ///
    /// One that is left empty is an error: its rule would hold for every call.
    private mutating func condition(
        _ own: FieldReader.Fields,
        depth: Int,
        language: PolicyDocument.Language?,
        own inner: PolicyDocument.Language? = nil,
        count: inout Int
    ) -> PolicyDocument.Condition? {
        fields.refuseNull(PolicyWords.conditionForms, in: own, "there is no condition")
        let given = PolicyWords.conditionForms.filter { own[$0] != nil }
        guard given.count <= 1 else {
            fields.report(
                "only one of \(given.map { "`\($0)`" }.joined(separator: ", ")) may stand here; "
                    + "put the others into an `all_of`",
                at: own.position,
                own.path
            )
            return nil
        }
        guard let name = given.first else { return nil }
        guard name != "expression" else {
            return expression(own, language: language, own: inner, count: &count)
        }
        guard depth <= PolicyLimits.conditionDepth else {
            fields.report("conditions stand too deep in one another", at: own.position, own.path)
            return nil
        }
        var parts: [PolicyDocument.Condition] = []
        let elements = fields.list(own, name, limit: PolicyLimits.expressions)
        for (node, path) in elements {
            if let part = part(node, path, depth: depth, language: language, count: &count) {
                parts.append(part)
            }
        }
        if elements.isEmpty {
            fields.report("`\(name)` has no conditions", at: own[name]?.position, own.path)
        }
        return switch name {
        case "all_of": .all(parts)
        case "any_of": .any(parts)
        default: .none(parts)
        }
    }

    /// An element of a list of conditions: an expression alone, or a map.
    private mutating func part(
        _ node: YAMLNode,
        _ path: String,
        depth: Int,
        language: PolicyDocument.Language?,
        count: inout Int
    ) -> PolicyDocument.Condition? {
        if let text = node.text {
            return checked(text, own: nil, language, at: node.position, path, count: &count)
        }
        guard let own = fields.fields(node, path, known: PolicyWords.conditionKeys) else {
            return nil
        }
        let inner = fields.choice(own, "condition_type", PolicyDocument.Language.self)
        let found = condition(
            own,
            depth: depth + 1,
            language: inner ?? language,
            own: inner,
            count: &count
        )
        if !PolicyWords.conditionForms.contains(where: own.has) {
            fields.report("a condition is missing", at: node.position, path)
        }
        if inner != nil, !own.has("expression") {
            fields.report(
                "`condition_type` stands beside an `expression`",
                at: own["condition_type"]?.position,
                path
            )
        }
        return found
    }

    private mutating func expression(
        _ own: FieldReader.Fields,
        language: PolicyDocument.Language?,
        own inner: PolicyDocument.Language? = nil,
        count: inout Int
    ) -> PolicyDocument.Condition? {
        guard let node = own["expression"] else { return nil }
        let path = "\(own.path).expression"
        guard let text = node.text else {
            fields.report("`expression` must be a text", at: node.position, path)
            return nil
        }
        return checked(text, own: inner, language, at: node.position, path, count: &count)
    }

    /// An expression that can be compiled; its problems are reported with their place in it.
    private mutating func checked(
        _ text: String,
        own: PolicyDocument.Language?,
        _ language: PolicyDocument.Language?,
        at position: SourcePosition,
        _ path: String,
        count: inout Int
    ) -> PolicyDocument.Condition? {
        count += 1
        let trimmed = text.trimmed
        guard !trimmed.isEmpty else {
            fields.report("the expression is empty", at: position, path)
            return nil
        }
        guard trimmed.utf8.count <= PolicyLimits.expressionBytes else {
            fields.report(
                "the expression has more than \(PolicyLimits.expressionBytes) bytes",
                at: position,
                path
            )
            return nil
        }
        guard mayCompile(trimmed, at: position, path) else { return nil }
        do throws(ConditionProblem) {
            try PolicyExpression.check(trimmed, language ?? .simple)
        } catch {
            fields.report(error.description, at: position, path)
        }
        return .expression(trimmed, own)
    }

    /// Counts the bytes of an expression; false when there are too many, which is an error once.
    ///
    /// Aliases share what they mean, but each of them is compiled.
    private mutating func mayCompile(
        _ text: String,
        at position: SourcePosition,
        _ path: String
    ) -> Bool {
        let before = expressionBytes
        guard before <= PolicyLimits.allExpressionBytes else { return false }
        expressionBytes += text.utf8.count
        guard expressionBytes > PolicyLimits.allExpressionBytes else { return true }
        fields.report(
            "the expressions have more than \(PolicyLimits.allExpressionBytes) bytes, those that "
                + "aliases repeat counted each time",
            at: position,
            path
        )
        return false
    }
}

extension String {
    /// Without the spaces and line ends around it.
    var trimmed: String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace }
        let rest = drop(while: isSpace)
        guard let last = rest.lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(rest[...last])
    }
}
