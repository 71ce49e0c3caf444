import Domain
import Foundation
import HTTPClient
import Store
import StoreTestSupport
import Synchronization
import TestSupport
import Testing
import Trackers

@testable import Sync

/// A reference service whose webhooks are registered, the store that follows it, and what it has
/// delivered so far.
final class WebhookWorld: Sendable {
    enum Service: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case github, gitlab
        case jiraCloud = "jira-cloud"
        case jiraServer = "jira-server"

        var testDescription: String { rawValue }
        var isJira: Bool { self == .jiraCloud || self == .jiraServer }
        var kind: TrackerKind { isJira ? .jira : self == .github ? .github : .gitlab }
        var deployment: TrackerDeployment { self == .jiraServer ? .server : .cloud }
        var project: String { isJira ? "TOOL" : "acme/tool" }
    }

    /// A request as it arrived.
    struct Delivery: Sendable {
        var path: String
        var headers: [(name: String, value: String)]
        var body: [UInt8]

        /// `…/KIND/ADDRESS`.
        var address: String { path.split(separator: "/").last.map(String.init) ?? "" }
    }

    let service: Service
    let fake: FakeTrackers
    let scratch: ScratchStore
    let box: SecretBox
    let tracker: Tracker
    let wishes = Mutex<[WebhookProcessor.ScanWish]>([])
    private let inbox: ScriptedHTTPServer
    private let received: Shelf
    private let parameters: TrackerClients.Parameters

    /// What the server's threads fill.
    private final class Shelf: Sendable {
        let deliveries = Mutex<[Delivery]>([])
    }

    var store: Store { scratch.store }

    init(_ service: Service) async throws {
        self.service = service
        fake = try await FakeTrackers.start(corpora: [.items(Self.items)])
        scratch = try await Engine.current.store()
        box = try SecretBox(keyMaterial: Secret("a key for tests, long enough"))
        let received = Shelf()
        self.received = received
        inbox = try ScriptedHTTPServer { request in
            let delivery = Delivery(
                path: request.target,
                headers: request.headers.map { (name: $0.key, value: $0.value) },
                body: request.body
            )
            // GitHub greets a new webhook, at some moment of its own.
            if request.headers["x-github-event"] != "ping" {
                received.deliveries.withLock { $0.append(delivery) }
            }
            return [.answer(202)]
        }
        let secret = Secret("test-token")
        parameters = TrackerClients.Parameters(
            kind: service.kind,
            deployment: service.deployment,
            url: fake.url(service.rawValue),
            userName: service.isJira ? "someone@example.com" : nil,
            credential: { () throws(TrackerError) in secret },
            transport: try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        )
        let (url, store) = (fake.url(service.rawValue), scratch.store)
        tracker = try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            let tracker = Tracker(
                id: ids[0],
                kind: service.kind,
                deployment: service.deployment,
                name: "t",
                url: url,
                createdAt: store.clock.now()
            )
            try TrackerTable.insert(
                tracker,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            return tracker
        }
        #expect(try await scan().isComplete)
        let installed = try await installer().install()
        #expect(installed.count == 1 && installed[0].webhooks.count == 1)
    }

    deinit {
        inbox.stop()
        fake.stop()
    }

    func installer() throws -> WebhookInstaller {
        WebhookInstaller(
            store: store,
            box: box,
            tracker: tracker,
            registrar: try TrackerClients.writers(parameters).webhooks,
            base: inbox.origin,
            record: { _, _, _ in }
        )
    }

    func client() throws -> any TrackerClient { try TrackerClients.make(parameters) }

    func receiver(_ limits: WebhookReceiver.Limits = .init()) -> WebhookReceiver {
        WebhookReceiver(database: store.database, box: box, limits: limits)
    }

    @discardableResult
    func scan(isFull: Bool = false) async throws -> ScanReport {
        let parameters = parameters
        return try await ScanRunner(store: store) { _ in try TrackerClients.make(parameters) }
            .run(ScanRequest(.all, isFull: isFull))
    }

    /// Does all waiting work, with this client.
    @discardableResult
    func work(_ client: (any TrackerClient)? = nil) async throws -> Int {
        let client = try client ?? self.client()
        let processor = WebhookProcessor(
            store: store,
            clients: { _ in client },
            requestScan: { wish in self.wishes.withLock { $0.append(wish) } }
        )
        let worker = JobWorker(store, handlers: [WebhookProcessor.kind: processor.handle])
        return try await worker.drain()
    }

    func give(_ delivery: Delivery, to receiver: WebhookReceiver) async
        -> WebhookReceiver.Verdict
    {
        await receiver.receive(
            kind: service.kind,
            address: delivery.address,
            headers: delivery.headers,
            body: delivery.body
        )
    }

    // MARK: - The service

    /// Changes an item and gives what was delivered for it, at least so many deliveries.
    func change(_ number: Int, _ change: JSONValue, atLeast count: Int = 1) async throws
        -> [Delivery]
    {
        let before = received.deliveries.withLock { $0.count }
        guard case .object(var members) = change else { return [] }
        members["tracker"] = .string(service.kind.rawValue)
        members["project"] = .string(service.project)
        if members["create"] == nil { members["number"] = .integer(Int64(number)) }
        _ = try await fake.mutate(.object(members))
        let end = ContinuousClock.now.advanced(by: .seconds(60))
        while received.deliveries.withLock({ $0.count }) < before + count {
            guard ContinuousClock.now < end else { throw FakeTrackersError.unavailable }
            try await Task.sleep(for: .milliseconds(10))
        }
        return Array(received.deliveries.withLock { $0 }.dropFirst(before))
    }

    /// The rows of deliveries and jobs.
    func counts() async throws -> (deliveries: Int, jobs: Int) {
        let tracker = tracker.id
        return try await store.read { connection, account in
            let organizations = try OrganizationTable.list(
                of: tracker,
                account: account,
                on: connection
            )
            var rows = 0
            for organization in organizations {
                rows += try WebhookDeliveryTable.list(
                    of: organization.id,
                    limit: 100_000,
                    account: account,
                    on: connection
                ).count
            }
            let jobs = try JobTable.counts(account: account, on: connection)
            return (rows, jobs.reduce(0) { $0 + $1.count })
        }
    }

    /// Where the store is not what the service holds, one line each.
    func differences() async throws -> [String] {
        let truth = try await fake.truth(
            tracker: service.kind.rawValue,
            project: service.project
        )
        let (tracker, isJira) = (tracker.id, service.isJira)
        let stored = try await store.read { connection, account in
            var found: [Int: (Domain.Issue, [Domain.Comment])] = [:]
            for project in try ProjectTable.list(
                tracker: tracker,
                account: account,
                on: connection
            ) {
                for kind in IssueKind.allCases {
                    for row in try ExportTable.issues(
                        of: project.id,
                        kind: kind,
                        after: nil,
                        withDeleted: false,
                        limit: 10_000,
                        account: account,
                        on: connection
                    ) {
                        let comments = try ExportTable.comments(
                            of: row.id,
                            account: account,
                            on: connection
                        )
                        found[row.issue.number] = (row.issue, comments)
                    }
                }
            }
            return found
        }
        var lines: [String] = []
        for number in Set(truth.items.keys).union(stored.keys).sorted() {
            guard let item = truth.items[number] else {
                lines.append("\(number) is gone from the tracker")
                continue
            }
            guard let (issue, comments) = stored[number] else {
                lines.append("\(number) is not stored")
                continue
            }
            if issue.title != item.title { lines.append("\(number): title `\(issue.title)`") }
            if (issue.state == .open) != item.isOpen { lines.append("\(number): state") }
            if Set(comments.map(\.externalID)) != Set(item.comments.keys) {
                lines.append("\(number): \(comments.count) of \(item.comments.count) comments")
            }
            guard !isJira else { continue }
            for comment in comments
            where sha256(Array(comment.body.utf8)) != item.comments[comment.externalID] {
                lines.append("\(number): comment `\(comment.body)`")
            }
        }
        return lines
    }

    private static var items: [JSONValue] {
        var items: [JSONValue] = []
        for tracker in ["github", "gitlab", "jira"] {
            for number in 1...4 {
                var item = JSONObject()
                item["tracker"] = .string(tracker)
                item["project"] = tracker == "jira" ? "TOOL" : "acme/tool"
                item["number"] = .integer(Int64(number))
                item["title"] = .string("Crash \(number)")
                item["body"] = "It crashes"
                item["state"] = "open"
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
                if tracker == "jira" {
                    item["status"] = "Open"
                    item["priority"] = "Major"
                    item["issue_type"] = "Bug"
                }
                items.append(.object(item))
            }
        }
        return items
    }
}

