import Domain
import HTTPClient
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// The record of calls, as a server shows it.
@Suite struct AuditRouteTests {
    @Test func `calls are listed, restricted, and page by page`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .admin)
        _ = try await server.add("bob", .editor)
        let (ann, bob) = (try await server.key("ann"), try await server.key("bob"))
        for number in 0..<5 {
            let text: JSONValue = ["text": .string("number \(number) for ann@example.org")]
            let token = number == 3 ? bob : ann
            let sent = try await server.send("POST", "/api/v1/mcp/echo", text, token: token)
            #expect(sent.status == 200, "\(sent.text)")
        }
        _ = try await server.send("POST", "/api/v1/mcp/nothing", [:], token: bob)
        func get(_ query: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/audit\(query)", token: ann)
        }
        var walked: [JSONValue] = []
        var next: String? = "?limit=4"
        while let query = next {
            let page = try await get(query)
            walked += try page.json.array ?? []
            next = page.headers["X-Next-Cursor"].map { "?limit=4&cursor=\($0)" }
        }
        #expect(walked.count == 6)
        #expect(walked[0]["outcome"] == "unknown_tool" && walked[0]["tool"] == "nothing")
        #expect(walked[1]["outcome"] == "succeeded" && walked[1]["decision"] == "allow")
        #expect(walked[1]["redacted"]?[0]?["kind"] == "email")
        #expect(
            walked[1]["arguments"]?["text"]?.string?.hasPrefix("number 4 for [redacted:") == true
        )
        #expect(!(try await get("?limit=100").text.contains("example.org")))
        func count(_ query: String) async throws -> Int {
            try await get(query).json.array?.count ?? -1
        }
        #expect(try await count("?caller=user:bob") == 2)
        #expect(try await count("?caller=user:bob&outcome=succeeded") == 1)
        #expect(try await count("?tool=echo&decision=allow") == 5)
        #expect(try await get("?tool=echo&channel=x").status == 422)
        #expect(try await count("?since=2100-01-01") == 0)
        #expect(try await get("?since=yesterday").status == 422)
        #expect(try await get("?outcome=fine").status == 422)
        #expect(try await get("?cursor=x!").status == 422)
        let call = walked[1]["call_id"]?.string ?? ""
        #expect(try await count("?call_id=\(call)") == 1)
        // What others did is for those who manage.
        #expect(try await server.send("GET", "/api/v1/audit", token: bob).status == 403)
        try await server.stop()
    }

    @Test func `events are followed, and the chain is verified`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        _ = try await server.send("POST", "/api/v1/mcp/echo", ["text": "x"], token: key)
        func get(_ path: String) async throws -> RunningServer.Answer {
            try await server.send("GET", "/api/v1/audit/\(path)", token: key)
        }
        // The user and her key came first.
        let events = try await get("events?after=0").json
        #expect(events["last"] == 4)
        let kinds = events["events"]?.array?.map { $0["kind"] }
        #expect(kinds == ["change", "change", "call", "completed"])
        #expect(try await get("events?after=3").json["events"]?.array?.count == 1)
        let report = try await get("verify").json
        #expect(report["ok"] == true && report["events"] == 4)
        let hash = report["end"]?["hash"]?.string ?? ""
        #expect(try await get("verify?anchor=4:\(hash)").json["ok"] == true)
        #expect(try await get("verify?anchor=5:\(hash)").json["ok"] == false)
        #expect(try await get("verify?anchor=x").status == 422)
        // Another account has a chain of its own.
        _ = try await server.addAccount(owner: "eve")
        let eve = try await server.key("eve")
        let other = try await server.send("GET", "/api/v1/audit/verify", token: eve)
        #expect(try other.json["ok"] == true && other.json["events"] == 2)
        _ = try await server.scratch.store.write { connection, account in
            try connection.execute(
                "UPDATE audit_events SET tool = 'x' WHERE account_id = \(account) AND sequence = 4"
            )
        }
        let bad = try await get("verify").json
        #expect(bad["ok"] == false && bad["first_bad"] == 4)
        #expect(bad["faults"]?[0]?["kind"] == "altered")
        try await server.stop()
    }
}
