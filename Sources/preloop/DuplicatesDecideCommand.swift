import ArgumentParser
import Bootstrap
import Domain
import Search
import Store

/// `preloop duplicates decide`: remembers what a person thinks of a pair.
struct DuplicatesDecideCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decide",
        abstract: "Remember a verdict; the pair is not listed any more."
    )

    @Argument(help: "One issue: its URL, owner/repo#1 or KEY-1.")
    var first: String

    @Argument(help: "The other issue.")
    var second: String

    @Argument(help: "duplicate, related or not_duplicate.")
    var verdict: DuplicateTable.Verdict

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        let installation = try await Installation.open(settings)
        let (one, other) = try await attempt("cannot look up the issues") {
            (try await installation.issue(first), try await installation.issue(second))
        }
        guard one.issue != other.issue else {
            throw CommandFailure(.usage, "`\(first)` and `\(second)` are the same issue")
        }
        try await attempt("the verdict was not stored") {
            try await Duplicates.decide(
                one,
                other,
                verdict,
                by: settings.environment["USER"],
                in: installation.store
            )
            try await installation.close()
        }
        guard !output.isJSON else {
            try Output.result([
                "first": one.json, "second": other.json, "verdict": .string(verdict.rawValue),
            ])
            return
        }
        let names = IssueNames([one, other])
        try Output.text([
            "\(names.name(of: one)) and \(names.name(of: other)): \(verdict.rawValue)"
        ])
    }
}

extension DuplicateTable.Verdict: ExpressibleByArgument {}
