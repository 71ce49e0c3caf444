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
}
