import Domain
import Foundation
import Store
import Testing

/// `preloop policy …`, as typed.
struct PolicyCommandTests {
    private static let policy = """
        metadata: {name: first}
        tools:
        - name: list_projects
          conditions:
          - {action: deny, message: not today}
        """

    private func sandbox(_ text: String = policy) throws -> (sandbox: Sandbox, path: String) {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let path = sandbox.home + "/policy.yaml"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return (sandbox, path)
    }

    @Test func `a policy is validated, planned, applied and decides`() throws {
        let (sandbox, path) = try sandbox()
        #expect(try sandbox.preloop("policy", "validate", path).output == "ok: 1 tool, 1 rule\n")
        #expect(try sandbox.preloop("tools", "call", "list_projects").status == 0)
        let none = try sandbox.preloop("policy", "export")
        #expect(none.status == 5 && none.errors.contains("there is no policy yet"))
        let plan = try sandbox.preloop("policy", "plan", path)
        #expect(plan.output.contains("+ tools[list_projects]"))
        #expect(plan.output.contains("1 call of list_projects: allow -> deny"))
        let dry = try sandbox.preloop("policy", "apply", path, "--dry-run")
        #expect(dry.status == 0 && dry.output.contains("+ tools[list_projects]"))
        #expect(try sandbox.preloop("tools", "call", "list_projects").status == 0)
        let applied = try sandbox.preloop("policy", "apply", path)
        #expect(applied.output.hasSuffix("version 1 is in force\n"), "\(applied.errors)")
        // Every call would be denied, so that the tool is not there.
        #expect(try sandbox.preloop("tools", "call", "list_projects").status == 5)
        #expect(try !sandbox.preloop("tools", "list").output.contains("list_projects"))
        // What is exported changes nothing.
        let exported = try sandbox.preloop("policy", "export")
        #expect(exported.output == Self.policy + "\n")
        let again = try sandbox.preloop("policy", "apply", "-", input: exported.output)
        #expect(again.output == "no changes\n")
        let explained = try sandbox.preloop("policy", "explain", "list_projects")
        #expect(explained.output.contains("builtin/list_projects: deny"))
        #expect(explained.output.contains("not today"))
        let unknown = try sandbox.preloop("policy", "explain", "list_project")
        #expect(unknown.status == 5, "\(unknown.output)")
        let stale = try sandbox.preloop("policy", "apply", path, "--expect-version", "9")
        #expect(stale.status == 75)
    }

