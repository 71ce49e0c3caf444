import Domain
import MCP
import Store
import Trackers

/// `update_issue`: changes what is named and nothing else.
struct UpdateIssueTool: Tool {
    let desk: TrackerDesk

    var needs: AccountMeans { .tracker }

    var definition: ToolDefinition {
        ToolDefinition(
            name: "update_issue",
            title: "Update an issue",
            summary: """
                Change an issue in its tracker: only what is given, everything else stays. \
                `status` is a state by the tracker's own word, or open or closed; a wrong one is \
                answered with those that can be reached. `duplicate_of` closes it as the \
                duplicate of another issue of the same tracker and links the two where the \
                tracker can.
                """,
            inputSchema: Schema.object(
                [
                    "issue": Schema.issueReference,
                    "title": Schema.text("The new title."),
                    "description": Schema.markdown("The new text, in Markdown; empty for none."),
                    "status": Schema.text(
                        "The state to bring it to: the tracker's own word, or open or closed."
                    ),
                    "resolution": Schema.text(
                        "Why it is closed, in the tracker's words; goes with a closed state."
                    ),
                    "priority": Schema.text("The new priority."),
                    "assignee": Schema.emptiable(
                        "Who it shall be for, by login or name; takes the place of all others. "
                            + "Empty for nobody."
                    ),
                    "labels": Schema.texts("All labels there shall be; empty for none."),
                    "type": Schema.text("The new type."),
                    "duplicate_of": Schema.text(
                        "The issue that it duplicates, as `issue`; goes with nothing else."
                    ),
                ],
                required: ["issue"]
            ),
            outputSchema: Schema.answer([
                "issue": Schema.writtenIssue, "warnings": Schema.warnings,
            ]),
            annotations: .init(isReadOnly: false, isDestructive: true, isOpenWorld: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let change = Self.change(arguments)
        let original = arguments.optionalText("duplicate_of")
        guard !change.isEmpty || original != nil else {
            throw ToolFailure("there is nothing to change", hint: "give what shall be different")
        }
        guard change.isEmpty || original == nil else {
            throw ToolFailure(
                "`duplicate_of` goes with nothing else",
                hint: "change the rest by a call of its own"
            )
        }
        let target = try await desk.target(arguments.text("issue"), kind: .issue, context)
        let (writer, project) = (target.place.writers.issues, target.place.remote)
        let written: WrittenIssue
        if let original {
            let reference = try await duplicated(original, by: target, context)
            written = try await writer.closeIssue(
                target.reference,
                in: project,
                asDuplicateOf: reference
            )
        } else {
            written = try await writer.updateIssue(target.reference, in: project, change)
        }
        var warnings = await desk.keep(written.issue, in: target.place, context)
        if let comment = written.comment {
            warnings += await desk.keep(comment, on: target, context)
        }
        return [
            "issue": written.issue.written(in: target.place),
            "warnings": JSONValue(written.warnings + warnings),
        ]
    }

    private func duplicated(
        _ reference: String,
        by target: TrackerDesk.Target,
        _ context: CallContext
    ) async throws -> IssueReference {
        let original = try await desk.target(reference, kind: .issue, context)
        guard original.place.tracker.id == target.place.tracker.id else {
            throw ToolFailure(
                "`\(original.reference.key)` is in another tracker",
                hint: "close the issue by `status` and say in a comment what it duplicates"
            )
        }
        guard original.reference.key != target.reference.key else {
            throw ToolFailure("an issue is no duplicate of itself")
        }
        return original.reference
    }

    private static func change(_ arguments: ToolArguments) -> Trackers.IssueChange {
        var change = Trackers.IssueChange()
        change.title = arguments.optionalText("title")
        change.body = arguments.has("description") ? arguments.text("description") : nil
        change.status = arguments.optionalText("status")
        change.resolution = arguments.optionalText("resolution")
        change.priority = arguments.optionalText("priority")
        if arguments.has("assignee") {
            change.assignees = arguments.optionalText("assignee").map { [$0] } ?? []
        }
        change.labels = arguments.optionalTexts("labels").map { .set($0) }
        change.type = arguments.optionalText("type")
        return change
    }
}
