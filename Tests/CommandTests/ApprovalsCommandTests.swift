import Bootstrap
import Domain
import Foundation
import Glibc
import Testing

/// What waits for approval, from the terminal.
@Suite struct ApprovalsCommandTests {
    private static let question = #"""
        {"operation": "drop the table", "context": "it is empty", "reasoning": "tidying up"}
        """#

    /// Waits until a request is listed; gives its identifier.
    private func waiting(_ sandbox: Sandbox, _ words: [String] = []) async throws -> String {
        // Two minutes on an idle machine, and ten on a busy one.
        for _ in 0..<600 {
            let words = ["approvals", "list", "--json"] + words
            let list = try sandbox.start("preloop", words).wait()
            #expect(list.status == 0, "\(list.errors)")
            if let id = try list.json["requests"]?[0]?["request_id"]?.string { return id }
            try await Task.sleep(for: .milliseconds(200))
        }
        throw CancellationError()
    }

    /// What an agent hears in the end: a busy machine may keep people longer than a call is held,
    /// and then it asks again.
    private func outcome(
        of answer: Sandbox.Result,
        _ id: String,
        _ sandbox: Sandbox,
        _ words: [String] = []
    ) throws -> String {
        guard answer.output.contains("\"status\":\"pending\"") else { return answer.output }
        let question = "{\"request_id\": \"\(id)\"}"
        let words = ["tools", "call", "get_approval_status", question] + words
        return try sandbox.start("preloop", words).wait().output
    }

    @Test func `an agent asks, a person in another terminal answers`() async throws {
        let sandbox = try Sandbox(["USER": "somebody else"])
        #expect(try sandbox.preloop("init").status == 0)
        #expect(try sandbox.preloop("approvals").output.contains("Nothing waits"))
        let agent = try sandbox.start(
            "preloop",
            ["tools", "call", "request_approval", Self.question]
        )
        let id = try await waiting(sandbox)
        let watch = try sandbox.start("preloop", ["approvals", "watch"])
        #expect(try !watch.answer(to: "").isEmpty)
        // Who has seen enough has done nothing wrong.
        watch.signal(SIGINT)
        let watched = try watch.waitForExit()
        #expect(watched.status == 130 && watched.errors.isEmpty, "\(watched.errors)")
        #expect(watched.output.contains(id))
        let table = try sandbox.preloop("approvals", "list")
        let name = "local:\(LocalUser.name)"
        #expect(table.output.contains(name) && table.output.contains("request_approval"))
        let shown = try sandbox.preloop("approvals", "show", id)
        #expect(shown.output.contains("operation: drop the table"))
        #expect(shown.output.contains("Reason     tidying up"))
        #expect(shown.output.contains("Tool       request_approval"))
        let document = try sandbox.preloop("approvals", "show", id, "--json").json["request"]
        #expect(document?["policy_name"] == "request_approval" && document?["server"] == .null)
        let approved = try sandbox.preloop("approvals", "approve", id, "--reason", "it is")
        #expect(approved.status == 0, "\(approved.errors)")
        #expect(approved.output.contains("Approved"))
        let answer = try agent.wait()
        #expect(answer.status == 0, "\(answer.errors)")
        let heard = try outcome(of: answer, id, sandbox)
        #expect(heard.contains("\"status\":\"approved\""), "\(heard)")
        #expect(heard.contains("\"comment\":\"it is\""), "\(heard)")
        // The second one hears who was first.
        let late = try sandbox.preloop("approvals", "deny", id)
        #expect(late.status == 1)
        #expect(late.errors.contains("approved already, by \(name)"))
        let all = try sandbox.preloop("approvals", "list", "--all")
        #expect(all.output.contains("approved"))
        let unknown = try sandbox.preloop("approvals", "approve", "nothing")
        #expect(unknown.status == 5)
    }

    private static let people = """
        version: "1.0"
        metadata: {name: people}
        approval_workflows:
        - {name: two, approvals_required: 2, allow_self_approval: true, async_approval: true}
        - {name: other, allow_self_approval: false, async_approval: true}
        tools:
        - {name: list_projects, approval_workflow: two}
        - {name: sync_status, approval_workflow: other}
        """

    /// `USER=ann` and `USER=bob` were two people.
    @Test func `whoever sits at the machine is one person, whatever the environment says`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/policy.yaml"
        try Data(Self.people.utf8).write(to: URL(fileURLWithPath: file))
        #expect(try sandbox.preloop("policy", "apply", file).status == 0)
        func ask(_ tool: String) throws -> String {
            let held = try sandbox.preloop(
                "tools",
                "call",
                tool,
                "{}",
                "--json",
                environment: ["USER": "ann"]
            )
            return try #require(try held.json["result"]?["request_id"]?.string)
        }
        func approve(_ id: String, _ name: String) throws -> Sandbox.Result {
            try sandbox.preloop("approvals", "approve", id, environment: ["USER": name])
        }
        let two = try ask("list_projects")
        #expect(try approve(two, "ann").status == 0)
        let second = try approve(two, "bob")
        #expect(second.status != 0 && second.errors.contains("has decided already"))
        let own = try approve(try ask("sync_status"), "bob")
        #expect(own.status != 0 && own.errors.contains("somebody else"), "\(own.errors)")
        let list = try sandbox.preloop("approvals", "list").output
        #expect(list.contains("local:\(LocalUser.name)") && !list.contains("local:ann"))
    }

    private static let memory = """
        version: "1.0"
        metadata: {name: memory}
        approval_workflows:
        - {name: leads, remember_seconds: 600, allow_self_approval: true, async_approval: true}
        tools:
        - {name: list_projects, approval_workflow: leads}
        """

    @Test func `what is remembered is listed, and forgotten by its identifier or all at once`()
        throws
    {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/policy.yaml"
        try Data(Self.memory.utf8).write(to: URL(fileURLWithPath: file))
        #expect(try sandbox.preloop("policy", "apply", file).status == 0)
        func call() throws -> JSONValue? {
            try sandbox.preloop("tools", "call", "list_projects", "{}", "--json").json["result"]
        }
        func remembered() throws -> [JSONValue] {
            let list = try sandbox.preloop("approvals", "remembered", "--json")
            return try #require(try list.json["remembered"]?.array, "\(list.errors)")
        }
        let none = try sandbox.preloop("approvals", "remembered")
        #expect(none.output == "No approval is remembered.\n")
        for way in ["one", "--all"] {
            let id = try #require(try call()?["request_id"]?.string)
            let words = ["approvals", "approve", id, "--remember-minutes", "5"]
            #expect(try sandbox.start("preloop", words).wait().status == 0)
            // The approved run, and one more of the same call.
            for _ in 0..<2 {
                let ran = try #require(try call())
                #expect(ran["request_id"] == nil, "\(ran)")
            }
            #expect(try remembered().map { $0["request_id"] } == [.string(id)])
            #expect(try remembered()[0]["is_in_force"] == true)
            let table = try sandbox.preloop("approvals", "remembered").output
            #expect(table.contains(id) && table.contains("local:\(LocalUser.name)"))
            let forgotten = try sandbox.preloop("approvals", "forget", way == "one" ? id : way)
            #expect(forgotten.status == 0 && forgotten.output.hasPrefix("Forgotten: 1 approval."))
            #expect(try remembered().isEmpty)
            let late = try sandbox.preloop("approvals", "forget", id)
            #expect(late.status == 5 && late.errors.contains("is remembered"), "\(late.errors)")
        }
        #expect(try call()?["request_id"]?.string != nil)
        #expect(try sandbox.preloop("approvals", "forget").status == 2)
        #expect(try sandbox.preloop("approvals", "forget", "x", "--all").status == 2)
    }

    private static let several = """
        version: "1.0"
        metadata: {name: several}
        approval_workflows:
        - {name: leads, allow_self_approval: true, async_approval: true}
        - {name: security, allow_self_approval: true}
        tools:
        - {name: search, approval_workflow: leads}
        sensitive_data:
          rules:
          - id: mail
            on: tool.args
            types: [email]
            action: require_approval
            approval_workflow: security
        """

    /// The same command, given twice, approved for both.
    @Test func `where several workflows have to approve, the command says which one it is for`()
        throws
    {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let file = sandbox.home + "/policy.yaml"
        try Data(Self.several.utf8).write(to: URL(fileURLWithPath: file))
        let applied = try sandbox.preloop("policy", "apply", file)
        #expect(applied.status == 0, "\(applied.errors)")
        let words = ["tools", "call", "search", #"{"query": "from ann@example.org"}"#, "--json"]
        let held = try sandbox.start("preloop", words).wait()
        let id = try #require(try held.json["result"]?["request_id"]?.string, "\(held)")
        func approve(_ workflow: String?) throws -> Sandbox.Result {
            let more = workflow.map { ["--workflow", $0] } ?? []
            return try sandbox.start("preloop", ["approvals", "approve", id] + more).wait()
        }
        let silent = try approve(nil)
        #expect(silent.status == 1 && silent.errors.contains("`leads` is asked now"))
        #expect(silent.errors.contains("--workflow"), "\(silent.errors)")
        let first = try approve("leads")
        #expect(first.status == 0 && first.output.contains("Asked now: security."))
        let again = try approve("leads")
        #expect(again.status == 1 && again.errors.contains("`security` is asked now"))
        let shown = try sandbox.preloop("approvals", "show", id).output
        #expect(shown.contains("Asked now  security") && shown.contains("approves for `leads`"))
        let last = try approve("security")
        #expect(last.status == 0 && last.output.hasPrefix("Approved"), "\(last)")
    }

    /// It said nothing at all, as a program does that hangs.
    @Test func `who watches hears that nothing waits, apart from the calls`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let watch = try sandbox.start("preloop", ["approvals", "watch", "--json"])
        let note = try watch.complaint(with: "\n")
        #expect(note == "note: nothing waits for approval now; watching\n")
        let agent = try sandbox.start(
            "preloop",
            ["tools", "call", "request_approval", Self.question]
        )
        let line = try watch.answer(to: "")
        let id = try #require(try JSONParser.parse(line)["request_id"]?.string, "\(line)")
        watch.signal(SIGINT)
        let watched = try watch.waitForExit()
        // Once: it does not say so again whenever it looks.
        #expect(watched.status == 130 && watched.errors == note, "\(watched.errors)")
        #expect(try sandbox.preloop("approvals", "deny", id).status == 0)
        _ = try agent.wait()
    }

    @Test func `the same commands speak to a server`() async throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox(["PRELOOP_TOKEN": server.key])
        let url = ["--url", server.origin]
        let agent = try elsewhere.start(
            "preloop",
            ["tools", "call", "request_approval", Self.question] + url
        )
        let id = try await waiting(elsewhere, url)
        // The key that asked cannot answer, whoever holds it.
        let own = try elsewhere.start("preloop", ["approvals", "approve", id] + url).wait()
        #expect(own.status == 4 && own.errors.contains("cannot decide"), "\(own.errors)")
        // The operator of the server's machine can.
        let denied = try server.sandbox.preloop("approvals", "deny", id, "--reason", "no")
        #expect(denied.status == 0, "\(denied.errors)")
        let answer = try agent.wait()
        let heard = try outcome(of: answer, id, elsewhere, url)
        #expect(heard.contains("\"status\":\"declined\""), "\(answer.errors)")
        #expect(try server.stop().status == 0)
    }
}
