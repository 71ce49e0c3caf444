import Domain
import MCP
import Search
import Store
import Trackers

/// `create_issue`: files an issue, unless it seems to be filed already.
struct CreateIssueTool: Tool {
    let desk: TrackerDesk
    let finder: DuplicateFinder

    /// As `find_duplicates` has it: more likely than not.
    private static let threshold = 0.5
    /// More than that many would not be read.
    private static let shown = 5

    var needs: AccountMeans { .tracker }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "create_issue",
            title: "Create an issue",
            summary: """
                File an issue in a project's tracker. When likely duplicates exist, nothing is \
                filed and they are listed instead: read them, then comment on one, or call again \
                with `allow_duplicates`.
                """,
            inputSchema: Schema.object(
                [
                    "project": Schema.writableProject,
                    "title": Schema.text("The title."),
                    "description": Schema.markdown("The text, in Markdown."),
                    "labels": Schema.texts("Labels to set."),
                    "assignee": Schema.text("Who it is for, by login or name."),
                    "priority": Schema.text("A priority of the tracker's."),
                    "status": Schema.text(
                        "Another state than the one new issues are in: the tracker's own word, "
                            + "or open or closed."
                    ),
                    "type": Schema.text("A type of the tracker's, such as Bug."),
                    "allow_duplicates": Schema.flag(
                        "File it although likely duplicates exist.",
                        default: false
                    ),
                    "duplicate_threshold": Schema.fraction(
                        "From which probability on a duplicate holds it up.",
                        default: Self.threshold
                    ),
                ],
                required: ["project", "title"]
            ),
            outputSchema: Schema.answer([
                "created": Schema.boolean,
                "issue": ["anyOf": [Schema.writtenIssue, ["type": "null"]]],
                "duplicates": DuplicateFinder.schema,
                "message": Schema.string,
                "warnings": Schema.warnings,
            ]),
            annotations: .init(isReadOnly: false, isIdempotent: false, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let place = try await desk.place(arguments.text("project"))
        var warnings: [String] = []
        if !arguments.flag("allow_duplicates", default: false) {
            do {
                let found = try await duplicates(arguments, place)
                guard found.isEmpty else { return Self.heldUp(found) }
            } catch {
                if Task.isCancelled { throw error }
                // Without a model nothing can be compared; the report must not be lost for that.
                let reason = ToolFailure(cause: error).message
                warnings.append("duplicates could not be looked for: \(reason)")
            }
        }
        let draft = Trackers.IssueDraft(
            title: arguments.text("title"),
            body: arguments.text("description"),
            labels: arguments.texts("labels"),
            assignees: arguments.optionalText("assignee").map { [$0] } ?? [],
            priority: arguments.optionalText("priority"),
            type: arguments.optionalText("type"),
            status: arguments.optionalText("status")
        )
        let written = try await place.writers.issues.createIssue(draft, in: place.remote)
        warnings += written.warnings
        warnings += await desk.keep(written.issue, in: place, context)
        return [
            "created": true, "issue": written.issue.written(in: place), "duplicates": [],
            "message": .string("filed as \(written.issue.key)"),
            "warnings": JSONValue(warnings),
        ]
    }

    private func duplicates(
        _ arguments: ToolArguments,
        _ place: TrackerDesk.Place
    ) async throws -> [JSONValue] {
        try await finder.duplicates(
            of: ReportDraft(
                title: arguments.text("title"),
                body: arguments.text("description"),
                project: place.project.id
            ),
            filter: IssueFilter(),
            threshold: arguments.number("duplicate_threshold", default: Self.threshold),
            limit: Self.shown
        )
    }

    private static func heldUp(_ duplicates: [JSONValue]) -> JSONValue {
        [
            "created": false, "issue": .null, "duplicates": .array(duplicates),
            "message": """
            Nothing was filed: this seems to be reported already. Read these issues; call \
            again with `allow_duplicates` when none of them is the same.
            """,
            "warnings": [],
        ]
    }
}
