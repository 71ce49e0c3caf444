import ArgumentParser
import Bootstrap
import Domain
import Firewall
import Foundation
import Gateway
import Store

/// `preloop policy validate FILE`.
struct PolicyValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Check a policy: keys, values, names, expressions.",
        discussion: """
            Where there is an installation, a rule for a server that it does not have is a \
            warning; elsewhere nobody knows, and nothing is said. With --installed, names of \
            workflows and servers may also be those of the policy in force, and entries that no \
            tool fits are named, as are servers of the policy that are not installed or have \
            another address. Where no workflow is named, whoever may decide approvals is asked.
            """
    )

    @Argument(help: "The policy; - for standard input.")
    var file: String

    @Flag(help: "Know what the installation has.")
    var installed = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let text = try PolicyFile.read(file)
        let reading: PolicyReading
        if installed {
            let installation = try await Installation.open()
            reading = try await attemptPolicy("cannot read the policy in force") {
                try await installation.policyBook().validate(text)
            }
        } else {
            reading = PolicyDocument.read(text, outside: await Self.surroundings())
        }
        guard !output.isJSON else {
            try Output.result([
                "is_valid": .bool(reading.document != nil),
                "errors": .array(reading.errors.map(\.output)),
                "warnings": .array(reading.warnings.map(\.output)),
            ])
            if reading.document == nil { throw ExitCode(ExitStatus.failure.rawValue) }
            return
        }
        guard let document = reading.document else {
            throw PolicyFile.refuse(reading.problems, in: file)
        }
        for problem in reading.warnings {
            standardError("\(file): warning: \(singleLine(problem.description))")
        }
        let rules = document.tools.reduce(0) { $0 + $1.rules.count }
        try Output.text(["ok: \(counted(document.tools.count, "tool")), \(counted(rules, "rule"))"])
    }
}

extension PolicyValidateCommand {
    /// What is known without being asked for: the servers of the installation, when there is one.
    private static func surroundings() async -> PolicySurroundings {
        var outside = PolicySurroundings.installation
        // A policy is checked also where nothing is installed, or the database is out of reach:
        // then its servers are not known, which is all that is lost.
        guard let installation = try? await Installation.open(),
            let servers = try? await installation.policyBook().serverNames()
        else { return outside }
        outside.servers = servers
        outside.knowsServers = true
        return outside
    }
}

/// `preloop policy fmt FILE`.
struct PolicyFormatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fmt",
        abstract: "Write a policy in its standard form.",
        discussion: """
            The standard form has no comments; --write refuses a file that has some unless \
            --drop-comments is given. --check prints nothing, and its exit status is 1 when the \
            file is in another form.
            """
    )

    @Argument(help: "The policy; - for standard input.")
    var file: String

    @Flag(help: "Change the file instead of printing.")
    var write = false

    @Flag(help: "Only tell whether the file is in the standard form.")
    var check = false

    @Flag(help: "Let --write lose the comments.")
    var dropComments = false

    func run() async throws {
        let text = try PolicyFile.read(file)
        let reading = PolicyDocument.read(text)
        guard let document = reading.document else {
            throw PolicyFile.refuse(reading.problems, in: file)
        }
        let formatted = document.text
        if check {
            guard haveEqualBytes(formatted, text) else {
                throw CommandFailure(
                    .failure,
                    "`\(file)` is not in the standard form",
                    hint: "`preloop policy fmt --write \(file)` puts it into that"
                )
            }
            return
        }
        guard write, file != "-" else {
            try Output.text([String(formatted.dropLast())])
            return
        }
        guard !haveEqualBytes(formatted, text) else { return }
        guard dropComments || !Self.hasComments(text) else {
            throw CommandFailure(
                .failure,
                "`\(file)` has comments, which the standard form has not",
                hint: "--drop-comments writes it all the same"
            )
        }
        do {
            try Data(formatted.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        } catch {
            throw CommandFailure(.failure, "cannot write `\(file)`", reason: "\(error)")
        }
    }

    /// Whether something may be a comment; a `#` in a text counts too, for it is only asked.
    private static func hasComments(_ text: String) -> Bool {
        text.split(separator: "\n").contains { line in
            line.drop(while: { $0 == " " }).first == "#" || line.contains(" #")
        }
    }
}

/// `preloop policy test FILE`.
struct PolicyTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Ask a policy about the calls in the file beside it.",
        discussion: """
            For `policy.yaml` that is `policy.tests.yaml`:

                tests:
                - name: nobody deletes repositories
                  tool: github/delete_repository
                  args: {repo: web}
                  user: ann
                  expect: deny
                - tool: github/create_issue
                  expect: {action: require_approval, workflow: leads}
            """
    )

    @Argument(help: "The policy.")
    var file: String

    @Option(help: "The calls, when they are in another file.")
    var tests: String?

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let reading = PolicyDocument.read(try PolicyFile.read(file), outside: .installation)
        guard let document = reading.document else {
            throw PolicyFile.refuse(reading.problems, in: file)
        }
        let path = tests ?? Self.neighbour(of: file)
        let now = WallClock.system.now()
        let (suite, problems) = PolicyTestSuite.read(try PolicyFile.read(path), now: now)
        guard let suite else { throw PolicyFile.refuse(problems, in: path) }
        let policy: CompiledPolicy
        do throws(PolicyProblem) {
            policy = try CompiledPolicy(document, version: 0, surroundings: .installation)
        } catch {
            throw PolicyFile.refuse([error], in: file)
        }
        let outcomes = suite.run(policy)
        let failed = outcomes.filter { !$0.differences.isEmpty }
        if output.isJSON {
            try Output.result([
                "passed": .integer(Int64(outcomes.count - failed.count)),
                "failed": .integer(Int64(failed.count)),
                "tests": .array(outcomes.map(\.json)),
            ])
        } else {
            var lines: [String] = []
            for outcome in failed {
                let place = outcome.test.position.map { "\(path):\($0.line): " } ?? ""
                lines.append("\(place)\(singleLine(outcome.test.name))")
                lines += outcome.differences.map { "    \(singleLine($0))" }
            }
            lines.append("\(outcomes.count - failed.count) passed, \(failed.count) failed")
            try Output.text(lines)
        }
        if !failed.isEmpty { throw ExitCode(ExitStatus.failure.rawValue) }
    }

    /// `policy.tests.yaml` for `policy.yaml`.
    private static func neighbour(of file: String) -> String {
        guard let dot = file.lastIndex(of: "."), !file[dot...].contains("/") else {
            return file + ".tests"
        }
        return "\(file[..<dot]).tests\(file[dot...])"
    }
}
