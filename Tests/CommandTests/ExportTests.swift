import Domain
import Foundation
import Store
import Testing

struct ExportTests {

    /// Rows written in an order that is not the export's, in two trackers and projects.
    private static func fill(_ store: Store) async throws {
        try await store.write { connection, account in
            for (id, name) in [(TrackerID(1), "zeta"), (TrackerID(2), "Alpha")] {
                try TrackerTable.insert(
                    Tracker(
                        id: id,
                        kind: .github,
                        deployment: .cloud,
                        name: name,
                        url: "",
                        createdAt: Timestamp(milliseconds: 0)
                    ),
                    credential: SealedSecret(bytes: [1]),
                    account: account,
                    on: connection
                )
                for path in ["o/b", "o/a"] {
                    let project = try ProjectTable.upsert(
                        ProjectDescription(
                            trackerID: id,
                            organizationID: OrganizationID(1),
                            externalID: "\(name)\(path)",
                            path: path,
                            name: path,
                            url: ""
                        ),
                        account: account,
                        on: connection
                    ).now
                    for (number, kind) in [
                        (10, IssueKind.issue), (9, .pullRequest), (2, .issue), (100, .issue),
                    ] {
                        try connection.execute(
                            """
                            INSERT INTO issues (account_id, id, project_id, external_id, kind,
                                number, key, title, body, state, labels, assignees, created_at,
                                updated_at, url, content_hash, revision, deleted_at)
                            SELECT \(account), COALESCE(MAX(id), 0) + 1, \(project.id),
                                \("\(kind)\(number)"), \(kind.rawValue), \(number),
                                \("\(path)#\(number)"), 't', \("a \"b\"\n\u{1F600}"), 'open',
                                '["x"]', '[]', \(Timestamp(milliseconds: 1000)),
                                \(Timestamp(milliseconds: 2500)), '', \([1] as [UInt8]),
                                COALESCE(MAX(revision), 0) + 1,
                                \(number == 100 ? Timestamp(milliseconds: 7) : nil)
                            FROM issues
                            """
                        )
                    }
                }
            }
        }
    }

    @Test func `lines are ordered by tracker, project, kind and number`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        let store = try await sandbox.store()
        try await Self.fill(store)
        let result = try sandbox.preloop("export", "issues", "--jsonl")
        #expect(result.status == 0)
        let lines = try result.output.split(separator: "\n").map {
            try JSONParser.parse(String($0))
        }
        let places = lines.map { line in
            [line["tracker"], line["project"], line["kind"], line["number"]]
                .map { $0?.string ?? $0?.integer.map(String.init) ?? "?" }.joined(separator: " ")
        }
        var expected: [String] = []
        for tracker in ["Alpha", "zeta"] {
            for project in ["o/a", "o/b"] {
                expected += ["issue 2", "issue 10", "pull_request 9"].map {
                    "\(tracker) \(project) \($0)"
                }
            }
        }
        #expect(places == expected)
        #expect(try sandbox.preloop("export", "issues").output == result.output, "the same")
        let all = try sandbox.preloop("export", "issues", "--jsonl", "--deleted")
        #expect(all.output.split(separator: "\n").count == 16)
    }

    @Test func `a line has exactly the promised members`() async throws {
        let sandbox = try Sandbox()
        #expect(try sandbox.preloop("init").status == 0)
        try await Self.fill(try await sandbox.store())
        let result = try sandbox.preloop("export", "issues", "--jsonl", "--deleted")
        let line = try JSONParser.parse(String(result.output.split(separator: "\n")[0]))
        #expect(
            line.object?.members.map(\.key) == [
                "tracker", "project", "number", "key", "kind", "external_id", "title", "body",
                "state", "labels", "author", "assignees", "priority", "type", "created_at",
                "updated_at", "url", "deleted_at", "comments", "links",
            ]
        )
        #expect(line["body"] == "a \"b\"\n\u{1F600}")
        #expect(line["created_at"] == "1970-01-01T00:00:01.000Z")
        #expect(line["updated_at"] == "1970-01-01T00:00:02.500Z")
        #expect(line["author"] == .null)
        #expect(line["labels"] == ["x"])
        #expect(line["comments"] == [])
    }
}
