import ArgumentParser
import Bootstrap
import Domain
import Firewall

/// `preloop approvals list`.
struct ApprovalsListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the calls that wait for approval."
    )

    @Flag(help: "Those too that are decided.")
    var all = false

    @Option(name: .shortAndLong, help: "How many at most, from 1 to 100.")
    var limit = 50

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...100).contains(limit) else {
            throw ValidationError("--limit is a number from 1 to 100")
        }
    }

    func run() async throws {
        let source = try await ApprovalSource.open(remote)
        let requests = try await attemptApprovals("cannot list the approvals") {
            try await source.list(all ? nil : .pending, limit: limit)
        }
        guard !output.isJSON else {
            try Output.result(["requests": .array(requests)])
            return
        }
        guard !requests.isEmpty else {
            try Output.text([all ? "There are no requests." : "Nothing waits for approval."])
            return
        }
        var table = TextTable(ApprovalText.columns)
        for request in requests { table.append(ApprovalText.row(request)) }
        try Output.text(table.lines)
    }
}

/// `preloop approvals show`.
struct ApprovalsShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a request with its arguments and what happened to it."
    )

    @Argument(help: "The request's identifier.")
    var id: String

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await ApprovalSource.open(remote)
        let request = try await attemptApprovals("cannot show the request") {
            try await source.show(id)
        }
        guard !output.isJSON else {
            try Output.result(["request": request])
            return
        }
        try Output.text(ApprovalText.lines(request))
    }
}

/// `preloop approvals watch`.
struct ApprovalsWatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Print each call that waits for approval as it comes, until interrupted.",
        discussion: "Where nothing waits at first, it says so on standard error."
    )

    /// A person answers in seconds.
    private static let interval: Duration = .seconds(1)
    /// More that wait at once scroll away unread.
    private static let limit = 100

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await ApprovalSource.open(remote)
        let isJSON = output.isJSON
        try await untilInterrupted {
            try await attempt("cannot watch the approvals") {
                var shown: Set<String> = []
                var isFirst = true
                while true {
                    let pending = try await source.list(.pending, limit: Self.limit)
                    // Whoever reads the output by a program gets calls alone.
                    if isFirst, pending.isEmpty {
                        standardError("note: nothing waits for approval now; watching")
                    }
                    isFirst = false
                    for request in pending.reversed() {
                        let id = request["request_id"]?.string ?? ""
                        guard shown.insert(id).inserted else { continue }
                        guard !isJSON else {
                            try Output.text([request.serializedText()])
                            continue
                        }
                        try Output.text(
                            ApprovalText.lines(request)
                                + ["", "  preloop approvals approve \(id)", ""]
                        )
                    }
                    try await Task.sleep(for: Self.interval)
                }
            }
        }
    }
}
