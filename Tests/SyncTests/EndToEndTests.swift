import Domain
import Foundation
import HTTPClient
import Store
import StoreTestSupport
import TestSupport
import Testing
import Trackers

@testable import Sync

/// Whole scans over real HTTP against the reference services, compared with what these hold.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct EndToEndTests {
    @Test(arguments: [TrackerKind.github, .gitlab, .jira])
    func `a store equals the service after scans and changes`(kind: TrackerKind) async throws {
        let fake = try await FakeTrackers.start(corpora: [
            .items(try items(kind == .jira ? "jira" : "f2etw", limit: 150)), .shared("edge"),
        ])
        defer { fake.stop() }
        let installation = try await Installation(fake, kind)

        #expect(try await installation.scan().isComplete)
        let first = try await installation.differences(fake, kind)
        #expect(first.isEmpty, "\(first.joined(separator: "\n"))")

        let second = try await installation.scan()
        #expect(second.totals.written == 0)
        try await change(fake, kind, installation)
        #expect(try await installation.scan().isComplete)
        // What a scan for changes cannot see: what was deleted without a trace.
        let middle = try await installation.differences(fake, kind)
        #expect(middle.count <= 2, "\(middle.joined(separator: "\n"))")
        #expect(try await installation.scan(isFull: true).isComplete)
        let last = try await installation.differences(fake, kind)
        #expect(last.isEmpty, "\(last.joined(separator: "\n"))")
    }

    /// Changes show up in lists a second late; whatever a scan between saw, none is passed over.
    @Test(arguments: [TrackerKind.github, .jira])
    func `changes that a lagging list shows late arrive`(kind: TrackerKind) async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.items(try items("f2etw", limit: 40))],
            arguments: ["--github-list-lag", "1000", "--jira-index-lag", "1000"]
        )
        defer { fake.stop() }
        let installation = try await Installation(fake, kind)
        #expect(try await installation.scan().isComplete)
        let path = try #require(try await installation.largestProject())
        let numbers = try await fake.truth(tracker: kind.rawValue, project: path).items.keys
        for number in numbers.sorted().prefix(6) {
            try await fake.mutate([
                "tracker": .string(kind.rawValue), "project": .string(path),
                "number": .integer(Int64(number)), "comment": ["author": "ann", "body": "late"],
            ])
            #expect(try await installation.scan().isComplete)
        }
        // The service's own clock lets the lag pass; a scan takes a few milliseconds.
        let end = ContinuousClock.now + .seconds(30)
        var differences: [String] = []
        repeat {
            #expect(try await installation.scan().isComplete)
            differences = try await installation.differences(fake, kind)
        } while !differences.isEmpty && ContinuousClock.now < end
        #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
    }

    /// Counted by the service: a client's call may be several requests.
    @Test(arguments: [
        Subject(.github), Subject(.gitlab), Subject(.jira), Subject(.jira, .server),
    ])
    func `a scan without changes costs three requests a project at most`(
        subject: Subject
    ) async throws {
        let names = subject.kind == .jira ? ["jira"] : ["f2etw", "bips"]
        let corpora = try names.map { FakeTrackers.Corpus.items(try items($0, limit: 300)) }
        let fake = try await FakeTrackers.start(corpora: corpora + [.shared("edge")])
        defer { fake.stop() }
        let installation = try await Installation(fake, subject.kind, subject.deployment)
        let paths = try await installation.scan().projects.map(\.path)
        #expect(paths.count >= 3)
        for path in paths {
            let selection = ScanSelection.project(tracker: "t", path: path)
            try await fake.resetStats()
            _ = try await installation.scan(selection, isDryRun: true)
            let discovery = try await fake.requestCount()
            // The second scan leaves a tag or an empty answer, the third one builds on it.
            for number in 2...3 {
                try await fake.resetStats()
                let report = try await installation.scan(selection)
                let count = try await fake.requestCount() - discovery
                #expect(report.totals.written == 0)
                #expect(count <= 3, "\(path), scan \(number): \(count) requests")
            }
        }
    }

    /// A service in one of its deployments.
    struct Subject: Sendable, CustomTestStringConvertible {
        var kind: TrackerKind
        var deployment: TrackerDeployment
        var testDescription: String { "\(kind.rawValue) \(deployment)" }

        init(_ kind: TrackerKind, _ deployment: TrackerDeployment = .cloud) {
            self.kind = kind
            self.deployment = deployment
        }
    }

    /// A few changes of every kind to the project with most issues.
    private func change(
        _ fake: FakeTrackers,
        _ kind: TrackerKind,
        _ installation: Installation
    ) async throws {
        let path = try #require(try await installation.largestProject())
        let numbers = try await fake.truth(tracker: kind.rawValue, project: path).items
        let sorted = numbers.keys.sorted()
        func mutate(_ number: Int, _ key: String, _ value: JSONValue) async throws {
            try await fake.mutate([
                "tracker": .string(kind.rawValue), "project": .string(path),
                "number": .integer(Int64(number)), key: value,
            ])
        }
        try await mutate(sorted[0], "set", ["title": "changed"])
        try await mutate(sorted[1], "delete", true)
        try await mutate(sorted[2], "comment", ["author": "ann", "body": "new"])
        if let talked = sorted.last(where: { numbers[$0]?.comments.isEmpty == false }),
            let comment = numbers[talked]?.comments.keys.min()
        {
            try await mutate(talked, "delete_comment", .string(comment))
            if let other = sorted.last(where: {
                $0 != talked && numbers[$0]?.comments.isEmpty == false
            }), let edited = numbers[other]?.comments.keys.min() {
                let change: JSONValue = ["id": .string(edited), "body": "said otherwise"]
                try await mutate(other, "edit_comment", change)
            }
        }
        try await fake.mutate([
            "tracker": .string(kind.rawValue), "project": .string(path),
            "create": ["title": "made", "body": "text", "author": "ann"],
        ])
    }

    private func items(_ corpus: String, limit: Int) throws -> [JSONValue] {
        let file = try #require(SharedData.file("trackers/corpora/corpus-\(corpus).jsonl"))
        let lines = try Array(Data(contentsOf: file)).split(separator: UInt8(ascii: "\n"))
        return try lines.prefix(limit).map { line in
            guard case .object(var object) = try JSONParser.parse(Array(line)) else { return .null }
            object["tracker"] = nil
            return .object(object)
        }
    }
}

