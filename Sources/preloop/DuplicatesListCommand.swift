import ArgumentParser
import Bootstrap
import Domain
import Search
import Store

/// `preloop duplicates`: undecided pairs, most probable first.
struct DuplicatesListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List undecided pairs, most probable first.",
        discussion: "The score is the probability that a maintainer calls the pair a duplicate."
    )

    @Option(help: "The least probability, from 0 to 1.")
    var minScore = 0.5

    @Option(help: "Only pairs with an issue of this project; may be given several times.")
    var project: [String] = []

    @Option(help: "open: one of the two is open; closed: both are closed; or all.")
    var state: StateOption = .all

    @Option(help: "How many pairs.")
    var limit = 50

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (0...1).contains(minScore) else {
            throw ValidationError("--min-score is from 0 to 1")
        }
        guard (1...100_000).contains(limit) else {
            throw ValidationError("--limit is from 1 to 100000")
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let pairs = try await attempt("cannot list the pairs") {
            var listing = DuplicateTable.Listing()
            listing.minimumScore = minScore
            listing.projects = try await installation.projects(project).map(\.id)
            listing.state = state.issueState
            listing.limit = limit
            return try await Duplicates.list(listing, in: installation.store)
        }
        guard !output.isJSON else {
            try Output.result(["pairs": .array(pairs.map(json))])
            return
        }
        guard !pairs.isEmpty else {
            try Output.text(["No undecided pair has a score of \(twoDecimals(minScore)) or more."])
            return
        }
        let names = IssueNames(pairs.flatMap { [$0.first, $0.second] })
        try Output.text(pairs.flatMap { lines($0, names) })
    }

    private func json(_ pair: Duplicates.Listed) -> JSONValue {
        [
            "score": .double(pair.score), "first": pair.first.json, "second": pair.second.json,
            "features": pair.features,
        ]
    }

    /// The score, and each issue with its address.
    private func lines(_ pair: Duplicates.Listed, _ names: IssueNames) -> [String] {
        let sides = [pair.first, pair.second].flatMap { issue in
            [names.line(of: issue)] + (issue.url.isEmpty ? [] : ["  " + singleLine(issue.url)])
        }
        return sides.enumerated().map { place, text in
            (place == 0 ? "\(twoDecimals(pair.score))  " : "      ") + text
        }
    }
}
