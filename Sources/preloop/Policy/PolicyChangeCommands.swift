import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Gateway
import Store

/// What a text is applied with.
struct PolicyApplyOptions: ParsableArguments {
    @Argument(help: "The policy; - for standard input.")
    var file: String

    @Flag(help: "Remove what the file lacks; without it entries are merged by their names.")
    var prune = false
}

/// `preloop policy plan FILE`.
struct PolicyPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what applying a policy would change, also for the calls on record.",
        discussion: """
            Changes nothing. Calls on record are decided again as far as their records tell; the \
            rules that ask for more are named.
            """
    )

    @OptionGroup var options: PolicyApplyOptions

    @Option(help: "How many of the latest calls are decided again.")
    var calls = 1_000

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        let text = try PolicyFile.read(options.file)
        let (proposal, replay) = try await attemptPolicy(
            "cannot plan the policy",
            file: options.file
        ) {
            let proposal = try await book.propose(text, prunes: options.prune)
            let compiled = try await book.compiled(proposal.after, version: proposal.base + 1)
            let replay = try await RecordedCalls.replay(
                compiled,
                installation,
                limit: max(0, min(calls, RecordedCalls.maximumCount))
            )
            return (proposal, replay)
        }
        guard !output.isJSON else {
            try Output.result([
                "base_version": .integer(proposal.base), "has_changes": .bool(proposal.isChange),
                "changes": .array(proposal.changes.map(\.json)),
                "warnings": .array(proposal.warnings.map(\.output)), "calls": replay.output,
            ])
            return
        }
        try Output.text(
            PolicyText.changes(proposal.changes)
                + proposal.warnings.map { "warning: \(singleLine($0.description))" }
                + replay.lines
        )
    }
}

/// `preloop policy apply FILE`.
struct PolicyApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Put a policy in force, as a new version.",
        discussion: """
            All of it or nothing. Entries are merged by their names into the policy that is in \
            force; --prune removes what the file lacks. What changes nothing makes no version.
            """
    )

    @OptionGroup var options: PolicyApplyOptions

    @Flag(help: "Only show what would change.")
    var dryRun = false

    @Option(help: "Apply only when this version is in force; 0 when none is.")
    var expectVersion: Int64?

    @Option(help: "A name for the version.")
    var tag: String?

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        let text = try PolicyFile.read(options.file)
        var intent = PolicyBook.Intent(
            author: installation.policyAuthor,
            prunes: options.prune,
            expected: expectVersion
        )
        intent.tag = tag
        let made = intent
        guard !dryRun else {
            let proposal = try await attemptPolicy("cannot apply it", file: options.file) {
                try await book.propose(text, prunes: options.prune)
            }
            try PolicyText.report(proposal, output)
            return
        }
        let application = try await attemptPolicy("the policy is as it was", file: options.file) {
            try await book.apply(text, made)
        }
        try await attempt("cannot close the store") { try await installation.close() }
        try PolicyText.report(application, output)
    }
}

/// `preloop policy diff FILE`.
struct PolicyDiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Show how a policy differs from the one in force, or from an earlier version.",
        discussion: """
            All differences, also removals that only `apply --prune` makes. With --check the \
            exit status is 1 when there are any.
            """
    )

    @Argument(help: "The policy; - for standard input.")
    var file: String

    @Option(help: "The version to compare with; without it the one in force.")
    var version: Int64?

    @Flag(help: "Tell by the exit status.")
    var check = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        let text = try PolicyFile.read(file)
        let changes = try await attemptPolicy("cannot compare", file: file) {
            guard let version else { return try await book.propose(text, prunes: true).changes }
            let reading = try await book.validate(text)
            guard let document = reading.document else {
                throw PolicyError.invalid(reading.problems)
            }
            let row = try await book.version(version)
            var outside = PolicySurroundings()
            outside.trustsNames = true
            let before = PolicyDocument.read(row.text, outside: outside)
            guard let old = before.document else { throw PolicyError.invalid(before.problems) }
            return old.changes(to: document)
        }
        if output.isJSON {
            try Output.result([
                "has_changes": .bool(!changes.isEmpty), "changes": .array(changes.map(\.json)),
            ])
        } else {
            try Output.text(PolicyText.changes(changes))
        }
        if check, !changes.isEmpty { throw ExitCode(ExitStatus.failure.rawValue) }
    }
}

/// `preloop policy rollback VERSION`.
struct PolicyRollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Put an earlier version in force again, as a new version."
    )

    @Argument(help: "The version, as `preloop policy versions` shows it.")
    var version: Int64

    @Flag(help: "Only show what would change.")
    var dryRun = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        let author = installation.policyAuthor
        if dryRun {
            let proposal = try await attemptPolicy("cannot roll back") {
                try await book.propose(book.version(version).text, prunes: true)
            }
            try PolicyText.report(proposal, output)
            return
        }
        let application = try await attemptPolicy("the policy is as it was") {
            try await book.rollBack(to: version, PolicyBook.Intent(author: author))
        }
        try await attempt("cannot close the store") { try await installation.close() }
        try PolicyText.report(application, output)
    }
}

/// Changes of policies as commands print them.
enum PolicyText {
    /// A line for each change.
    static func changes(_ changes: [PolicyChange]) -> [String] {
        guard !changes.isEmpty else { return ["no changes"] }
        return changes.map { change in
            let sign =
                switch change.operation {
                case .add: "+"
                case .remove: "-"
                case .modify: "~"
                }
            let values =
                switch change.operation {
                case .add: cut(change.new)
                case .remove: cut(change.old)
                case .modify: "\(cut(change.old)) -> \(cut(change.new))"
                }
            return singleLine("\(sign) \(change.path): \(values)")
        }
    }

    /// Enough to recognise a value by.
    private static let maximumLength = 160

    private static func cut(_ value: JSONValue?) -> String {
        let text = (value ?? .null).serializedText()
        return text.count > maximumLength ? text.prefix(maximumLength) + "…" : text
    }

    /// Prints what a change would make.
    static func report(_ proposal: PolicyProposal, _ output: OutputOptions) throws {
        try report(
            proposal.changes,
            proposal.warnings,
            version: proposal.base,
            isNew: false,
            output
        )
    }

    /// Prints what a change has made.
    static func report(_ application: PolicyApplication, _ output: OutputOptions) throws {
        try report(
            application.changes,
            application.warnings,
            version: application.version.number,
            isNew: application.isNew,
            output
        )
    }

    private static func report(
        _ changes: [PolicyChange],
        _ warnings: [PolicyProblem],
        version: Int64,
        isNew: Bool,
        _ output: OutputOptions
    ) throws {
        guard !output.isJSON else {
            try Output.result([
                "version": .integer(version), "is_new": .bool(isNew),
                "changes": .array(changes.map(\.json)),
                "warnings": .array(warnings.map(\.output)),
            ])
            return
        }
        for warning in warnings { standardError("warning: \(singleLine(warning.description))") }
        var lines = Self.changes(changes)
        if isNew { lines.append("version \(version) is in force") }
        try Output.text(lines)
    }
}
