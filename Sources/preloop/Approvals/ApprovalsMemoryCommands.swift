import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop approvals remembered`.
struct ApprovalsRememberedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remembered",
        abstract: "List the approvals by which the same call may run again."
    )

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
        let remembered = try await attemptApprovals("cannot list what is remembered") {
            try await source.remembered(limit: limit)
        }
        guard !output.isJSON else {
            try Output.result(["remembered": .array(remembered)])
            return
        }
        guard !remembered.isEmpty else {
            try Output.text(["No approval is remembered."])
            return
        }
        var table = TextTable(["REQUEST", "UNTIL", "APPROVED BY", "REQUESTER", "TOOL", "ARGUMENTS"])
        for approval in remembered { table.append(Self.row(approval)) }
        try Output.text(table.lines)
    }

    private static func row(_ approval: JSONValue) -> [String] {
        let names = (approval["approved_by"]?.array ?? []).compactMap(\.string)
        let session = approval["for_session"] == true ? ", in its session" : ""
        let until = ApprovalText.text(approval, "remembered_until") + session
        return [
            ApprovalText.text(approval, "request_id"),
            approval["is_in_force"] == true ? until : "not in force",
            singleLine(visible(names.joined(separator: ", "))),
            ApprovalText.text(approval, "requester"), ApprovalText.tool(approval),
            ApprovalText.arguments(approval, limit: 60),
        ]
    }
}

/// `preloop approvals forget`.
struct ApprovalsForgetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget",
        abstract: "Take a remembered approval back: the same call is asked about again."
    )

    @Argument(help: "The request's identifier, as `preloop approvals remembered` shows it.")
    var id: String?

    @Flag(help: "Take back all that are remembered.")
    var all = false

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (id == nil) == all else {
            throw ValidationError("give the identifier of a request, or --all")
        }
    }

    func run() async throws {
        let source = try await ApprovalSource.open(remote)
        let count = try await attemptApprovals("cannot forget the approval") {
            try await source.forget(id)
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["forgotten": .integer(count)])
            return
        }
        let what = count == 1 ? "approval" : "approvals"
        try Output.text(["Forgotten: \(count) \(what). The same calls are asked about again."])
    }
}
