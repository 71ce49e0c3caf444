import Domain
import Foundation
import Store
import TestSupport
import Testing

/// `preloop trackers webhooks install` where the tracker refuses.
struct WebhookRefusalTests {
    /// It ended with 0, and the removal of the tracker warned of webhooks that there were not.
    @Test func `what is refused everywhere fails, and leaves nothing to be taken back`()
        async throws
    {
        let sandbox = try Sandbox(["TOKEN": "t", "PRELOOP_URL": "https://preloop.example"])
        let service = try ScriptedHTTPServer { _ in
            [.answer(404, text: #"{"message":"Not Found"}"#)]
        }
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        try await sandbox.follow("acme/tool")
        let installed = try sandbox.preloop("trackers", "webhooks", "install", "gh", "--json")
        #expect(installed.status == 5, "\(installed.errors)")
        #expect(installed.errors.contains("cannot register the webhooks of `gh`"))
        #expect(installed.errors.contains("why: acme/tool: "), "\(installed.errors)")
        // GitHub answers so where the token lacks the right.
        #expect(installed.errors.contains("it takes `admin:repo_hook`"), "\(installed.errors)")
        let place = try installed.json["organizations"]?[0]
        #expect(place?["refused"]?.array?.count == 1 && place?["has_secret"] == false)
        let asked = service.requests.count
        let removed = try sandbox.preloop("trackers", "remove", "gh", "--json")
        #expect(removed.status == 0, "\(removed.errors)")
        #expect(removed.errors.isEmpty, "\(removed.errors)")
        #expect(try removed.json["webhooks_left"] == [])
        #expect(service.requests.count == asked)
    }

    private static func service() throws -> ScriptedHTTPServer {
        try ScriptedHTTPServer { _ in [.answer(404, text: #"{"message":"Not Found"}"#)] }
    }

    private func webhooks(_ word: String, at server: ServeProcess) throws -> Sandbox.Result {
        try Sandbox().preloop(
            "trackers",
            "webhooks",
            word,
            "gh",
            "--url",
            server.origin,
            "--json",
            environment: ["PRELOOP_TOKEN": server.key]
        )
    }

    @Test func `what a tracker refuses a server ends as on its own machine`() async throws {
        let sandbox = try Sandbox(["TOKEN": "t"])
        let service = try Self.service()
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        try await sandbox.follow("acme/tool")
        let server = try KnownServer(sandbox).server
        let installed = try webhooks("install", at: server)
        #expect(installed.status == 5, "\(installed.errors)")
        #expect(installed.errors.contains("cannot register the webhooks of `gh`"))
        #expect(installed.errors.contains("why: acme/tool: "), "\(installed.errors)")
        #expect(installed.errors.contains("it takes `admin:repo_hook`"), "\(installed.errors)")
        let refused = try installed.json["organizations"]?[0]?["refused"]
        #expect(refused?[0]?["code"] == "not_found_in_tracker", "\(installed.output)")
        // To look is no failure, whatever the tracker hides.
        #expect(try webhooks("status", at: server).status == 0)
        #expect(try server.stop().status == 0)
    }

    @Test func `a server that knows no address of its own says so from elsewhere, too`()
        async throws
    {
        let sandbox = try Sandbox(["TOKEN": "t"])
        let service = try Self.service()
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        let server = try ServeProcess(sandbox)
        let early = try webhooks("status", at: server)
        #expect(early.status == 1 && early.errors.contains("/sync --url"), "\(early.errors)")
        try await sandbox.follow("acme/tool")
        let status = try webhooks("status", at: server)
        #expect(status.status == 0, "\(status.errors)")
        #expect(status.errors.contains("PRELOOP_URL is not set at the server"))
        #expect(try status.json["organizations"]?[0]?["webhooks"] == .null)
        let installed = try webhooks("install", at: server)
        #expect(installed.status == 1 && installed.errors.contains("PRELOOP_URL"))
        #expect(service.requests.isEmpty)
        #expect(try server.stop().status == 0)
    }
}
