import Bootstrap
import Domain
import Foundation
import Store
import TestSupport
import Testing

/// What is done to trackers and their webhooks is in the audit, by whom it was done.
struct TrackerAuditTests {
    private let environment = [
        "TOKEN": "ghp_hunter2hunter2", "NEW": "ghp_hunter3hunter3",
    ]
    private let local = "local:\(LocalUser.name)"

    /// What the audit says of trackers and webhooks, in its order.
    private func events(_ sandbox: Sandbox) async throws -> [AuditTable.Event] {
        try await sandbox.store().read { connection, account in
            try AuditTable.rows(after: 0, limit: 1_000, account: account, on: connection)
                .compactMap(\.event)
        }.filter { event in
            let decision = event.decision ?? ""
            return decision.hasPrefix("tracker_") || decision.hasPrefix("webhook_")
        }
    }

    private func settings(_ event: AuditTable.Event) throws -> JSONValue {
        try JSONParser.parse(try #require(event.arguments))
    }

    /// From now on nothing can be recorded.
    private func shutAudit(_ sandbox: Sandbox) async throws {
        _ = try await sandbox.store().write { connection, _ in
            try connection.execute("DROP TABLE audit_events")
        }
    }

    @Test func `a command that adds, changes or removes a tracker is on record`() async throws {
        let sandbox = try Sandbox(environment)
        #expect(try sandbox.addTracker(url: "https://ghe.acme.example").status == 0)
        let listed = try sandbox.preloop("trackers", "list", "--json").json["trackers"]?[0]
        // What is so already is no change the second time.
        for _ in 0..<2 {
            let words = ["trackers", "update", "gh", "--token-env", "NEW", "--no-test"]
            let more = ["--include", "acme/*", "--interval", "6h"]
            let updated = try sandbox.start("preloop", words + more).wait()
            #expect(updated.status == 0, "\(updated.errors)")
        }
        #expect(try sandbox.preloop("trackers", "update", "gh", "--clear-scope").status == 0)
        #expect(try sandbox.preloop("trackers", "remove", "gh").status == 0)

        let events = try await events(sandbox)
        #expect(
            events.map(\.decision) == [
                "tracker_added", "tracker_updated", "tracker_updated", "tracker_removed",
            ]
        )
        for event in events {
            #expect(event.kind == "change" && event.caller == local)
            #expect(event.reason == "tracker gh")
        }
        let added = try settings(events[0])
        #expect(added["name"] == "gh" && added["tracker_type"] == "github")
        #expect(added["url"] == listed?["url"] && added["deployment"] == listed?["deployment"])
        #expect(added["include"] == [] && added["vetted"] == false)
        #expect(added["credential"] == true)
        #expect(
            try settings(events[1]) == [
                "include": ["acme/*"], "interval_s": 21_600, "credential": true,
            ]
        )
        #expect(try settings(events[2]) == ["include": []])
        #expect(try settings(events[3]) == ["issues_removed": 0])
        #expect(!"\(events)".contains("hunter"), "a token is on record")
        #expect(try sandbox.preloop("audit", "verify").status == 0)
    }

    @Test func `users are on record without what is sensitive in their names`() async throws {
        let sandbox = try Sandbox(environment)
        let added = try sandbox.preloop(
            "trackers",
            "add",
            "jira",
            "--name",
            "jira",
            "--url",
            "https://acme.atlassian.net",
            "--user",
            "ann@example.org",
            "--token-env",
            "TOKEN",
            "--no-test"
        )
        #expect(added.status == 0, "\(added.errors)")
        let events = try await events(sandbox)
        #expect(events.count == 1)
        let user = try settings(try #require(events.first))["username"]?.string
        #expect(user?.hasPrefix("[redacted:") == true, "\(user ?? "nil")")
        #expect(!"\(events)".contains("ann@example"))
    }

    @Test func `what is changed over REST is on record by who is signed in`() async throws {
        let sandbox = try Sandbox(environment)
        let known = try KnownServer(sandbox)
        let added = try known.ask(
            "POST",
            "trackers",
            """
            {"name": "hub", "tracker_type": "github", "url": "http://127.0.0.1:1",
            "api_key": "ghp_hunter2hunter2", "test": false}
            """
        )
        #expect(added.status == 201, "\(added.json)")
        let path = "trackers/\(added.json["id"]?.integer ?? 0)"
        let changes = [
            #"{"name": "lab"}"#,
            // Neither of them is another one.
            #"{"name": "lab", "api_key": "ghp_hunter2hunter2", "include": [], "test": false}"#,
            #"{"api_key": "ghp_hunter3hunter3", "exclude": ["acme/old"], "test": false}"#,
        ]
        for change in changes {
            let changed = try known.ask("PUT", path, change)
            #expect(changed.status == 200, "\(changed.json)")
        }
        let removed = try known.ask("DELETE", path)
        #expect(removed.status == 200, "\(removed.json)")
        #expect(try known.server.stop().status == 0)

        let events = try await events(sandbox)
        #expect(
            events.map(\.decision) == [
                "tracker_added", "tracker_updated", "tracker_updated", "tracker_removed",
            ]
        )
        #expect(events.allSatisfy { $0.caller == "user:ann" })
        #expect(
            events.map(\.reason) == ["tracker hub", "tracker hub", "tracker lab", "tracker lab"]
        )
        #expect(try settings(events[0])["vetted"] == true)
        #expect(try settings(events[1]) == ["name": "lab"])
        #expect(try settings(events[2]) == ["exclude": ["acme/old"], "credential": true])
        #expect(!"\(events)".contains("hunter"), "a token is on record")
    }

    @Test func `what cannot be recorded is not done to a tracker`() async throws {
        let sandbox = try Sandbox(environment)
        let url = "https://ghe.acme.example"
        #expect(try sandbox.addTracker(url: url).status == 0)
        let before = try sandbox.preloop("trackers", "list", "--json").output
        try await shutAudit(sandbox)
        let added = try sandbox.addTracker(url: url, named: "second")
        #expect(added.status == 1)
        #expect(added.errors.contains("the tracker `second` was not added"), "\(added.errors)")
        let words = ["trackers", "update", "gh", "--include", "acme/*", "--interval", "6h"]
        let updated = try sandbox.start("preloop", words).wait()
        #expect(updated.status == 1)
        #expect(updated.errors.contains("the tracker `gh` was not changed"), "\(updated.errors)")
        let removed = try sandbox.preloop("trackers", "remove", "gh")
        #expect(removed.status == 1)
        #expect(removed.errors.contains("the tracker `gh` was not removed"), "\(removed.errors)")
        #expect(try sandbox.preloop("trackers", "list", "--json").output == before)
        let intervals = try await sandbox.store().read { connection, account in
            try ScanScheduleTable.list(account: account, on: connection).map(\.interval)
        }
        #expect(intervals == [nil])
    }

    @Test func `secrets of webhooks that come and go are on record`() async throws {
        let sandbox = try Sandbox(environment)
        let service = try ScriptedHTTPServer { _ in
            [.answer(404, text: #"{"message":"Not Found"}"#)]
        }
        #expect(try sandbox.addTracker(url: service.origin).status == 0)
        try await sandbox.follow("acme/tool")
        let refused = try sandbox.preloop(
            "trackers",
            "webhooks",
            "install",
            "gh",
            environment: ["PRELOOP_URL": "https://preloop.example"]
        )
        #expect(refused.status == 5, "\(refused.errors)")
        try await setSecret(sandbox)
        // Without an address they are taken away here alone; the second time there is none.
        for _ in 0..<2 {
            let removed = try sandbox.preloop("trackers", "webhooks", "remove", "gh")
            #expect(removed.status == 0, "\(removed.errors)")
        }
        let events = try await events(sandbox).filter { $0.decision?.hasPrefix("webhook") == true }
        #expect(
            events.map(\.decision) == ["webhook_installed", "webhook_removed", "webhook_removed"]
        )
        // The tracker refused the first: nobody has asked for its removal.
        #expect(events.map(\.caller) == [local, "preloop", local])
        #expect(events.allSatisfy { $0.reason == "webhook of acme at tracker gh" })
        let place: [(String, JSONValue)] = [("tracker", "gh"), ("organization", "acme")]
        let expected: [[(String, JSONValue)]] = [
            [("renewed", false)], [("refused", true)], [],
        ]
        for (event, more) in zip(events, expected) {
            let found = try settings(event)
            #expect(found == .object(JSONObject(place + more)), "\(found)")
        }
        #expect(!"\(events)".contains("hunter"))
    }

    @Test func `a secret of webhooks whose removal cannot be recorded stays`() async throws {
        let sandbox = try Sandbox(environment)
        #expect(try sandbox.addTracker(url: "https://ghe.acme.example").status == 0)
        try await sandbox.follow("acme/tool")
        try await setSecret(sandbox)
        try await shutAudit(sandbox)
        let removed = try sandbox.preloop("trackers", "webhooks", "remove", "gh")
        #expect(removed.status == 1)
        #expect(removed.errors.contains("cannot remove the webhooks of `gh`"), "\(removed.errors)")
        let status = try sandbox.preloop("trackers", "webhooks", "status", "gh", "--json").json
        #expect(status["organizations"]?[0]?["has_secret"] == true)
    }

    @Test func `without a key to sign the record with no tracker is removed`() throws {
        let sandbox = try Sandbox(environment)
        #expect(try sandbox.addTracker(url: "https://ghe.acme.example").status == 0)
        let (key, elsewhere) = (sandbox.home + "/secret.key", sandbox.home + "/another.key")
        try FileManager.default.moveItem(atPath: key, toPath: elsewhere)
        let refused = try sandbox.preloop("trackers", "remove", "gh")
        #expect(refused.status == 4, "\(refused.errors)")
        #expect(refused.errors.contains("secret.key or SECRET_KEY"), "\(refused.errors)")
        try FileManager.default.moveItem(atPath: elsewhere, toPath: key)
        #expect(try sandbox.preloop("trackers", "remove", "gh").status == 0)
    }

    /// Stores a secret for the deliveries of the first tracker's organisation.
    private func setSecret(_ sandbox: Sandbox) async throws {
        let store = try await sandbox.store()
        _ = try await store.write { connection, account in
            let tracker = try #require(
                try TrackerTable.list(account: account, on: connection).first
            )
            let organization = try #require(
                try OrganizationTable.list(
                    of: tracker.id,
                    account: account,
                    on: connection
                ).first
            )
            return try WebhookTable.set(
                SealedSecret(bytes: Array("hunter4 hunter4".utf8)),
                of: organization.id,
                keepingPreviousUntil: store.clock.now(),
                at: store.clock.now(),
                account: account,
                on: connection
            )
        }
    }
}
