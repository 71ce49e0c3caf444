import ArgumentParser
import Bootstrap
import Domain
import Firewall

/// For how long the same call may run again.
struct DecisionMemory: Sendable {
    var seconds: Int?
    var isForSession = false
}

/// What both decisions are given.
struct DecisionOptions: ParsableArguments {
    @Argument(help: "The request's identifier, as `preloop approvals list` shows it.")
    var id: String

    @Option(name: .shortAndLong, help: "Why; whoever called is told.")
    var reason: String?

    @Option(help: "The workflow that the answer is for, where several have to approve.")
    var workflow: String?

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    /// Decides, and says what came of it.
    func decide(
        _ decision: ApprovalState.Decision,
        remembering: DecisionMemory = DecisionMemory()
    ) async throws {
        let source = try await ApprovalSource.open(remote)
        let what = decision == .approve ? "cannot approve the call" : "cannot deny the call"
        let request = try await attemptApprovals(what) {
            try await source.decide(
                id,
                decision,
                for: workflow,
                reason: reason,
                remembering: remembering
            )
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["request": request])
            return
        }
        let (tool, isAnswer) = (ApprovalText.tool(request), ApprovalText.isAnswer(request))
        switch request["status"]?.string {
        case "approved":
            let means =
                isAnswer ? "the caller gets the answer of \(tool)." : "\(tool) may run, once."
            try Output.text(["Approved: \(means)"])
        case "declined":
            let means = isAnswer ? "the answer of \(tool) is not shown." : "\(tool) does not run."
            try Output.text(["Denied: \(means)"])
        default:
            let workflows = request["workflows"]?.array ?? []
            let asked = ApprovalText.text(request, "asked_workflow")
            let next = workflows.count > 1 ? " Asked now: \(asked)." : ""
            let received = request["approvals_received"]?.integer ?? 0
            let required = request["approvals_required"]?.integer ?? 1
            try Output.text(["Counted: \(received) of \(required) approvals for \(tool).\(next)"])
        }
    }
}

/// `preloop approvals approve`.
struct ApprovalsApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        abstract: "Approve a call; it then runs, once."
    )

    @OptionGroup var decision: DecisionOptions

    @Option(help: "For how many minutes the same call may run again, if the workflow lets it.")
    var rememberMinutes: Int?

    @Flag(help: "Let the same call run again in the same session, if the workflow lets it.")
    var rememberSession = false

    func validate() throws {
        guard rememberMinutes.map({ (1...1_440).contains($0) }) ?? true else {
            throw ValidationError("--remember-minutes is a number from 1 to 1440")
        }
    }

    func run() async throws {
        let memory = DecisionMemory(
            seconds: rememberMinutes.map { $0 * 60 },
            isForSession: rememberSession
        )
        try await decision.decide(.approve, remembering: memory)
    }
}

/// `preloop approvals deny`.
struct ApprovalsDenyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deny",
        abstract: "Deny a call; whoever made it is told, with the reason."
    )

    @OptionGroup var decision: DecisionOptions

    func run() async throws {
        try await decision.decide(.decline)
    }
}