    @Test func `versions are listed, compared and put in force again`() throws {
        let (sandbox, path) = try sandbox()
        #expect(try sandbox.preloop("policy", "apply", path, "--tag", "strict").status == 0)
        let open = "metadata: {name: open}\n"
        let pruned = try sandbox.preloop("policy", "apply", "-", "--prune", input: open)
        #expect(pruned.output.contains("- tools[list_projects]"))
        #expect(try sandbox.preloop("policy", "diff", path, "--check").status == 1)
        #expect(
            try sandbox.preloop("policy", "diff", path, "--version", "1").output == "no changes\n"
        )
        let back = try sandbox.preloop("policy", "rollback", "1", "--json")
        #expect(try back.json["version"] == 3)
        let versions = try sandbox.preloop("policy", "versions", "--json").json["versions"]
        #expect(versions?.array?.map { $0["version"] } == [3, 2, 1])
        #expect(versions?[2]?["tag"] == "strict" && versions?[0]?["origin"] == "rollback")
        #expect(try sandbox.preloop("policy", "rollback", "9").status == 5)
    }

    /// Without --installed every server was warned of, those that are there too.
    @Test func `servers are missed only where an installation does not have them`() async throws {
        let text = """
            metadata: {name: a}
            tools: [{name: time/now}, {name: tide/now}, {name: in/x}]
            """
        let nowhere = try Sandbox()
        let unknown = try nowhere.preloop("policy", "validate", "-", input: text)
        #expect(unknown.status == 0 && unknown.errors.isEmpty, "\(unknown.errors)")
        let (sandbox, path) = try sandbox(text)
        try await sandbox.store().writeOutsideFeed { connection, account in
            try UpstreamServerTable.insert(
                UpstreamServer(
                    id: UpstreamServerID(9),
                    name: "time",
                    transport: .stdio,
                    command: ["/bin/cat"],
                    createdAt: Timestamp(milliseconds: 1)
                ),
                credential: nil,
                account: account,
                on: connection
            )
        }
        let named = """
            metadata: {name: first}
            mcp_servers: [{name: in, url: 'https://in.example/mcp'}]
            """
        #expect(try sandbox.preloop("policy", "apply", "-", input: named).status == 0)
        let validated = try sandbox.preloop("policy", "validate", path)
        #expect(validated.status == 0)
        #expect(validated.errors.contains("there is no server `tide`"), "\(validated.errors)")
        #expect(!validated.errors.contains("no server `time`"), "\(validated.errors)")
        #expect(!validated.errors.contains("no server `in`"), "\(validated.errors)")
    }

    @Test func `errors are told by file, line and column`() throws {
        let (sandbox, path) = try sandbox("metadata: {name: x}\ntools:\n- name: a\n  rule: []\n")
        for command in ["validate", "fmt", "apply"] {
            let result = try sandbox.preloop("policy", command, path)
            #expect(result.status == 1)
            #expect(result.errors.contains("\(path): 4:3: unknown key `rule`"), "\(result.errors)")
        }
        let json = try sandbox.preloop("policy", "validate", path, "--json")
        #expect(json.status == 1)
        #expect(try json.json["errors"]?[0]?["line"] == 4)
        #expect(try sandbox.preloop("policy", "validate", path + "x").status == 2)
    }

    @Test func `fmt writes the standard form, and keeps what has comments`() throws {
        let (sandbox, path) = try sandbox()
        #expect(try sandbox.preloop("policy", "fmt", "--check", path).status == 1)
        let formatted = try sandbox.preloop("policy", "fmt", path).output
        #expect(try sandbox.preloop("policy", "fmt", "--write", path).status == 0)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == formatted)
        #expect(try sandbox.preloop("policy", "fmt", "--check", path).status == 0)
        try ("# mine\n" + Self.policy).write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try sandbox.preloop("policy", "fmt", "--write", path).status == 1)
        #expect(
            try sandbox.preloop("policy", "fmt", "--write", "--drop-comments", path).status == 0
        )
    }

    @Test func `the cases beside a policy are run`() throws {
        let (sandbox, path) = try sandbox()
        let tests = sandbox.home + "/policy.tests.yaml"
        let right = """
            tests:
            - {tool: list_projects, expect: {action: deny, rule: 1, message: not today}}
            - {name: others are free, tool: search, args: {query: x}, expect: allow}
            """
        try right.write(toFile: tests, atomically: true, encoding: .utf8)
        let passed = try sandbox.preloop("policy", "test", path)
        #expect(passed.status == 0 && passed.output == "2 passed, 0 failed\n", "\(passed.errors)")
        try right.replacing("expect: allow", with: "expect: deny")
            .write(toFile: tests, atomically: true, encoding: .utf8)
        let failed = try sandbox.preloop("policy", "test", path)
        #expect(failed.status == 1)
        #expect(failed.output.contains("others are free\n    expected deny, got allow"))
        try "tests: [{tool: a}]".write(toFile: tests, atomically: true, encoding: .utf8)
        #expect(try sandbox.preloop("policy", "test", path).errors.contains("`expect` is missing"))
    }

    @Test func `calls on record that depend on what is not known are told apart`() throws {
        let text = """
            metadata: {name: x}
            tools:
            - name: list_projects
              conditions: [{condition_type: cel, expression: user.role == "x", action: deny}]
            """
        let (sandbox, path) = try sandbox(text)
        #expect(try sandbox.preloop("tools", "call", "list_projects").status == 0)
        let replay = try sandbox.preloop("policy", "replay", "--file", path)
        #expect(replay.status == 0, "\(replay.errors)")
        #expect(replay.output.contains("1 depend on what their records do not tell"))
        #expect(replay.output.contains("rule 1 of `list_projects`"))
    }

    /// The audit keeps the session, and a rule that asks for it left calls undecided all the same.
    @Test func `calls on record are decided again by the session they came by`() throws {
        let text = """
            metadata: {name: x}
            tools:
            - name: list_projects
              conditions:
              - {condition_type: cel, expression: session.id != "", action: deny}
              - {action: allow}
            """
        let (sandbox, path) = try sandbox(text)
        #expect(try sandbox.preloop("tools", "call", "list_projects").status == 0)
        let server = try ServeProcess(sandbox)
        func send(_ message: String, _ words: String...) throws -> String {
            let fields = [
                "Authorization: Bearer \(server.key)", "Content-Type: application/json",
                "Accept: application/json, text/event-stream",
            ]
            return try server.curl(
                ["-D", "-", "-d", message] + fields.flatMap { ["-H", $0] } + words
                    + ["\(server.origin)/mcp/v1"]
            ).body
        }
        let begun = try send(
            """
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"}}}
            """
        )
        let match = try #require(begun.firstMatch(of: /(?i)mcp-session-id: *([^\s]+)/), "\(begun)")
        let session = "Mcp-Session-Id: \(match.1)"
        _ = try send(#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#, "-H", session)
        let called = try send(
            """
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
                "params": {"name": "list_projects", "arguments": {}}}
            """,
            "-H",
            session
        )
        #expect(called.contains("projects"), "\(called)")
        #expect(try server.stop().status == 0)
        let replay = try sandbox.preloop("policy", "replay", "--file", path)
        #expect(replay.output.contains("1 call of list_projects: allow -> deny"), "\(replay)")
        #expect(replay.output.contains("1 of 2 calls on record would be decided as they were"))
    }

    @Test func `the same commands drive the policy of a server`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox(["PRELOOP_TOKEN": server.key])
        func policy(_ words: String...) throws -> Sandbox.Result {
            try elsewhere.start("preloop", ["policy"] + words + ["--url", server.origin]).wait()
        }
        let file = elsewhere.home + ".yaml"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Self.policy.write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try policy("export").status == 5)
        let dry = try policy("apply", file, "--dry-run")
        #expect(dry.output.contains("+ tools[list_projects]"), "\(dry.errors)")
        let call = ["tools", "call", "list_projects", "{}", "--url", server.origin]
        #expect(try elsewhere.start("preloop", call).wait().status == 0)
        let plan = try policy("plan", file)
        #expect(plan.output.contains("+ tools[list_projects]"), "\(plan.errors)")
        #expect(plan.output.contains("1 call of list_projects: allow -> deny"))
        #expect(try policy("replay").status == 5)
        let replay = try policy("replay", "--file", file)
        #expect(replay.output.contains("1 call of list_projects: allow -> deny"))
        let applied = try policy("apply", file, "--tag", "the first")
        #expect(applied.output.hasSuffix("version 1 is in force\n"), "\(applied.errors)")
        #expect(try policy("apply", file, "--expect-version", "9").status == 75)
        #expect(try policy("diff", file).output == "no changes\n")
        #expect(try policy("export").output == Self.policy + "\n")
        let told = try policy("explain", "list_projects").output
        #expect(told.contains("builtin/list_projects: deny") && told.contains("not today"))
        #expect(try policy("explain", "list_project").status == 5)
        let bad = elsewhere.home + ".bad.yaml"
        defer { try? FileManager.default.removeItem(atPath: bad) }
        try "metadata: {name: x}\ntoolz: []\n".write(toFile: bad, atomically: true, encoding: .utf8)
        #expect(try policy("plan", bad).errors.contains("\(bad): 2:1: unknown key `toolz`"))
        let refused = try policy("apply", bad)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("\(bad): 2:1: unknown key `toolz`"), "\(refused.errors)")
        let versions = try policy("versions", "--json").json["versions"]
        #expect(versions?[0]?["tag"] == "the first" && versions?[0]?["author"] == "user:ann")
        #expect(try policy("rollback", "1").output == "no changes\n")
        #expect(try server.stop().status == 0)
    }
}

