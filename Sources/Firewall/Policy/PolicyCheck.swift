import Domain

extension PolicyReader {
    /// Finds what is wrong between the parts of a document.
    mutating func check(_ document: PolicyDocument, _ outside: PolicySurroundings) {
        workflowNames = Set((document.workflows.map(\.name) + outside.workflows).map(ByteText.init))
        serverNames = Set((document.servers.map(\.name) + outside.servers).map(ByteText.init))
        repeated(document.servers.map(\.name), "$.mcp_servers", "server")
        repeated(document.workflows.map(\.name), "$.approval_workflows", "workflow")
        repeated(
            document.tools.map { tool in (tool.source.map { "\($0)/" } ?? "") + tool.name },
            "$.tools",
            "tool"
        )
        repeated(document.sensitiveRules.map(\.id), "$.sensitive_data.rules", "rule")
        for (index, rule) in document.sensitiveRules.enumerated() {
            let path = "$.sensitive_data.rules.\(index)"
            if let name = rule.approvalWorkflow {
                refer(to: name, document, outside, path, "approval_workflow")
            } else if rule.action == .requireApproval {
                warnWithoutWorkflow(nil, document, outside, path)
            }
        }
        checkWorkflows(document, outside)
        checkServers(document, outside)
        checkTools(document, outside)
        if let name = document.defaults.approvalWorkflow {
            refer(to: name, document, outside, "$.defaults", "default_approval_workflow")
        }
        if document.defaults.unknownTools == .requireApproval
            || document.defaults.requiresApprovalForNewTools == true
        {
            warnWithoutWorkflow(nil, document, outside, "$.defaults")
        }
    }

    private mutating func repeated(_ names: [String], _ path: String, _ what: String) {
        var firsts: [ByteText: Int] = [:]
        for (index, name) in names.enumerated() where !name.isEmpty {
            guard let first = firsts.updateValue(index, forKey: ByteText(name)) else { continue }
            let line = firstLine("\(path).\(first)")
            fields.report(
                "a second \(what) `\(name)`\(line)",
                at: places["\(path).\(index)"],
                "\(path).\(index)"
            )
        }
    }

    private func firstLine(_ path: String) -> String {
        places[path].map { "; the first is on line \($0.line)" } ?? ""
    }

    private mutating func checkWorkflows(
        _ document: PolicyDocument,
        _ outside: PolicySurroundings
    ) {
        var defaults = 0
        for (index, workflow) in document.workflows.enumerated() {
            let path = "$.approval_workflows.\(index)"
            if let name = workflow.escalationWorkflow {
                refer(to: name, document, outside, path, "escalation_workflow")
            }
            defaults += workflow.isDefault == true ? 1 : 0
            if workflow.isDefault == true, defaults == 2 {
                fields.report("a second workflow `is_default`", at: places[path], path)
            }
            checkSupport(of: workflow, outside, path)
            if let users = workflow.approverUsers, !users.isEmpty,
                users.count < workflow.approvalsRequired ?? 1
            {
                fields.report(
                    "`approvals_required` is more than the \(users.count) `approver_users`",
                    at: places[path],
                    path
                )
            }
            if workflow.approvalKind == .byModel, workflow.escalationWorkflow == nil,
                workflow.fallback ?? .escalate == .escalate
            {
                fields.warn(
                    "a model that is unsure escalates, and there is no `escalation_workflow`",
                    at: places[path],
                    path
                )
            }
        }
    }

    /// Finds what a workflow asks for that nothing does.
    ///
    /// What narrows who approves is an error, for without it others would. In a version that was
    /// applied before it is a warning: what asks for the workflow is denied then, and nothing else.
    private mutating func checkSupport(
        of workflow: PolicyDocument.Workflow,
        _ outside: PolicySurroundings,
        _ path: String
    ) {
        for part in workflow.unsupportedParts {
            let problem = PolicyProblem(
                "\(part) is not supported here",
                at: places[path],
                path: path,
                severity: outside.trustsNames ? .warning : .error
            )
            fields.add(problem)
        }
        for name in workflow.reservedHeaders {
            // A version that was applied before sends the request without it.
            let problem = PolicyProblem(
                "the header `\(sanitized(name))` of a webhook is not the policy's to set",
                at: places[path],
                path: path,
                severity: outside.trustsNames ? .warning : .error
            )
            fields.add(problem)
        }
        if workflow.model != nil {
            fields.warn(
                "`ai_model` is not used: the model of the installation decides",
                at: places[path],
                path
            )
        }
        let limit = PolicyLimits.modelContextBytes
        if let context = workflow.modelContext, context.serialized().count > limit {
            let path = "\(path).ai_context"
            let problem = PolicyProblem(
                "`ai_context` has more than \(limit) bytes",
                at: places[path],
                path: path,
                severity: outside.trustsNames ? .warning : .error
            )
            fields.add(problem)
        }
    }

