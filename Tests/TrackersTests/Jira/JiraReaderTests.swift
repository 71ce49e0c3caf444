import Domain
import HTTPClient
import TestSupport
import Testing

@testable import Trackers

struct JiraReaderTests {
    private let reader = JiraIssueReader(browseURL: "https://jira.example/browse")

    private func read(_ json: String) throws -> JiraIssue {
        try reader.issue(FieldReader(try JSONParser.parse(json)))
    }

    private let full = """
        {"id":"10001","key":"AB-7","fields":{"summary":"Crash","description":"h1. Hi\\n*x*",
        "status":{"name":"Erledigt","statusCategory":{"key":"done"}},"labels":["a","b","a"],
        "created":"2024-01-02T03:04:05.678+0100","updated":"2024-02-03T04:05:06.789-0500",
        "assignee":{"displayName":"Ann Lee","accountId":"1"},"reporter":null,
        "creator":{"name":"bob","key":"JIRAUSER1"},"issuetype":{"name":"Bug"},
        "priority":{"name":"Major"},"resolution":{"name":"Fixed"},"project":{"id":"10"},
        "issuelinks":[{"type":{"inward":"Is Blocked By","outward":"blocks"},
        "inwardIssue":{"id":"5","key":"CD-1"}},{"broken":true}],
        "comment":{"total":2,"comments":[{"id":"1","author":{"displayName":"Ann Lee"},
        "body":"{{x}}","created":"2024-01-02T03:04:05.000+0000",
        "updated":"2024-01-02T03:04:06.000+0000"}]}}}
        """

    @Test func `every field has its place`() throws {
        let found = try read(full)
        let issue = found.issue
        #expect(issue.externalID == "10001" && issue.key == "AB-7" && issue.number == 7)
        #expect(issue.title == "Crash")
        #expect(issue.body == "# Hi\n\n**x**" && issue.source == "h1. Hi\n*x*")
        #expect(issue.state == .closed && issue.status == "Erledigt")
        #expect(issue.labels == ["a", "b"])
        #expect(issue.author == "bob" && issue.assignees == ["Ann Lee"])
        #expect(issue.type == "Bug" && issue.priority == "Major")
        #expect(issue.createdAt.iso8601 == "2024-01-02T02:04:05.678Z")
        #expect(issue.updatedAt.iso8601 == "2024-02-03T09:05:06.789Z")
        #expect(issue.url == "https://jira.example/browse/AB-7")
        #expect(
            issue.links == [
                IssueLink(relation: "is blocked by", targetKey: "CD-1", targetExternalID: "5")
            ]
        )
        #expect(found.projectID == "10" && issue.commentCount == 2)
        #expect(found.comments?.map(\.body) == ["`x`"])
        #expect(found.completeComments == nil)
    }

    @Test(arguments: [
        ("\"id\":\"10001\"", "\"id\":null"), ("\"id\":\"10001\"", "\"id\":\"x\""),
        ("\"key\":\"AB-7\"", "\"key\":\"AB\""), ("\"summary\":\"Crash\"", "\"summary\":null"),
        ("\"created\":\"2024-01-02T03:04:05.678+0100\"", "\"created\":\"soon\""),
        ("\"updated\":\"2024-02-03T04:05:06.789-0500\"", "\"updated\":7"),
        (
            "\"status\":{\"name\":\"Erledigt\",\"statusCategory\":{\"key\":\"done\"}}",
            "\"status\":1"
        ),
        ("\"fields\":{", "\"fields\":[],\"x\":{"),
    ])
    func `a row without what every issue has is malformed`(_ pair: (String, String)) throws {
        let broken = full.replacing(pair.0, with: pair.1)
        #expect(broken != full)
        #expect(throws: FieldError.self) { _ = try read(broken) }
    }

    @Test func `an unreadable comment leaves the list to be asked for`() throws {
        let found = try read(full.replacing("\"id\":\"1\"", with: "\"id\":{}"))
        #expect(found.comments == nil)
        #expect(found.completeComments == nil)
    }

    @Test func `a Jira without categories says by the resolution what is closed`() throws {
        let old = full.replacing(",\"statusCategory\":{\"key\":\"done\"}", with: "")
        #expect(try read(old).issue.state == .closed)
        let unresolved = old.replacing("{\"name\":\"Fixed\"}", with: "null")
        #expect(try read(unresolved).issue.state == .open)
    }

    @Test func `a document body keeps its tree as the source`() throws {
        let document = #"{"type":"doc","version":1,"content":[{"type":"rule"}]}"#
        let issue = try read(full.replacing(#""h1. Hi\n*x*""#, with: document)).issue
        #expect(issue.body == "---")
        #expect(issue.source == document)
        let empty = try read(full.replacing(#""h1. Hi\n*x*""#, with: "null")).issue
        #expect(empty.body == "" && empty.source == nil)
    }

    @Test func `random rows never trap`() throws {
        var random = SeededGenerator(seed: 99)
        let bytes = Array(full.utf8)
        for _ in 0..<500 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<changed.count, using: &random)
                changed[place] = UInt8.random(in: 0...255, using: &random)
            }
            // Most are no JSON any more; what is must be read or refused.
            guard let value = try? JSONParser.parse(changed) else { continue }
            _ = try? reader.issue(FieldReader(value))
        }
    }
}
