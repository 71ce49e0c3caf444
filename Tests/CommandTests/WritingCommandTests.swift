import Domain
import Foundation
import Store
import TestSupport
import Testing

/// The tools that write, through the programs an agent and a person start.
@Suite(
    .enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"),
    .serialized
)
struct WritingCommandTests {
    /// The services that tools write to.
    enum Service: String, Sendable, CustomTestStringConvertible {
        case github, gitlab
        case jiraCloud = "jira-cloud"
        case jiraServer = "jira-server"

        var testDescription: String { rawValue }
        var isJira: Bool { self == .jiraCloud || self == .jiraServer }
        var kind: String { isJira ? "jira" : rawValue }
        var project: String { isJira ? "TOOL" : "acme/tool" }
        /// What `trackers add` wants to know beside the address.
        var options: [String] {
            switch self {
            case .github, .gitlab: []
            case .jiraCloud: ["--user", "someone@example.com"]
            case .jiraServer: ["--deployment", "server"]
            }
        }
        /// The tools that write to it.
        var tools: [String] {
            WritingCommandTests.issueTools + (isJira ? [] : WritingCommandTests.pullTools)
        }
    }

    private static let issueTools = [
        "add_comment", "create_issue", "update_comment", "update_issue",
    ]
    private static let pullTools = [
        "create_pull_request", "get_pull_request", "update_pull_request",
    ]

    /// A scanned installation beside its tracker.
    struct World {
        let indexed: IndexedSandbox
        let fake: FakeTrackers

        func end() {
            fake.stop()
            indexed.remove()
        }
    }

    static func world(_ service: Service = .github) async throws -> World {
        let fake = try await FakeTrackers.start(corpora: [.items(items(of: service))])
        let indexed = try IndexedSandbox()
        let sandbox = indexed.sandbox
        guard try sandbox.preloop("init").status == 0 else { throw IndexedSandbox.Failure() }
        let added = try sandbox.start(
            "preloop",
            [
                "trackers", "add", service.kind, "--name", "t", "--url",
                fake.url(service.rawValue), "--token-env", "TOKEN",
            ] + service.options,
            environment: ["TOKEN": "test-token"]
        ).wait()
        guard added.status == 0 else { throw IndexedSandbox.Failure(errors: added.errors) }
        let scanned = try sandbox.run("preloop-sync", "scan", "all", "--quiet")
        guard scanned.status == 0 else { throw IndexedSandbox.Failure(errors: scanned.errors) }
        return World(indexed: indexed, fake: fake)
    }

    @Test(
        .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the clients"),
        arguments: PythonClient.Library.allCases,
        PythonClient.eras
    )
    func `a client calls every tool that writes`(
        _ library: PythonClient.Library,
        _ mode: String
    ) async throws {
        let world = try await Self.world()
        defer { world.end() }
        let seen = try PythonClient(indexed: world.indexed).play("writing", mode, by: library)
        let listed = seen["tools"]?.array?.compactMap(\.string) ?? []
        #expect(listed.count == 17 && listed == listed.sorted())
        try Self.check(seen)
        // Read-only, destructive, idempotent, open world.
        #expect(seen["hints"]?["create_issue"] == [false, false, false, true])
        #expect(seen["hints"]?["update_issue"] == [false, true, true, true])
        #expect(seen["hints"]?["get_pull_request"]?[0] == true)
        try await Self.checkTruth(world.fake)
        let store = try await world.indexed.sandbox.store()
        let calls = try await store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(calls.count { $0.outcome == .succeeded } == 10)
        #expect(calls.count { $0.outcome == .invalid } == 7)
    }

    /// On GitHub both libraries do, above.
    @Test(
        .enabled(if: PythonClient.isInstalled, "scripts/setup --tests installs the clients"),
        arguments: [Service.gitlab, .jiraCloud, .jiraServer],
        PythonClient.eras
    )
    func `a client calls every tool that writes on the other trackers`(
        _ service: Service,
        _ mode: String
    ) async throws {
        let world = try await Self.world(service)
        defer { world.end() }
        let client = PythonClient(
            indexed: world.indexed,
            environment: ["TRACKER_SERVICE": service.rawValue]
        )
        let seen = try client.play("writing", mode, by: .official)
        let listed = seen["tools"]?.array?.compactMap(\.string) ?? []
        #expect(listed.count == 10 + service.tools.count && listed == listed.sorted())
        try Self.check(seen, of: service)
        try await Self.checkTruth(world.fake, of: service)
        // What a tracker does not have is not offered, and cannot be called.
        let absent = seen["absent"]?.object?.members ?? []
        #expect(Set(absent.map(\.key)) == Set(service.isJira ? Self.pullTools : []))
        #expect(absent.allSatisfy { $0.value == -32602 })
    }

