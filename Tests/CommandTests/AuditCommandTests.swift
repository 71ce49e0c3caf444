import Domain
import Foundation
import Glibc
import Store
import TestSupport
import Testing

/// `preloop audit`, as somebody types it.
struct AuditCommandTests {
    private func call(_ sandbox: Sandbox, _ tool: String, _ arguments: JSONValue) throws -> Int32 {
        try sandbox.preloop("tools", "call", tool, arguments.serializedText()).status
    }

    @Test func `a server's time beyond all numbers is left out`() throws {
        let server = try ScriptedHTTPServer { _ in
            [.answer(text: #"[{"sequence":1,"tool":"t","duration_ms":1e300}]"#)]
        }
        let sandbox = try Sandbox(["PRELOOP_TOKEN": "key"])
        let told = try sandbox.preloop("audit", "query", "--url", server.origin)
        #expect(told.status == 0, "\(told.errors)")
        #expect(told.output.split(separator: "\n").count == 2, "\(told.output)")
    }

    @Test func `calls are listed, followed, verified and exported`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let empty = try sandbox.preloop("audit", "verify")
        #expect(empty.status == 0 && empty.output.contains("no events"), "\(empty.errors)")
        #expect(try call(sandbox, "list_projects", ["query": "mail ann@example.org"]) == 0)
        #expect(try call(sandbox, "list_projects", ["nonsense": 1]) == 1)
        #expect(try call(sandbox, "no_such_tool", [:]) == 5)
        let all = try sandbox.preloop("audit", "query", "--json").json
        let calls = try #require(all["calls"]?.array)
        #expect(calls.map { $0["outcome"] } == ["unknown_tool", "invalid", "succeeded"])
        #expect(calls[2]["channel"] == "command" && all["next"] == .null)
        #expect(!all.serializedText().contains("example.org"))
        let page = try sandbox.preloop("audit", "query", "--limit", "2", "--json").json
        let next = try #require(page["next"]?.integer)
        let rest = try sandbox.preloop("audit", "query", "--cursor", "\(next)", "--json").json
        #expect(rest["calls"]?.array?.map { $0["outcome"] } == ["succeeded"])
        let invalid = try sandbox.preloop("audit", "query", "--outcome", "invalid", "--since", "1h")
        #expect(invalid.output.split(separator: "\n").count == 2, "\(invalid.output)")
        let none = try sandbox.preloop("audit", "query", "--caller", "nobody")
        #expect(none.output == "No such call is on record.\n")
        #expect(try sandbox.preloop("audit", "query", "--outcome", "fine").status == 2)
        let old = try sandbox.preloop("audit", "query", "--unchained", "--json").json
        #expect(old["calls"] == [])
        let tail = try sandbox.preloop("audit", "tail", "--no-follow", "--lines", "2")
        #expect(tail.output.split(separator: "\n").count == 2)
        #expect(tail.output.contains("unknown_tool"), "\(tail.output)")
        let exported = try sandbox.preloop("audit", "export", "--jsonl")
        let lines = try exported.output.split(separator: "\n").map {
            try JSONParser.parse(String($0))
        }
        #expect(lines.count == 6 && lines[0]["type"] == "audit" && lines[5]["kind"] == "head")
        let file = sandbox.home + "/audit.jsonl"
        #expect(try sandbox.preloop("audit", "export", "--out", file).status == 0)
        #expect(try String(contentsOfFile: file, encoding: .utf8) == exported.output)
        // Whoever has the file and the key can verify it, without the installation.
        let elsewhere = try Sandbox()
        let key = lines[0]["public_key"]?.string ?? ""
        func verify(_ words: String...) throws -> Sandbox.Result {
            try elsewhere.start("preloop", ["audit", "verify", "--export", file] + words).wait()
        }
        let verified = try verify("--public-key", key)
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(verified.output.contains("4 events"))
        #expect(try verify().output.contains("--public-key"))
        #expect(try verify("--public-key", "00" + key.dropFirst(2)).status == 6)
        #expect(try verify("--public-key", "00").status == 2)
        let changed = exported.output.replacing("no_such_tool", with: "any_tool")
        try changed.write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try verify("--public-key", key).status == 6)
        try "nothing\n".write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try verify().status == 1)
    }

    @Test func `a record that was tampered with is told of by the exit status`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        for _ in 0..<3 { #expect(try call(sandbox, "list_projects", [:]) == 0) }
        let sound = try sandbox.preloop("audit", "verify", "--json")
        #expect(try sound.status == 0 && sound.json["ok"] == true && sound.json["events"] == 6)
        let hash = try sound.json["end"]?["hash"]?.string ?? ""
        let anchor = "6:\(hash)"
        #expect(try sandbox.preloop("audit", "verify", "--anchor", anchor).status == 0)
        #expect(try sandbox.preloop("audit", "verify", "--anchor", "7:\(hash)").status == 6)
        #expect(try sandbox.preloop("audit", "verify", "--anchor", "x").status == 2)
        let store = try await sandbox.store()
        _ = try await store.write { connection, account in
            try connection.execute(
                "DELETE FROM audit_events WHERE account_id = \(account) AND sequence = 4"
            )
        }
        let bad = try sandbox.preloop("audit", "verify")
        #expect(bad.status == 6)
        #expect(bad.output.contains("WRONG: event 4 is missing"), "\(bad.output)")
        #expect(bad.errors.contains("event 4 is missing"))
        #expect(try sandbox.preloop("audit", "verify", "--json").json["first_bad"] == 4)
    }

    @Test func `a call whose process was killed stays on record as begun`() async throws {
        let (silence, port) = try LoopbackSocket.listen(backlog: 16)
        defer { close(silence) }
        let indexed = try IndexedSandbox([
            "PRELOOP_AI_PROVIDER": "openai", "PRELOOP_AI_MODEL": "m",
            "PRELOOP_AI_URL": "http://127.0.0.1:\(port)/v1",
        ])
        defer { indexed.remove() }
        try indexed.add("crash when a file is opened")
        let sandbox = indexed.sandbox
        let words = ["tools", "call", "estimate_compliance", #"{"issues":["x-0"]}"#]
        let store = try await sandbox.store()
        func last() async throws -> Int64 {
            try await store.read { connection, account in
                try AuditTable.lastSequence(account: account, on: connection)
            }
        }
        // On a busy machine a call may reach its time limit before it is killed: then the next.
        for _ in 1...5 {
            let before = try await last()
            let running = try sandbox.start("preloop", words)
            while running.isRunning, try await last() == before {
                try await Task.sleep(for: .milliseconds(20))
            }
            running.signal(SIGKILL)
            if try running.waitForExit().status == -1 { break }
        }
        let query = try sandbox.preloop("audit", "query", "--outcome", "running", "--json").json
        #expect(query["calls"]?.array?.map { $0["tool"] } == ["estimate_compliance"])
        let unknown = try sandbox.preloop("audit", "query", "--outcome", "unknown", "--json").json
        #expect(unknown["calls"] == [])
        #expect(try sandbox.preloop("audit", "verify").status == 0)
    }

    @Test func `a server is asked in place of the installation`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox(["PRELOOP_TOKEN": server.key])
        func preloop(_ words: String...) throws -> Sandbox.Result {
            try elsewhere.start("preloop", words + ["--url", server.origin]).wait()
        }
        #expect(try preloop("tools", "call", "list_projects", "{}").status == 0)
        let calls = try preloop("audit", "query", "--caller", "user:ann", "--json")
        #expect(try calls.json["calls"]?.array?.count == 1, "\(calls.errors)")
        let tail = try preloop("audit", "tail", "--no-follow", "--json")
        // The user and the key came first.
        let kinds = try tail.output.split(separator: "\n").map {
            try JSONParser.parse(String($0))["kind"]
        }
        #expect(kinds == ["change", "change", "call", "completed"], "\(tail.errors)")
        let verified = try preloop("audit", "verify")
        #expect(verified.status == 0 && verified.output.contains("4 events"), "\(verified.errors)")
        #expect(try server.stop().status == 0)
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func `new events are printed as they come, and a signal is no error`(signal: Int32) throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let tail = try sandbox.start("preloop", ["audit", "tail"])
        #expect(try call(sandbox, "list_projects", [:]) == 0)
        let line = try tail.answer(to: "")
        #expect(line.contains("list_projects"))
        tail.signal(signal)
        let ended = try tail.waitForExit()
        #expect(ended.status == 130 && ended.errors.isEmpty, "\(ended.status) \(ended.errors)")
    }
}
