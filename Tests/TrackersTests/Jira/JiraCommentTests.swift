import Domain
import HTTPClient
import TestSupport
import Testing

@testable import Trackers

/// Sends everything without a credential.
struct StrangerTransport: HTTPTransport {
    let transport: any HTTPTransport

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        var request = request
        request.headers.removeAll { $0.name == "Authorization" }
        return try await transport.send(request)
    }
}

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"), .serialized)
struct JiraCommentTests {
    /// One issue with 250 comments, of which Cloud's search shows twenty.
    private let crowded = FakeTrackers.Corpus.items([
        [
            "tracker": "jira", "project": "CMT", "number": 1, "title": "crowded",
            "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-03T00:00:00Z",
            "comments": .array(
                (1...250).map { number in
                    [
                        "id": .integer(Int64(number)), "author": "ann", "body": "*b*",
                        "created_at": "2024-01-02T00:00:00Z",
                        "updated_at": "2024-01-02T00:00:00Z",
                    ]
                }
            ),
        ]
    ])

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 17 - a deleted comment is missing from the complete list`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([crowded])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("CMT", client)
        let before = try await client.walk(project, .everything)
        let (id, comments) = try #require(before.comments.max { $0.value.count < $1.value.count })
        #expect(comments.count == 250)
        let issue = try #require(before.issues[id])
        #expect(issue.commentCount == 250)
        let victim = comments[17].externalID
        try await fixture.fake.mutate([
            "tracker": "jira", "project": "CMT", "number": .integer(Int64(issue.number)),
            "delete_comment": .string(victim),
        ])
        let after = try await client.walk(project, .everything)
        let kept = try #require(after.comments[id]).map(\.externalID)
        #expect(kept == comments.map(\.externalID).filter { $0 != victim })
        #expect(after.issues[id]?.updatedAt == issue.updatedAt)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `an issue's comments are listed in pages, oldest first`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([crowded])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("CMT", client)
        let all = try await client.walk(project, .everything)
        let (id, expected) = try #require(all.comments.max { $0.value.count < $1.value.count })
        let issue = try #require(all.issues[id])
        var found: [Domain.Comment] = []
        var token: PageToken?
        repeat {
            let page = try await client.comments(
                of: project,
                walk: .issue(issue.reference),
                page: token
            )
            #expect(page.malformed.isEmpty)
            #expect(page.comments.allSatisfy { $0.issueNumber == issue.number })
            found += page.comments.map(\.comment)
            token = page.next
        } while token != nil
        #expect(found == expected)
        await #expect(throws: TrackerError.self) {
            _ = try await client.comments(of: project, walk: .project(since: nil), page: nil)
        }
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 18 - hostile texts come through whole`(_ deployment: TrackerDeployment)
        async throws
    {
        let fixture = try await JiraFixture.start(
            [.shared("edge")],
            ["--faults", "1", "--fault-rate", "0"]
        )
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("HOSTILE", client)
        let all = try await client.walk(project, .everything)
        #expect(all.malformed.isEmpty)
        let issues = all.issues.values
        #expect(!issues.contains { $0.title.utf8.contains(0) || $0.body.utf8.contains(0) })
        #expect(issues.contains { $0.body.utf8.count > 900_000 })
        #expect(issues.contains { $0.labels.count == 50 })
        #expect(issues.contains { $0.author == nil })
        // The fault mode puts NUL and an unpaired surrogate into one body of each project.
        #expect(issues.contains { $0.body.contains("NUL:\u{FFFD}: lone surrogate:\u{FFFD}: end") })
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 24 - links name both ends, whatever order they are seen in`(
        _ deployment: TrackerDeployment
    ) async throws {
        let item = { (number: Int64, links: JSONValue) -> JSONValue in
            [
                "tracker": "jira", "project": "LNK", "number": .integer(number), "title": "t",
                "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
                "links": links,
            ]
        }
        let fixture = try await JiraFixture.start([
            .items([
                item(1, [["type": "Blocks", "to": 2]]),
                item(2, [["type": "Duplicate", "to": 1], ["type": "Relates", "to": 2]]),
            ])
        ])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("LNK", client)
        let all = try await client.walk(project, .everything)
        let first = try #require(all.issues.values.first { $0.number == 1 })
        let second = try #require(all.issues.values.first { $0.number == 2 })
        #expect(
            first.links.contains(
                IssueLink(
                    relation: "blocks",
                    targetKey: "LNK-2",
                    targetExternalID: second.externalID
                )
            )
        )
        #expect(first.links.map(\.relation).sorted() == ["blocks", "is duplicated by"])
        #expect(Set(second.links.map(\.relation)).isSuperset(of: ["is blocked by", "duplicates"]))
        #expect(second.links.contains { $0.targetKey == "LNK-2" && $0.relation == "relates to" })
    }
}
