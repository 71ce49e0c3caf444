import Domain
import TestSupport
import Testing

/// Scans that are begun over REST, and run in `preloop serve`.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct ServedScanTests {
    private struct Asking {
        let server: ServeProcess

        func ask(_ path: String, _ options: String...) throws -> (status: Int, json: JSONValue) {
            let key = "Authorization: Bearer \(server.key)"
            let answer = try server.curl(
                options + ["-H", key, "\(server.origin)/api/v1/\(path)"]
            )
            return (answer.status, try JSONParser.parse(answer.body))
        }

        func post(_ path: String) throws -> (status: Int, json: JSONValue) {
            try ask(path, "-X", "POST")
        }

        /// The first answer that is as it is wanted; the last one where the scan has ended before.
        func state(
            _ path: String,
            until isWanted: (JSONValue) -> Bool
        ) async throws -> JSONValue {
            while true {
                let answer = try ask(path)
                #expect(answer.status == 200, "\(answer.json)")
                if isWanted(answer.json) || answer.json["state"] != "running" { return answer.json }
                try #require(server.running.isRunning)
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// What a state tells of a project.
    private func step(_ tracker: String, _ project: String, _ state: JSONValue) -> JSONValue? {
        state["projects"]?.array?.first {
            $0["tracker"] == .string(tracker) && $0["project"] == .string(project)
        }
    }

    @Test func `a scan over REST is told of while it goes on, and no other one begins meanwhile`()
        async throws
    {
        let relay = try HoldingRelay()
        defer { relay.stop() }
        let fake = try await relay.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let count = Int64(try await fake.truth(tracker: "github", project: "edge/ties").items.count)
        try #require(count > 100)
        let indexed = try IndexedSandbox.connected(at: relay.origin, ["github", "gitlab"])
        defer { indexed.remove() }
        let rest = Asking(server: try ServeProcess(indexed.sandbox))
        let trackers = try rest.ask("trackers").json.array ?? []
        let ids = trackers.compactMap { $0["id"]?.integer }
        try #require(trackers.map { $0["name"] } == ["github", "gitlab"] && ids.count == 2)
        #expect(try rest.ask("sync").json["state"] == "idle")

        // All issues are written by then, and the scan cannot end.
        relay.hold(at: "/issues/comments")
        let begun = try rest.post("trackers/\(ids[0])/sync")
        #expect(begun.status == 202 && begun.json["state"] == "running", "\(begun.json)")
        let live = try await rest.state("sync") { state in
            step("github", "edge/ties", state)?["written"]?.integer == count
        }
        #expect(live["state"] == "running" && live["ended_at"] == .null, "\(live)")
        let ties = try #require(step("github", "edge/ties", live), "\(live)")
        #expect(ties["phase"] != "ended" && ties["written"] == .integer(count), "\(ties)")
        #expect(ties["fetched"]?.integer ?? 0 >= count, "\(ties)")
        for path in ["sync", "trackers/\(ids[0])/sync", "trackers/\(ids[1])/sync"] {
            let second = try rest.post(path)
            #expect(second.status == 409, "\(path): \(second.json)")
            #expect(second.json["code"] == "scan_running", "\(path): \(second.json)")
        }
        #expect(try rest.ask("trackers/\(ids[0])/sync").json["state"] == "running")
        #expect(try rest.ask("trackers/\(ids[1])/sync").json["state"] == "idle")

        relay.release()
        let ended = try await rest.state("sync") { $0["state"] != "running" }
        #expect(ended["state"] == "done" && ended["problems"] == [], "\(ended)")
        #expect(ended["ended_at"]?.string != nil)
        #expect(step("github", "edge/ties", ended)?["phase"] == "ended", "\(ended)")
        #expect(step("gitlab", "edge/ties", ended) == nil)
        let found = try rest.ask("search?query=Tied+cursor&limit=5")
        let titles = found.json["results"]?.array?.compactMap { $0["item"]?["title"]?.string } ?? []
        #expect(titles.contains { $0.hasPrefix("Tied cursor") }, "\(found.json)")
        #expect(try rest.server.stop().status == 0)
    }

    /// It was hidden by the server's own for as long as the server ran.
    @Test func `a later scan of another program is told of in place of the server's own`()
        async throws
    {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let indexed = try IndexedSandbox.connected(to: fake, ["github"])
        defer { indexed.remove() }
        let rest = Asking(server: try ServeProcess(indexed.sandbox))
        let id = try rest.ask("trackers").json[0]?["id"]?.integer ?? 0
        #expect(try rest.post("sync").status == 202)
        let own = try await rest.state("sync") { $0["state"] != "running" }
        let end = try #require(own["ended_at"]?.string.flatMap { Timestamp(parsing: $0) })
        for path in ["sync", "trackers/\(id)/sync"] {
            #expect(try rest.ask(path).json["state"] == "done", "\(path)")
        }
        let scanned = try indexed.sandbox.run("preloop-sync", "scan", "all")
        #expect(scanned.status == 0, "\(scanned.errors)")
        for path in ["sync", "trackers/\(id)/sync"] {
            let later = try rest.ask(path).json
            #expect(later["state"] == "idle", "\(path): \(later)")
            let time = later["ended_at"]?.string.flatMap { Timestamp(parsing: $0) }
            #expect(try #require(time) > end, "\(path): \(later)")
        }
        // The server's own is the latest again.
        #expect(try rest.post("sync").status == 202)
        let last = try await rest.state("sync") { $0["state"] != "running" }
        #expect(last["state"] == "done", "\(last)")
        #expect(try rest.server.stop().status == 0)
    }

    @Test func `a scan of all trackers ends with every issue to be had over REST`() async throws {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let count = try await fake.truth(tracker: "gitlab", project: "edge/ties").items.count
        let indexed = try IndexedSandbox.connected(to: fake, ["github", "gitlab"])
        defer { indexed.remove() }
        let rest = Asking(server: try ServeProcess(indexed.sandbox))
        #expect(try rest.post("sync").status == 202)
        let ended = try await rest.state("sync") { $0["state"] != "running" }
        #expect(ended["state"] == "done" && ended["problems"] == [], "\(ended)")
        let trackers = try rest.ask("trackers").json.array ?? []
        try #require(trackers.count == 2)
        for tracker in trackers {
            let name = try #require(tracker["name"]?.string)
            let id = try #require(tracker["id"]?.integer)
            // Of one tracker its own projects alone are told.
            let state = try rest.ask("trackers/\(id)/sync").json
            #expect(state["state"] == "done", "\(state)")
            let names = state["projects"]?.array?.compactMap { $0["tracker"]?.string } ?? []
            #expect(!names.isEmpty && names.allSatisfy { $0 == name }, "\(state)")
            let written = step(name, "edge/ties", state)?["written"]
            #expect(written == .integer(Int64(count)), "\(state)")
            var stored: Set<Int64> = []
            for skip in stride(from: 0, to: count, by: 100) {
                let page = try rest.ask(
                    "issues?project=\(name):edge/ties&limit=100&skip=\(skip)"
                )
                stored.formUnion(page.json.array?.compactMap { $0["id"]?.integer } ?? [])
            }
            #expect(stored.count == count, "\(name)")
        }
        // Nothing goes on any more, so the next one begins.
        #expect(try rest.post("trackers/\(trackers[0]["id"]?.integer ?? 0)/sync").status == 202)
        #expect(try rest.server.stop().status == 0)
    }
}
