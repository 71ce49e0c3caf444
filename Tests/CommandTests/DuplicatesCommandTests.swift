import Domain
import Foundation
import Store
import Testing

struct DuplicatesCommandTests {
    /// Two Jiras with a project of the same key, an issue in each, and a third one.
    private static func fill(_ store: Store) async throws {
        try await store.write { connection, account in
            for (id, name) in [(TrackerID(1), "old-jira"), (TrackerID(2), "new-jira")] {
                try TrackerTable.insert(
                    Tracker(
                        id: id,
                        kind: .jira,
                        deployment: .server,
                        name: name,
                        url: "http://\(name).example",
                        createdAt: Timestamp(milliseconds: 0)
                    ),
                    credential: SealedSecret(bytes: [1]),
                    account: account,
                    on: connection
                )
                let project = try ProjectTable.upsert(
                    ProjectDescription(
                        trackerID: id,
                        organizationID: OrganizationID(1),
                        externalID: "10",
                        path: "PROJ",
                        name: "Project",
                        url: ""
                    ),
                    account: account,
                    on: connection
                ).now
                for number in [1, 2] {
                    let key = "PROJ-\(number * Int(id.rawValue))"
                    try connection.execute(
                        """
                        INSERT INTO issues (account_id, id, project_id, external_id, kind,
                            number, key, title, body, state, labels, assignees, created_at,
                            updated_at, url, content_hash, revision)
                        VALUES (\(account), \(Int(id.rawValue) * 10 + number), \(project.id),
                            \("\(number)"), 'issue', \(number), \(key),
                            'it hangs', '', 'open', '[]', '[]',
                            \(Timestamp(milliseconds: 1000)), \(Timestamp(milliseconds: 2500)),
                            \("http://\(name).example/browse/\(key)"),
                            \([1] as [UInt8]), \(Int(id.rawValue) * 10 + number))
                        """
                    )
                }
            }
            // Keys: old-jira has PROJ-1 and PROJ-2, new-jira PROJ-2 and PROJ-4.
            for (one, other, score) in [(12, 21, 0.9), (11, 22, 0.8)] {
                let pair = try #require(
                    DuplicateTable.Pair(IssueID(Int64(one)), IssueID(Int64(other)))
                )
                try DuplicateTable.replace(
                    of: IssueID(Int64(one)),
                    with: [DuplicateTable.Scored(pair: pair, score: score, features: [:])],
                    keeping: 20,
                    at: Timestamp(milliseconds: 0),
                    account: account,
                    on: connection
                )
            }
        }
    }

    @Test func `both sides have their address, and equal keys their tracker`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        try await Self.fill(try await sandbox.store())
        let text = try sandbox.preloop("duplicates")
        #expect(text.status == 0, "\(text.errors)")
        #expect(
            text.output == """
                0.90  old-jira: PROJ-2  it hangs
                        http://old-jira.example/browse/PROJ-2
                      new-jira: PROJ-2  it hangs
                        http://new-jira.example/browse/PROJ-2
                0.80  PROJ-1  it hangs
                        http://old-jira.example/browse/PROJ-1
                      PROJ-4  it hangs
                        http://new-jira.example/browse/PROJ-4

                """
        )
        let pairs = try sandbox.preloop("duplicates", "--json").json["pairs"]
        #expect(pairs?.array?.count == 2)
        for (side, tracker) in [("first", "old-jira"), ("second", "new-jira")] {
            let issue = pairs?[0]?[side]
            #expect(issue?["tracker"] == .string(tracker))
            #expect(issue?["project"] == "PROJ")
            #expect(issue?["key"] == "PROJ-2")
            #expect(issue?["url"] == .string("http://\(tracker).example/browse/PROJ-2"))
        }
    }

    @Test func `an ambiguous key ends with 2 and the candidates`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        try await Self.fill(try await sandbox.store())
        for words in [
            ["similar", "PROJ-2"], ["duplicates", "decide", "PROJ-2", "PROJ-1", "related"],
        ] {
            let result = try sandbox.start("preloop", words).wait()
            #expect(result.status == 2)
            for name in ["old-jira", "new-jira"] {
                #expect(result.errors.contains("http://\(name).example/browse/PROJ-2"))
            }
        }
        #expect(try sandbox.preloop("similar", "PROJ-9").status == 5)
    }

    @Test func `a verdict names the trackers of equal keys`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        try await Self.fill(try await sandbox.store())
        let decided = try sandbox.preloop(
            "duplicates",
            "decide",
            "http://old-jira.example/browse/PROJ-2",
            "http://new-jira.example/browse/PROJ-2",
            "related"
        )
        #expect(decided.output == "old-jira: PROJ-2 and new-jira: PROJ-2: related\n")
        #expect(try sandbox.preloop("duplicates", "--json").json["pairs"]?.array?.count == 1)
    }
}
