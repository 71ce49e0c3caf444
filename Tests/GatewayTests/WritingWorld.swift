import Domain
import Foundation
import HTTPClient
import MCP
import Search
import Store
import StoreTestSupport
import Sync
import Synchronization
import TestSupport
import Testing
import Trackers

@testable import Gateway

/// The four services that tools write to.
enum Service: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case github, gitlab
    case jiraCloud = "jira-cloud"
    case jiraServer = "jira-server"

    var testDescription: String { rawValue }
    var isJira: Bool { self == .jiraCloud || self == .jiraServer }
    var deployment: TrackerDeployment { self == .jiraServer ? .server : .cloud }
    var project: String { isJira ? "TOOL" : "acme/tool" }
    var kind: TrackerKind { isJira ? .jira : self == .github ? .github : .gitlab }

    func key(_ number: Int) -> String { isJira ? "TOOL-\(number)" : "acme/tool#\(number)" }
    func pullKey(_ number: Int) -> String {
        self == .gitlab ? "acme/tool!\(number)" : "acme/tool#\(number)"
    }
}

/// A reference service, a store that was scanned from it and indexed, and the tools over both.
final class WritingWorld: ToolWorld {
    let service: Service
    let fake: FakeTrackers
    let transport: BreakableTransport
    let scratch: ScratchStore
    let calls: GuardedCall
    let pipeline: IndexPipeline
    private let parameters: TrackerClients.Parameters

    var store: Store { scratch.store }

    init(
        _ service: Service,
        token: String = "test-token",
        arguments: [String] = []
    ) async throws {
        self.service = service
        fake = try await FakeTrackers.start(corpora: [.items(Self.items)], arguments: arguments)
        scratch = try await Engine.current.store()
        let store = scratch.store
        let client = try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        transport = BreakableTransport(ThreadTransport(client))
        let secret = Secret(token)
        var parameters = TrackerClients.Parameters(
            kind: service.kind,
            deployment: service.deployment,
            url: fake.url(service.rawValue),
            userName: service.isJira ? "someone@example.com" : nil,
            credential: { () throws(TrackerError) in secret },
            transport: transport
        )
        // What waits, waits no time.
        parameters.clock = HastyClock()
        self.parameters = parameters
        try await Self.addTracker(service, url: fake.url(service.rawValue), to: store)
        pipeline = try await IndexPipeline(
            store: store,
            embedder: WordEmbedder(),
            directory: scratch.directory.path("index")
        )
        let search = pipeline.search
        var tools = BuiltInTools(store: store, scanLease: "scan") { _ in search }
        tools.writers = { [parameters] _ in try TrackerClients.writers(parameters) }
        calls = GuardedCall(
            tools: tools.make(),
            policy: OpenPolicy(),
            journal: StoreJournal(store: store, keys: try AuditKeys.testing(store.account))
        )
        #expect(try await scan().isComplete)
    }

    deinit { fake.stop() }

    private static func addTracker(
        _ service: Service,
        url: String,
        to store: Store
    ) async throws {
        try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: service.kind,
                    deployment: service.deployment,
                    name: "t",
                    url: url,
                    createdAt: store.clock.now()
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
        }
    }

    /// Scans the service and indexes what was read.
    @discardableResult
    func scan() async throws -> ScanReport {
        let parameters = parameters
        let runner = ScanRunner(store: store) { _ in try TrackerClients.make(parameters) }
        let report = try await runner.run(ScanRequest(.all))
        _ = try await pipeline.drain()
        return report
    }

    /// What the service holds of the project.
    func truth() async throws -> TrackerTruth {
        try await fake.truth(tracker: service.kind.rawValue, project: service.project)
    }

    /// The keys of what a search finds.
    func found(_ query: String, _ mode: String) async throws -> [String] {
        let answer = try await call("search", ["query": .string(query), "mode": .string(mode)])
        return answer["results"]?.array?.compactMap { $0["item"]?["key"]?.string } ?? []
    }

    static let crash = IssueWorld.crash

    private static let texts = [
        (IssueWorld.crash, IssueWorld.crashBody),
        ("Dark theme for the settings page", "As a user I want less light"),
        ("Translate the manual", "It is in Latin"),
    ]

    private static var items: [JSONValue] {
        var items: [JSONValue] = []
        for tracker in ["github", "gitlab", "jira"] {
            let isJira = tracker == "jira"
            for (index, text) in texts.enumerated() {
                var item = JSONObject()
                item["tracker"] = .string(tracker)
                item["project"] = isJira ? "TOOL" : "acme/tool"
                item["number"] = .integer(Int64(index + 1))
                item["title"] = .string(text.0)
                item["body"] = .string(text.1)
                item["state"] = "open"
                item["labels"] = ["bug"]
                item["author"] = "ann"
                item["created_at"] = "2025-01-02T03:04:05Z"
                item["updated_at"] = "2025-01-03T03:04:05Z"
                item["comments"] = []
                if isJira {
                    item["status"] = "Open"
                    item["priority"] = "Major"
                    item["issue_type"] = "Bug"
                }
                items.append(.object(item))
            }
            guard !isJira else { continue }
            items.append([
                "tracker": .string(tracker), "project": "acme/tool", "number": 9,
                "title": "Mend it", "body": "Mends the manual", "state": "open", "labels": [],
                "author": "ann", "is_pull_request": true, "created_at": "2025-01-02T03:04:05Z",
                "updated_at": "2025-01-03T03:04:05Z", "comments": [],
                "pr": ["head": ["ref": "mend"], "base": ["ref": "main"]],
            ])
        }
        return items
    }
}

/// A network that can break: then a write reaches the service and nothing comes back any more.
///
/// It can also change words on their way, so that the service takes others than it was given.
final class BreakableTransport: HTTPTransport {
    private let network: any HTTPTransport
    private let isBroken = Mutex(false)
    private let willBreak = Mutex(false)
    private let exchanged = Mutex<(word: String, other: String)?>(nil)

    init(_ network: any HTTPTransport) { self.network = network }

    /// Breaks with the next write.
    func breakAtNextWrite() { willBreak.withLock { $0 = true } }

    /// Works again.
    func mend() { isBroken.withLock { $0 = false } }

    /// From now on what is sent holds another word in the place of this one.
    func exchange(_ word: String, for other: String) {
        exchanged.withLock { $0 = (word, other) }
    }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        var request = request
        if let (word, other) = exchanged.withLock({ $0 }), let body = request.body {
            let text = String(decoding: body, as: UTF8.self)
            request.body = Array(text.replacingOccurrences(of: word, with: other).utf8)
        }
        if isBroken.withLock({ $0 }) {
            throw .connectionLost(host: "127.0.0.1", reason: "unplugged")
        }
        let response = try await network.send(request)
        guard request.method == "POST", willBreak.withLock({ $0 }) else { return response }
        willBreak.withLock { $0 = false }
        isBroken.withLock { $0 = true }
        throw .connectionLost(host: "127.0.0.1", reason: "unplugged")
    }
}
