import Domain
import MCP
import Store

/// What `estimate_compliance` and `improve_compliance` share.
struct ComplianceDesk: Sendable {
    let reading: StoreReading
    /// Read for every call, so that an edited file counts at once.
    let catalogue: @Sendable () throws -> MetricCatalogue
    let model: LanguageModel?

    /// Issues of a call; each may cost a model's answer.
    private static let issuesPerCall: ClosedRange<Int64> = 1...20

    var inputSchema: JSONValue {
        Schema.object(
            [
                "issues": Schema.texts(
                    "The issues: URLs or keys such as PROJ-1 or owner/repo#1.",
                    Self.issuesPerCall
                ),
                "compliance_metric": [
                    "type": "string", "minLength": 1, "maxLength": 100, "default": "DoR",
                    "description": .string(
                        "The metric, by its short name: DoR (Definition of Ready), Bug, Story, or "
                            + "one of the installation's own."
                    ),
                ],
            ],
            required: ["issues"]
        )
    }

    /// Judges each issue; what cannot be judged is told apart and spoils nothing.
    func each(
        _ arguments: ToolArguments,
        _ context: CallContext,
        _ body: (ComplianceJudge, ExportTable.Row, IssueNames) async throws -> JSONValue
    ) async throws -> (results: [JSONValue], processing: JSONValue) {
        let metric = try catalogue().metric(
            named: arguments.text("compliance_metric", default: "DoR")
        )
        let judge = ComplianceJudge(metric: metric, model: model)
        let references = arguments.texts("issues")
        var results: [JSONValue] = []
        var failures: [JSONValue] = []
        var kinds: [ToolResult.FailureKind] = []
        for (index, reference) in references.enumerated() {
            try Task.checkCancellation()
            await context.progress(index, of: references.count, reference)
            do {
                let summary = try await reading.issue(reference)
                let row = try await reading.row(summary)
                let names = IssueNames(key: summary.key, url: summary.url)
                results.append(try await body(judge, row, names))
            } catch let error as CancellationError {
                throw error
            } catch {
                let failure = ToolFailure(cause: error)
                let text = failure.text
                kinds.append(failure.kind)
                failures.append(["issue": .string(reference), "error": .string(text)])
            }
        }
        await context.progress(references.count, of: references.count, "done")
        guard !results.isEmpty else {
            let reasons = failures.compactMap { $0["error"]?.string }
            throw ToolFailure(
                reasons.joined(separator: " "),
                kind: Set(kinds).count == 1 ? kinds[0] : .invalid
            )
        }
        let processing: JSONValue = [
            "metric": .string(metric.shortName), "model": JSONValue(model?.name),
            "requested": .integer(Int64(references.count)), "failed": .array(failures),
        ]
        return (results, processing)
    }

    /// How an issue is named in answers.
    struct IssueNames: Sendable {
        var key: String
        var url: String
    }

    static let processingSchema = Schema.answer([
        "metric": Schema.string, "model": Schema.optionalString, "requested": Schema.count,
        "failed": Schema.list(
            of: Schema.answer(["issue": Schema.string, "error": Schema.string])
        ),
    ])
}

/// `estimate_compliance`: how issues stand against a metric.
struct EstimateComplianceTool: Tool {
    let desk: ComplianceDesk

    var definition: ToolDefinition {
        ToolDefinition(
            name: "estimate_compliance",
            title: "Estimate compliance",
            summary: """
                Check issues against a named metric such as the Definition of Ready. Says for each \
                what is met, what is not and why, what to do, and what was not looked at.
                """,
            inputSchema: desk.inputSchema,
            outputSchema: Schema.answer([
                "results": Schema.list(
                    of: Schema.answer([
                        "issue": Schema.string, "url": Schema.string, "name": Schema.string,
                        "short_name": Schema.string, "compliance_factor": Schema.number,
                        "reason": Schema.string, "suggestion": Schema.string,
                        "annotated_description": Schema.string,
                        "checks": Schema.list(
                            of: Schema.answer([
                                "id": Schema.string, "requirement": Schema.string,
                                "met": Schema.boolean, "weight": Schema.number,
                                "detail": Schema.string,
                            ])
                        ),
                        "not_checked": Schema.list(
                            of: Schema.answer(["question": Schema.string, "why": Schema.string])
                        ),
                        "judged_by": Schema.string,
                    ])
                ),
                "processing": ComplianceDesk.processingSchema,
            ]),
            annotations: .init(isReadOnly: true, isOpenWorld: desk.model != nil)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let (results, processing) = try await desk.each(arguments, context) { judge, row, names in
            let report = try await judge.report(on: row.issue, context)
            return json(report, row.issue, names)
        }
        return ["results": .array(results), "processing": processing]
    }

    private func json(
        _ report: ComplianceReport,
        _ issue: Issue,
        _ names: ComplianceDesk.IssueNames
    ) -> JSONValue {
        let checks: [JSONValue] = report.findings.map { finding in
            [
                "id": .string(finding.id), "requirement": .string(finding.requirement),
                "met": .bool(finding.passed), "weight": .double(finding.weight),
                "detail": .string(finding.detail),
            ]
        }
        let unanswered: [JSONValue] = report.unanswered.map { item in
            ["question": .string(item.question), "why": .string(item.reason)]
        }
        return [
            "issue": .string(names.key), "url": .string(names.url),
            "name": .string(report.metric.name), "short_name": .string(report.metric.shortName),
            "compliance_factor": rounded(report.factor), "reason": .string(report.reason),
            "suggestion": .string(report.suggestion),
            "annotated_description": .string(
                report.annotated(prefix(of: issue.body, bytes: 100_000))
            ),
            "checks": .array(checks), "not_checked": .array(unanswered),
            "judged_by": .string(report.judgedBy),
        ]
    }
}

/// `improve_compliance`: a better title and description; writes nothing.
struct ImproveComplianceTool: Tool {
    let desk: ComplianceDesk

    var definition: ToolDefinition {
        ToolDefinition(
            name: "improve_compliance",
            title: "Improve compliance",
            summary: """
                Suggest a title and a description with which issues would meet a named metric \
                such as the Definition of Ready. Nothing is written to the tracker.
                """,
            inputSchema: desk.inputSchema,
            outputSchema: Schema.answer([
                "results": Schema.list(
                    of: Schema.answer([
                        "issue": Schema.string, "url": Schema.string, "name": Schema.string,
                        "short_name": Schema.string, "compliance_factor": Schema.number,
                        "title": Schema.string, "description": Schema.string,
                        "suggestion": Schema.string, "rewritten_by": Schema.string,
                    ])
                ),
                "processing": ComplianceDesk.processingSchema,
            ]),
            annotations: .init(isReadOnly: true, isOpenWorld: desk.model != nil)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let (results, processing) = try await desk.each(arguments, context) { judge, row, names in
            let report = try await judge.report(on: row.issue, context)
            let better = try await judge.improvement(of: row.issue, report, context)
            return [
                "issue": .string(names.key), "url": .string(names.url),
                "name": .string(report.metric.name),
                "short_name": .string(report.metric.shortName),
                "compliance_factor": rounded(report.factor), "title": .string(better.title),
                "description": .string(better.description),
                "suggestion": .string(report.suggestion), "rewritten_by": .string(better.by),
            ]
        }
        return ["results": .array(results), "processing": processing]
    }
}