/// A client that lets something happen between what it reads and what it gives.
struct SlowClient: TrackerClient {
    let client: any TrackerClient
    /// Called after each reading of an issue, with how many there were.
    let afterPresence: @Sendable (Int) async throws -> Void
    private let count = Counter()

    init(
        _ client: any TrackerClient,
        afterPresence: @escaping @Sendable (Int) async throws -> Void
    ) {
        self.client = client
        self.afterPresence = afterPresence
    }

    private final class Counter: Sendable {
        let value = Mutex(0)
    }

    var readings: Int { count.value.withLock { $0 } }
    var commentListing: CommentListing { client.commentListing }

    func verify() async throws(TrackerError) -> TrackerIdentity { try await client.verify() }

    func organizations() async throws(TrackerError) -> [RemoteOrganization] {
        try await client.organizations()
    }

    func projects(of organization: RemoteOrganization) async throws(TrackerError) -> ProjectList {
        try await client.projects(of: organization)
    }

    func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        try await client.issues(of: project, walk: walk, page: page, validator: validator)
    }

    func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage {
        try await client.comments(of: project, walk: walk, page: page)
    }

    func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence {
        let presence = try await client.presence(of: issue, in: project)
        let number = count.value.withLock { value in
            value += 1
            return value
        }
        do {
            try await afterPresence(number)
        } catch {
            throw .unavailable(detail: "\(error)")
        }
        return presence
    }
}
