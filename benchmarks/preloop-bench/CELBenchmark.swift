import Domain
import Firewall
import Glibc

/// Measures expressions on one thread and prints one JSON line a subject.
///
/// `contains` is one expression with two searches over bound text. `policy` is ten rules of which
/// the last matches, with a call's arguments bound from JSON before each round. `policy_decide` is
/// a whole decision by a compiled policy with the same ten rules: tool found, variables bound,
/// ruling made.
enum CELBenchmark {
    static let contains = "path.contains('passwd') || path.contains('shadow')"
    static let path = "/home/user/project/Sources/Application/main.swift"

    /// The rules and arguments are those of benchmarks/peers/ten_rules.py.
    static let rules = [
        "tool == 'delete_repository'",
        "tool.startsWith('admin_') && args.force == true",
        "args.path.startsWith('/etc/') || args.path.startsWith('/root/')",
        "args.command.contains('rm -rf') || args.command.contains('mkfs')",
        "tool == 'push' && args.branch in ['main', 'master', 'production']",
        "args.amount > 1000",
        "size(args.recipients) > 50",
        "args.recipients.exists(r, r.endsWith('@competitor.example'))",
        "has(args.dry_run) && args.environment == 'prod'",
        "args.environment == 'staging' && args.amount >= 100",
    ]
    static let arguments = """
        {"path": "/home/user/project/main.swift", "command": "swift build --product tool", \
        "branch": "feature/login", "amount": 250, "environment": "staging", "force": false, \
        "recipients": ["ann@example.com", "bob@example.com", "eve@example.org"]}
        """

    static func run() throws {
        try measureContains()
        try measurePolicy()
        try measureDecision()
    }

    private static func measureDecision() throws {
        var text = "metadata: {name: bench}\ntools:\n- name: send_mail\n  conditions:\n"
        for rule in rules {
            let quoted = JSONValue.string(rule).serializedText()
            text += "  - {condition_type: cel, expression: \(quoted), action: deny}\n"
        }
        guard let document = PolicyDocument.read(text).document else {
            preconditionFailure("the rules are a policy")
        }
        let policy = try CompiledPolicy(document, version: 1)
        var context = PolicyContext(
            tool: ToolIdentity(name: "send_mail"),
            now: Timestamp(milliseconds: 1_767_225_600_000)
        )
        context.arguments = try JSONParser.parse(arguments).object ?? JSONObject()
        var last: RuleIdentity?
        let rate = best(of: 7, rounds: 100_000) { last = policy.decide(context).rule }
        precondition(last?.index == rules.count - 1, "the last rule matches")
        report("policy_decide", rate)
    }

    private static func measureContains() throws {
        let environment = CELEnvironment(variables: [.init("path", .string)])
        let program = try CELProgram.compile(contains, in: environment)
        var bindings = CELBindings(for: environment)
        bindings[0] = .string(path)
        var matched = 0
        let rate = try best(of: 7, rounds: 1_000_000) {
            if try program.truth(bindings) { matched += 1 }
        }
        precondition(matched == 0, "the text has neither word")
        report("contains", rate)
    }

    private static func measurePolicy() throws {
        let environment = CELEnvironment(variables: [.init("tool", .string), .init("args")])
        let programs = try rules.map { try CELProgram.compile($0, in: environment) }
        let json = try JSONParser.parse(arguments)
        var last = -1
        let rate = try best(of: 7, rounds: 100_000) {
            var bindings = CELBindings(for: environment)
            bindings[0] = .string("send_mail")
            bindings[1] = CELValue(json)
            last = try programs.firstIndex { try $0.truth(bindings) } ?? -1
        }
        precondition(last == rules.count - 1, "the last rule matches")
        report("policy", rate)
        let bytes = Array(arguments.utf8)
        let parsing = try best(of: 7, rounds: 50_000) {
            var bindings = CELBindings(for: environment)
            bindings[0] = .string("send_mail")
            bindings[1] = CELValue(try JSONParser.parse(bytes))
            last = try programs.firstIndex { try $0.truth(bindings) } ?? -1
        }
        report("policy_from_bytes", parsing)
    }

    /// Rounds a processor second, the best of some runs.
    private static func best(
        of runs: Int,
        rounds: Int,
        _ body: () throws -> Void
    ) rethrows -> Double {
        var best = 0.0
        for _ in 0..<runs {
            let seconds = try Measuring.cpuSeconds {
                for _ in 0..<rounds { try body() }
            }
            best = max(best, Double(rounds) / seconds)
        }
        return best
    }

    private static func report(_ subject: String, _ rate: Double) {
        printLine([
            "benchmark": "cel", "engine": "preloop", "subject": .string(subject),
            "machine": .string(Measuring.machine), "unix_time": .integer(Int64(time(nil))),
            "per_cpu_s": .double(rate.rounded()),
        ])
    }
}
