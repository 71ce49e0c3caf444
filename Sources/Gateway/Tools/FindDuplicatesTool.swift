import Domain
import MCP
import Search
import Store

/// `find_duplicates`: whether a draft or an issue has been reported before.
struct FindDuplicatesTool: Tool {
    let finder: DuplicateFinder

    var definition: ToolDefinition {
        ToolDefinition(
            name: "find_duplicates",
            title: "Find duplicates",
            summary: """
                Tell whether a report has been made before. Give `title` and `description` of a \
                draft that is not filed yet, or `issue` for one that is. The score is the \
                probability that a maintainer would call the two the same report; `why` says what \
                it rests on. Call it before create_issue.
                """,
            inputSchema: Schema.object([
                "title": Schema.text("The title of a draft."),
                "description": [
                    "type": "string", "maxLength": 100_000,
                    "description": "The text of a draft, in Markdown.",
                ],
                "issue": Schema.issueReference,
                "project": Schema.projectPath,
                "state": Schema.state,
                "threshold": Schema.fraction("The least probability.", default: 0.5),
                "limit": Schema.integer("How many issues.", 1...20, default: 5),
            ]),
            outputSchema: Schema.answer([
                "subject": Schema.string,
                "threshold": Schema.number,
                "duplicates": DuplicateFinder.schema,
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let threshold = arguments.number("threshold", default: 0.5)
        let limit = arguments.integer("limit", default: 5)
        let filter = try await finder.reading.filter(arguments)
        let (reference, title) = (
            arguments.optionalText("issue"), arguments.optionalText("title")
        )
        guard (reference == nil) != (title == nil),
            reference == nil || !arguments.has("description")
        else {
            throw ToolFailure(
                "say what is compared, and only once",
                hint: "give `issue`, or `title` with or without `description`"
            )
        }
        if let reference {
            let issue = try await finder.reading.issue(reference)
            let found = try await finder.duplicates(
                of: issue,
                filter: filter,
                threshold: threshold,
                limit: limit
            )
            return answer(issue.key, threshold, found)
        }
        let draft = ReportDraft(
            title: title ?? "",
            body: arguments.text("description"),
            project: filter.projectIDs.count == 1 ? filter.projectIDs[0] : nil
        )
        let found = try await finder.duplicates(
            of: draft,
            filter: filter,
            threshold: threshold,
            limit: limit
        )
        return answer(draft.title, threshold, found)
    }

    private func answer(
        _ subject: String,
        _ threshold: Double,
        _ duplicates: [JSONValue]
    ) -> JSONValue {
        [
            "subject": .string(subject), "threshold": .double(threshold),
            "duplicates": .array(duplicates),
        ]
    }
}
