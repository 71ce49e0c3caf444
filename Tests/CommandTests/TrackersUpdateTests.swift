import Domain
import Foundation
import Store
import TestSupport
import Testing

/// New tokens, addresses and scopes for a tracker that is there.
struct TrackersUpdateTests {
    private let environment = [
        "OLD": "ghp_old", "NEW": "ghp_new", "SECRET_KEY": "a secret key of the test",
    ]

    /// A GitHub that accepts one token.
    private static func service(accepting token: String) throws -> ScriptedHTTPServer {
        try ScriptedHTTPServer { request in
            guard request.headers["authorization"] == "Bearer \(token)" else {
                return [.answer(401, text: #"{"message":"Bad credentials"}"#)]
            }
            return [.answer(text: #"{"login":"ann"}"#)]
        }
    }

    /// A sandbox with the tracker `gh`, whose stored token is `ghp_old`.
    private func sandbox(_ service: ScriptedHTTPServer) throws -> Sandbox {
        let sandbox = try Sandbox(environment)
        let added = try sandbox.preloop(
            "trackers",
            "add",
            "github",
            "--name",
            "gh",
            "--url",
            service.origin,
            "--token-env",
            "OLD",
            "--include",
            "acme/*",
            "--no-test"
        )
        #expect(added.status == 0)
        return sandbox
    }

    private func token(in sandbox: Sandbox) async throws -> String {
        let store = try await sandbox.store()
        let (id, sealed) = try await store.read { connection, account in
            let tracker = try TrackerTable.find(name: "gh", account: account, on: connection)
            let id = try #require(tracker).id
            return (id, try TrackerTable.credential(of: id, account: account, on: connection))
        }
        let box = try SecretBox(keyMaterial: Secret("a secret key of the test"))
        return try box.open(try #require(sealed), for: .tracker(id, account: store.account))
            .reveal()
    }

    private func tracker(in sandbox: Sandbox) throws -> JSONValue? {
        try sandbox.preloop("trackers", "list", "--json").json["trackers"]?[0]
    }

    @Test func `a refused token is followed by one that works`() async throws {
        let service = try Self.service(accepting: "ghp_new")
        let sandbox = try sandbox(service)
        let refused = try sandbox.preloop("trackers", "test", "gh")
        #expect(refused.status == 4)
        #expect(refused.errors.contains("`preloop trackers update gh`"))
        #expect(refused.errors.contains("read:org"))
        #expect(try tracker(in: sandbox)?["status"] == "invalid")
        let doctor = try sandbox.preloop("doctor")
        #expect(doctor.output.contains("`preloop trackers update gh` stores it"))
        let updated = try sandbox.preloop("trackers", "update", "gh", "--token-env", "NEW")
        #expect(updated.status == 0)
        #expect(updated.output.contains("token of ann"))
        #expect(try await token(in: sandbox) == "ghp_new")
        #expect(try tracker(in: sandbox)?["status"] == "valid")
        #expect(try tracker(in: sandbox)?["include"] == ["acme/*"])
        #expect(try sandbox.preloop("trackers", "test", "gh").status == 0)
    }

    @Test func `a token that the service refuses does not replace the stored one`() async throws {
        let service = try Self.service(accepting: "ghp_old")
        let sandbox = try sandbox(service)
        let result = try sandbox.preloop("trackers", "update", "gh", "--token-env", "NEW")
        #expect(result.status == 4)
        #expect(result.errors.contains("the tracker `gh` was not changed"))
        #expect(!result.errors.contains("ghp_new"))
        #expect(result.errors.contains("run `preloop trackers update gh` with another token"))
        #expect(try await token(in: sandbox) == "ghp_old")
        #expect(try sandbox.preloop("trackers", "test", "gh").status == 0)
    }

    @Test func `a tracker that was not added is not to be updated`() throws {
        let service = try Self.service(accepting: "ghp_old")
        let sandbox = try Sandbox(environment)
        let result = try sandbox.preloop(
            "trackers",
            "add",
            "gitlab",
            "--name",
            "gl",
            "--url",
            service.origin,
            "--token-env",
            "NEW"
        )
        #expect(result.status == 4)
        #expect(result.errors.contains("run the command again with another token"))
        #expect(result.errors.contains("read_api"))
        #expect(!result.errors.contains("trackers update"))
    }

    @Test(arguments: ["lost", "garbled", "changed"])
    func `a key that is gone is told everywhere, and entering the token mends it`(
        kind: String
    ) throws {
        let service = try Self.service(accepting: "ghp_new")
        let sandbox = try Sandbox([
            "TOKEN": "ghp_old", "NEW": "ghp_new", "PRELOOP_EMBEDDING_PROVIDER": "openai",
            "PRELOOP_EMBEDDING_URL": "http://127.0.0.1:1/v1", "PRELOOP_EMBEDDING_DIMENSION": "3",
        ])
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        let key = URL(fileURLWithPath: sandbox.home + "/secret.key")
        switch kind {
        case "lost": try FileManager.default.removeItem(at: key)
        case "garbled": try Data("no key".utf8).write(to: key)
        default: try Data(String(repeating: "0", count: 64).utf8).write(to: key)
        }
        let scan = try sandbox.run("preloop-sync", "scan", "all")
        let test = try sandbox.preloop("trackers", "test", "gh")
        for result in [scan, test] {
            #expect(result.status == 4)
            #expect(result.errors.contains("put back from a backup the secret.key"))
            #expect(result.errors.contains("`preloop trackers update gh`"))
            #expect(!result.errors.contains("refuses the token"))
        }
        #expect(!test.errors.contains("does not work"))
        #expect(try tracker(in: sandbox)?["status"] == "new", "the token is not blamed")
        let checks = try sandbox.preloop("doctor", "--json").json["checks"]?.array ?? []
        let name: JSONValue = kind == "changed" ? "tracker gh" : "key"
        let check = checks.first { $0["check"] == name }
        #expect(check?["status"] == "broken")
        #expect(check?["advice"]?.string?.contains("preloop trackers update") == true)
        let update = ["trackers", "update", "gh", "--token-env", "NEW"]
        if kind == "garbled" {
            let refused = try sandbox.start("preloop", update).wait()
            #expect(refused.errors.contains("move the key file away"))
            try FileManager.default.removeItem(at: key)
        }
        let mended = try sandbox.start("preloop", update).wait()
        #expect(mended.status == 0, "\(mended.errors)")
        #expect(mended.output.contains("Made a new key") == (kind != "changed"))
        #expect(try sandbox.preloop("trackers", "test", "gh").status == 0)
    }

    @Test func `the user that was given is shown`() throws {
        let sandbox = try Sandbox(environment)
        let added = try sandbox.preloop(
            "trackers",
            "add",
            "jira",
            "--name",
            "gh",
            "--url",
            "https://acme.atlassian.net",
            "--user",
            "ann@acme.example",
            "--token-env",
            "OLD",
            "--no-test",
            "--json"
        )
        #expect(try added.json["user"] == "ann@acme.example")
        #expect(try tracker(in: sandbox)?["user"] == "ann@acme.example")
    }

    @Test func `files that are not there are told with what to do`() throws {
        let sandbox = try Sandbox(environment)
        for words in [
            ["trackers", "add", "github", "--name", "gh", "--token-file", "/nope"],
            ["index", "import", "--jsonl", "/nope"], ["index", "import", "--jsonl", "/"],
        ] {
            let result = try sandbox.start("preloop", words).wait()
            #expect(result.status == 2)
            #expect(result.errors.contains("to do: check the path"))
            #expect(!result.errors.contains("incomplete"))
        }
        #expect(!FileManager.default.fileExists(atPath: sandbox.home), "nothing is made")
    }

    @Test func `a token that is not tried out waits for its trial`() async throws {
        let service = try Self.service(accepting: "ghp_old")
        let sandbox = try sandbox(service)
        #expect(try sandbox.preloop("trackers", "test", "gh").status == 0)
        let result = try sandbox.preloop(
            "trackers",
            "update",
            "gh",
            "--token-env",
            "NEW",
            "--no-test"
        )
        #expect(result.status == 0)
        #expect(try await token(in: sandbox) == "ghp_new")
        #expect(try tracker(in: sandbox)?["status"] == "new")
    }

    @Test func `a new address is tried with the stored token`() throws {
        let first = try Self.service(accepting: "ghp_old")
        let second = try Self.service(accepting: "ghp_old")
        let stranger = try Self.service(accepting: "ghp_other")
        let sandbox = try sandbox(first)
        let refused = try sandbox.preloop("trackers", "update", "gh", "--url", stranger.origin)
        #expect(refused.status == 4)
        #expect(try tracker(in: sandbox)?["url"] == .string(first.origin))
        let moved = try sandbox.preloop("trackers", "update", "gh", "--url", second.origin)
        #expect(moved.status == 0)
        #expect(try tracker(in: sandbox)?["url"] == .string(second.origin))
        #expect(try tracker(in: sandbox)?["status"] == "valid")
    }

    @Test func `patterns are added to the scope or replace it, without a request`() throws {
        let sandbox: Sandbox
        do {
            // Gone when the scope changes.
            sandbox = try self.sandbox(try Self.service(accepting: "ghp_old"))
        }
        let added = try sandbox.preloop(
            "trackers",
            "update",
            "gh",
            "--include",
            "acme/*",
            "--exclude",
            "acme/old"
        )
        #expect(added.status == 0)
        #expect(try tracker(in: sandbox)?["include"] == ["acme/*"])
        #expect(try tracker(in: sandbox)?["exclude"] == ["acme/old"])
        let replaced = try sandbox.preloop(
            "trackers",
            "update",
            "gh",
            "--clear-scope",
            "--include",
            "beta",
            "--json"
        )
        #expect(try replaced.json["include"] == ["beta"])
        #expect(try replaced.json["exclude"] == [])
        #expect(try tracker(in: sandbox)?["include"] == ["beta"])
    }

    @Test func `a tracker that is not there ends with 5`() throws {
        let sandbox = try Sandbox(environment)
        #expect(try sandbox.preloop("init").status == 0)
        let result = try sandbox.preloop("trackers", "update", "gh", "--token-env", "NEW")
        #expect(result.status == 5)
    }

    @Test func `the terminal is asked for the token without showing it`() async throws {
        let sandbox = try sandbox(try Self.service(accepting: "ghp_old"))
        let terminal = try sandbox.startOnTerminal("preloop", "trackers", "update", "gh")
        // The token is refused or not: what matters is that it came from the terminal.
        #expect(terminal.wait(for: "token for gh: "))
        #expect(!terminal.echoes)
        terminal.type("two words\n")
        #expect(terminal.exitStatus() == 2)
        #expect(terminal.screen.contains("that is not a token"))
        #expect(!terminal.screen.contains("two words"))

        let second = try sandbox.startOnTerminal("preloop", "trackers", "update", "gh", "--no-test")
        // No option but this one: the new token is asked for.
        #expect(second.wait(for: "token for gh: "))
        second.type("ghp_typed\n")
        #expect(second.exitStatus() == 0)
        #expect(!second.screen.contains("ghp_typed"))
        #expect(try await token(in: sandbox) == "ghp_typed")
    }
}
