import Domain
import Foundation
import Glibc
import Store
import Sync
import TestSupport
import Testing

/// `preloop trackers webhooks …` against the reference services.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct WebhookCommandTests {
    private struct World {
        let indexed: IndexedSandbox
        let fake: FakeTrackers

        var sandbox: Sandbox { indexed.sandbox }

        func end() {
            fake.stop()
            indexed.remove()
        }

        func webhooks(_ words: String..., url: String? = "https://preloop.example/") throws
            -> Sandbox.Result
        {
            try sandbox.start(
                "preloop",
                ["trackers", "webhooks"] + words,
                environment: url.map { ["PRELOOP_URL": $0] } ?? [:]
            ).wait()
        }
    }

    private func world(_ kind: String, _ arguments: [String] = []) async throws -> World {
        let item: JSONValue = [
            "tracker": .string(kind), "project": kind == "jira" ? "TOOL" : "acme/tool",
            "number": 1, "title": "Crash", "body": "It crashes", "state": "open", "labels": [],
            "author": "ann", "created_at": "2025-01-02T03:04:05Z",
            "updated_at": "2025-01-03T03:04:05Z", "comments": [],
        ]
        let fake = try await FakeTrackers.start(corpora: [.items([item])], arguments: arguments)
        let indexed = try IndexedSandbox()
        let sandbox = indexed.sandbox
        #expect(try sandbox.preloop("init").status == 0)
        let service = kind == "jira" ? "jira-cloud" : kind
        var words = ["trackers", "add", kind, "--name", "t", "--url", fake.url(service)]
        words += ["--token-env", "TOKEN"]
        if kind == "jira" { words += ["--user", "someone@example.com"] }
        let added = try sandbox.start("preloop", words, environment: ["TOKEN": "test-token"])
            .wait()
        #expect(added.status == 0, "\(added.errors)")
        return World(indexed: indexed, fake: fake)
    }

    private func scan(_ world: World) throws {
        let scanned = try world.sandbox.run("preloop-sync", "scan", "all", "--quiet")
        #expect(scanned.status == 0, "\(scanned.errors)")
    }

    @Test(arguments: ["github", "gitlab", "jira"])
    func `webhooks are installed once, shown and removed`(_ kind: String) async throws {
        let world = try await world(kind)
        defer { world.end() }
        let early = try world.webhooks("install", "t")
        #expect(early.status == 1 && early.errors.contains("scan it first"))
        try scan(world)
        let aimless = try world.webhooks("install", "t", url: nil)
        #expect(aimless.status == 2 && aimless.errors.contains("PRELOOP_URL"))
        for _ in 0..<2 {
            let installed = try world.webhooks("install", "t", "--json")
            #expect(installed.status == 0, "\(installed.errors)")
            let place = try installed.json["organizations"]?[0]
            #expect(place?["webhooks"]?.array?.count == 1)
            let url = place?["webhooks"]?[0]?["url"]?.string ?? ""
            #expect(url.hasPrefix("https://preloop.example/api/v1/private/webhooks/\(kind)/1-"))
        }
        let status = try world.webhooks("status", "t", "--json")
        let place = try status.json["organizations"]?[0]
        #expect(place?["has_secret"] == true && place?["webhooks"]?.array?.count == 1)
        #expect(place?["last_delivery"] == .null)
        let table = try world.webhooks("status", "t")
        #expect(table.output.contains("active"))
        let removed = try world.webhooks("remove", "t", "--json")
        #expect(removed.status == 0, "\(removed.errors)")
        let after = try world.webhooks("status", "t", "--json")
        #expect(try after.json["organizations"]?[0]?["webhooks"] == [])
        #expect(try after.json["organizations"]?[0]?["has_secret"] == false)
        // Nothing of it is left anywhere a person looks.
        let plain = try world.webhooks("status", "t")
        #expect(plain.output.contains("none"))
    }

    /// What is registered for the project and its owner, as the service itself tells.
    private func registered(_ world: World) throws -> String {
        try ["orgs/acme/hooks", "repos/acme/tool/hooks"].map { path in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [
                "curl", "-sS", "-H", "Authorization: Bearer test-token",
                "\(world.fake.url("github"))/\(path)",
            ]
            return try RunningProgram(process).wait().output
        }.joined()
    }

    /// They went on delivering to an address that nobody had.
    @Test func `with a tracker its webhooks go`() async throws {
        let world = try await world("github")
        defer { world.end() }
        try scan(world)
        #expect(try world.webhooks("install", "t").status == 0)
        #expect(try registered(world).contains("preloop.example"))
        let removed = try world.sandbox.start(
            "preloop",
            ["trackers", "remove", "t", "--json"],
            environment: ["PRELOOP_URL": "https://preloop.example/"]
        ).wait()
        #expect(removed.status == 0, "\(removed.errors)")
        #expect(try removed.json["webhooks_left"] == [])
        #expect(try !registered(world).contains("preloop.example"))
    }

    @Test func `a tracker that keeps its webhooks is removed, and they are named`() async throws {
        let world = try await world("github")
        defer { world.end() }
        try scan(world)
        #expect(try world.webhooks("install", "t").status == 0)
        // Without the address nobody can tell which of them are ours.
        let removed = try world.sandbox.preloop("trackers", "remove", "t", "--json")
        #expect(removed.status == 0, "\(removed.errors)")
        #expect(removed.errors.contains("PRELOOP_URL"))
        #expect(try removed.json["webhooks_left"]?.array?.count == 1)
        #expect(try world.sandbox.preloop("trackers", "remove", "t").status == 5)
    }

    /// It took the address to see or remove even what is stored here.
    @Test func `without an address what is stored is shown and removed`() async throws {
        let world = try await world("github")
        defer { world.end() }
        try scan(world)
        #expect(try world.webhooks("install", "t").status == 0)
        let status = try world.webhooks("status", "t", "--json", url: nil)
        #expect(status.status == 0 && status.errors.contains("PRELOOP_URL"), "\(status.errors)")
        let place = try status.json["organizations"]?[0]
        #expect(place?["has_secret"] == true && place?["webhooks"] == .null)
        let table = try world.webhooks("status", "t", url: nil)
        #expect(table.output.contains("a secret is stored"), "\(table.output)")
        let removed = try world.webhooks("remove", "t", "--json", url: nil)
        #expect(removed.status == 0, "\(removed.errors)")
        #expect(try removed.json["organizations"]?[0]?["has_secret"] == false)
        // The tracker's own is told apart by the address alone: it stays until somebody gives it.
        #expect(try registered(world).contains("preloop.example"))
        let after = try world.webhooks("status", "t", "--json").json["organizations"]?[0]
        #expect(after?["has_secret"] == false && after?["webhooks"]?.array?.count == 1)
        #expect(try world.webhooks("remove", "t").status == 0)
        #expect(try !registered(world).contains("preloop.example"))
    }

    @Test func `without group hooks each project has its own`() async throws {
        let world = try await world("gitlab", ["--gitlab-ce"])
        defer { world.end() }
        try scan(world)
        let installed = try world.webhooks("install", "t", "--json")
        let place = try installed.json["organizations"]?[0]
        #expect(place?["webhooks"]?[0]?["place"] == "acme/tool")
        let removed = try world.webhooks("remove", "t", "--json")
        #expect(try removed.json["organizations"]?[0]?["webhooks"] == [])
    }

    @Test(arguments: ["github", "gitlab", "jira"])
    func `a change is stored and found without a scan`(_ kind: String) async throws {
        let world = try await world(kind)
        defer { world.end() }
        try scan(world)
        let server = try ServeProcess(world.sandbox)
        let installed = try world.webhooks("install", "t", "--json", url: server.origin)
        #expect(installed.status == 0, "\(installed.errors)")
        _ = try await world.fake.mutate([
            "tracker": .string(kind), "project": kind == "jira" ? "TOOL" : "acme/tool",
            "number": 1, "set": ["title": "The printer burns"],
        ])
        let end = ContinuousClock.now.advanced(by: .seconds(90))
        while try !world.indexed.export().contains("The printer burns") {
            try #require(ContinuousClock.now < end, "no delivery was worked on")
            try await Task.sleep(for: .milliseconds(200))
        }
        let place = try world.webhooks("status", "t", "--json").json["organizations"]?[0]
        #expect(place?["last_delivery"] != .null)
        // Whoever has no secret, or no address, writes nothing.
        let url = try installed.json["organizations"]?[0]?["webhooks"]?[0]?["url"]?.string ?? ""
        let forged = try server.curl("-X", "POST", "-d", "{}", url)
        #expect(forged.status == 401, "\(forged.body)")
        #expect(try server.curl("-X", "POST", "-d", "{}", url + "9").status == 404)
        let stopped = try server.stop()
        #expect(stopped.status == 0 || stopped.status == 130, "\(stopped.errors)")
    }

    @Test func `webhooks are registered, used and removed by REST alone`() async throws {
        let world = try await world("github")
        defer { world.end() }
        let known = try KnownServer(world.sandbox)
        let added = try known.ask(
            "POST",
            "trackers",
            """
            {"name": "hub", "tracker_type": "github", "url": "\(world.fake.url("github"))",
            "api_key": "test-token"}
            """
        )
        #expect(added.status == 201, "\(added.json)")
        let path = "trackers/\(added.json["id"]?.integer ?? 0)/webhooks"
        let early = try known.ask("POST", path)
        #expect(early.status == 409 && early.json["code"] == "nothing_followed", "\(early.json)")
        #expect(try known.ask("POST", "sync").status == 202)
        let first = try await known.state { $0["state"] != "running" }
        #expect(first["state"] == "done", "\(first)")

        let installed = try known.ask("POST", path)
        #expect(installed.status == 200, "\(installed.json)")
        let place = installed.json["organizations"]?[0]
        #expect(place?["webhooks"]?.array?.count == 1 && place?["refused"] == [], "\(installed)")
        let url = place?["webhooks"]?[0]?["url"]?.string ?? ""
        #expect(url.hasPrefix("\(known.server.origin)/api/v1/private/webhooks/github/"))
        _ = try await world.fake.mutate([
            "tracker": "github", "project": "acme/tool", "number": 1,
            "set": ["title": "The printer burns"],
        ])
        let end = ContinuousClock.now.advanced(by: .seconds(90))
        while try known.ask("GET", "issues").json[0]?["title"] != "The printer burns" {
            try #require(ContinuousClock.now < end, "no delivery was worked on")
            try await Task.sleep(for: .milliseconds(200))
        }
        let status = try known.ask("GET", path).json["organizations"]?[0]
        #expect(status?["last_delivery"]?["action"]?.string != nil, "\(status ?? .null)")

        let removed = try known.ask("DELETE", path)
        #expect(removed.status == 200, "\(removed.json)")
        #expect(removed.json["organizations"]?[0]?["webhooks"] == [])
        let left = try known.ask("GET", path).json["organizations"]?[0]
        #expect(left?["has_secret"] == false && left?["webhooks"] == [], "\(left ?? .null)")
        #expect(try !registered(world).contains("private/webhooks"))
        #expect(try known.server.stop().status == 0)
    }

    @Test func `a server's webhooks are registered, shown and removed from elsewhere`()
        async throws
    {
        let world = try await world("github")
        defer { world.end() }
        try scan(world)
        let known = try KnownServer(world.sandbox)
        let server = known.server
        let elsewhere = try Sandbox()
        func webhooks(_ words: String..., token: String? = nil) throws -> Sandbox.Result {
            try elsewhere.start(
                "preloop",
                ["trackers", "webhooks"] + words + ["--url", server.origin],
                environment: ["PRELOOP_TOKEN": token ?? server.key]
            ).wait()
        }
        let installed = try webhooks("install", "t", "--json")
        #expect(installed.status == 0, "\(installed.errors)")
        let place = try installed.json["organizations"]?[0]
        let url = place?["webhooks"]?[0]?["url"]?.string ?? ""
        #expect(url.hasPrefix("\(server.origin)/api/v1/private/webhooks/github/"), "\(installed)")
        #expect(try registered(world).contains(url))
        #expect(try webhooks("install", "t", "--new-secrets").status == 0)
        let table = try webhooks("status", "t")
        #expect(table.output.contains("active") && table.errors.isEmpty, "\(table)")
        let unknown = try webhooks("status", "u")
        #expect(unknown.status == 5 && unknown.errors.contains("no tracker `u`"))
        let add = ["keys", "add", "reading", "--user", "ann", "--scope", "read"]
        let reading = try server.sandbox.start("preloop", add).wait().output.filter { $0 != "\n" }
        #expect(try webhooks("remove", "t", token: reading).status == 4)
        let removed = try webhooks("remove", "t")
        #expect(removed.status == 0 && removed.output.contains("none"), "\(removed)")
        #expect(try !registered(world).contains("private/webhooks"))
        #expect(try server.stop().status == 0)
    }

    @Test func `over REST, too, nothing is registered at a server whose address nobody gave`()
        async throws
    {
        let world = try await world("github")
        defer { world.end() }
        try scan(world)
        #expect(try world.webhooks("install", "t").status == 0)
        let server = try ServeProcess(world.sandbox)
        func ask(_ method: String) throws -> (status: Int, json: JSONValue) {
            let key = "Authorization: Bearer \(server.key)"
            let url = "\(server.origin)/api/v1/trackers/1/webhooks"
            let answer = try server.curl("-X", method, "-H", key, url)
            return (answer.status, try JSONParser.parse(answer.body))
        }
        let refused = try ask("POST")
        #expect(refused.status == 409 && refused.json["code"] == "no_public_url")
        #expect(refused.json["detail"]?.string?.contains("PRELOOP_URL") == true)
        let shown = try ask("GET").json["organizations"]?[0]
        #expect(shown?["has_secret"] == true && shown?["webhooks"] == .null)
        #expect(try ask("DELETE").json["organizations"]?[0]?["has_secret"] == false)
        #expect(try server.stop().status == 0)
    }
}