extension PolicyCommandTests {
    private static let quiet = """
        metadata: {name: quiet}
        sensitive_data:
          rules:
          - {id: mail, on: tool.args, types: [email], action: deny}
          - {id: phones, on: tool.args, types: [phone], action: redact}
        """

    /// Neither a plan nor an explanation knew of rules about arguments.
    @Test func `rules about arguments are planned, explained and tried`() throws {
        let (sandbox, path) = try sandbox(Self.quiet)
        let mail = #"{"query": "to ann@example.org"}"#
        #expect(try sandbox.preloop("tools", "call", "list_projects", mail).status == 0)
        let plan = try sandbox.preloop("policy", "plan", path)
        #expect(plan.output.contains("1 call of list_projects: allow -> deny"), "\(plan)")
        #expect(try sandbox.preloop("policy", "apply", path).status == 0)
        #expect(try sandbox.preloop("tools", "call", "list_projects", mail).status == 1)
        // The call that the policy has refused would be refused again.
        let replay = try sandbox.preloop("policy", "replay")
        #expect(replay.output.contains("1 of 2 calls on record would be decided"), "\(replay)")
        #expect(replay.output.contains("1 call of list_projects: allow -> deny"))
        let told = try sandbox.preloop("policy", "explain", "list_projects", "--args", mail)
        #expect(
            told.output.hasPrefix(
                """
                builtin/list_projects: deny
                  the arguments contain email (mail)
                """
            ),
            "\(told)"
        )
        #expect(told.output.contains("sensitive_data: deny - email by `mail`"))
        let phone = #"{"query": "+49 30 901820"}"#
        let file = ["policy", "explain", "search", "--file", path, "--args", phone]
        let redacted = try sandbox.start("preloop", file).wait()
        #expect(redacted.output.hasPrefix("builtin/search: allow\n"), "\(redacted)")
        #expect(redacted.output.contains("sensitive_data: redact - phone by `phones`"))
        let cases = """
            tests:
            - {tool: search, args: {query: a@example.org}, expect: {action: deny, rule: mail}}
            - {tool: search, args: {query: x}, expect: deny}
            """
        let tests = sandbox.home + "/policy.tests.yaml"
        try cases.write(toFile: tests, atomically: true, encoding: .utf8)
        #expect(try sandbox.preloop("policy", "test", path).output.contains("1 passed, 1 failed"))
    }

    @Test func `calls that may hide what a rule asks for are told apart by its name`() throws {
        let (sandbox, path) = try sandbox(Self.quiet)
        let hidden = #"{"query": "password=ann@example.org"}"#
        #expect(try sandbox.preloop("tools", "call", "list_projects", hidden).status == 0)
        let replay = try sandbox.preloop("policy", "replay", "--file", path)
        #expect(replay.output.contains("rule `mail` of `sensitive_data`"), "\(replay)")
        #expect(replay.output.contains("0 of 1 call on record would be decided as it was"))
    }

    @Test func `an explanation takes everything that rules ask for`() throws {
        let text = """
            metadata: {name: hours}
            tools:
            - name: list_projects
              conditions:
              - {condition_type: cel, expression: 'now.getHours("Europe/Berlin") < 8', action: deny}
              - {condition_type: cel, expression: session.id == "s1", action: deny}
              - {condition_type: cel, expression: agent.version == "2", action: deny}
              - {condition_type: cel, expression: request.trace_parent == "t1", action: deny}
              - {condition_type: cel, expression: "!user.may_write", action: deny}
              - condition_type: cel
                action: deny
                expression: >-
                  tool.read_only && !tool.destructive
                  && tool.idempotent && !tool.open_world
            """
        let (sandbox, path) = try sandbox(text)
        func explain(_ words: [String], file: Bool = true) throws -> Sandbox.Result {
            let time = words.contains("--now") ? [] : ["--now", "2026-01-31T12:00:00Z"]
            let words = ["policy", "explain", "list_projects"] + time + words
            return try sandbox.start("preloop", words + (file ? ["--file", path] : [])).wait()
        }
        #expect(try explain([]).output.hasPrefix("builtin/list_projects: allow\n"))
        let given = [
            ["--now", "2026-01-31T06:59:00Z"], ["--session", "s1"], ["--agent-version", "2"],
            ["--trace-parent", "t1"], ["--no-may-write"],
            ["--read-only", "--no-destructive", "--idempotent", "--no-open-world"],
        ]
        for (place, words) in given.enumerated() {
            let told = try explain(words)
            let decided = "rule \(place + 1) of list_projects (priority 100): deny - decided"
            #expect(told.output.contains(decided), "\(told)")
        }
        #expect(try explain(["--now", "yesterday"]).status == 2)
        // What is in force knows what the tool says of itself.
        #expect(try explain(["--read-only"], file: false).status == 2)
        #expect(try sandbox.preloop("policy", "apply", path).status == 0)
        let inForce = try explain(["--session", "s1"], file: false)
        #expect(inForce.output.contains("rule 2 of list_projects (priority 100): deny - decided"))
    }

    /// It showed values as missing, and did not say which could be given.
    @Test func `an explanation without arguments names those that rules look at`() throws {
        let text = """
            metadata: {name: narrow}
            tools:
            - name: search
              conditions:
              - {expression: args.limit > 20, action: deny}
              - {expression: "args.query.contains('x')", action: deny}
            """
        let (sandbox, path) = try sandbox(text)
        func explain(_ words: String...) throws -> Sandbox.Result {
            try sandbox.start("preloop", ["policy", "explain", "search"] + words).wait()
        }
        let hint = "note: the rules look at `limit`, `query`; give such arguments with --args\n"
        let told = try explain("--file", path)
        #expect(told.status == 0 && told.errors == hint, "\(told)")
        let given = try explain("--file", path, "--args", #"{"limit": 30}"#)
        #expect(given.output.hasPrefix("builtin/search: deny\n") && given.errors.isEmpty)
        #expect(try explain("--file", path, "--json").errors.isEmpty)
        #expect(try sandbox.preloop("policy", "apply", path).status == 0)
        #expect(try explain().errors == hint)
    }

    /// Whoever denied them believed it, and calls on record were said to be denied.
    @Test func `the gateway's own tools are exempt, and that is said`() throws {
        let text = """
            metadata: {name: x}
            tools: [{name: request_approval, enabled: false}]
            defaults: {unknown_tools: deny}
            """
        let (sandbox, path) = try sandbox(text)
        let validated = try sandbox.preloop("policy", "validate", path)
        #expect(validated.status == 0 && validated.errors.contains("warning: 2:"), "\(validated)")
        #expect(validated.errors.contains("what is said of `request_approval` has no effect"))
        let asked = #"{"request_id": "none"}"#
        _ = try sandbox.preloop("tools", "call", "get_approval_status", asked)
        #expect(try sandbox.preloop("policy", "plan", path).output.contains("no calls on record"))
        #expect(try sandbox.preloop("policy", "apply", path).status == 0)
        let told = try sandbox.preloop("policy", "explain", "get_approval_status")
        #expect(told.output.hasPrefix("builtin/get_approval_status: allow\n"), "\(told)")
        #expect(told.output.contains("no rule is asked"))
    }
}
