import Domain
import MCP
import Store
import Testing

@testable import Gateway

struct BuiltInToolTests {
    @Test func `every tool has schemas that can be checked, and annotations`() async throws {
        let world = try await IssueWorld()
        let tools = await world.calls.visibleTools(to: caller)
        #expect(
            tools.map(\.name) == [
                "estimate_compliance", "find_duplicates", "get_issue", "improve_compliance",
                "list_projects", "search", "similar_issues", "sync_status",
            ]
        )
        for tool in tools {
            _ = try JSONSchema(tool.inputSchema)
            _ = try JSONSchema(try #require(tool.outputSchema))
            #expect(tool.annotations.isReadOnly)
            #expect(tool.inputSchema["additionalProperties"] == false)
            for property in tool.inputSchema["properties"]?.object?.members ?? [] {
                let summary = property.value["description"]?.string
                #expect(summary != nil, "\(tool.name).\(property.key)")
            }
        }
    }

    @Test func `search finds by meaning and words, with what the caller restricts`() async throws {
        let world = try await IssueWorld()
        let answer = try await world.call("search", ["query": "file opened crashes", "limit": 2])
        let results = try #require(answer["results"]?.array)
        #expect(results.count == 2)
        #expect(results[0]["item_type"] == "issue")
        #expect(results[0]["item"]?["project"] == "acme/app")
        #expect(answer["note"] == .null)
        let closed = try await world.call(
            "search",
            ["query": "theme", "state": "closed", "project": "ACME/APP"]
        )
        #expect(closed["results"]?.array?.map { $0["item"]?["key"] } == ["acme/app#3"])
        let labelled = try await world.call("search", ["query": "crash", "labels": ["bug"]])
        #expect(labelled["results"]?.array?.count == 2)
        let comment = try await world.call("search", ["query": "zebras", "mode": "text"])
        #expect(comment["results"]?[0]?["item_type"] == "comment")
        let text = try await world.failure("search", ["query": "x", "project": "acme/none"])
        #expect(text.contains("list_projects shows"))
        #expect(try await world.failure("search", ["query": "  "]).contains("few words"))
    }

    @Test func `get_issue gives text, people and the latest comments`() async throws {
        let world = try await IssueWorld()
        for reference in [
            "acme/app#1", "ACME/app#1", "https://hub/acme/app/issues/1",
            "https://hub/acme/app/issues/1#issuecomment-5",
        ] {
            let answer = try await world.call("get_issue", ["issue": .string(reference)])
            #expect(answer["title"] == .string(IssueWorld.crash))
        }
        let answer = try await world.call(
            "get_issue",
            ["issue": "acme/app#1", "comment_limit": 2]
        )
        #expect(answer["assignee"] == "ann" && answer["labels"] == ["bug"])
        #expect(answer["comments"]?.array?.map { $0["id"] } == ["c1-1", "c1-2"])
        #expect(answer["comments_left_out"] == 1)
        #expect(answer["description_is_cut"] == false)
        let text = try await world.failure("get_issue", ["issue": "acme/app#99"])
        #expect(text.contains("there is no issue `acme/app#99`"))
    }

    @Test func `similar_issues are best first and leave the issue itself out`() async throws {
        let world = try await IssueWorld()
        let answer = try await world.call("similar_issues", ["issue": "acme/app#1"])
        let keys = answer["results"]?.array?.compactMap { $0["issue"]?["key"]?.string } ?? []
        #expect(keys.first == "acme/app#2")
        #expect(!keys.contains("acme/app#1"))
        let elsewhere = try await world.call(
            "similar_issues",
            ["issue": "acme/app#1", "project": "acme/site"]
        )
        let projects = elsewhere["results"]?.array?.map { $0["issue"]?["project"] } ?? []
        #expect(projects.allSatisfy { $0 == "acme/site" })
    }

