import Domain
import HTTPClient
import TestSupport
import Trackers

/// A walk that gave more pages than any project has.
struct EndlessWalk: Error {}

/// Everything a client tells of one project, read the way a first scan reads it.
struct ProjectReading {
    var issues: [Issue] = []
    var malformed: [MalformedItem] = []
    /// By the issue's kind and number.
    var comments: [Place: [Comment]] = [:]
    var pageCount = 0

    struct Place: Hashable {
        var kind: IssueKind
        var number: Int
    }

    /// Walks the project and its comments to the end.
    init(
        _ client: any TrackerClient,
        _ project: RemoteProject,
        walk: IssueWalk = .everything,
        withComments: Bool = true
    ) async throws {
        var token: PageToken?
        repeat {
            let page = try await client.issues(
                of: project,
                walk: walk,
                page: token,
                validator: nil
            )
            take(page)
            token = page.next
            guard pageCount < 500 else { throw EndlessWalk() }
        } while token != nil
        guard withComments else { return }
        switch client.commentListing {
        case .perProject:
            let pulls = Set(issues.filter { $0.kind == .pullRequest }.map(\.number))
            try await read(client, project, .project(since: nil)) { comment in
                let isPull = pulls.contains(comment.issueNumber)
                return Place(kind: isPull ? .pullRequest : .issue, number: comment.issueNumber)
            }
        case .perIssue:
            for issue in issues where issue.commentCount != 0 {
                let reference = IssueReference(issue)
                try await read(client, project, .issue(reference)) { comment in
                    Place(kind: issue.kind, number: comment.issueNumber)
                }
            }
        }
    }

    private mutating func take(_ page: IssuePage) {
        pageCount += 1
        for item in page.items {
            switch item {
            case .issue(let issue, let embedded):
                issues.removeAll { $0.externalID == issue.externalID }
                issues.append(issue)
                if case .complete(let list) = embedded {
                    comments[Place(kind: issue.kind, number: issue.number)] = list
                }
            case .malformed(let item): malformed.append(item)
            case .sighting: break
            }
        }
    }

    private mutating func read(
        _ client: any TrackerClient,
        _ project: RemoteProject,
        _ walk: CommentWalk,
        place: (FetchedComment) -> Place
    ) async throws {
        var token: PageToken?
        repeat {
            let page = try await client.comments(of: project, walk: walk, page: token)
            for comment in page.comments {
                let place = place(comment)
                var list = comments[place] ?? []
                list.removeAll { $0.externalID == comment.comment.externalID }
                list.append(comment.comment)
                comments[place] = list
            }
            malformed += page.malformed
            token = page.next
        } while token != nil
    }

    /// How this differs from what the service holds, a line each; empty when it does not.
    ///
    /// Text with NUL or lone surrogates cannot be equal by digest and is compared by the caller.
    func differences(from truth: TrackerTruth, isGitHub: Bool = false) -> [String] {
        var lines: [String] = malformed.map { "malformed \($0.externalID ?? "?"): \($0.reason)" }
        if issues.count != truth.items.count {
            lines.append("\(issues.count) issues instead of \(truth.items.count)")
        }
        for issue in issues {
            guard let item = truth.items[issue.number] else {
                lines.append("\(issue.key) should not exist")
                continue
            }
            // On GitHub a pull request has two ids; lists of issues show the issue's.
            let shift: Int64 = isGitHub && item.isPullRequest ? 7_000_000_000 : 0
            compare(issue, item, id: String((Int64(item.id) ?? -1) + shift), into: &lines)
        }
        return Array(lines.prefix(20))
    }

    private func compare(
        _ issue: Issue,
        _ item: TrackerTruth.Item,
        id: String,
        into lines: inout [String]
    ) {
        func check(_ isEqual: Bool, _ what: String) {
            if !isEqual { lines.append("\(issue.key): \(what)") }
        }
        check(issue.externalID == id, "id \(issue.externalID) instead of \(id)")
        check(haveEqualBytes(issue.title, sanitized(item.title ?? "")), "title")
        check((issue.state == .open) == item.isOpen, "state")
        check((issue.kind == .pullRequest) == item.isPullRequest, "kind")
        check(issue.labels == item.labels, "labels")
        if !issue.body.contains("\u{FFFD}") {
            check(sha256(Array(issue.body.utf8)) == item.bodySHA256, "body")
        }
        let updated = Timestamp(parsing: item.updatedAt)
        check(issue.updatedAt.milliseconds / 1000 == (updated?.milliseconds ?? 0) / 1000, "time")
        let found = comments[Place(kind: issue.kind, number: issue.number)] ?? []
        check(Set(found.map(\.externalID)) == Set(item.comments.keys), "comment ids")
        for comment in found where !comment.body.contains("\u{FFFD}") {
            let digest = item.comments[comment.externalID]
            check(sha256(Array(comment.body.utf8)) == digest, "comment \(comment.externalID)")
        }
    }
}

extension FakeTrackers {
    /// A client of one of the services, over real HTTP, with pauses short enough for tests.
    func client(
        _ kind: TrackerKind,
        token: String = "test-token",
        clock: any Clock<Duration> = ContinuousClock(),
        adjust: @escaping @Sendable (inout TrackerSession.Configuration) -> Void = { _ in }
    ) throws -> any TrackerClient {
        let transport = try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        let secret = Secret(token)
        var parameters = TrackerClients.Parameters(
            kind: kind,
            deployment: .cloud,
            url: url(kind.rawValue),
            credential: { () async throws(TrackerError) in secret },
            transport: transport
        )
        parameters.clock = clock
        parameters.adjust = { configuration in
            configuration.retry.firstPause = .milliseconds(1)
            configuration.retry.longestPause = .milliseconds(5)
            configuration.limits.idleTimeout = .seconds(10)
            adjust(&configuration)
        }
        return try TrackerClients.make(parameters)
    }
}

extension TrackerClient {
    /// The project at `path`, found the way a scan finds it.
    func project(at path: String) async throws -> RemoteProject {
        for organization in try await organizations() {
            for project in try await projects(of: organization) where project.path == path {
                return project
            }
        }
        throw TrackerError.notFound(detail: path)
    }
}
