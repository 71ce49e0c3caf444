import ArgumentParser
import Bootstrap
import Domain
import Search
import Store

/// `preloop search`: tells whether something has been reported before.
struct SearchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Search issues by meaning and by words."
    )

    @Argument(help: "What you look for, in your own words.")
    var text: String

    @Option(help: "Only this project; may be given several times.")
    var project: [String] = []

    @Option(help: "open, closed or all.")
    var state: StateOption = .all

    @Option(help: "Only issues with this label; given several times, with all of them.")
    var label: [String] = []

    @Option(help: "Only issues this user is assigned to, by the name the tracker shows.")
    var assignee: String?

    @Option(help: "Only issues of the tracker's own type, such as Bug.")
    var type: String?

    @Option(help: "Only this owner, group or site; may be given several times.")
    var organization: [String] = []

    @Option(help: "Only this tracker, by its name.")
    var tracker: String?

    @Option(help: "issue or pull_request.")
    var kind: IssueKind?

    @Option(help: "Only what was updated since: a date (2026-01-31), an instant, or 7d, 12h, 4w.")
    var since: String?

    @Option(help: "How many hits.")
    var limit = 10

    @Option(help: "Leave out so many hits at the beginning.")
    var offset = 0

    @Option(help: "hybrid, vector or text.")
    var mode: SearchRequest.Mode = .hybrid

    @OptionGroup var accuracy: RecallOption

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit is 1 or more") }
        guard offset >= 0 else { throw ValidationError("--offset is not negative") }
        if let since { _ = try SinceOption(since) }
        guard mode != .text || accuracy.recall == nil else {
            throw ValidationError("--recall is about vectors, which --mode text does not search")
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        var request = SearchRequest(text: text)
        request.mode = mode
        request.limit = limit
        request.offset = offset
        request.filter = try await filter(in: installation)
        let search = try await installation.search(mode: mode, recall: accuracy.recall)
        let hits = try await attempt("the search failed") {
            try await search.search(request)
        }
        if mode != .vector {
            let waiting = try await attempt("the search failed") {
                try await search.waitingTexts()
            }
            if waiting > 0 {
                standardError(
                    "note: \(waiting) changed texts are not in the words index yet and may be "
                        + "missing here; a scan brings them in, or `preloop index rebuild`"
                )
            }
        }
        guard !output.isJSON else {
            try Output.result([
                "query": .string(text), "mode": .string(mode.rawValue),
                "hits": .array(hits.map(\.json)),
            ])
            return
        }
        guard !hits.isEmpty else {
            try Output.text(["Nothing found."])
            return
        }
        let names = IssueNames(hits.map(\.issue))
        try Output.text(hits.enumerated().flatMap { $1.lines(rank: offset + $0 + 1, names: names) })
    }

    private func filter(in installation: Installation) async throws(CommandFailure) -> IssueFilter {
        var filter = IssueFilter()
        if let tracker { filter.trackers = [try await installation.tracker(named: tracker).name] }
        let project = project
        filter.projectIDs = try await attempt("cannot look up the projects") {
            try await installation.projects(project).map(\.id)
        }
        filter.state = state.issueState
        filter.kind = kind
        filter.labels = label
        filter.assignee = assignee
        filter.type = type
        filter.organizations = try await organizations(in: installation)
        if let since {
            filter.updatedSince = try await attempt("cannot read --since") {
                try SinceOption(since).instant(before: installation.store.clock.now())
            }
        }
        return filter
    }

    /// The paths asked for; one that no tracker has is an error and not an empty answer.
    private func organizations(
        in installation: Installation
    ) async throws(CommandFailure) -> [String] {
        guard !organization.isEmpty else { return [] }
        let known = try await attempt("cannot look up the organisations") {
            try await installation.store.read { connection, account in
                try TrackerTable.list(account: account, on: connection).flatMap { tracker in
                    try OrganizationTable.list(
                        of: tracker.id,
                        account: account,
                        on: connection
                    ).map { $0.path.lowercased() }
                }
            }
        }
        for path in organization where !known.contains(path.lowercased()) {
            throw CommandFailure(
                .notFound,
                "there is no organisation `\(path)`",
                hint: "it is what stands before the slash in a project's path"
            )
        }
        return organization
    }
}

extension IssueKind: ExpressibleByArgument {}
extension SearchRequest.Mode: ExpressibleByArgument {}
