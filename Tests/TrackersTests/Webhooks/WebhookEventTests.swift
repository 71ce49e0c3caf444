import Domain
import Foundation
import HTTPClient
import TestSupport
import Testing

@testable import Trackers

/// Deliveries recorded from the services.
@Suite(.enabled(if: SharedData.has("trackers/github"), "needs the shared reference data"))
struct WebhookEventTests {
    private func delivery(
        _ kind: TrackerKind,
        _ file: String,
        deployment: TrackerDeployment = .cloud,
        event: String? = nil
    ) throws -> WebhookDelivery {
        let url = try #require(SharedData.file("trackers/\(file)"))
        var headers = [HTTPField("Content-Type", "application/json")]
        if let event { headers.append(HTTPField("X-GitHub-Event", event)) }
        return WebhookDelivery(
            kind: kind,
            deployment: deployment,
            headers: HTTPHeaders(headers),
            body: Array(try Data(contentsOf: url))
        )
    }

    private func github(_ event: String, _ name: String) throws -> WebhookEvent {
        try delivery(.github, "github/webhook-payloads/\(event)/\(name)", event: event).event()
    }

    @Test func `GitHub - an issue comes whole`() throws {
        let event = try github("issues", "opened.payload.json")
        guard case .changed(let reference, let item?) = event.subject else {
            Testing.Issue.record("\(event.subject)")
            return
        }
        #expect(event.action == "issues.opened")
        #expect(event.project?.path == "Codertocat/Hello-World")
        #expect(item.key == "Codertocat/Hello-World#\(item.number)")
        #expect(reference == IssueReference(item))
        #expect(event.happenedAt == item.updatedAt)
        #expect(!item.title.isEmpty)
    }

    @Test func `GitHub - deletion, transfer and comments are told apart`() throws {
        guard case .deleted = try github("issues", "deleted.payload.json").subject else {
            Testing.Issue.record("not deleted")
            return
        }
        guard case .moved(_, let key?) = try github("issues", "transferred.payload.json").subject
        else {
            Testing.Issue.record("not moved")
            return
        }
        #expect(key.contains("#"))
        guard
            case .comment(let id, let issue, let comment?, let item?) = try github(
                "issue_comment",
                "created.payload.json"
            ).subject
        else {
            Testing.Issue.record("no comment")
            return
        }
        #expect(comment.externalID == id)
        #expect(issue.externalID == item.externalID)
        guard
            case .commentDeleted = try github("issue_comment", "deleted.payload.json").subject
        else {
            Testing.Issue.record("not deleted")
            return
        }
    }