    /// What a client sees of its calls, over any transport.
    static func check(_ seen: JSONValue, of service: Service = .github) throws {
        #expect(seen["without_example"]?.array?.isEmpty == true)
        for tool in service.tools {
            let good = seen["good"]?[tool]
            #expect(good?["is_error"] == false, "\(tool): \(good?["text"]?.string ?? "")")
            let text = try JSONParser.parse(good?["text"]?.string ?? "")
            #expect(text == good?["structured"], "\(tool)")
            let bad = seen["bad"]?[tool]
            #expect(bad?["is_error"] == true)
            #expect(bad?["text"]?.string?.contains("\(tool)` are not right") == true, "\(tool)")
            let refused = seen["refused"]?[tool]
            #expect(refused?["is_error"] == true, "\(tool)")
            let reason = refused?["text"]?.string ?? ""
            #expect(!reason.isEmpty && !reason.contains("are not right"), "\(tool): \(reason)")
        }
        let states = seen["refused"]?["update_issue"]?["text"]?.string ?? ""
        #expect(states.contains(service.isJira ? "Resolve" : "not_planned"), "\(states)")
        let after = seen["after"]?["structured"]
        #expect(after?["state"] == "closed" && after?["labels"] == ["ui"])
        #expect(after?["comments"]?[1]?["body"] == "Seen **again**")
        guard service == .github else { return }
        let remark = seen["remark"]?["structured"]?["comment"]
        #expect(remark?["comment_type"] == "review_comment" && remark?["body"] == "Why?")
        let reply = seen["reply"]?["structured"]?["comment"]
        #expect(reply?["body"] == "Because" && reply?["in_reply_to"] == remark?["id"])
    }

    /// What the tracker has of them.
    static func checkTruth(_ fake: FakeTrackers, of service: Service = .github) async throws {
        let truth = try await fake.truth(tracker: service.kind, project: service.project)
        #expect(truth.items.count == (service.isJira ? 3 : 5))
        #expect(truth.items[1]?.isOpen == false && truth.items[1]?.labels == ["ui"])
        #expect(truth.items[1]?.comments.count == 2)
        #expect(truth.items[2]?.isOpen == true && truth.items[2]?.comments.count == 1)
        #expect(service.isJira || truth.items[9]?.title == "Mend it well")
    }

    @Test func `a person files an issue and is told of duplicates`() async throws {
        let world = try await Self.world()
        defer { world.end() }
        func call(_ tool: String, _ arguments: JSONValue) throws -> JSONValue {
            let words = ["tools", "call", tool, arguments.serializedText(), "--json"]
            let result = try world.indexed.sandbox.start("preloop", words).wait()
            #expect(result.status == 0, "\(result.errors)")
            return try #require(try result.json["result"])
        }
        let draft: JSONValue = [
            "project": "acme/tool", "title": "crash when a file is opened",
            "description": "what happened",
        ]
        let held = try call("create_issue", draft)
        #expect(held["created"] == false)
        #expect(held["duplicates"]?[0]?["issue"]?["key"] == "acme/tool#1")
        guard case .object(var members) = draft else { return }
        members["allow_duplicates"] = true
        let filed = try call("create_issue", .object(members))
        #expect(filed["created"] == true)
        // Another process knows it, without a scan.
        let key = try #require(filed["issue"]?["key"])
        #expect(try call("get_issue", ["issue": key])["title"] == "crash when a file is opened")
        let denied = try world.indexed.sandbox.preloop(
            "tools",
            "call",
            "update_issue",
            #"{"issue": "acme/tool#1", "status": "frozen"}"#
        )
        #expect(denied.status == 1 && denied.errors.contains("not_planned"))
    }

    private static func items(of service: Service) -> [JSONValue] {
        let titles = ["crash when a file is opened", "the login token is refused"]
        let issues = titles.enumerated().map { index, title -> JSONValue in
            var item = item(of: service, number: index + 1, title, "what happened")
            item["labels"] = ["bug"]
            item["comments"] = [
                [
                    "id": .integer(Int64(101 + index)), "author": "bob", "body": "Me too",
                    "created_at": "2025-01-02T04:00:00Z", "updated_at": "2025-01-02T04:00:00Z",
                ]
            ]
            guard service.isJira else { return .object(item) }
            item["status"] = "Open"
            item["priority"] = "Major"
            item["issue_type"] = "Bug"
            return .object(item)
        }
        guard !service.isJira else { return issues }
        var pull = item(of: service, number: 9, "Mend it", "Mends 1")
        pull["is_pull_request"] = true
        pull["pr"] = ["head": ["ref": "mend"], "base": ["ref": "main"]]
        return issues + [.object(pull)]
    }

    private static func item(
        of service: Service,
        number: Int,
        _ title: String,
        _ body: String
    ) -> JSONObject {
        var item = JSONObject()
        item["tracker"] = .string(service.kind)
        item["project"] = .string(service.project)
        item["number"] = .integer(Int64(number))
        item["title"] = .string(title)
        item["body"] = .string(body)
        item["state"] = "open"
        item["labels"] = []
        item["author"] = "ann"
        item["created_at"] = "2025-01-02T03:04:05Z"
        item["updated_at"] = "2025-01-03T03:04:05Z"
        item["comments"] = []
        return item
    }
}