/// A server that says where it is, and the key of its first user.
struct KnownServer {
    let server: ServeProcess

    init(_ sandbox: Sandbox) throws {
        // Taken again at once, by the server.
        let (socket, port) = try LoopbackSocket.listen(backlog: 1)
        close(socket)
        server = try ServeProcess(
            sandbox,
            environment: [
                "PRELOOP_URL": "http://127.0.0.1:\(port)", "PRELOOP_TRACKER_ALLOW": "127.0.0.1",
            ],
            port: port
        )
    }

    func ask(
        _ method: String,
        _ path: String,
        _ body: String? = nil
    ) throws -> (status: Int, json: JSONValue) {
        var words = ["-X", method, "-H", "Authorization: Bearer \(server.key)"]
        if let body { words += ["-H", "Content-Type: application/json", "-d", body] }
        let answer = try server.curl(words + ["\(server.origin)/api/v1/\(path)"])
        return (answer.status, try JSONParser.parse(answer.body))
    }

    /// The first state of the account's scans that is as it is wanted.
    func state(until isWanted: (JSONValue) -> Bool) async throws -> JSONValue {
        let end = ContinuousClock.now.advanced(by: .seconds(90))
        while true {
            let state = try ask("GET", "sync").json
            if isWanted(state) { return state }
            try #require(ContinuousClock.now < end, "\(state)")
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