    @Test func `GitHub - pull requests, repositories, labels, installations, pings`() throws {
        guard
            case .changed(let pull, item: nil) = try github(
                "pull_request",
                "opened.payload.json"
            ).subject
        else {
            Testing.Issue.record("no pull request")
            return
        }
        #expect(pull.kind == .pullRequest)
        #expect(pull.externalID.isEmpty)
        #expect(pull.number > 0)
        guard
            case .project(.renamed(from: let old?)) = try github(
                "repository",
                "renamed.payload.json"
            ).subject
        else {
            Testing.Issue.record("not renamed")
            return
        }
        #expect(old.hasSuffix("/Hello-World"))
        #expect(
            try github("label", "deleted.payload.json").subject
                == .label(name: ":bug: Bugfix", previousName: nil)
        )
        #expect(
            try github("installation", "deleted.payload.json").subject
                == .installation(isGone: true)
        )
        #expect(
            try github("installation", "created.payload.json").subject
                == .installation(isGone: false)
        )
        #expect(try github("ping", "payload.json").subject == .ping)
        #expect(try github("push", "payload.json").subject == .other)
    }

    @Test func `GitHub - every recorded delivery is understood, as a form too`() throws {
        let root = try #require(SharedData.file("trackers/github/webhook-payloads"))
        let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
        var (count, incomplete) = (0, 0)
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "json" else { continue }
            let event = file.deletingLastPathComponent().lastPathComponent
            var delivery = WebhookDelivery(
                kind: .github,
                deployment: .cloud,
                headers: HTTPHeaders([HTTPField("X-GitHub-Event", event)]),
                body: Array(try Data(contentsOf: file))
            )
            let found = try delivery.event()
            if ["issues", "issue_comment", "pull_request"].contains(event) {
                #expect(found.subject != .other, "\(file.lastPathComponent)")
                #expect(found.project?.externalID != nil)
            }
            if event == "issues", case .changed(_, let item) = found.subject, item == nil {
                incomplete += 1
            }
            let form = "payload=" + percentEncoded(String(decoding: delivery.body, as: UTF8.self))
            delivery.headers = HTTPHeaders([
                HTTPField("X-GitHub-Event", event),
                HTTPField("Content-Type", "application/x-www-form-urlencoded"),
                HTTPField("X-GitHub-Delivery", "same"),
            ])
            delivery.body = Array(form.utf8)
            var same = try delivery.event()
            same.deliveryID = found.deliveryID
            #expect(same == found)
            count += 1
        }
        #expect(count > 50)
        // Only those of old recordings lack a part of the issue.
        #expect(incomplete < 5)
    }

    @Test func `GitLab - issues, merge requests and notes`() throws {
        let root = "gitlab/recorded/go-gitlab"
        let issue = try delivery(.gitlab, "\(root)/webhooks/issue.json").event()
        #expect(issue.action == "issue.open")
        #expect(
            issue.subject
                == .changed(
                    IssueReference(
                        externalID: "301",
                        kind: .issue,
                        number: 23,
                        key: "gitlabhq/gitlab-test#23"
                    ),
                    item: nil
                )
        )
        #expect(issue.happenedAt == Timestamp(parsing: "2013-12-03T17:15:43Z"))
        let merge = try delivery(.gitlab, "\(root)/webhooks/merge_request.json").event()
        guard case .changed(let reference, item: nil) = merge.subject else {
            Testing.Issue.record("\(merge.subject)")
            return
        }
        #expect(reference.kind == .pullRequest)
        #expect(reference.key == "gitlabhq/gitlab-test!1")
        let note = try delivery(.gitlab, "\(root)/webhooks/note_issue.json").event()
        guard case .comment("1241", let target, let comment?, item: nil) = note.subject else {
            Testing.Issue.record("\(note.subject)")
            return
        }
        #expect(target.number == 17)
        #expect(comment.body == "Hello world")
        #expect(comment.author == "user1")
        // Not ISO 8601.
        #expect(comment.createdAt == Timestamp(parsing: "2015-05-17T17:06:40Z"))
        let commit = try delivery(.gitlab, "\(root)/webhooks/note_commit.json").event()
        #expect(commit.subject == .other)
        #expect(
            try delivery(.gitlab, "\(root)/systemhooks/project_rename.json").event().subject
                == .project(.renamed(from: "jsmith/overscore"))
        )
        #expect(
            try delivery(.gitlab, "\(root)/systemhooks/project_destroy.json").event().subject
                == .project(.deleted)
        )
        #expect(try delivery(.gitlab, "\(root)/webhooks/push.json").event().subject == .other)
    }

    @Test func `Jira - items are whole on Server and have to be read on Cloud`() throws {
        let root = "jira/webhook-payloads"
        let created = "\(root)/webhook-issue-created.json"
        guard
            case .changed(let reference, item: nil) = try delivery(.jira, created).event().subject
        else {
            Testing.Issue.record("no change")
            return
        }
        #expect(reference.number > 0)
        let closed = "\(root)/webhook-server-issue-updated-closed.json"
        let event = try delivery(.jira, closed, deployment: .server).event()
        guard case .changed(_, let item?) = event.subject else {
            Testing.Issue.record("\(event.subject)")
            return
        }
        #expect(item.url.hasSuffix("/browse/\(item.key)"))
        #expect(item.state == .closed)
        #expect(event.happenedAt != nil)
        guard
            case .deleted = try delivery(.jira, "\(root)/webhook-issue-deleted.json").event()
                .subject
        else {
            Testing.Issue.record("not deleted")
            return
        }
        let comment = "\(root)/webhook-server-comment-created.json"
        guard
            case .comment(_, let issue, let text?, item: nil) = try delivery(
                .jira,
                comment,
                deployment: .server
            ).event().subject
        else {
            Testing.Issue.record("no comment")
            return
        }
        #expect(Int64(issue.externalID) != nil)
        #expect(!text.body.isEmpty)
        guard
            case .commentDeleted = try delivery(
                .jira,
                "\(root)/webhook-cloud-comment-deleted.json"
            ).event().subject
        else {
            Testing.Issue.record("not deleted")
            return
        }
    }

    @Test func `Jira - every recorded delivery is understood`() throws {
        let root = try #require(SharedData.file("trackers/jira/webhook-payloads"))
        let files = try FileManager.default.contentsOfDirectory(
            at: root,
            includingPropertiesForKeys: nil
        )
        #expect(files.count > 40)
        for file in files {
            for deployment in TrackerDeployment.allCases {
                let found = try WebhookDelivery(
                    kind: .jira,
                    deployment: deployment,
                    headers: HTTPHeaders(),
                    body: Array(try Data(contentsOf: file))
                ).event()
                #expect(found.subject != .other, "\(file.lastPathComponent)")
            }
        }
    }

    @Test(arguments: TrackerKind.allCases)
    func `hostile deliveries are refused or read, never a trap`(_ kind: TrackerKind) throws {
        let samples: [(TrackerKind, String, String?)] = [
            (.github, "github/webhook-payloads/issues/transferred.payload.json", "issues"),
            (
                .github, "github/webhook-payloads/issue_comment/created.payload.json",
                "issue_comment"
            ),
            (.github, "github/webhook-payloads/repository/renamed.payload.json", "repository"),
            (.gitlab, "gitlab/recorded/go-gitlab/webhooks/note_issue.json", nil),
            (.gitlab, "gitlab/recorded/go-gitlab/webhooks/merge_request.json", nil),
            (.jira, "jira/webhook-payloads/webhook-server-comment-created.json", nil),
            (.jira, "jira/webhook-payloads/webhook-server-issue-updated-closed.json", nil),
        ]
        var random = Mutation(seed: 7)
        var refused = 0
        for (_, file, event) in samples where file.hasPrefix(kind.rawValue) {
            var delivery = try delivery(kind, file, deployment: .server, event: event)
            let document = try JSONParser.parse(delivery.body)
            for _ in 0..<300 {
                delivery.body = random.changed(document).serialized()
                do throws(WebhookError) {
                    _ = try delivery.event()
                } catch {
                    refused += 1
                }
            }
            let bytes = delivery.body
            for _ in 0..<200 {
                delivery.body = random.broken(bytes)
                // Either is right; what matters is that it returns.
                _ = try? delivery.event()
            }
            for text in ["", "[]", "null", "{}", "{\"object_kind\":7}", "\u{0}", "{\"a\":"] {
                delivery.body = Array(text.utf8)
                #expect(throws: WebhookError.self) { try delivery.event() }
            }
            delivery.body = Array(String(repeating: "[", count: 1 << 20).utf8)
            #expect(throws: WebhookError.self) { try delivery.event() }
        }
        #expect(refused > 0)
    }
}

/// Changes documents and bytes at random, from a seed.
private struct Mutation {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    private mutating func next(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }

    private mutating func value() -> JSONValue {
        let values: [JSONValue] = [
            .null, "", "x", -1, 0, .integer(.max), .integer(.min), 1e300, true, [], [[[]]],
            ["a": "b"], "\u{0}\u{FFFD}", "2099-99-99", "KEY-99999999999999999999", "a/b/c/d",
        ]
        return values[next(values.count)]
    }

    /// The document with a few members changed, somewhere.
    mutating func changed(_ document: JSONValue) -> JSONValue {
        guard case .object(var object) = document, !object.members.isEmpty else { return value() }
        for _ in 0...next(2) {
            let member = object.members[next(object.members.count)]
            switch next(4) {
            case 0: object[member.key] = value()
            case 1 where object.members.count > 1: object[member.key] = nil
            default: object[member.key] = changed(member.value)
            }
        }
        return .object(object)
    }

    /// The bytes with some of them exchanged, or cut off.
    mutating func broken(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<5 { bytes[next(bytes.count)] = UInt8(next(256)) }
        return next(3) == 0 ? Array(bytes.prefix(next(bytes.count))) : bytes
    }
}