    private mutating func checkTools(_ document: PolicyDocument, _ outside: PolicySurroundings) {
        var identifiers: Set<String> = []
        for (index, tool) in document.tools.enumerated() {
            let path = "$.tools.\(index)"
            checkSource(tool, document, outside, path)
            checkMatches(tool, outside, path)
            checkExemption(of: tool, outside, path)
            checkEffect(of: tool, path)
            if let name = tool.approvalWorkflow {
                refer(to: name, document, outside, path, "approval_workflow")
            }
            if tool.name.utf8.contains(where: { $0 >= 0x80 }) {
                fields.warn(
                    "the name has letters beyond ASCII; it is compared by its bytes, and what "
                        + "only looks the same does not match",
                    at: places[path],
                    path
                )
            }
            for (place, rule) in tool.rules.enumerated() {
                let path = "\(path).conditions.\(place)"
                if let name = rule.approvalWorkflow {
                    refer(to: name, document, outside, path, "approval_workflow")
                }
                if let id = rule.id, !identifiers.insert(id).inserted {
                    fields.report("a second rule with the id `\(id)`", at: places[path], path)
                }
                if rule.effectiveAction == .requireApproval, rule.isEnabled ?? true {
                    let named = rule.approvalWorkflow ?? tool.approvalWorkflow
                    warnWithoutWorkflow(named, document, outside, path)
                }
            }
        }
    }

    /// Finds what an entry says without effect.
    private mutating func checkEffect(of tool: PolicyDocument.Tool, _ path: String) {
        if tool.hasDescription, !ToolSelector(name: tool.name, source: tool.source).name.isExact {
            let path = "\(path).description"
            fields.warn(
                "`description` is not used: callers read it of a tool that is named, not of a "
                    + "pattern",
                at: places[path],
                path
            )
        }
        if tool.settings != nil {
            let path = "\(path).custom_config"
            fields.warn("`custom_config` is not used: no tool reads it", at: places[path], path)
        }
    }

    private mutating func checkSource(
        _ tool: PolicyDocument.Tool,
        _ document: PolicyDocument,
        _ outside: PolicySurroundings,
        _ path: String
    ) {
        let source: String
        if let own = tool.source {
            source = own
        } else if let slash = tool.name.firstIndex(of: "/") {
            source = String(tool.name[..<slash])
        } else {
            return
        }
        guard !source.contains(where: { $0 == "*" || $0 == "?" }),
            !PolicyWords.reservedSources.contains(source.lowercased())
        else { return }
        guard outside.knowsServers, !serverNames.contains(ByteText(source)) else { return }
        let hint = fields.hint(
            for: source,
            among: document.servers.map(\.name) + outside.servers.sorted() + PolicyWords.sources,
            .warning
        )
        fields.warn(
            "there is no server `\(sanitized(source))`, so nothing matches yet\(hint)",
            at: places[path],
            path
        )
    }

    private mutating func refer(
        to name: String,
        _ document: PolicyDocument,
        _ outside: PolicySurroundings,
        _ path: String,
        _ key: String
    ) {
        guard !outside.trustsNames, !workflowNames.contains(ByteText(name)) else { return }
        let hint = fields.hint(
            for: name,
            among: document.workflows.map(\.name) + outside.workflows.sorted()
        )
        fields.report(
            "`\(key)` names the workflow `\(sanitized(name))`, which there is not\(hint)",
            at: places[path],
            path
        )
    }

    private mutating func warnWithoutWorkflow(
        _ named: String?,
        _ document: PolicyDocument,
        _ outside: PolicySurroundings,
        _ path: String
    ) {
        guard named == nil, document.defaultWorkflow == nil, !outside.hasDefaultWorkflow else {
            return
        }
        fields.warn(
            "an approval is required and no workflow is named, nor is there a default one",
            at: places[path],
            path
        )
    }
}
