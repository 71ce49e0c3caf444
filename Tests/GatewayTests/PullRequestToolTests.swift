import Domain
import TestSupport
import Testing

@testable import Gateway

/// Pull and merge requests, over real HTTP.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct PullRequestToolTests {
    private static let services = [Service.github, .gitlab]

    @Test(arguments: services)
    func `a pull request comes as the tracker has it, in parts`(service: Service) async throws {
        let world = try await WritingWorld(service)
        let key = JSONValue.string(service.pullKey(9))
        let pull = try await world.call("get_pull_request", ["pull_request": key])
        #expect(pull["pull_request"]?["kind"] == "pull_request")
        #expect(pull["source_branch"] == "mend" && pull["target_branch"] == "main")
        #expect(pull["merged"] == false && pull["draft"] == false)
        #expect(pull["files"]?[0]?["patch"]?.string?.hasPrefix("@@") == true)
        let url = try #require(pull["pull_request"]?["url"]?.string)
        for reference in ["#9", "9", url, url + "/files", url + "/diffs#note_1"] {
            let again = try await world.call(
                "get_pull_request",
                [
                    "pull_request": .string(reference), "include_diff": false,
                    "include_comments": false,
                ]
            )
            #expect(again["pull_request"]?["url"] == .string(url), "\(reference)")
            #expect(again["files"] == [] && again["comments"] == [])
        }
        let wrong = try await world.failure(
            "get_pull_request",
            ["pull_request": .string(service.key(1))]
        )
        #expect(wrong.contains("no pull request"), "\(wrong)")
    }

    @Test(arguments: services)
    func `a pull request is opened, changed and closed, and the store follows`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let opened = try await world.call(
            "create_pull_request",
            [
                "project": .string(service.project), "title": "Print in green",
                "source_branch": "green", "target_branch": "main",
                "description": "Fixes the **screen**", "draft": true, "labels": ["bug"],
                "extra_options": ["squash": true],
            ]
        )
        #expect(opened["draft"] == true && opened["source_branch"] == "green")
        let key = try #require(opened["pull_request"]?["key"])
        #expect(opened["pull_request"]?["labels"] == ["bug"])
        let found = try await world.call("get_issue", ["issue": key])
        #expect(found["description"] == "Fixes the **screen**")
        var change = JSONObject()
        change["pull_request"] = key
        change["labels"] = ["ui"]
        change["state"] = "closed"
        // GitHub's drafts are made ready by GraphQL, which the reference service does not have.
        if service == .gitlab { change["draft"] = false }
        let changed = try await world.call("update_pull_request", .object(change))
        #expect(changed["pull_request"]?["state"] == "closed" && changed["merged"] == false)
        let read = try await world.call("get_issue", ["issue": key])
        #expect(read["state"] == "closed" && read["labels"] == ["ui"])
    }

    @Test(arguments: services)
    func `a review approves, or asks for changes and says which`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let key = JSONValue.string(service.pullKey(9))
        for arguments in [
            ["pull_request": key], ["pull_request": key, "review_body": "x"],
            ["pull_request": key, "title": "New", "review_action": "request_changes"],
        ] as [JSONValue] {
            _ = try await world.failure("update_pull_request", arguments)
        }
        let path = try await firstFile(key, in: world)
        let asked = try await world.call(
            "update_pull_request",
            [
                "pull_request": key, "title": "Mend it well", "review_action": "request_changes",
                "review_body": "Not like this",
                "review_comments": [["path": .string(path), "line": 11, "body": "Why green?"]],
            ]
        )
        #expect(asked["pull_request"]?["title"] == "Mend it well")
        let approved = try await world.call(
            "update_pull_request",
            ["pull_request": key, "review_action": "approve"]
        )
        let verdicts = approved["reviews"]?.array?.compactMap { $0["verdict"]?.string } ?? []
        #expect(verdicts.last == "approved")
        if service == .github {
            #expect(verdicts == ["changes_requested", "approved"])
        } else {
            // The reference service knows no such command.
            let warning = asked["warnings"]?[0]?.string
            #expect(warning?.contains("the review is a comment") == true)
        }
        let pull = try await world.call("get_pull_request", ["pull_request": key])
        let remark = pull["comments"]?.array?.first { $0["body"] == "Why green?" }
        #expect(remark?["path"] == .string(path) && remark?["comment_type"] == "review_comment")
        let read = try await world.call("get_issue", ["issue": key])
        #expect(read["title"] == "Mend it well")
    }

    /// GitHub's reference service answers what gives a reaction with an empty list, GitLab's any.
    @Test(arguments: services)
    func `a reaction is asked for by either service's name`(service: Service) async throws {
        let world = try await WritingWorld(service)
        let key = JSONValue.string(service.pullKey(9))
        try await world.fake.resetStats()
        let given = try await world.call(
            "update_pull_request",
            ["pull_request": key, "add_reaction": "thumbsup"]
        )
        #expect(given["warnings"] == [])
        let stats = try await world.fake.stats().serializedText()
        #expect(stats.contains(service == .github ? "issues/:n/reactions" : ":iid/award_emoji"))
        let wrong = try await world.failure(
            "update_pull_request",
            ["pull_request": key, "add_reaction": "not an emoji"]
        )
        #expect(wrong.contains("add_reaction") && wrong.contains("hooray"), "\(wrong)")
        let both = try await world.failure(
            "update_pull_request",
            ["pull_request": key, "add_reaction": "+1", "remove_reaction": "+1"]
        )
        #expect(both.contains("remove_reaction"), "\(both)")
    }

    @Test(arguments: services)
    func `remarks stand on lines, are answered, changed and resolved`(
        service: Service
    ) async throws {
        let world = try await WritingWorld(service)
        let key = JSONValue.string(service.pullKey(9))
        let path = try await firstFile(key, in: world)
        let added = try await world.call(
            "add_comment",
            ["target": key, "comment": "Why?", "path": .string(path), "line": 11]
        )
        #expect(added["comment"]?["path"] == .string(path))
        #expect(added["comment"]?["comment_type"] == "review_comment")
        let id = try #require(added["comment"]?["id"])
        let reply = try await world.call(
            "add_comment",
            ["target": key, "comment": "Because", "in_reply_to": id]
        )
        #expect(reply["comment"]?["in_reply_to"] == id)
        let changed = try await world.call(
            "update_comment",
            ["target": key, "comment_id": id, "body": "Why so?"]
        )
        #expect(changed["comment"]?["body"] == "Why so?")
        let plain = try await world.call("add_comment", ["target": key, "comment": "Well done"])
        let other = try #require(plain["comment"]?["id"])
        _ = try await world.call(
            "update_comment",
            ["target": key, "comment_id": other, "body": "Well done!"]
        )
        let pull = try await world.call("get_pull_request", ["pull_request": key])
        let bodies = pull["comments"]?.array?.compactMap { $0["body"]?.string } ?? []
        // The edit of a remark is answered for GitHub's reference service, not kept by it.
        let remark = service == .gitlab ? "Why so?" : "Why?"
        #expect(Set(bodies) == [remark, "Because", "Well done!"])
        let thread = pull["comments"]?.array?.first { $0["id"] == id }?["thread_id"]
        if service == .gitlab {
            let resolved = try await world.call(
                "update_comment",
                [
                    "target": key, "comment_id": id, "thread_id": try #require(thread),
                    "resolved": true,
                ]
            )
            #expect(resolved["comment"]?["resolved"] == true)
        } else {
            let text = try await world.failure(
                "update_comment",
                ["target": key, "comment_id": id, "resolved": true]
            )
            // The reference service has no GraphQL.
            #expect(text.contains("no thread that GitHub tells of"), "\(text)")
        }
        // Remarks on lines are not among an issue's comments, as after a scan.
        let read = try await world.call("get_issue", ["issue": key])
        #expect(read["comments"]?.array?.contains { $0["body"] == "Why?" } == false)
        #expect(read["comments"]?.array?.contains { $0["body"] == "Well done!" } == true)
    }

    private func firstFile(_ key: JSONValue, in world: WritingWorld) async throws -> String {
        let pull = try await world.call("get_pull_request", ["pull_request": key])
        return try #require(pull["files"]?[0]?["path"]?.string)
    }
}
