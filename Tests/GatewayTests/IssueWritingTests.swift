import Domain
import MCP
import Store
import Sync
import TestSupport
import Testing

@testable import Gateway

/// Issues and comments on all services, over real HTTP.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct IssueWritingTests {
    private static let title = "Printing fails with a green screen"

    @Test(arguments: Service.allCases)
    func `a likely duplicate holds a new issue up, unless told to go on`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let before = try await world.truth().items.count
        var draft: JSONValue = [
            "project": .string(service.project), "title": .string(IssueWorld.crash),
            "description": .string(IssueWorld.crashBody),
        ]
        let held = try await world.call("create_issue", draft)
        #expect(held["created"] == false && held["issue"] == .null)
        let first = try #require(held["duplicates"]?[0])
        #expect(first["issue"]?["key"] == .string(service.key(1)))
        #expect(first["score"]?.double ?? 0 >= 0.5)
        #expect(held["message"]?.string?.contains("allow_duplicates") == true)
        #expect(try await world.truth().items.count == before)

        guard case .object(var members) = draft else { return }
        members["allow_duplicates"] = true
        draft = .object(members)
        let filed = try await world.call("create_issue", draft)
        #expect(filed["created"] == true && filed["duplicates"] == [])
        #expect(try await world.truth().items.count == before + 1)
    }

    @Test(arguments: Service.allCases)
    func `a new issue is found at once, and a scan finds nothing new in it`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let filed = try await world.call(
            "create_issue",
            [
                "project": .string(service.project), "title": .string(Self.title),
                "description": "On **every** page", "labels": ["bug", "ui"],
            ]
        )
        #expect(filed["created"] == true && filed["warnings"] == [])
        let key = try #require(filed["issue"]?["key"]?.string)
        let read = try await world.call("get_issue", ["issue": .string(key)])
        #expect(read["title"] == .string(Self.title))
        #expect(read["description"] == "On **every** page")
        #expect(read["labels"] == ["bug", "ui"])
        // By its meaning too: the model was at hand, for duplicates were looked for.
        for mode in ["text", "vector"] {
            #expect(try await world.found(Self.title, mode).first == key, "\(mode)")
        }
        // The same again is held up by what was just filed.
        let again = try await world.call(
            "create_issue",
            [
                "project": .string(service.project), "title": .string(Self.title),
                "description": "On **every** page",
            ]
        )
        #expect(again["duplicates"]?[0]?["issue"]?["key"] == .string(key))
        let changed = try await world.call(
            "update_issue",
            ["issue": .string(key), "title": "Printing fails", "labels": ["ui"]]
        )
        #expect(changed["issue"]?["title"] == "Printing fails" && changed["warnings"] == [])
        let scan = try await world.scan()
        #expect(scan.isComplete && scan.totals.written == 0)
        let kept = try await world.call("get_issue", ["issue": .string(key)])
        #expect(kept["title"] == "Printing fails" && kept["labels"] == ["ui"])
    }

    @Test(arguments: Service.allCases)
    func `only what is named changes, and states are reached by their names`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let issue = JSONValue.string(service.key(2))
        let assignee = service.isJira ? "Fake User" : "ann"
        let changed = try await world.call(
            "update_issue",
            [
                "issue": issue, "description": "Less light, *please*",
                "assignee": .string(assignee), "priority": service.isJira ? "High" : "high",
            ]
        )
        #expect(changed["issue"]?["title"] == "Dark theme for the settings page")
        #expect(changed["issue"]?["assignees"] == [.string(assignee)])
        #expect(changed["warnings"] == [])
        #expect(changed["issue"]?["priority"]?.string?.lowercased() == "high")
        let wrong = try await world.failure("update_issue", ["issue": issue, "status": "frozen"])
        #expect(wrong.contains("frozen"))
        #expect(wrong.contains(service.isJira ? "Resolve" : "not_planned"), "\(wrong)")
        for (word, state) in [
            (service.isJira ? "Resolved" : "completed", "closed"), ("open", "open"),
            ("closed", "closed"),
        ] {
            let moved = try await world.call(
                "update_issue",
                ["issue": issue, "status": .string(word)]
            )
            #expect(moved["issue"]?["state"] == .string(state), "\(word)")
            #expect(moved["warnings"] == [], "\(word)")
        }
        let nobody = try await world.call("update_issue", ["issue": issue, "assignee": ""])
        #expect(nobody["issue"]?["assignees"] == [])
        let read = try await world.call("get_issue", ["issue": issue])
        #expect(read["state"] == "closed" && read["assignees"] == [])
        #expect(read["description"] == "Less light, *please*")
        let item = try #require(try await world.truth().items[2])
        #expect(!item.isOpen && item.title == "Dark theme for the settings page")
    }

    @Test(arguments: Service.allCases)
    func `an issue is closed as the duplicate of another`(service: Service) async throws {
        let world = try await WritingWorld(service)
        let (issue, original) = (service.key(3), service.key(1))
        let both = try await world.failure(
            "update_issue",
            ["issue": .string(issue), "duplicate_of": .string(original), "title": "x"]
        )
        #expect(both.contains("goes with nothing else"))
        let itself = try await world.failure(
            "update_issue",
            ["issue": .string(issue), "duplicate_of": .string(issue)]
        )
        #expect(itself.contains("no duplicate of itself"))
        let closed = try await world.call(
            "update_issue",
            ["issue": .string(issue), "duplicate_of": .string(original)]
        )
        #expect(closed["issue"]?["state"] == "closed")
        #expect(try await world.truth().items[3]?.isOpen == false)
        let read = try await world.call("get_issue", ["issue": .string(issue)])
        #expect(read["state"] == "closed")
        // GitHub says it in a comment, which is here without a scan.
        let words = service == .github ? ["Duplicate of \(original)"] : []
        #expect(try await bodies(.string(issue), in: world) == words)
        #expect(try await world.scan().isComplete)
        #expect(try await bodies(.string(issue), in: world) == words)
    }

    @Test(arguments: Service.allCases)
    func `comments are added, answered and changed, here and there`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let target = JSONValue.string(service.key(1))
        let added = try await world.call(
            "add_comment",
            ["target": target, "comment": "Which **zebra**?"]
        )
        #expect(added["comment"]?["body"] == "Which **zebra**?")
        #expect(added["comment"]?["target"] == target && added["warnings"] == [])
        let id = try #require(added["comment"]?["id"]?.string)
        let reply = try await world.call(
            "add_comment",
            ["target": target, "comment": "The striped one", "in_reply_to": .string(id)]
        )
        #expect(reply["comment"]?["body"]?.string?.hasSuffix("The striped one") == true)
        #expect(try await world.found("striped", "text") == [service.key(1)])
        let changed = try await world.call(
            "update_comment",
            ["target": target, "comment_id": .string(id), "body": "Never mind"]
        )
        #expect(changed["comment"]?["id"] == .string(id) && changed["warnings"] == [])
        #expect(reply["warnings"] == [])
        let bodies = try await self.bodies(target, in: world)
        #expect(bodies.count == 2 && bodies[0] == "Never mind")
        let item = try #require(try await world.truth().items[1])
        #expect(item.comments.count == 2)
        #expect(try await world.scan().isComplete)
        #expect(try await self.bodies(target, in: world) == bodies)
    }

    @Test(arguments: Service.allCases)
    func `what the tracker takes otherwise than it was given is told`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        world.transport.exchange("zebra", for: "horse")
        let filed = try await world.call(
            "create_issue",
            [
                "project": .string(service.project), "title": "A zebra in the printer",
                "description": "It is a zebra", "labels": ["bug", "zebra"],
                "allow_duplicates": true,
            ]
        )
        let warnings = filed["warnings"]?.array?.compactMap(\.string) ?? []
        #expect(filed["created"] == true && warnings.count == 3, "\(warnings)")
        for phrase in ["`A horse in the printer`", "the description", "the labels `zebra`"] {
            #expect(warnings.contains { $0.contains(phrase) }, "\(warnings)")
        }
        let key = try #require(filed["issue"]?["key"])
        let changed = try await world.call(
            "update_issue",
            ["issue": key, "title": "No zebra", "labels": ["bug", "zebra"]]
        )
        #expect(changed["issue"]?["title"] == "No horse")
        #expect(changed["warnings"]?.array?.count == 3, "\(changed)")
        let comment = try await world.call(
            "add_comment",
            ["target": key, "comment": "The zebra is gone"]
        )
        // Jira's comments are not compared: their form is another one.
        #expect(comment["warnings"]?.array?.count == (service.isJira ? 0 : 1), "\(comment)")
    }

    private func bodies(_ issue: JSONValue, in world: WritingWorld) async throws -> [String] {
        let read = try await world.call("get_issue", ["issue": issue])
        return read["comments"]?.array?.compactMap { $0["body"]?.string } ?? []
    }

    @Test(arguments: Service.allCases)
    func `an issue is meant by key, number, identifier and URL, stored or not`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let read = try await world.call("get_issue", ["issue": .string(service.key(1))])
        let url = try #require(read["url"]?.string)
        let identifier = try #require(try await world.truth().items[1]?.id)
        for reference in [
            service.key(1).lowercased(), "#1", "1", identifier, url, url + "?focused=1#note-5",
            service.isJira ? url + "/activity" : url + "/designs",
        ] {
            let found = try await world.call("get_issue", ["issue": .string(reference)])
            #expect(found["key"] == .string(service.key(1)), "\(reference)")
        }
        // Filed by somebody else since the last scan.
        let made = try await world.fake.mutate([
            "tracker": .string(service.kind.rawValue), "project": .string(service.project),
            "create": ["title": "Filed elsewhere", "body": "Just now", "author": "bob"],
        ])
        let number = try #require(made["number"]?.integer.flatMap { Int(exactly: $0) })
        for reference in [service.key(number), String(url.dropLast()) + "\(number)"] {
            let answer = try await world.call(
                "add_comment",
                ["target": .string(reference), "comment": "Seen"]
            )
            #expect(answer["comment"]?["target"] == .string(service.key(number)))
        }
        #expect(try await bodies(.string(service.key(number)), in: world) == ["Seen", "Seen"])
    }

    @Test func `what leads nowhere is not found, and nothing is written`() async throws {
        let world = try await WritingWorld(.github)
        let known = try await world.store.read { connection, account in
            try connection.rows("SELECT id, number FROM issues WHERE account_id = \(account)")
                .map { (id: try $0.integer("id"), number: try $0.integer("number")) }
        }
        // What the store calls an issue, and the tracker calls none.
        let own = try #require(known.first { row in !known.contains { $0.number == row.id } })
        for reference in [
            "acme/tool#77", "other/repo#1", "https://github.com/other/repo/issues/1", "77",
            world.fake.url("github") + "/acme/tool/issues/1x", "acme/tool#-1", "acme/tool#",
            "\(own.id)",
        ] {
            let text = try await world.failure(
                "add_comment",
                ["target": .string(reference), "comment": "x"]
            )
            #expect(text.contains("not found") || text.contains("no issue"), "\(text)")
        }
        let project = try await world.failure(
            "create_issue",
            ["project": "other/repo", "title": "x"]
        )
        #expect(project.contains("list_projects"))
        for (tool, arguments, word) in [
            ("update_issue", ["issue": "acme/tool#1"], "nothing to change"),
            ("add_comment", ["target": "1", "comment": "x", "path": "a"], "go together"),
            (
                "add_comment",
                ["target": "9", "comment": "x", "path": "a", "line": 1, "in_reply_to": "5"],
                "go together"
            ),
            ("add_comment", ["target": "1", "comment": "x", "path": "a", "line": 1], "no pull"),
            ("add_comment", ["target": "1", "comment": "x", "side": "LEFT"], "without a line"),
            ("update_comment", ["target": "1", "comment_id": "5"], "nothing to change"),
            (
                "update_comment",
                [
                    "target": "9", "comment_id": "5", "resolved": true,
                    "comment_type": "issue_comment",
                ], "cannot be resolved"
            ),
        ] as [(String, JSONValue, String)] {
            let text = try await world.failure(tool, arguments)
            #expect(text.contains(word), "\(text)")
        }
        let truth = try await world.truth()
        #expect(truth.items.count == 4)
        #expect(truth.items.values.allSatisfy { $0.comments.isEmpty })
    }

    @Test(arguments: Service.allCases)
    func `a token that may only read is told so`(service: Service) async throws {
        let world = try await WritingWorld(service, token: "readonly-token")
        let text = try await world.failure(
            "create_issue",
            [
                "project": .string(service.project), "title": .string(Self.title),
                "type": "Task",
            ]
        )
        #expect(text.contains("the token may not do this"), "\(text)")
        let comment = try await world.failure(
            "add_comment",
            ["target": .string(service.key(1)), "comment": "x"]
        )
        #expect(comment.contains("the token may not do this"), "\(comment)")
        #expect(try await world.truth().items[1]?.comments.isEmpty == true)
    }

    @Test(arguments: Service.allCases)
    func `an outcome that is not known is told, and the next scan brings the truth`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        world.transport.breakAtNextWrite()
        let text = try await world.failure(
            "create_issue",
            [
                "project": .string(service.project), "title": "A quagmire in the printer",
                "allow_duplicates": true,
            ]
        )
        #expect(text.contains("whether the tracker did it is not known"), "\(text)")
        #expect(text.contains("Look in the tracker before you try again"))
        #expect(try await world.found("quagmire", "text").isEmpty)
        world.transport.mend()
        #expect(try await world.scan().isComplete)
        #expect(try await world.found("quagmire", "text").count == 1)
        let number = service.isJira ? 3 : 4
        #expect(try await world.truth().items.count == number + 1)
    }

    @Test func `tools that write exist for accounts that have where to write to`() async throws {
        let read = [
            "estimate_compliance", "find_duplicates", "get_issue", "improve_compliance",
            "list_projects", "search", "similar_issues", "sync_status",
        ]
        let issues = ["add_comment", "create_issue", "update_comment", "update_issue"]
        let pulls = ["create_pull_request", "get_pull_request", "update_pull_request"]
        for (service, expected) in [
            (Service.github, read + issues + pulls), (.jiraCloud, read + issues),
        ] {
            let world = try await WritingWorld(service)
            let tools = await world.calls.visibleTools(to: caller)
            #expect(tools.map(\.name) == expected.sorted())
            for tool in tools where !read.contains(tool.name) {
                #expect(tool.annotations.isOpenWorld)
                #expect(tool.annotations.isReadOnly == (tool.name == "get_pull_request"))
                #expect(tool.annotations.isDestructive == tool.name.hasPrefix("update"))
                for property in tool.inputSchema["properties"]?.object?.members ?? [] {
                    let summary = property.value["description"]?.string
                    #expect(summary != nil, "\(tool.name).\(property.key)")
                }
            }
            _ = try await world.store.write { connection, account in
                try connection.execute(
                    "UPDATE trackers SET url = \(Tracker.importURL) WHERE account_id = \(account)"
                )
            }
            #expect(await world.calls.visibleTools(to: caller).map(\.name) == read.sorted())
            await #expect(throws: (any Error).self) {
                try await world.calls.run(
                    GuardedCall.Request(tool: "create_issue", arguments: JSONObject()),
                    by: caller
                )
            }
        }
    }
}
