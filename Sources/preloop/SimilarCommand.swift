import ArgumentParser
import Bootstrap
import Domain
import Search
import Store

/// `preloop similar`: issues like a given one.
struct SimilarCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "similar",
        abstract: "List issues like one issue.",
        discussion: """
            With --all and --run, writes for every issue the ranking of its project: lines of \
            query, tab, answer by their external identifiers, best first.
            """
    )

    @Argument(help: "The issue: its URL, owner/repo#1, group/project!2 or KEY-1.")
    var issue: String?

    @Option(help: "How many answers; 10, or 100 an issue with --all.")
    var limit: Int?

    @Flag(help: "Rank for every issue; needs --run.")
    var all = false

    @Option(help: "Where --all writes the ranking.")
    var run: String?

    @OptionGroup var accuracy: RecallOption

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard all == (run != nil) else { throw ValidationError("--all and --run go together") }
        guard all == (issue == nil) else {
            throw ValidationError(all ? "--all takes no issue" : "say which issue")
        }
        guard (limit ?? 1) > 0, (limit ?? 1) <= 300 else {
            throw ValidationError("--limit is from 1 to 300")
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        if let run {
            try await rank(to: run, in: installation)
        } else if let issue {
            try await list(issue, in: installation)
        }
    }

    private func list(_ reference: String, in installation: Installation) async throws {
        let issue = try await attempt("cannot look up the issue") {
            try await installation.issue(reference)
        }
        let search = try await installation.search(recall: accuracy.recall)
        let limit = limit ?? 10
        let hits = try await attempt("the search failed") {
            try await search.similar(to: issue.issue, limit: limit)
        }
        guard !output.isJSON else {
            try Output.result(["issue": issue.json, "hits": .array(hits.map(\.json))])
            return
        }
        let names = IssueNames([issue] + hits.map(\.issue))
        guard !hits.isEmpty else {
            try Output.text(["Nothing like \(names.line(of: issue))."])
            return
        }
        try Output.text(
            ["Like \(names.line(of: issue))"]
                + hits.enumerated().flatMap { $1.lines(rank: $0 + 1, names: names) }
        )
    }

    private func rank(to path: String, in installation: Installation) async throws {
        let search = try await installation.search(recall: accuracy.recall)
        let limit = limit ?? 100
        var count = 0
        try await attempt("the ranking was not written") {
            var file = try ReplacedFile(path: path)
            try await search.similarAll(limit: limit) { query, answers in
                for answer in answers { try file.output.line("\(query)\t\(answer)") }
                count += 1
            }
            try file.commit()
        }
        guard !output.isJSON else {
            try Output.result(["run": .string(path), "queries": .integer(Int64(count))])
            return
        }
        try Output.text(["Ranked \(counted(count, "issue")) into \(path)."])
    }
}
