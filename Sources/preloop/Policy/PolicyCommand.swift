import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Foundation
import Gateway

/// `preloop policy …`: the rules by which calls of tools are decided.
struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Write, test and apply the rules by which calls of tools are decided.",
        discussion: """
            validate, fmt and test need no installation; plan, apply, diff, export, explain, \
            replay, versions and rollback take --url to drive a server. Exit status: 1 when a \
            policy has errors, a case fails or a check says no, 2 when a file cannot be read, 5 \
            when there is no such version, 75 when somebody has changed the policy meanwhile.
            """,
        subcommands: [
            PolicyValidateCommand.self, PolicyFormatCommand.self, PolicyTestCommand.self,
            PolicyPlanCommand.self, PolicyApplyCommand.self, PolicyDiffCommand.self,
            PolicyExportCommand.self, PolicyExplainCommand.self, PolicyReplayCommand.self,
            PolicyVersionsCommand.self, PolicyRollbackCommand.self,
        ]
    )
}

/// Files of policies.
enum PolicyFile {
    /// A policy has 1 MiB at most; what is longer is something else.
    private static let maximumBytes = (1 << 20) + 1

    /// The text of a file, or of standard input for `-`.
    static func read(_ path: String) throws(CommandFailure) -> String {
        let handle: FileHandle?
        if path == "-" {
            handle = FileHandle.standardInput
        } else {
            handle = FileHandle(forReadingAtPath: path)
        }
        guard let handle, let bytes = try? handle.read(upToCount: maximumBytes) ?? Data() else {
            throw CommandFailure(.usage, "cannot read `\(path)`")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure(.usage, "`\(path)` is not UTF-8 text")
        }
        return text
    }

    /// Refuses a policy that has errors, each on a line of its own.
    static func refuse(_ problems: [PolicyProblem], in path: String) -> CommandFailure {
        let errors = problems.filter { $0.severity == .error }
        for problem in problems {
            let mark = problem.severity == .error ? "" : "warning: "
            standardError("\(path): \(mark)\(singleLine(problem.description))")
        }
        return CommandFailure(
            .failure,
            "`\(path)` has \(errors.count) error\(errors.count == 1 ? "" : "s")"
        )
    }
}

/// Runs `body`; a refusal of the policy becomes a failure in the operator's terms.
func attemptPolicy<Value>(
    _ what: String,
    file: String = "the policy",
    _ body: () async throws -> Value
) async throws(CommandFailure) -> Value {
    try await attempt(what) {
        do {
            return try await body()
        } catch let error as PolicyError {
            if case .invalid(let problems) = error { throw PolicyFile.refuse(problems, in: file) }
            let status: ExitStatus =
                switch error {
                case .unknownVersion, .none, .unknownEntry: .notFound
                case .changedMeanwhile: .tryLater
                default: .failure
                }
            throw CommandFailure(status, what, reason: "\(error)", hint: error.hint)
        }
    }
}

extension Installation {
    /// The policy of the installation, as its calls are decided by it.
    func policyBook() throws -> PolicyBook {
        guard let book = try guardedCall().policyBook else {
            throw CommandFailure(.failure, "this installation keeps no policy")
        }
        return book
    }

    /// Who changes the policy from this machine.
    var policyAuthor: String { localCaller(.command).name }
}

extension PolicyProblem {
    /// As commands and routes show one.
    var output: JSONValue {
        [
            "severity": .string(severity.rawValue), "path": .string(path),
            "line": position.map { .integer(Int64($0.line)) } ?? .null,
            "column": position.map { .integer(Int64($0.column)) } ?? .null,
            "message": .string(message),
        ]
    }
}

/// Where the context of a call is given on the command line.
struct PolicyCallOptions: ParsableArguments {
    @Argument(help: "The tool: its name in `preloop tools list`, or `server/name`.")
    var tool: String

    @Option(help: "The arguments, a JSON object.")
    var args = "{}"

    @Option(help: "The user's name.")
    var user = ""

    @Option(help: "The user's role.")
    var role = ""

    @Flag(
        inversion: .prefixedNo,
        help: "Whether the user may change something; without it the role says."
    )
    var mayWrite: Bool?

    @Option(help: "What the client calls itself.")
    var agent = ""

    @Option(help: "Its version.")
    var agentVersion = ""

    @Option(help: "The identifier of the session.")
    var session = ""

    @Option(help: "How the call comes: stdio, command, mcp, rest.")
    var channel = "mcp"

    @Option(help: "The `traceparent` that comes with it.")
    var traceParent = ""

    @Option(help: "When it comes, such as 2026-01-31T12:00:00Z; without it now.")
    var now: String?

    /// The call as rules see it.
    func context(now present: Timestamp) throws(CommandFailure) -> PolicyContext {
        var context = PolicyContext(tool: ToolIdentity(naming: tool), now: present)
        guard let value = try? JSONParser.parse(args), let object = value.object else {
            throw CommandFailure(.usage, "`--args` is not a JSON object")
        }
        context.arguments = object
        context.user = user
        context.role = role
        context.mayWrite = mayWrite ?? (role != Role.viewer.rawValue)
        context.agent = agent
        context.agentVersion = agentVersion
        context.session = session
        context.channel = channel
        context.traceParent = traceParent
        if let now {
            guard let instant = Timestamp(parsing: now) else {
                throw CommandFailure(.usage, "`--now` is not a time such as 2026-01-31T12:00:00Z")
            }
            context.now = instant
        }
        return context
    }

    /// The call as a server is asked about it: what is not said, it takes as it is there.
    func body(_ context: PolicyContext) -> JSONObject {
        var body = JSONObject()
        body.append(key: "tool", value: .string(tool))
        body.append(key: "arguments", value: .object(context.arguments))
        for (name, text) in [
            ("user", user), ("role", role), ("agent", agent), ("agent_version", agentVersion),
            ("session", session), ("channel", channel), ("trace_parent", traceParent),
            ("now", now ?? ""),
        ] where !text.isEmpty { body.append(key: name, value: .string(text)) }
        if let mayWrite { body.append(key: "may_write", value: .bool(mayWrite)) }
        return body
    }
}

/// What a tool says of itself, for policies that are asked without its server.
struct ToolHintOptions: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "With --file: whether the tool only reads.")
    var readOnly: Bool?

    @Flag(inversion: .prefixedNo, help: "With --file: whether the tool destroys something.")
    var destructive: Bool?

    @Flag(inversion: .prefixedNo, help: "With --file: whether calling it again changes nothing.")
    var idempotent: Bool?

    @Flag(inversion: .prefixedNo, help: "With --file: whether it reaches the world outside.")
    var openWorld: Bool?

    /// Whether any is given.
    var isGiven: Bool {
        [readOnly, destructive, idempotent, openWorld].contains { $0 != nil }
    }

    /// Puts what is given in the place of what is usual.
    func apply(to context: inout PolicyContext) {
        context.isReadOnly = readOnly ?? context.isReadOnly
        context.isDestructive = destructive ?? context.isDestructive
        context.isIdempotent = idempotent ?? context.isIdempotent
        context.isOpenWorld = openWorld ?? context.isOpenWorld
    }
}
