import Domain
import HTTPClient
import TestSupport
import Testing

@testable import Trackers

/// The four services a write may go to.
enum WriteTarget: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case github, gitlab, jiraCloud, jiraServer

    var testDescription: String { rawValue }

    var kind: TrackerKind {
        switch self {
        case .github: .github
        case .gitlab: .gitlab
        case .jiraCloud, .jiraServer: .jira
        }
    }

    var deployment: TrackerDeployment { self == .jiraServer ? .server : .cloud }

    /// The part of the reference services' address.
    var path: String {
        switch self {
        case .github: "github"
        case .gitlab: "gitlab"
        case .jiraCloud: "jira-cloud"
        case .jiraServer: "jira-server"
        }
    }

    var isJira: Bool { kind == .jira }

    /// The project the fixture's items lie in.
    var project: String { isJira ? "TOOL" : "acme/tool" }

    var priority: String { isJira ? "High" : "high" }
}

/// The reference services with a small world of their own.
struct WritingFixture {
    let fake: FakeTrackers
    let target: WriteTarget
    let clock = VirtualClock()
    let writers: TrackerWriters
    let client: any TrackerClient
    let project: RemoteProject

    init(
        _ target: WriteTarget,
        arguments: [String] = [],
        token: String = "test-token"
    ) async throws {
        self.target = target
        fake = try await FakeTrackers.start(
            corpora: [.items(Self.items)],
            arguments: arguments
        )
        let parameters = try Self.parameters(
            target,
            url: fake.url(target.path),
            token: token,
            clock: clock
        )
        writers = try TrackerClients.writers(parameters)
        client = try TrackerClients.make(parameters)
        project = try await writers.issues.project(at: target.project)
    }

    static func parameters(
        _ target: WriteTarget,
        url: String,
        token: String = "test-token",
        clock: any Clock<Duration>
    ) throws -> TrackerClients.Parameters {
        let transport = try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        let secret = Secret(token)
        var parameters = TrackerClients.Parameters(
            kind: target.kind,
            deployment: target.deployment,
            url: url,
            userName: target.isJira ? "someone@example.com" : nil,
            credential: { () throws(TrackerError) in secret },
            transport: transport
        )
        parameters.clock = clock
        return parameters
    }

    /// An issue of the fixture's world.
    func reference(_ number: Int, kind: IssueKind = .issue) async throws -> IssueReference {
        let reference = IssueReference(
            externalID: "",
            kind: kind,
            number: number,
            key: target.isJira ? "TOOL-\(number)" : "acme/tool#\(number)"
        )
        return IssueReference(try await writers.issues.issue(reference, in: project))
    }

    func truth() async throws -> TrackerTruth {
        let path = target.isJira ? "TOOL" : "acme/tool"
        return try await fake.truth(tracker: target.kind.rawValue, project: path)
    }

    private static var items: [JSONValue] {
        var items: [JSONValue] = []
        for tracker in ["github", "gitlab", "jira"] {
            let isJira = tracker == "jira"
            for number in 1...3 {
                var item = JSONObject()
                item["tracker"] = .string(tracker)
                item["project"] = .string(isJira ? "TOOL" : "acme/tool")
                item["number"] = .integer(Int64(number))
                item["title"] = .string("Crash \(number)")
                item["body"] = .string("It crashes, for the \(number). time")
                item["state"] = number == 3 ? "closed" : "open"
                item["labels"] = ["bug"]
                item["author"] = "ann"
                item["created_at"] = "2025-01-02T03:04:05Z"
                item["updated_at"] = "2025-01-03T03:04:05Z"
                item["comments"] = [
                    [
                        "id": .integer(Int64(100 + number)), "author": "bob", "body": "Me too",
                        "created_at": "2025-01-02T04:00:00Z",
                        "updated_at": "2025-01-02T04:00:00Z",
                    ]
                ]
                if isJira {
                    item["status"] = ["Open", "In Progress", "Resolved"][number - 1].json
                    item["priority"] = "Major"
                    item["issue_type"] = "Bug"
                }
                items.append(.object(item))
            }
            items.append([
                "tracker": .string(tracker), "project": .string(isJira ? "SITE" : "acme/site"),
                "number": 1, "title": "Elsewhere", "body": "", "state": "open", "labels": [],
                "author": "ann", "created_at": "2025-01-02T03:04:05Z",
                "updated_at": "2025-01-03T03:04:05Z", "comments": [],
            ])
            guard !isJira else { continue }
            items.append([
                "tracker": .string(tracker), "project": "acme/tool", "number": 9,
                "title": "Mend it", "body": "Mends 1", "state": "open", "labels": [],
                "author": "ann", "is_pull_request": true, "created_at": "2025-01-02T03:04:05Z",
                "updated_at": "2025-01-03T03:04:05Z", "comments": [],
                "pr": ["head": ["ref": "mend"], "base": ["ref": "main"]],
            ])
        }
        return items
    }
}

extension String {
    fileprivate var json: JSONValue { .string(self) }
}

/// The refusal a call ends with; nil when it ends otherwise.
func refusal(_ call: () async throws -> Void) async -> WriteRefusal? {
    do {
        try await call()
        return nil
    } catch {
        guard case .refused(let refusal)? = error as? TrackerError else { return nil }
        return refusal
    }
}

/// The error a call ends with.
func trackerError(_ call: () async throws -> Void) async -> TrackerError? {
    do {
        try await call()
        return nil
    } catch {
        return error as? TrackerError
    }
}