    @Test func `find_duplicates tells for a draft what it would tell for the issue`() async throws {
        let world = try await IssueWorld()
        let draft = try await world.call(
            "find_duplicates",
            [
                "title": .string(IssueWorld.crash), "description": .string(IssueWorld.crashBody),
                "project": "acme/app",
            ]
        )
        let first = try #require(draft["duplicates"]?[0])
        #expect(first["issue"]?["key"] == "acme/app#1")
        #expect(first["link"] == "https://hub/acme/app/issues/1")
        #expect(first["why"]?.string?.contains("same project") == true)
        let score = try #require(first["score"]?.double)
        let stored = try await world.call("find_duplicates", ["issue": "acme/app#2"])
        let pair = try #require(stored["duplicates"]?[0])
        #expect(pair["issue"]?["key"] == "acme/app#1")
        #expect(abs(score - (pair["score"]?.double ?? 0)) < 0.1)
        let nothing = try await world.call(
            "find_duplicates",
            ["title": "Ship the telescope to the moon", "threshold": 0.9]
        )
        #expect(nothing["duplicates"] == [])
    }

    @Test(arguments: [
        [:] as JSONValue, ["title": "a", "issue": "acme/app#1"], ["description": "b"],
        ["issue": "acme/app#1", "description": "b"],
    ])
    func `find_duplicates wants one subject`(_ arguments: JSONValue) async throws {
        let world = try await IssueWorld()
        let text = try await world.failure("find_duplicates", arguments)
        #expect(text.contains("Give `issue`, or `title`"))
    }

    /// REST and other servers call the same by other names: beside our own, or in its place, none
    /// of them is dropped without a word.
    @Test(
        arguments: [
            ("search", ["query": "x", "q": "y"], "q"),
            ("search", ["query": "x", "limit": 5, "page_size": 9], "page_size"),
            ("search", ["query": "x", "offset": 1, "skip": 2], "skip"),
            ("search", ["query": "x", "offset": 1, "cursor": "Mg"], "cursor"),
            ("search", ["query": "x", "project": "acme/app", "project_id": 1], "project_id"),
            ("search", ["query": "x", "state": "open", "status": "closed"], "status"),
            ("search", ["query": "x", "labels": ["bug"], "label": "ui"], "label"),
            ("search", ["query": "x", "mode": "text", "search_type": "fulltext"], "search_type"),
            ("search", ["query": "x", "type": "Bug", "issue_type": "Story"], "issue_type"),
            ("search", ["query": "x", "updated_after": "2025-01-01"], "updated_after"),
            ("similar_issues", ["issue": "acme/app#1", "id": "acme/app#2"], "id"),
            (
                "find_duplicates", ["title": "x", "similarity_threshold": 0.9],
                "similarity_threshold"
            ),
            ("get_issue", ["issue": "acme/app#1", "issue_id": "2"], "issue_id"),
            ("list_projects", ["tracker": "hub", "tracker_id": 2], "tracker_id"),
        ] as [(String, JSONValue, String)]
    )
    func `another name for what a tool takes is refused, with the names there are`(
        _ given: (tool: String, arguments: JSONValue, name: String)
    ) async throws {
        let world = try await IssueWorld()
        let text = try await world.failure(given.tool, given.arguments)
        #expect(text.contains("`\(given.name)`") && text.contains("is not known"), "\(text)")
        #expect(text.contains("did you mean `") || text.contains("; there are `"), "\(text)")
    }

    @Test func `a number that no issue has is the store's own identifier`() async throws {
        let world = try await IssueWorld()
        func summary(_ key: String) async throws -> IssueSummary {
            let found = try await world.store.read { connection, account in
                try PassageTable.summaries(forReference: key, account: account, on: connection)
            }
            return try #require(found.first)
        }
        let issue = try await summary("acme/site#2").issue
        // Beyond the numbers of all six.
        try #require(issue.rawValue > 4)
        let read = try await world.call("get_issue", ["issue": .string("\(issue.rawValue)")])
        #expect(read["key"] == "acme/site#2")
        _ = try await world.failure("get_issue", ["issue": .string("#\(issue.rawValue)")])
        _ = try await world.failure("get_issue", ["issue": .string("!\(issue.rawValue)")])
        // A number goes first: the trackers' words mean what they mean to their users.
        try await world.store.write { connection, account in
            _ = try connection.execute(
                """
                UPDATE issues SET number = \(issue.rawValue)
                WHERE account_id = \(account) AND key = 'acme/app#3'
                """
            )
        }
        let other = try await world.call("get_issue", ["issue": .string("\(issue.rawValue)")])
        #expect(other["key"] == "acme/app#3")
        let first = try await summary("acme/site#1").issue
        let now = world.store.clock.now()
        try await world.store.write { connection, account in
            try IssueTable.delete([first], at: now, account: account, on: connection)
        }
        try #require(first.rawValue > 4)
        _ = try await world.failure("get_issue", ["issue": .string("\(first.rawValue)")])
    }

