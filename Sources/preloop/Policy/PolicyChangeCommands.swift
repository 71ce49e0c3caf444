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

    @Option(help: "How many of the latest calls are decided again; 10000 at most with --url.")
    var calls = RecordedCalls.standardCount

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let text = try PolicyFile.read(options.file)
        let plan: JSONValue
        if let server = try RemotePolicy.open(remote) {
            var application = RemotePolicy.Application(text: text, file: options.file)
            application.prunes = options.prune
            plan = try await server.plan(application, calls: calls)
        } else {
            plan = try await installedPlan(text)
        }
        guard !output.isJSON else {
            try Output.result(plan.object ?? JSONObject())
            return
        }
        try Output.text(
            PolicyText.changes(plan["changes"]?.array ?? [])
                + (plan["warnings"]?.array ?? []).map {
                    singleLine("warning: \(PolicyText.problem($0))")
                } + PolicyText.recorded(plan["calls"] ?? .null)
        )
    }

    private func installedPlan(_ text: String) async throws -> JSONValue {
        let installation = try await Installation.open()
        let guarded = try installation.guardedCall()
        let book = try installation.policyBook()
        let plan = try await attemptPolicy("cannot plan the policy", file: options.file) {
            try await book.plan(text, prunes: options.prune, calls: guarded, limit: calls)
        }
        return [
            "base_version": .integer(plan.proposal.base),
            "has_changes": .bool(plan.proposal.isChange),
            "changes": .array(plan.proposal.changes.map(\.json)),
            "warnings": .array(plan.proposal.warnings.map(\.output)), "calls": plan.calls.json,
        ]
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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let text = try PolicyFile.read(options.file)
        if let server = try RemotePolicy.open(remote) {
            var application = RemotePolicy.Application(text: text, file: options.file)
            application.prunes = options.prune
            application.isDry = dryRun
            application.expected = expectVersion
            application.tag = tag
            try PolicyText.report(try await server.apply(application), output)
            return
        }
        let installation = try await Installation.open()
        let book = try installation.policyBook()
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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard version == nil || remote.url == nil else {
            throw ValidationError("with --url the policy in force is compared, not a version")
        }
    }

    func run() async throws {
        let changes: [JSONValue]
        if let server = try RemotePolicy.open(remote) {
            let answer = try await server.compare(try PolicyFile.read(file), file: file)
            changes = answer["changes"]?.array ?? []
        } else {
            changes = try await installedChanges().map(\.json)
        }
        if output.isJSON {
            try Output.result([
                "has_changes": .bool(!changes.isEmpty), "changes": .array(changes),
            ])
        } else {
            try Output.text(PolicyText.changes(changes))
        }
        if check, !changes.isEmpty { throw ExitCode(ExitStatus.failure.rawValue) }
    }

    private func installedChanges() async throws -> [PolicyChange] {
        let installation = try await Installation.open()
        let book = try installation.policyBook()
        let text = try PolicyFile.read(file)
        return try await attemptPolicy("cannot compare", file: file) {
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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        if let server = try RemotePolicy.open(remote) {
            try PolicyText.report(try await server.rollBack(to: version, isDry: dryRun), output)
            return
        }
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
    /// A line for each change, as ``PolicyChange/json`` and servers write it.
    static func changes(_ changes: [JSONValue]) -> [String] {
        guard !changes.isEmpty else { return ["no changes"] }
        return changes.map { change in
            let (old, new) = (cut(change["old_value"]), cut(change["new_value"]))
            let path = change["path"]?.string ?? ""
            return switch change["operation"]?.string.flatMap(PolicyChange.Operation.init) {
            case .add: singleLine("+ \(path): \(new)")
            case .remove: singleLine("- \(path): \(old)")
            case .modify: singleLine("~ \(path): \(old) -> \(new)")
            // A newer server may know more.
            case nil: singleLine("? \(path): \(old) -> \(new)")
            }
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
            [
                "version": .integer(proposal.base), "is_new": false,
                "changes": .array(proposal.changes.map(\.json)),
                "warnings": .array(proposal.warnings.map(\.output)),
            ],
            output
        )
    }

    /// Prints what a change has made.
    static func report(_ application: PolicyApplication, _ output: OutputOptions) throws {
        try report(
            [
                "version": .integer(application.version.number),
                "is_new": .bool(application.isNew),
                "changes": .array(application.changes.map(\.json)),
                "warnings": .array(application.warnings.map(\.output)),
            ],
            output
        )
    }

    /// Prints the same as a server tells it.
    static func report(_ answer: JSONValue, _ output: OutputOptions) throws {
        guard !output.isJSON else {
            var object = JSONObject()
            for name in ["version", "is_new", "changes", "warnings"] {
                object.append(key: name, value: answer[name] ?? .null)
            }
            try Output.result(object)
            return
        }
        for warning in answer["warnings"]?.array ?? [] {
            standardError("warning: \(singleLine(problem(warning)))")
        }
        var lines = changes(answer["changes"]?.array ?? [])
        if answer["is_new"] == true {
            lines.append("version \(answer["version"]?.integer ?? 0) is in force")
        }
        try Output.text(lines)
    }

    /// What a policy would have decided about the calls on record, as ``RecordedCalls/json`` and
    /// servers write it.
    static func recorded(_ told: JSONValue) -> [String] {
        let total = told["total"]?.integer ?? 0
        guard total > 0 else { return ["no calls on record"] }
        let changes = told["changes"]?.array ?? []
        var same = total
        var lines = changes.map { change in
            let count = change["count"]?.integer ?? 0
            same -= count
            let (before, after) = (change["before"]?.string ?? "", change["after"]?.string ?? "")
            let calls = "\(counted(count, "call")) of \(change["tool"]?.string ?? "")"
            return "\(calls): \(before) -> \(after)"
        }
        let undecided = told["undecided"]?.integer ?? 0
        let unknown = told["unknown_tools"]?.integer ?? 0
        same -= undecided + unknown
        let calls = counted(total, "call")
        let before = total == 1 ? "as it was" : "as they were"
        lines.append("\(same) of \(calls) on record would be decided \(before)")
        lines += self.undecided(told, undecided)
        if unknown > 0 { lines.append("\(unknown) are of tools that are not there any more") }
        return lines.map(singleLine)
    }

    /// The calls of which nobody can tell, by what they depend on or were refused for.
    private static func undecided(_ told: JSONValue, _ total: Int64) -> [String] {
        let refusals = (told["undecided_for"]?.array ?? []).map { refusal in
            (reason: refusal["reason"]?.string ?? "", count: refusal["count"]?.integer ?? 0)
        }
        var lines: [String] = []
        let depending = total - refusals.reduce(0) { $0 + $1.count }
        if depending > 0 {
            let rules = (told["undecided_by"]?.array ?? []).map { rule in
                let number = (rule["index"]?.integer ?? 0) + 1
                return "rule \(number) of `\(rule["selector"]?.string ?? "")`"
            }
            let sensitive = (told["undecided_by_sensitive_data"]?.array ?? []).map { rule in
                "rule `\(rule.string ?? "")` of `sensitive_data`"
            }
            lines.append(
                "\(depending) depend on what their records do not tell, by "
                    + (rules + sensitive).joined(separator: ", ")
            )
        }
        return lines
            + refusals.map { refusal in
                "\(refusal.count) refused for what no rule decides: \(refusal.reason)"
            }
    }

    /// A problem with its place.
    static func problem(_ problem: JSONValue) -> String {
        let message = problem["message"]?.string ?? ""
        guard let line = problem["line"]?.integer, let column = problem["column"]?.integer else {
            return message
        }
        return "\(line):\(column): \(message)"
    }

    /// The arguments that rules name, as ``PolicyExplanation/json`` and servers write them; empty
    /// when they name none.
    static func arguments(_ told: JSONValue) -> String {
        var names: [String] = []
        for rule in told["rules"]?.array ?? [] {
            for name in (rule["arguments"]?.array ?? []).compactMap(\.string)
            where !names.contains(where: { haveEqualBytes($0, name) }) {
                names.append(name)
            }
        }
        return singleLine(names.map { "`\($0)`" }.joined(separator: ", "))
    }

    /// What decides about a call, as ``PolicyExplanation/json`` and servers write it.
    static func explanation(_ told: JSONValue) -> [String] {
        let action = told["action"]?.string ?? ""
        var lines = ["\(told["tool"]?.string ?? ""): \(action)"]
        if told["exists"] == false {
            lines.append("  there is no such tool now; this is what the policy would decide")
        }
        if let reason = told["reason"]?.string { lines.append("  \(reason)") }
        if action == PolicyDocument.Action.requireApproval.rawValue {
            // A server that is older than this program tells of one alone.
            let workflows = told["workflows"]?.array ?? [told["workflow"] ?? .null]
            let names = workflows.map { $0.string ?? "the default one" }
            lines.append("  workflow: \(names.joined(separator: ", then "))")
        }
        if told["is_enabled"] == false { lines.append("  the policy disables the tool") }
        if told["is_exempt"] == true {
            lines.append("  the gateway's own tool: callers wait by it, and no rule is asked")
        }
        if told["is_known"] == false {
            lines.append("  no entry names the tool; the defaults hold")
        }
        if told["is_visible"] == false { lines.append("  the tool is not listed") }
        if let found = told["sensitive_data"], !found.isNull {
            let rules = (found["rules"]?.array ?? []).compactMap(\.string).map { "`\($0)`" }
            let (action, kinds) = (found["action"]?.string ?? "", found["found"]?.string ?? "")
            lines.append(
                "sensitive_data: \(action) - \(kinds) by \(rules.joined(separator: ", "))"
            )
        }
        for rule in told["rules"]?.array ?? [] {
            let identity = rule["rule"]
            let mode = rule["is_enforced"] == false ? ", log only" : ""
            let state = rule["state"]?.string?.replacing("_", with: " ") ?? ""
            lines.append(
                "rule \((identity?["index"]?.integer ?? 0) + 1) of "
                    + "\(identity?["selector"]?.string ?? "") "
                    + "(priority \(identity?["priority"]?.integer ?? 0)\(mode)): "
                    + "\(rule["action"]?.string ?? "") - \(state)"
            )
            if let expression = rule["expression"]?.string { lines.append("  when \(expression)") }
            if let failure = rule["failure"]?.string { lines.append("  error: \(failure)") }
            for value in rule["values"]?.array ?? [] {
                lines.append("    \(value["part"]?.string ?? "") = \(value["value"]?.string ?? "")")
            }
        }
        return lines.map(singleLine)
    }
}
