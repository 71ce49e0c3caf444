import Domain
import Foundation
import TestSupport
import Testing

/// Commands that speak to a server somewhere else.
struct RemoteTests {
    @Test func `somebody signs in, asks, and signs out`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox()
        #expect(try elsewhere.preloop("status").status == 2)
        let wrong = try elsewhere.preloop(
            "login",
            server.origin,
            "--user",
            "ann",
            "--password-env",
            "PASSWORD",
            environment: ["PASSWORD": "not this one"]
        )
        #expect(wrong.status == 4, "\(wrong.errors)")
        let login = try elsewhere.preloop(
            "login",
            "\(server.origin)/",
            "--user",
            "ann",
            "--password-env",
            "PASSWORD",
            environment: ["PASSWORD": "correct horse battery"]
        )
        #expect(login.status == 0, "\(login.errors)")
        #expect(try elsewhere.mode("/remote.json") == 0o600)
        #expect(try elsewhere.preloop("status", "--json").json["username"] == "ann")
        let me = try elsewhere.preloop("api", "GET", "/api/v1/auth/users/me")
        #expect(try me.json["role"] == "owner")
        let call = ["api", "POST", "/api/v1/mcp/list_projects", "--data", "{}"]
        #expect(try elsewhere.start("preloop", call).wait().json == ["projects": []])
        #expect(try elsewhere.preloop("api", "GET", "/api/v1/nothing").status == 5)
        let tools = try elsewhere.preloop("tools", "list", "--url", server.origin, "--json")
        #expect(try tools.json["tools"]?.array?.isEmpty == false, "\(tools.errors)")
        let tool = try elsewhere.preloop(
            "tools",
            "call",
            "list_projects",
            "{}",
            "--url",
            server.origin
        )
        #expect(tool.output == "{\"projects\":[]}\n")
        let bad = try elsewhere.preloop("tools", "call", "search", "{}", "--url", server.origin)
        #expect(bad.status == 1 && bad.errors.contains("query"))
        // Without a tracker there is nowhere to file an issue.
        let issue = #"{"project": "acme/app", "title": "x"}"#
        let create = ["tools", "call", "create_issue", issue]
        let filed = try elsewhere.start("preloop", create + ["--url", server.origin]).wait()
        #expect(filed.status == 5)
        #expect(filed.errors.contains("no tracker is configured; add one with"), "\(filed.errors)")
        let here = try server.sandbox.start("preloop", create).wait()
        #expect(here.status == 5 && here.errors.contains("`preloop trackers add`"))
        #expect(try elsewhere.preloop("logout").status == 0)
        #expect(try elsewhere.preloop("status").status == 2)
        // The key that the login made is gone from the server, too; the first one stays.
        let keys = try server.sandbox.preloop("keys", "list", "--user", "ann", "--json").json
        #expect(keys["keys"]?.array?.compactMap { $0["name"]?.string } == ["test"])
        #expect(try server.stop().status == 0)
    }

    @Test func `a key from the environment will do, and a server that is away is told`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox()
        let environment = ["PRELOOP_TOKEN": server.key]
        let status = try elsewhere.preloop(
            "status",
            "--url",
            server.origin,
            environment: environment
        )
        #expect(status.output.contains("signed in as ann, owner"), "\(status.errors)")
        #expect(try elsewhere.preloop("status", "--url", server.origin).status == 4)
        #expect(try server.stop().status == 0)
        let gone = try elsewhere.preloop(
            "status",
            "--url",
            server.origin,
            environment: environment
        )
        #expect(gone.status == 1 && gone.errors.contains("127.0.0.1"))
    }

    // Of the keys that agents are given none would sign in: no scope let them ask who they are.
    @Test(arguments: ["read", "write", "mcp:read", "mcp:write", "approvals", "metrics"])
    func `a key with one scope signs in and says whose it is`(_ scope: String) throws {
        let server = try ServeProcess(try Sandbox())
        let add = ["keys", "add", "agent", "--user", "ann", "--scope", scope, "--json"]
        let added = try server.sandbox.start("preloop", add).wait()
        let key = try #require(try added.json["key"]?.string, "\(added.errors)")
        let elsewhere = try Sandbox(["KEY": key])
        let login = try elsewhere.preloop("login", server.origin, "--token-env", "KEY", "--json")
        #expect(login.status == 0, "\(login.errors)")
        #expect(try login.json["username"] == "ann")
        let status = try elsewhere.preloop("status")
        #expect(status.output.contains("signed in as ann, owner"), "\(status.errors)")
        // What is one's own stays out of its reach.
        let keys = try elsewhere.preloop("api", "GET", "/api/v1/auth/api-keys")
        #expect(keys.status == 4, "\(keys.output)")
        #expect(try server.stop().status == 0)
    }

    // Whoever was denied a call was told to sign in, which he had done.
    @Test func `a denied call ends as on this machine, and a missing scope is named`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox()
        func call(_ tool: String, key: String) throws -> Sandbox.Result {
            try elsewhere.preloop(
                "tools",
                "call",
                tool,
                "{}",
                "--url",
                server.origin,
                environment: ["PRELOOP_TOKEN": key]
            )
        }
        // Listed, for it is not every call that is denied.
        let policy = """
            metadata: {name: strict}
            tools:
            - name: list_projects
              conditions:
              - {action: deny, expression: "!has(args.x)", condition_type: cel, message: not you}
            """
        let applied = try server.sandbox.preloop("policy", "apply", "-", input: policy)
        #expect(applied.status == 0, "\(applied.errors)")
        let (here, there) = (
            try server.sandbox.preloop("tools", "call", "list_projects"),
            try call("list_projects", key: server.key)
        )
        for denied in [here, there] {
            #expect(denied.status == 1, "\(denied.errors)")
            #expect(denied.errors.contains("Access denied: not you"), "\(denied.errors)")
            #expect(!denied.errors.contains("sign in"), "\(denied.errors)")
        }
        // Both say in the first line that the call was denied, not that something was refused.
        #expect(here.errors.hasPrefix("error: `list_projects` was denied\n"), "\(here.errors)")
        let denial = "error: `\(server.origin)` denied the call\n"
        #expect(there.errors.hasPrefix(denial), "\(there.errors)")
        #expect(there.errors.contains("`preloop policy explain` shows the rules"))
        let add = ["keys", "add", "reading", "--user", "ann", "--scope", "read", "--json"]
        let added = try server.sandbox.start("preloop", add).wait()
        let key = try #require(try added.json["key"]?.string, "\(added.errors)")
        let refused = try call("list_projects", key: key)
        #expect(refused.status == 4)
        #expect(refused.errors.contains("use a key with the scope `mcp:"), "\(refused.errors)")
        #expect(!refused.errors.contains("sign in"), "\(refused.errors)")
        #expect(try call("list_projects", key: "plk_1_none").errors.contains("sign in with"))
        #expect(try server.stop().status == 0)
    }

    @Test func `a list that has always one more page is given up`() throws {
        let page = "[" + Array(repeating: #"{"name":"t"}"#, count: 100).joined(separator: ",") + "]"
        let server = try ScriptedHTTPServer { _ in
            [.answer(headers: [("Content-Type", "application/json")], text: page)]
        }
        let result = try Sandbox().preloop(
            "tools",
            "list",
            "--url",
            server.origin,
            environment: ["PRELOOP_TOKEN": "plk_x"]
        )
        #expect(result.status == 1 && result.output.isEmpty)
        #expect(result.errors.contains("has no end"), "\(result.errors)")
        #expect(server.requests.count == 1_000)
        #expect(server.requests.last?.target == "/api/v1/tools?limit=100&skip=99900")
    }

    @Test func `users and keys of a server are made, changed and removed from elsewhere`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox()
        func preloop(_ words: String..., token: String? = nil) throws -> Sandbox.Result {
            try elsewhere.start(
                "preloop",
                words + ["--url", server.origin],
                environment: ["PRELOOP_TOKEN": token ?? server.key, "PASSWORD": "a good password"]
            ).wait()
        }
        let password = ["--password-env", "PASSWORD"]
        let added = try preloop("users", "add", "Bob", "--role", "editor", password[0], password[1])
        #expect(added.output == "Added bob, editor.\n", "\(added.errors)")
        let again = try preloop("users", "add", "bob", password[0], password[1])
        #expect(again.status == 1 && again.errors.contains("name"), "\(again.errors)")
        let list = try preloop("users", "list")
        #expect(list.output.contains("ann") && list.output.contains("bob"), "\(list.errors)")
        let key = try preloop(
            "keys",
            "add",
            "ci",
            "--user",
            "bob",
            "--scope",
            "read",
            "--days",
            "2"
        )
        #expect(key.output.hasPrefix("plk_"), "\(key.errors)")
        let secret = key.output.filter { $0 != "\n" }
        // Made by bob's key, it is no administrator's question.
        #expect(try preloop("users", "list", token: secret).status == 4)
        let keys = try preloop("keys", "list", "--user", "bob", "--json").json["keys"]
        #expect(keys?[0]?["name"] == "ci" && keys?[0]?["scopes"] == ["read"])
        #expect(keys?[0]?["expires_at"]?.string != nil && keys?[0]?["key"] == nil)
        let changed = try preloop("users", "update", "bob", "--role", "viewer", "--no-active")
        #expect(changed.output == "Changed bob.\n", "\(changed.errors)")
        #expect(try preloop("users", "list").output.contains("viewer (inactive)"))
        #expect(try preloop("keys", "remove", "other", "--user", "bob").status == 5)
        #expect(try preloop("keys", "remove", "ci", "--user", "bob").status == 0)
        #expect(try preloop("keys", "list", "--user", "carl").status == 5)
        #expect(try preloop("users", "remove", "bob").output == "Removed bob.\n")
        #expect(try preloop("users", "remove", "bob").status == 5)
        // The last owner stays, as on the store itself.
        #expect(try preloop("users", "remove", "ann").status == 1)
        let names = try server.sandbox.preloop("users", "list", "--json").json["users"]?.array
        #expect(names?.compactMap { $0["username"]?.string } == ["ann"])
        #expect(try server.stop().status == 0)
    }
}