    @Test func `projects and their state are told`() async throws {
        let world = try await IssueWorld()
        let all = try await world.call("list_projects", [:])
        #expect(all["projects"]?.array?.map { $0["project"] } == ["acme/app", "acme/site"])
        #expect(all["projects"]?[0]?["issues"] == 4)
        let some = try await world.call("list_projects", ["query": "SITE"])
        #expect(some["projects"]?.array?.count == 1)
        let text = try await world.failure("list_projects", ["tracker": "nobody"])
        #expect(text.contains("`hub`"))
        let status = try await world.call("sync_status", ["project": "acme/site"])
        #expect(status["projects"]?.array?.count == 1)
        #expect(status["projects"]?[0]?["comments"] == 6)
        #expect(status["scanning"] == .null && status["waiting_to_be_indexed"] == 0)
    }

    @Test func `counts are those of now, though they are kept`() async throws {
        let world = try await IssueWorld()
        let before = try await world.call("list_projects", [:])
        #expect(before["projects"]?[0]?["issues"] == 4)
        let now = world.store.clock.now()
        try await world.store.write { connection, account in
            let found = try PassageTable.summaries(
                forReference: "acme/app#2",
                account: account,
                on: connection
            )
            try IssueTable.delete(found.map(\.issue), at: now, account: account, on: connection)
            #expect(found.count == 1)
        }
        let after = try await world.call("list_projects", [:])
        #expect(after["projects"]?[0]?["issues"] == 3)
        #expect(try await world.call("list_projects", [:]) == after)
    }

    @Test func `old calls are removed beside new ones, some at a time`() async throws {
        let world = try await IssueWorld()
        let now = world.store.clock.now()
        @Sendable func call(_ id: String, days: Int) -> ToolCallTable.Call {
            ToolCallTable.Call(
                id: id,
                tool: "t",
                caller: "c",
                channel: "stdio",
                argumentsDigest: [1],
                startedAt: now.advanced(by: .seconds(-86_400 * days))
            )
        }
        let keys = try AuditKeys.testing(world.store.account)
        let patient = StoreJournal(store: world.store, keys: keys, retention: CallRetention(nil))
        for number in 0..<5 { try await patient.begin(call("old\(number)", days: 366)) }
        try await patient.begin(call("young", days: 364))
        var retention = CallRetention()
        retention.batch = 2
        let journal = StoreJournal(store: world.store, keys: keys, retention: retention)
        // The next one is written when the pruning after the one before has ended.
        for number in 0..<4 { try await journal.begin(call("new\(number)", days: 0)) }
        let left = try await world.store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(Set(left.map(\.id)) == ["young", "new0", "new1", "new2", "new3"])
        let report = try await AuditLog(store: world.store, key: keys.publicKey).verify()
        #expect(report.isSound && report.removedThrough == 5 && report.count == 5)
    }

    @Test func `calls are in the store, with digests instead of arguments`() async throws {
        let world = try await IssueWorld()
        await withTaskGroup { group in
            for number in 0..<20 {
                group.addTask {
                    _ = try? await world.call("search", ["query": .string("secret\(number)")])
                }
            }
        }
        _ = try await world.failure("get_issue", ["issue": "gone"])
        let calls = try await world.store.read { connection, account in
            try ToolCallTable.list(limit: 100, account: account, on: connection)
        }
        #expect(calls.count == 21)
        #expect(calls.count { $0.outcome == .succeeded } == 20)
        #expect(calls.count { $0.outcome == .failed && $0.tool == "get_issue" } == 1)
        #expect(calls.allSatisfy { $0.end != nil && $0.argumentsDigest.count == 32 })
        #expect(Set(calls.map(\.argumentsDigest)).count == 21)
        let keys = try AuditKeys.testing(world.store.account)
        let report = try await AuditLog(store: world.store, key: keys.publicKey).verify()
        #expect(report.isSound && report.count == 42)
    }
}
