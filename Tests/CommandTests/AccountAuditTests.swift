import Domain
import Glibc
import Testing

/// What commands do about users and keys, and the first start of a server, is on record.
struct AccountAuditTests {
    private static let password = "correct horse battery"
    private static let other = "another good one"

    private func changes(_ sandbox: Sandbox, _ words: String...) throws -> [JSONValue] {
        let query = ["audit", "query", "--changes", "--json"] + words
        let result = try sandbox.start("preloop", query).wait()
        #expect(result.status == 0, "\(result.errors)")
        return try result.json["changes"]?.array ?? []
    }

    @Test func `who adds, changes and removes users and keys by commands is on record`() throws {
        let sandbox = try Sandbox(["PASSWORD": Self.password, "OTHER": Self.other])
        func preloop(_ words: String...) throws -> String {
            let result = try sandbox.start("preloop", words).wait()
            #expect(result.status == 0, "\(words): \(result.errors)")
            return result.output
        }
        let password = ["--password-env", "PASSWORD"]
        _ = try preloop("init", "--admin", "ann", password[0], password[1])
        _ = try preloop("users", "add", "bob", "--role", "viewer", password[0], password[1])
        _ = try preloop("users", "update", "bob", "--role", "editor")
        // What is so already is no change.
        _ = try preloop("users", "update", "bob", "--role", "editor")
        _ = try preloop("users", "update", "bob", "--set-password", password[0], "OTHER")
        let key = try preloop("keys", "add", "ci", "--user", "bob", "--scope", "read")
            .filter { $0 != "\n" }
        _ = try preloop("keys", "remove", "ci", "--user", "bob")
        _ = try preloop("users", "remove", "bob")
        // Refused: the last owner stays.
        #expect(try sandbox.preloop("users", "remove", "ann").status == 1)
        let all = try changes(sandbox)
        #expect(
            all.reversed().map { "\($0["decision"]?.string ?? ""): \($0["reason"]?.string ?? "")" }
                == [
                    "user_added: user ann", "user_added: user bob", "user_updated: user bob",
                    "password_changed: user bob", "key_added: key ci of user bob",
                    "key_removed: key ci of user bob", "user_removed: user bob",
                ]
        )
        // All by whoever runs the tests.
        let callers = Set(all.compactMap { $0["caller"]?.string })
        let author = try #require(callers.first)
        #expect(callers.count == 1 && author.hasPrefix("local:"))
        #expect(try changes(sandbox, "--caller", author).count == 7)
        #expect(try changes(sandbox, "--caller", "user:ann").isEmpty)
        let lines = try preloop("audit", "query", "--changes", "--decision", "user_added")
        let line = #"user_added  – user bob  {"role":"viewer","origin":"command"}"#
        #expect(lines.contains(line), "\(lines)")
        let exported = try preloop("audit", "export")
        for secret in [Self.password, Self.other, key] {
            #expect(!secret.isEmpty && !exported.contains(secret))
        }
        #expect(try preloop("audit", "verify").contains("7 events"))
    }

    @Test func `the link that a server prints when it starts is on record`() throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let running = try sandbox.start("preloop", ["serve", "--port", "0"])
        // It is printed behind the line with the address, when it has been made.
        var printed = ""
        while running.isRunning, !printed.contains("preloop init --admin") {
            printed = try running.answer(to: "")
            usleep(10_000)
        }
        let made = try changes(sandbox)
        running.signal(SIGTERM)
        let ended = try running.waitForExit()
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(made.map { $0["decision"] } == ["setup_link_made"])
        #expect(made.first?["caller"] == "preloop" && made.first?["reason"] == "set-up link")
        let link = try #require(ended.output.firstMatch(of: /token=(\S+)/))
        #expect(try !sandbox.preloop("audit", "export").output.contains(link.1))
        #expect(try sandbox.preloop("audit", "verify").status == 0)
    }

    @Test func `who signs in to a server, and makes a key there, is on record`() throws {
        let server = try ServeProcess(try Sandbox())
        let elsewhere = try Sandbox(["PASSWORD": Self.password, "WRONG": "not this one"])
        let words = ["login", server.origin, "--user", "ann", "--password-env"]
        #expect(try elsewhere.start("preloop", words + ["PASSWORD"]).wait().status == 0)
        // A password that is wrong writes nothing.
        #expect(try elsewhere.start("preloop", words + ["WRONG"]).wait().status == 4)
        #expect(try elsewhere.preloop("logout").status == 0)
        let own = try changes(server.sandbox, "--caller", "user:ann")
        #expect(
            own.reversed().map { $0["decision"] } == ["session_begun", "key_added", "key_removed"]
        )
        #expect(try server.stop().status == 0)
        #expect(try server.sandbox.preloop("audit", "verify").status == 0)
    }
}
