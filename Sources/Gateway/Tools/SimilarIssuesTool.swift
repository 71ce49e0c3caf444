import Domain
import MCP
import Search
import Store

/// `similar_issues`: issues like a given one.
struct SimilarIssuesTool: Tool {
    let provider: SearchProvider
    let reading: StoreReading

    var definition: ToolDefinition {
        ToolDefinition(
            name: "similar_issues",
            title: "Similar issues",
            summary: """
                List the issues most like a given one, over all projects or one. The score orders \
                them; find_duplicates tells how probable it is that two are the same report.
                """,
            inputSchema: Schema.object(
                [
                    "issue": Schema.issueReference,
                    "project": Schema.projectPath,
                    "state": Schema.state,
                    "limit": Schema.integer("How many issues.", 1...100, default: 10),
                ],
                required: ["issue"]
            ),
            outputSchema: Schema.answer([
                "issue": Schema.issue,
                "results": Schema.list(
                    of: Schema.answer([
                        "issue": Schema.issue, "similarity": Schema.number,
                        "vector_score": Schema.optionalNumber,
                        "lexical_score": Schema.optionalNumber,
                    ])
                ),
            ]),
            annotations: .init(isReadOnly: true)
        )
    }

    func run(_ arguments: ToolArguments, _ context: CallContext) async throws -> JSONValue {
        let issue = try await reading.issue(arguments.text("issue"))
        let filter = try await reading.filter(arguments)
        let search = try await provider.search()
        let hits = try await search.similar(
            to: issue.issue,
            filter: filter,
            limit: arguments.integer("limit", default: 10)
        )
        let results: [JSONValue] = hits.map { hit in
            [
                "issue": hit.issue.toolJSON, "similarity": rounded(hit.score),
                "vector_score": hit.vectorScore.map(rounded) ?? .null,
                "lexical_score": hit.lexicalScore.map(rounded) ?? .null,
            ]
        }
        return ["issue": issue.toolJSON, "results": .array(results)]
    }
}
