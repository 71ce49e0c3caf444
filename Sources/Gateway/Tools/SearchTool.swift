import Domain
import MCP
import Search
import Store

/// `search`: issues by meaning and by words.
struct SearchTool: Tool {
    let provider: SearchProvider
    let reading: StoreReading

    var definition: ToolDefinition {
        ToolDefinition(
            name: "search",
            title: "Search issues",
            summary: """
                Search the issues and pull requests of all connected trackers by meaning and by \
                words. Use it to find out whether something has been reported, discussed or \
                decided before.
                """,
            inputSchema: Schema.object(
                [
                    "query": Schema.text(
                        "What you look for, in your own words.",
                        maximumLength: 10_000
                    ),
                    "project": Schema.projectPath,
                    "limit": Schema.integer("How many results.", 1...100, default: 10),
                    "offset": Schema.integer(
                        "How many results to leave out at the beginning.",
                        0...4_900,
                        default: 0
                    ),
                    "mode": Schema.choice(
                        "By meaning and words (hybrid), by meaning (vector), by words (text).",
                        ["hybrid", "vector", "text"],
                        default: "hybrid"
                    ),
                    "state": Schema.state,
                    "kind": Schema.choice("Only this kind.", ["issue", "pull_request"]),
                    "labels": Schema.texts("Only issues with all of these labels."),
                    "assignee": Schema.text("Only issues assigned to this user."),
                    "author": Schema.text("Only issues of this author."),
                    "type": Schema.text("Only issues of the tracker's own type, such as Bug."),
                ],
                required: ["query"]
            ),
            outputSchema: Schema.answer([
                "query": Schema.string,
                "mode": Schema.string,
                "note": Schema.optionalString,
                "results": Schema.list(
                    of: Schema.answer([
                        "item_type": Schema.choice("What matched.", ["issue", "comment"]),
                        "item": Schema.issue,
                        "similarity": Schema.number,
                        "vector_score": Schema.optionalNumber,
                        "lexical_score": Schema.optionalNumber,
                        "passage": Schema.optionalString,
                    ])
                ),
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        var request = SearchRequest(text: arguments.text("query"))
        request.mode = SearchRequest.Mode(rawValue: arguments.text("mode")) ?? .hybrid
        request.limit = arguments.integer("limit", default: 10)
        request.offset = arguments.integer("offset", default: 0)
        request.filter = try await reading.filter(arguments)
        request.filter.kind = IssueKind(rawValue: arguments.text("kind"))
        request.filter.labels = arguments.texts("labels")
        request.filter.assignee = arguments.optionalText("assignee")
        request.filter.author = arguments.optionalText("author")
        request.filter.type = arguments.optionalText("type")
        let (search, note) = try await open(&request)
        let hits = try await search.search(request)
        if let note { await context.log(.warning, note) }
        return [
            "query": .string(request.text), "mode": .string(request.mode.rawValue),
            "note": JSONValue(note), "results": .array(hits.map(Self.json)),
        ]
    }

    /// The indexes; words alone where the model cannot be had and nobody insists on meaning.
    private func open(_ request: inout SearchRequest) async throws -> (IssueSearch, String?) {
        do {
            return (try await provider.search(request.mode), nil)
        } catch {
            guard request.mode == .hybrid else { throw error }
            request.mode = .text
            let reason = ToolFailure(cause: error).text
            return (try await provider.search(.text), "searched by words alone: \(reason)")
        }
    }

    private static func json(_ hit: SearchHit) -> JSONValue {
        [
            "item_type": hit.passage?.part == .comment ? "comment" : "issue",
            "item": hit.issue.toolJSON, "similarity": rounded(hit.score),
            "vector_score": hit.vectorScore.map(rounded) ?? .null,
            "lexical_score": hit.lexicalScore.map(rounded) ?? .null,
            "passage": JSONValue(hit.passage?.text),
        ]
    }
}
