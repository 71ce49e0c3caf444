import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Foundation
import Gateway
import MCP
import Store

/// `preloop policy export`.
struct PolicyExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Print the policy in force; applying it again changes nothing."
    )

    @Option(help: "An earlier version.")
    var version: Int64?

    @Option(name: .shortAndLong, help: "A file to write to.")
    var output: String?

    @OptionGroup var remote: RemoteOptions

    func run() async throws {
        let text: String
        if let server = try RemotePolicy.open(remote) {
            text = try await server.text(version: version)
        } else {
            text = try await installedText()
        }
        guard let output else {
            try Output.text([text.hasSuffix("\n") ? String(text.dropLast()) : text])
            return
        }
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: output), options: .atomic)
        } catch {
            throw CommandFailure(.failure, "cannot write `\(output)`", reason: "\(error)")
        }
    }

    private func installedText() async throws -> String {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        return try await attemptPolicy("cannot export the policy") {
            if let version { return try await book.version(version).text }
            guard let number = try await book.versions(limit: 1).first?.number else {
                throw PolicyError.none
            }
            return try await book.version(number).text
        }
    }
}

/// `preloop policy versions`.
struct PolicyVersionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "versions",
        abstract: "List the versions of the policy, the one in force first."
    )

    @Option(help: "How many; a server gives 100 at most.")
    var limit = 20

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let versions: [JSONValue]
        if let server = try RemotePolicy.open(remote) {
            versions = try await server.versions(limit: max(1, min(limit, 100)))
        } else {
            let book = try await Installation.open().policyBook()
            versions = try await attemptPolicy("cannot read the versions") {
                try await book.versions(limit: max(1, min(limit, 1_000))).map(\.json)
            }
        }
        guard !output.isJSON else {
            try Output.result(["versions": .array(versions)])
            return
        }
        var table = TextTable(["VERSION", "NAME", "AUTHOR", "MADE BY", "AT", "TAG"])
        for version in versions {
            let words = ["name", "author", "origin", "created_at", "tag"].map { name in
                version[name]?.string ?? ""
            }
            table.append(["\(version["version"]?.integer ?? 0)"] + words)
        }
        try Output.text(table.lines)
    }
}

/// `preloop policy explain TOOL`.
struct PolicyExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Decide about a call, and show each rule with the values of its parts.",
        discussion: """
            preloop policy explain github/create_issue --args '{"title": "x"}' --user ann

            A tool is named as calls name it, or `server/name` as policies do. Nothing is called \
            or recorded. With --file that policy is asked, without an installation: a name \
            without a server is a built-in tool's.
            """
    )

    @OptionGroup var call: PolicyCallOptions
    @OptionGroup var hints: ToolHintOptions

    @Option(help: "A policy that is not in force.")
    var file: String?

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard file == nil || remote.url == nil else {
            throw ValidationError("--file is a policy of this machine, --url has its own")
        }
        guard file != nil || !hints.isGiven else {
            throw ValidationError(
                "without --file the tool itself says what --read-only, --destructive, "
                    + "--idempotent and --open-world say"
            )
        }
    }

    func run() async throws {
        let context = try call.context(now: WallClock.system.now())
        let told: JSONValue
        if let server = try RemotePolicy.open(remote) {
            told = try await server.explain(call.body(context))
        } else if file == nil {
            told = try await installed(context).json
        } else {
            told = try await ofFile(context).json
        }
        guard !output.isJSON else {
            try Output.result(told.object ?? JSONObject())
            return
        }
        try Output.text(PolicyText.explanation(told))
        let wanted = PolicyText.arguments(told)
        guard context.arguments.members.isEmpty, !wanted.isEmpty else { return }
        standardError("note: the rules look at \(wanted); give such arguments with --args")
    }

    private func ofFile(_ context: PolicyContext) async throws -> PolicyExplanation {
        let path = file ?? "-"
        let reading = PolicyDocument.read(try PolicyFile.read(path), outside: .installation)
        guard let document = reading.document else {
            throw PolicyFile.refuse(reading.problems, in: path)
        }
        var context = context
        hints.apply(to: &context)
        do throws(PolicyProblem) {
            return try CompiledPolicy(document, version: 0, surroundings: .installation)
                .explain(context)
        } catch {
            throw PolicyFile.refuse([error], in: path)
        }
    }

    private func installed(_ context: PolicyContext) async throws -> PolicyExplanation {
        let installation = try await Installation.open()
        let calls = try installation.guardedCall()
        let state = try await attemptPolicy("cannot read the policy") {
            try await installation.policyBook().state()
        }
        switch state {
        case .compiled(let policy, _):
            let told = await calls.explain(call.tool, context, by: policy)
            if let told { return told }
            throw CommandFailure(
                .notFound,
                "there is no tool `\(call.tool)`",
                hint: "`preloop tools list` shows the names; policies name tools `server/name`"
            )
        case .open:
            throw CommandFailure(
                .notFound,
                "there is no policy",
                hint: "apply one with `preloop policy apply FILE`; until then every call is allowed"
            )
        case .unusable(let version, let reason):
            throw CommandFailure(
                .failure,
                "version \(version) cannot be used, so every call is denied",
                reason: reason
            )
        }
    }
}

/// `preloop policy replay`.
struct PolicyReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Decide the calls on record again, by the policy in force or another one.",
        discussion: """
            Where a record does not hold what a rule asks for, as with redacted arguments or the \
            caller's role, the rule is named and the call left undecided.
            """
    )

    @Option(help: "A policy that is not in force.")
    var file: String?

    @Option(help: "How many of the latest calls; 10000 at most with --url.")
    var limit = RecordedCalls.standardCount

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let text = try file.map { path throws(CommandFailure) in try PolicyFile.read(path) }
        let calls: JSONValue
        if let server = try RemotePolicy.open(remote) {
            calls = try await server.replay(text, file: file ?? "the policy", calls: limit)
        } else {
            let installation = try await Installation.open()
            let guarded = try installation.guardedCall()
            let book = try installation.policyBook()
            calls = try await attemptPolicy("cannot replay", file: file ?? "the policy") {
                try await book.replay(text, calls: guarded, limit: limit).json
            }
        }
        guard !output.isJSON else {
            try Output.result(calls.object ?? JSONObject())
            return
        }
        try Output.text(PolicyText.recorded(calls))
    }
}
