import Domain
import HTTPClient
import TestSupport
import Testing
import Trackers

/// Failures of the service while it is read; the numbers are those of the project's list of cases.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct FaultTests {
    static let kinds = ["html502", "ratelimit", "reset", "truncated", "slow", "move"]
    static let cases: [(TrackerKind, String)] = [TrackerKind.github, .gitlab].flatMap { kind in
        kinds.map { (kind, $0) }
    }

    @Test(arguments: cases)
    func `cases 1 2 4 5 6 7: a reading under faults equals the truth`(
        kind: TrackerKind,
        fault: String
    ) async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: [
                "--faults", "7", "--fault-rate", "0.4", "--fault-kinds", fault, "--slow-ms", "50",
            ]
        )
        defer { fake.stop() }
        let client = try fake.client(kind, clock: VirtualClock())
        let project = try await client.project(at: "edge/hostile")
        let reading = try await ProjectReading(
            client,
            project,
            walk: fault == "move" ? .everything : .changed(since: past)
        )
        let truth = try await fake.truth(tracker: kind.rawValue, project: "edge/hostile")
        // A moved item has another time than the page before told.
        let lines = reading.differences(from: truth, isGitHub: kind == .github)
            .filter { fault != "move" || !$0.hasSuffix(": time") }
        #expect(lines.isEmpty, "\(lines.joined(separator: "\n"))")
    }

    /// Before everything the corpus holds but its rows at the epoch.
    private var past: Timestamp { Timestamp(milliseconds: -1) }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 3: an exhausted rate limit is waited for`(kind: TrackerKind) async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: ["--rate-limit", "12", "--rate-window", "1"]
        )
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/hostile")
        let reading = try await ProjectReading(client, project)
        for _ in 0..<3 { _ = try await ProjectReading(client, project, withComments: false) }
        let truth = try await fake.truth(tracker: kind.rawValue, project: "edge/hostile")
        #expect(reading.differences(from: truth, isGitHub: kind == .github) == [])
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 3: a limit longer than our patience parks the scan`(
        kind: TrackerKind
    ) async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: ["--rate-limit", "2", "--rate-window", "900"]
        )
        defer { fake.stop() }
        let client = try fake.client(kind) { $0.retry.patience = .seconds(20) }
        let start = wallClock()
        await #expect {
            for _ in 0..<4 { _ = try await client.verify() }
        } throws: { error in
            guard case .rateLimited(let until)? = error as? TrackerError else { return false }
            return until > start.advanced(by: .seconds(600))
        }
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 8: 150 issues with one time are walked in small pages`(
        kind: TrackerKind
    ) async throws {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/ties")
        let all = try await ProjectReading(client, project, withComments: false)
        #expect(all.issues.count == 150)
        let time = try #require(all.issues.first?.updatedAt)
        let changed = try await ProjectReading(
            client,
            project,
            walk: .changed(since: time),
            withComments: false
        )
        #expect(changed.issues.count == 150)
        #expect(changed.pageCount <= 4)
        let later = time.advanced(by: .seconds(1))
        let none = try await ProjectReading(
            client,
            project,
            walk: .changed(since: later),
            withComments: false
        )
        #expect(none.issues.isEmpty)
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `cases 9 and 26: times at the epoch and in 2099 hide nothing`(
        kind: TrackerKind
    ) async throws {
        let fake = try await FakeTrackers.start(corpora: [.shared("edge")])
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/hostile")
        let truth = try await fake.truth(tracker: kind.rawValue, project: "edge/hostile")
        for since in [0, 1, 999, 1000].map({ Timestamp(milliseconds: $0) }) {
            let reading = try await ProjectReading(
                client,
                project,
                walk: .changed(since: since),
                withComments: false
            )
            // GitHub knows whole seconds, and we round down.
            let grain: Int64 = kind == .github ? 1000 : 1
            let expected = truth.items.values.filter {
                (Timestamp(parsing: $0.updatedAt) ?? since).milliseconds / grain
                    >= since.milliseconds / grain
            }
            #expect(reading.issues.count == expected.count, "since \(since)")
        }
        let newest = try await client.issues(
            of: project,
            walk: .newest,
            page: nil,
            validator: nil
        )
        guard case .issue(let issue, _)? = newest.items.first else {
            throw EndlessWalk()
        }
        #expect(issue.updatedAt < wallClock())
        #expect(newest.items.count == 1)
        let future = try #require(Timestamp(parsing: "2098-01-01T00:00:00Z"))
        let late = try await ProjectReading(
            client,
            project,
            walk: .changed(since: future),
            withComments: false
        )
        #expect(late.issues.count >= 1)
    }

    @Test func `case 12: beyond the page cap the cursors of the links are followed`() async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: ["--github-page-cap", "100"]
        )
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/ties")
        for walk in [IssueWalk.everything, .changed(since: Timestamp(milliseconds: 1))] {
            let reading = try await ProjectReading(
                client,
                project,
                walk: walk,
                withComments: false
            )
            #expect(reading.issues.count == 150)
        }
    }

    @Test func `case 12: a stored page number beyond the cap means a new start`() async throws {
        let fake = try await FakeTrackers.start(
            corpora: [.shared("edge")],
            arguments: ["--github-page-cap", "100"]
        )
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/ties")
        let token = PageToken("issues?state=all&sort=created&direction=asc&per_page=100&page=2")
        await #expect(throws: TrackerError.pageTokenExpired) {
            try await client.issues(
                of: project,
                walk: .everything,
                page: token,
                validator: nil
            )
        }
    }
}
