import Domain
import TestSupport
import Testing

@testable import Trackers

@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"), .serialized)
struct JiraAccessTests {
    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `a token is verified by password and by bearer`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        for userName in ["someone@example.com", nil] {
            let client = try fixture.client(deployment, userName: userName)
            #expect(try await client.verify().userName == "Fake User")
            let sites = try await client.organizations()
            #expect(sites.count == 1)
            #expect(fixture.fake.origin.hasSuffix(sites[0].externalID))
            let projects = try await client.projects(of: sites[0])
            #expect(projects.map(\.path).sorted() == ["HOSTILE", "TIES"])
            #expect(projects[0].url.contains("/jira-"))
        }
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 13 - a token revoked during a walk ends it as unauthenticated`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("jira")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("SEAMONKEY", client)
        let error = await #expect(throws: TrackerError.self) {
            _ = try await client.walk(project, .everything) { page in
                if page == 2 { try await fixture.fake.revoke("test-token") }
            }
        }
        guard case .unauthenticated = error else {
            Testing.Issue.record("\(String(describing: error))")
            return
        }
        // The place is still good once the token is.
        try await fixture.fake.revoke("test-token", restore: true)
        let truth = try await fixture.fake.truth(tracker: "jira", project: "SEAMONKEY")
        let rest = try await client.walk(project, .everything)
        #expect(rest.issues.count == truth.items.count)
    }

    @Test func `case 13 - a token that may only read is enough`() async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(.cloud, token: "readonly-token")
        let project = try await fixture.project("TIES", client)
        #expect(try await client.walk(project, .everything).issues.count == 150)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 14 - a stranger's empty answers are a refusal, not an empty site`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let known = try fixture.client(deployment)
        let project = try await fixture.project("TIES", known)
        let site = try await known.organizations()[0]
        var parameters = TrackerClients.Parameters(
            kind: .jira,
            deployment: deployment,
            url: fixture.fake.url(deployment == .cloud ? "jira-cloud" : "jira-server"),
            credential: { () throws(TrackerError) in Secret("") },
            transport: StrangerTransport(transport: fixture.transport)
        )
        parameters.clock = SkippingClock()
        let client = try JiraClient(parameters)
        func expectRefusal(_ call: () async throws -> Void) async {
            let error = await #expect(throws: TrackerError.self) { try await call() }
            guard case .unauthenticated = error else {
                Testing.Issue.record("\(String(describing: error))")
                return
            }
        }
        await expectRefusal { _ = try await client.verify() }
        await expectRefusal { _ = try await client.projects(of: site) }
        for walk in [IssueWalk.everything, .census, .newest] {
            await expectRefusal { _ = try await client.walk(project, walk) }
        }
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 15 - a project that turns private is inaccessible, not empty`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("TIES", client)
        let issue = try #require(try await client.walk(project, .newest).issues.values.first)
        try await fixture.fake.mutate(["tracker": "jira", "project": "TIES", "private": true])
        for walk in [IssueWalk.everything, .census, .changed(since: issue.updatedAt)] {
            let error = await #expect(throws: TrackerError.self) {
                _ = try await client.walk(project, walk)
            }
            guard case .notFound = error else {
                Testing.Issue.record("\(String(describing: error))")
                continue
            }
        }
        let presence = try await client.presence(of: issue.reference, in: project)
        #expect(presence == .inaccessible)
        try await fixture.fake.mutate(["tracker": "jira", "project": "TIES", "private": false])
        #expect(try await client.walk(project, .census).sightings.count == 150)
    }

    @Test(arguments: [TrackerDeployment.cloud, .server])
    func `case 16 - deleted and moved issues are told apart`(
        _ deployment: TrackerDeployment
    ) async throws {
        let fixture = try await JiraFixture.start([.shared("edge")])
        defer { fixture.fake.stop() }
        let client = try fixture.client(deployment)
        let project = try await fixture.project("TIES", client)
        let all = try await client.walk(project, .everything).issues.values
        let issues = Dictionary(uniqueKeysWithValues: all.map { ($0.number, $0) })
        let (kept, moved, deleted) = (issues[1], issues[2], issues[3])
        try await fixture.fake.mutate([
            "tracker": "jira", "project": "TIES", "number": 2, "transfer": "edge/hostile",
        ])
        try await fixture.fake.mutate([
            "tracker": "jira", "project": "TIES", "number": 3, "delete": true,
        ])
        let gone = try await client.presence(of: try #require(deleted).reference, in: project)
        #expect(gone == .gone)
        let elsewhere = try await client.presence(of: try #require(moved).reference, in: project)
        guard case .moved(let key?) = elsewhere else {
            Testing.Issue.record("\(elsewhere)")
            return
        }
        #expect(key.hasPrefix("HOSTILE-"))
        let here = try await client.presence(of: try #require(kept).reference, in: project)
        guard case .present(let issue, .complete, let owner) = here else {
            Testing.Issue.record("\(here)")
            return
        }
        #expect(issue == kept)
        #expect(owner == project.externalID)
        #expect(try await client.walk(project, .census).sightings.count == 148)
    }
}
