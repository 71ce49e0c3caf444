import Domain
import MCP
import Search
import Store

/// `get_issue`: an issue as it was last read, with its comments.
struct GetIssueTool: Tool {
    let reading: StoreReading

    var definition: ToolDefinition {
        ToolDefinition(
            name: "get_issue",
            title: "Get an issue",
            summary: """
                Get an issue or pull request as it was last synchronised: title, description, \
                state, people, labels, and its latest comments.
                """,
            inputSchema: Schema.object(
                [
                    "issue": Schema.issueReference,
                    "comment_limit": Schema.integer(
                        "How many comments, the latest ones.",
                        0...1_000,
                        default: 50
                    ),
                ],
                required: ["issue"]
            ),
            outputSchema: Schema.answer([
                "id": Schema.string, "key": Schema.string, "kind": Schema.string,
                "title": Schema.string, "state": Schema.string, "project": Schema.string,
                "tracker": Schema.string, "url": Schema.string, "created_at": Schema.string,
                "updated_at": Schema.string,
                "description": Schema.string, "description_is_cut": Schema.boolean,
                "status": Schema.optionalString, "priority": Schema.optionalString,
                "type": Schema.optionalString, "author": Schema.optionalString,
                "assignee": Schema.optionalString,
                "assignees": Schema.list(of: Schema.string),
                "labels": Schema.list(of: Schema.string),
                "comments": Schema.list(
                    of: Schema.answer([
                        "id": Schema.string, "author": Schema.optionalString,
                        "body": Schema.string, "created_at": Schema.string,
                        "updated_at": Schema.string,
                    ])
                ),
                "comments_left_out": Schema.count,
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let summary = try await reading.issue(arguments.text("issue"))
        let row = try await reading.row(summary)
        let comments = try await reading.store.read { connection, account in
            try ExportTable.comments(of: summary.issue, account: account, on: connection)
        }
        var room = AnswerRoom()
        let description = room.cut(row.issue.body)
        var shown: [JSONValue] = []
        // The latest ones matter most: they get what room there is.
        for comment in comments.suffix(arguments.integer("comment_limit", default: 50)).reversed() {
            room.take(AnswerRoom.comment)
            guard room.bytes > 0 else { break }
            shown.append([
                "id": .string(comment.externalID), "author": JSONValue(comment.author),
                "body": .string(room.cut(comment.body)),
                "created_at": .string(comment.createdAt.iso8601),
                "updated_at": .string(comment.updatedAt.iso8601),
            ])
        }
        var object = summary.toolMembers
        let issue = row.issue
        object.append(key: "description", value: .string(description))
        let isCut = description.utf8.count < issue.body.utf8.count
        object.append(key: "description_is_cut", value: .bool(isCut))
        object.append(key: "status", value: JSONValue(issue.status))
        object.append(key: "priority", value: JSONValue(issue.priority))
        object.append(key: "type", value: JSONValue(issue.type))
        object.append(key: "author", value: JSONValue(issue.author))
        object.append(key: "assignee", value: JSONValue(issue.assignees.first))
        object.append(key: "assignees", value: JSONValue(issue.assignees))
        object.append(key: "labels", value: JSONValue(issue.labels))
        object.append(key: "comments", value: .array(shown.reversed()))
        let leftOut = Int64(comments.count - shown.count)
        object.append(key: "comments_left_out", value: .integer(leftOut))
        return .object(object)
    }
}
