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
    static let tools = [
        "add_comment", "create_issue", "create_pull_request", "get_pull_request",
        "update_comment", "update_issue", "update_pull_request",
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

    static func world() async throws -> World {
        let fake = try await FakeTrackers.start(corpora: [.items(items)])
        let indexed = try IndexedSandbox()
        let sandbox = indexed.sandbox
        guard try sandbox.preloop("init").status == 0 else { throw IndexedSandbox.Failure() }
        let added = try sandbox.start(
            "preloop",
            [
                "trackers", "add", "github", "--name", "t", "--url", fake.url("github"),
                "--token-env", "TOKEN",
            ],
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
        #expect(calls.count { $0.outcome == .succeeded } == 8)
        #expect(calls.count { $0.outcome == .invalid } == 7)
    }

    /// What a client sees of its calls, over any transport.
    static func check(_ seen: JSONValue) throws {
        #expect(seen["without_example"]?.array?.isEmpty == true)
        for tool in tools {
            let good = seen["good"]?[tool]
            #expect(good?["is_error"] == false, "\(tool): \(good?["text"]?.string ?? "")")
            let text = try JSONParser.parse(good?["text"]?.string ?? "")
            #expect(text == good?["structured"], "\(tool)")
            let bad = seen["bad"]?[tool]
            #expect(bad?["is_error"] == true)
            #expect(bad?["text"]?.string?.contains("\(tool)` are not right") == true, "\(tool)")
        }
        let after = seen["after"]?["structured"]
        #expect(after?["state"] == "closed" && after?["labels"] == ["ui"])
        #expect(after?["comments"]?[1]?["body"] == "Seen **again**")
    }

    /// What the tracker has of them.
    static func checkTruth(_ fake: FakeTrackers) async throws {
        let truth = try await fake.truth(tracker: "github", project: "acme/tool")
        #expect(truth.items.count == 5)
        #expect(truth.items[1]?.isOpen == false && truth.items[9]?.title == "Mend it well")
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

    private static var items: [JSONValue] {
        let titles = ["crash when a file is opened", "the login token is refused"]
        let issues: [JSONValue] = titles.enumerated().map { index, title in
            [
                "tracker": "github", "project": "acme/tool", "number": .integer(Int64(index + 1)),
                "title": .string(title), "body": "what happened", "state": "open",
                "labels": ["bug"], "author": "ann", "created_at": "2025-01-02T03:04:05Z",
                "updated_at": "2025-01-03T03:04:05Z",
                "comments": [
                    [
                        "id": .integer(Int64(101 + index)), "author": "bob", "body": "Me too",
                        "created_at": "2025-01-02T04:00:00Z",
                        "updated_at": "2025-01-02T04:00:00Z",
                    ]
                ],
            ]
        }
        return issues + [
            [
                "tracker": "github", "project": "acme/tool", "number": 9, "title": "Mend it",
                "body": "Mends 1", "state": "open", "labels": [], "author": "ann",
                "is_pull_request": true, "created_at": "2025-01-02T03:04:05Z",
                "updated_at": "2025-01-03T03:04:05Z", "comments": [],
                "pr": ["head": ["ref": "mend"], "base": ["ref": "main"]],
            ]
        ]
    }
}