extension FakeTrackers {
    /// Requests to the services since the numbers were reset.
    fileprivate func requestCount() async throws -> Int64 {
        (try await stats()["routes"]?.object?.members ?? []).reduce(0) {
            $0 + ($1.value.integer ?? 0)
        }
    }
}

/// A store that scans one of the services.
private struct Installation {
    let scratch: ScratchStore
    let client: any TrackerClient

    var store: Store { scratch.store }

    init(
        _ fake: FakeTrackers,
        _ kind: TrackerKind,
        _ deployment: TrackerDeployment = .cloud
    ) async throws {
        scratch = try await Engine.current.store()
        let secret = Secret("test-token")
        let jira = deployment == .cloud ? "jira-cloud" : "jira-server"
        var parameters = TrackerClients.Parameters(
            kind: kind,
            deployment: deployment,
            url: fake.url(kind == .jira ? jira : kind.rawValue),
            userName: kind == .jira ? "user@example.com" : nil,
            credential: { () async throws(TrackerError) in secret },
            transport: try CurlClient(configuration: CurlClient.Configuration(version: "test"))
        )
        parameters.adjust = { configuration in
            configuration.retry.firstPause = .milliseconds(1)
            configuration.retry.longestPause = .milliseconds(5)
        }
        client = try TrackerClients.make(parameters)
        let tracker = Tracker(
            id: TrackerID(1_000_000),
            kind: kind,
            deployment: deployment,
            name: "t",
            url: fake.origin,
            createdAt: scratch.store.clock.now()
        )
        try await scratch.store.write { connection, account in
            try TrackerTable.insert(
                tracker,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
        }
    }

    func scan(
        _ selection: ScanSelection = .all,
        isFull: Bool = false,
        isDryRun: Bool = false
    ) async throws -> ScanReport {
        try await ScanRunner(store: store, clients: { [client] _ in client })
            .run(ScanRequest(selection, isFull: isFull, isDryRun: isDryRun))
    }

    func largestProject() async throws -> String? {
        try await store.read { connection, account in
            let counts = try ProjectCounts.all(account: account, on: connection)
            return try ProjectTable.list(account: account, on: connection)
                .max { (counts[$0.id]?.issues ?? 0) < (counts[$1.id]?.issues ?? 0) }?.path
        }
    }

    /// Where the store is not what the service holds, one line each.
    func differences(_ fake: FakeTrackers, _ kind: TrackerKind) async throws -> [String] {
        let projects = try await store.read { connection, account in
            try ProjectTable.list(account: account, on: connection)
        }
        var lines: [String] = projects.isEmpty ? ["no projects"] : []
        for project in projects {
            let truth = try await fake.truth(tracker: kind.rawValue, project: project.path)
            let stored = try await issues(of: project.id)
            for number in Set(truth.items.keys).union(stored.keys).sorted() {
                let difference = describe(truth.items[number], stored[number], kind)
                if let difference { lines.append("\(project.path) \(number): \(difference)") }
            }
        }
        return lines
    }

    private func describe(
        _ truth: TrackerTruth.Item?,
        _ stored: (issue: Domain.Issue, comments: [Domain.Comment])?,
        _ kind: TrackerKind
    ) -> String? {
        guard let truth else { return "is not there any more" }
        guard let stored else { return "is missing" }
        if (stored.issue.state == .open) != truth.isOpen { return "state" }
        let identifiers = Set(stored.comments.map(\.externalID))
        if identifiers != Set(truth.comments.keys) {
            return "\(identifiers.count) of \(truth.comments.count) comments"
        }
        let title = sanitized(truth.title ?? "")
        // Jira refuses line breaks and outer spaces in titles and shows bodies in another markup.
        guard kind != .jira else { return nil }
        if !haveEqualBytes(stored.issue.title, title) { return "title" }
        let edited = stored.comments.first { comment in
            // What cannot be stored is replaced, so the digest differs.
            !comment.body.contains("\u{FFFD}")
                && sha256(Array(comment.body.utf8)) != truth.comments[comment.externalID]
        }
        if let edited { return "comment \(edited.externalID)" }
        let isSame = sha256(Array(stored.issue.body.utf8)) == truth.bodySHA256
        return isSame || stored.issue.body.contains("\u{FFFD}") ? nil : "body"
    }

    private func issues(
        of project: ProjectID
    ) async throws -> [Int: (issue: Domain.Issue, comments: [Domain.Comment])] {
        let rows = try await store.read { connection, account in
            try IssueKind.allCases.flatMap { kind in
                try ExportTable.issues(
                    of: project,
                    kind: kind,
                    after: nil,
                    withDeleted: false,
                    limit: 100_000,
                    account: account,
                    on: connection
                ).map { row in
                    (
                        row.issue,
                        try ExportTable.comments(of: row.id, account: account, on: connection)
                    )
                }
            }
        }
        return Dictionary(
            rows.map { ($0.0.number, (issue: $0.0, comments: $0.1)) },
            uniquingKeysWith: { first, _ in first }
        )
    }
}
