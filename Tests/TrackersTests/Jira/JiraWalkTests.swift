import Domain
import TestSupport
import Testing

@testable import Trackers

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"), .serialized)
struct JiraWalkTests {
    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `the real and the hostile corpora arrive as the service holds them`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("jira"), .shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        for key in ["HADOOP", "SEAMONKEY", "HOSTILE", "TIES"] {
            let project = try await fixture.project(key, client)
            let truth = try await fixture.fake.truth(tracker: "jira", project: key)
            let all = try await client.walk(project, .everything)
            let found = differences(all, truth, bodies: deployment == .server)
            #expect(found == [], "\(key)")
            #expect(all.rows == truth.items.count, "\(key): no row comes twice")
            #expect(all.malformed.isEmpty)
            let census = try await client.walk(project, .census)
            #expect(census.sightings == Set(truth.items.values.map(\.id)))
            #expect(census.pages == (deployment == .cloud ? 1 : (truth.items.count + 999) / 1000))
            // The largest is walked once only: its conversion is most of this test's time.
            if key != "HADOOP" {
                let epoch = Timestamp(milliseconds: 0)
                let changed = try await client.walk(project, .changed(since: epoch))
                #expect(differences(changed, truth, bodies: false) == [], "\(key) by time")
            }
            let newest = try await client.walk(project, .newest)
            #expect(newest.issues.count == 1)
            #expect(
                newest.issues.values.first?.updatedAt == all.issues.values.map(\.updatedAt).max()
            )
        }
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 7 - an issue that moves during a walk hides no other`(
        _ deployment: TrackerDeployment
    ) async throws {
        let faults = ["--faults", "3", "--fault-rate", "1", "--fault-kinds", "move"]
        let fixture = try await JiraFixture.start([.shared("jira")], faults)
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("SEAMONKEY", client)
        let epoch = Timestamp(milliseconds: 0)
        for walk in [IssueWalk.everything, .census, .changed(since: epoch)] {
            let truth = try await fixture.fake.truth(tracker: "jira", project: "SEAMONKEY")
            let result = try await client.walk(project, walk)
            let seen = result.sightings.union(result.issues.keys)
            #expect(seen == Set(truth.items.values.map(\.id)), "\(walk)")
        }
        #expect(try await fixture.fake.stats()["moved"]?.array?.isEmpty == false)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 8 - issues of one instant are more than a page`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("TIES", client)
        let newest = try await client.walk(project, .newest)
        let instant = try #require(newest.issues.values.first?.updatedAt)
        let result = try await client.walk(project, .changed(since: instant))
        #expect(result.issues.count == 150)
        #expect(result.pages <= 4)
    }

    @Test func `case 9 - times in 2099 and at the epoch are walked past`() async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(.cloud)
        let project = try await fixture.project("HOSTILE", client)
        let since = try #require(Timestamp(parsing: "2090-01-01"))
        let result = try await client.walk(project, .changed(since: since))
        #expect(result.issues.count == 1)
        let ancient = Timestamp(milliseconds: -5_000_000_000)
        let all = try await client.walk(project, .changed(since: ancient))
        let truth = try await fixture.fake.truth(tracker: "jira", project: "HOSTILE")
        #expect(all.issues.count == truth.items.count)
    }

    @Test func `case 10 - an index that lags hides a write from search, not from presence`()
        async throws
    {
        let fixture = try await JiraFixture.start(
            [.shared("edge")],
            ["--jira-index-lag", "600000"]
        )
        defer { fixture.fake.stop() }
        let client = try fixture.client(.cloud)
        let project = try await fixture.project("TIES", client)
        let since = try #require(Timestamp(parsing: "2025-01-01"))
        let before = try await client.walk(project, .changed(since: since))
        try await fixture.fake.mutate([
            "tracker": "jira", "project": "TIES", "number": 7, "set": ["title": "written now"],
        ])
        let after = try await client.walk(project, .changed(since: since))
        #expect(after.issues.count == before.issues.count - 1)
        let issue = try #require(before.issues.values.first { $0.number == 7 })
        let presence = try await client.presence(of: issue.reference, in: project)
        guard case .present(let found, _, _) = presence else {
            Testing.Issue.record("\(presence)")
            return
        }
        #expect(found.title == "written now")
    }

    @Test(arguments: ["America/New_York", "Asia/Kolkata"])
    func `case 11 - the time zone of the token's owner shifts nothing`(
        _ zone: String
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("jira")], ["--jira-timezone", zone])
        defer { fixture.fake.stop() }
        for deployment in [TrackerDeployment.cloud, .server] {
            let client = try fixture.client(deployment)
            let project = try await fixture.project("SEAMONKEY", client)
            let truth = try await fixture.fake.truth(tracker: "jira", project: "SEAMONKEY")
            let instants = truth.items.values.compactMap { Timestamp(parsing: $0.updatedAt) }
            let since = instants.sorted()[instants.count - 150]
            let result = try await client.walk(project, .changed(since: since))
            let expected = truth.items.values.filter {
                (Timestamp(parsing: $0.updatedAt) ?? since) >= since
            }
            #expect(Set(expected.map(\.id)).isSubset(of: result.issues.keys))
            // Whole seconds: at most the rest of the first one comes in addition.
            #expect(result.issues.values.allSatisfy { $0.updatedAt >= since.wholeSecond })
        }
    }

    @Test(arguments: ["html502", "ratelimit", "reset", "truncated", "slow"])
    func `a walk under faults brings what a walk without them brings`(
        _ kind: String
    ) async throws {
        let faults = [
            "--faults", "11", "--fault-rate", "0.3", "--fault-kinds", kind, "--slow-ms", "20",
        ]
        let fixture = try await JiraFixture.start([.shared("edge")], faults)
        defer { fixture.fake.stop() }
        // On Cloud with an issue of 300 comments, of which a search shows twenty.
        for (deployment, key) in [(TrackerDeployment.cloud, "HOSTILE"), (.server, "TIES")] {
            let client = try fixture.client(deployment)
            let project = try await fixture.project(key, client)
            let truth = try await fixture.fake.truth(tracker: "jira", project: key)
            let result = try await client.walk(project, .everything)
            #expect(differences(result, truth, bodies: false) == [], "\(kind) \(key)")
        }
        let faultCount = try await fixture.fake.stats()["faults"]?[kind]?.integer ?? 0
        #expect(faultCount > 0)
    }
}
