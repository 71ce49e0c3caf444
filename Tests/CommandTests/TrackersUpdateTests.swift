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
        #expect(refused.errors.contains("preloop trackers update"))
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
        #expect(try await token(in: sandbox) == "ghp_old")
        #expect(try sandbox.preloop("trackers", "test", "gh").status == 0)
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
