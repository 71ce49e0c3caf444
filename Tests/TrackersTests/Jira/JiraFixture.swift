import Domain
import HTTPClient
import Synchronization
import TestSupport

@testable import Trackers

/// The reference services with clients for them.
struct JiraFixture {
    let fake: FakeTrackers
    let transport: CurlClient

    static func start(
        _ corpora: [FakeTrackers.Corpus],
        _ arguments: [String] = []
    ) async throws -> JiraFixture {
        JiraFixture(
            fake: try await FakeTrackers.start(corpora: corpora, arguments: arguments),
            transport: try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        )
    }

    func client(
        _ deployment: TrackerDeployment,
        token: String = "test-token",
        userName: String? = "someone@example.com"
    ) throws -> JiraClient {
        var parameters = TrackerClients.Parameters(
            kind: .jira,
            deployment: deployment,
            url: fake.url(deployment == .cloud ? "jira-cloud" : "jira-server"),
            userName: userName,
            credential: { () throws(TrackerError) in Secret(token) },
            transport: transport
        )
        parameters.clock = SkippingClock()
        return try JiraClient(parameters)
    }

    func project(_ key: String, _ client: JiraClient) async throws -> RemoteProject {
        for organization in try await client.organizations() {
            let projects = try await client.projects(of: organization)
            if let project = projects.first(where: { $0.path == key }) { return project }
        }
        throw TrackerError.notFound(detail: key)
    }
}

/// A clock that jumps ahead instead of waiting, so that tests of pauses take no time.
final class SkippingClock: Clock, Sendable {
    typealias Instant = ContinuousClock.Instant
    private let skipped = Mutex(Duration.zero)

    var now: Instant { ContinuousClock.now + skipped.withLock { $0 } }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        let left = now.duration(to: deadline)
        if left > .zero { skipped.withLock { $0 += left } }
    }
}

/// What a walk brought together.
struct JiraWalkResult {
    var issues: [String: Issue] = [:]
    var comments: [String: [Comment]] = [:]
    var sightings: Set<String> = []
    var malformed: [MalformedItem] = []
    /// Rows, repeats included.
    var rows = 0
    var pages = 0
    var order: [String] = []
}

extension JiraClient {
    /// Walks to the end; every page through a client that knows nothing but the token.
    func walk(
        _ project: RemoteProject,
        _ walk: IssueWalk,
        betweenPages: (Int) async throws -> Void = { _ in }
    ) async throws -> JiraWalkResult {
        var result = JiraWalkResult()
        var token: PageToken?
        repeat {
            let page = try await issues(of: project, walk: walk, page: token, validator: nil)
            for item in page.items {
                result.rows += 1
                switch item {
                case .issue(let issue, let comments):
                    result.issues[issue.externalID] = issue
                    result.order.append(issue.key)
                    if case .complete(let list) = comments {
                        result.comments[issue.externalID] = list
                    }
                case .sighting(let sighting): result.sightings.insert(sighting.externalID)
                case .malformed(let item): result.malformed.append(item)
                }
            }
            result.pages += 1
            token = page.next
            if token != nil { try await betweenPages(result.pages) }
        } while token != nil && result.pages < 500
        return result
    }
}

/// What differs between a walk and the service's truth; empty when nothing does.
///
/// Bodies are compared by the digest of their source where the service sends markup.
func differences(
    _ result: JiraWalkResult,
    _ truth: TrackerTruth,
    bodies: Bool
) -> [String] {
    var found: [String] = []
    let byNumber = Dictionary(grouping: result.issues.values, by: \.number)
    if Set(byNumber.keys) != Set(truth.items.keys) {
        let missing = Set(truth.items.keys).subtracting(byNumber.keys).sorted()
        found.append("\(byNumber.count) of \(truth.items.count), missing \(missing.prefix(9))")
    }
    for (number, item) in truth.items {
        guard let issue = byNumber[number]?.first else { continue }
        if issue.externalID != item.id { found.append("\(number): id") }
        if !haveEqualBytes(issue.title, sanitized(item.title ?? "")) {
            found.append("\(number): title")
        }
        if (issue.state == .open) != item.isOpen { found.append("\(number): state") }
        if issue.labels != withoutRepeats(item.labels.map(sanitized)) {
            found.append("\(number): labels")
        }
        if issue.updatedAt != Timestamp(parsing: item.updatedAt) {
            found.append("\(number): updated \(issue.updatedAt) is not \(item.updatedAt)")
        }
        let comments = result.comments[issue.externalID]
        if Set(comments?.map(\.externalID) ?? []) != Set(item.comments.keys) || comments == nil {
            found.append("\(number): comments \(comments?.count ?? -1) of \(item.comments.count)")
        }
        guard bodies else { continue }
        if !isSame(issue.source, item.bodySHA256) { found.append("\(number): body") }
        for comment in comments ?? [] {
            let digest = item.comments[comment.externalID] ?? ""
            if !isSame(comment.source, digest) { found.append("\(number): comment body") }
        }
    }
    return found
}

/// Text with NUL or an unpaired surrogate differs from what the service digested, by design.
private func isSame(_ source: String?, _ digest: String) -> Bool {
    let source = source ?? ""
    return sha256(Array(source.utf8)) == digest || source.unicodeScalars.contains("\u{FFFD}")
}

extension Issue {
    /// How presence is asked for.
    var reference: IssueReference {
        IssueReference(externalID: externalID, kind: kind, number: number, key: key)
    }
}
