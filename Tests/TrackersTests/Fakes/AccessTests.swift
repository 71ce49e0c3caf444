import CryptoExtras
import Domain
import TestSupport
import Testing
import Trackers

/// Tokens, permissions and things that disappear.
@Suite(.enabled(if: FakeTrackers.areAvailable, "needs the shared reference data"))
struct AccessTests {
    private func start(_ arguments: [String] = []) async throws -> FakeTrackers {
        try await FakeTrackers.start(corpora: [.shared("edge")], arguments: arguments)
    }

    private func issue(
        _ number: Int,
        of project: RemoteProject,
        _ client: any TrackerClient
    ) async throws -> IssueReference {
        let reading = try await ProjectReading(client, project, withComments: false)
        guard let issue = reading.issues.first(where: { $0.number == number }) else {
            throw TrackerError.notFound(detail: "\(number)")
        }
        return IssueReference(issue)
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 13: a token revoked in mid scan is unauthenticated`(
        kind: TrackerKind
    ) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind)
        #expect(try await client.verify().userName == "fake-user")
        let project = try await client.project(at: "edge/ties")
        let page = try await client.issues(
            of: project,
            walk: .everything,
            page: nil,
            validator: nil
        )
        try await fake.revoke("test-token")
        await #expect {
            _ = try await client.issues(
                of: project,
                walk: .everything,
                page: page.next,
                validator: nil
            )
        } throws: { error in
            guard case .unauthenticated? = error as? TrackerError else { return false }
            return true
        }
        try await fake.revoke("test-token", restore: true)
        let rest = try await client.issues(
            of: project,
            walk: .everything,
            page: page.next,
            validator: nil
        )
        #expect(!rest.items.isEmpty)
    }

    @Test func `case 13: tokens of an App that end in mid scan are made anew`() async throws {
        let fake = try await start(["--app-token-ttl", "1.5"])
        defer { fake.stop() }
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048).pemRepresentation
        let app = try GitHubApp(identifier: "1", installation: nil, privateKey: Secret(key))
        let client = try fake.client(.github, token: app.stored.reveal())
        let project = try await client.project(at: "edge/hostile")
        let truth = try await fake.truth(tracker: "github", project: "edge/hostile")
        var made: Int64 = 0
        for _ in 0..<1000 where made < 3 {
            let reading = try await ProjectReading(client, project)
            #expect(reading.differences(from: truth, isGitHub: true) == [])
            let routes = try await fake.stats()["routes"]
            made = routes?["github app/installations/:id/access_tokens"]?.integer ?? 0
        }
        #expect(made >= 3)
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 13: a read-only token reads everything`(kind: TrackerKind) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind, token: "readonly-token")
        let project = try await client.project(at: "edge/ties")
        let reading = try await ProjectReading(client, project)
        #expect(reading.issues.count == 150)
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `a wrong token is unauthenticated and named in no message`(
        kind: TrackerKind
    ) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind, token: "s3cret-token")
        do {
            _ = try await client.verify()
            Testing.Issue.record("accepted")
        } catch {
            guard case .unauthenticated(let detail, _) = error else { throw error }
            #expect(!detail.contains("s3cret"))
            #expect(detail.contains("401"))
        }
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 15: a project made private is lost access, not deletion`(
        kind: TrackerKind
    ) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/ties")
        let reference = try await issue(3, of: project, client)
        let change: JSONValue = [
            "tracker": .string(kind.rawValue), "project": "edge/ties", "private": true,
        ]
        try await fake.mutate(change)
        await #expect {
            _ = try await client.issues(
                of: project,
                walk: .everything,
                page: nil,
                validator: nil
            )
        } throws: { error in
            guard case .notFound? = error as? TrackerError else { return false }
            return true
        }
        #expect(try await client.presence(of: reference, in: project) == .inaccessible)
        #expect(
            !(try await client.organizations()).isEmpty,
            "other projects are still to be seen"
        )
        await #expect(throws: TrackerError.self) { try await client.project(at: "edge/ties") }
        try await fake.mutate([
            "tracker": .string(kind.rawValue), "project": "edge/ties", "private": false,
        ])
        #expect(try await ProjectReading(client, project).issues.count == 150)
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 16: a deleted issue is gone, its neighbour present`(
        kind: TrackerKind
    ) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/ties")
        let deleted = try await issue(5, of: project, client)
        let kept = try await issue(6, of: project, client)
        try await fake.mutate([
            "tracker": .string(kind.rawValue), "project": "edge/ties", "number": 5, "delete": true,
        ])
        #expect(try await client.presence(of: deleted, in: project) == .gone)
        guard
            case .present(let issue, _, let home) = try await client.presence(
                of: kept,
                in: project
            )
        else {
            Testing.Issue.record("not present")
            return
        }
        #expect(issue.number == 6)
        #expect(home == project.externalID)
    }

    @Test func `case 16: a transferred issue has moved to its new key`() async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/ties")
        let moved = try await issue(7, of: project, client)
        try await fake.mutate([
            "tracker": "github", "project": "edge/ties", "number": 7, "transfer": "edge/hostile",
        ])
        let truth = try await fake.truth(tracker: "github", project: "edge/hostile")
        let number = try #require(truth.items.first { $0.value.id == moved.externalID }?.key)
        #expect(
            try await client.presence(of: moved, in: project)
                == .moved(toKey: "edge/hostile#\(number)")
        )
    }

    @Test(arguments: [TrackerKind.github, .gitlab])
    func `case 16: a renamed project keeps answering by its id`(kind: TrackerKind) async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(kind)
        let project = try await client.project(at: "edge/ties")
        try await fake.mutate([
            "tracker": .string(kind.rawValue), "project": "edge/ties", "rename": "edge/knots",
        ])
        // A new project under the old name must not be taken for the old one.
        let create: JSONValue = ["title": "of another project", "author": "eve"]
        try await fake.mutate([
            "tracker": .string(kind.rawValue), "project": "edge/knots", "create": create,
        ])
        #expect(try await ProjectReading(client, project).issues.count == 151)
        let renamed = try await client.project(at: "edge/knots")
        #expect(renamed.externalID == project.externalID)
    }

    @Test func `case 28: an unchanged walk costs one conditional request`() async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/hostile")
        let newest = try await client.issues(
            of: project,
            walk: .newest,
            page: nil,
            validator: nil
        )
        guard case .issue(let issue, _)? = newest.items.first else {
            Testing.Issue.record("no newest issue")
            return
        }
        let walk = IssueWalk.changed(since: issue.updatedAt)
        let first = try await client.issues(of: project, walk: walk, page: nil, validator: nil)
        let tag = try #require(first.validator)
        let second = try await client.issues(of: project, walk: walk, page: nil, validator: tag)
        #expect(second.isNotModified)
        #expect(try await fake.stats()["not_modified"]?.integer == 1)
        try await fake.mutate([
            "tracker": "github", "project": "edge/hostile", "number": 1,
            "set": ["title": "changed"],
        ])
        let third = try await client.issues(of: project, walk: walk, page: nil, validator: tag)
        #expect(!third.isNotModified)
    }

    @Test func `a full first page has no validator, because rows may follow it`() async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/ties")
        let page = try await client.issues(
            of: project,
            walk: .changed(since: Timestamp(milliseconds: 5000)),
            page: nil,
            validator: nil
        )
        #expect(page.next != nil)
        #expect(page.validator == nil)
    }

    @Test func `changed comments are read from their time on`() async throws {
        let fake = try await start()
        defer { fake.stop() }
        let client = try fake.client(.github)
        let project = try await client.project(at: "edge/hostile")
        let before = wallClock()
        try await fake.mutate([
            "tracker": "github", "project": "edge/hostile", "number": 1,
            "comment": ["author": "zoe", "body": "fresh"],
        ])
        let page = try await client.comments(
            of: project,
            walk: .project(since: before),
            page: nil
        )
        #expect(page.comments.map(\.comment.body) == ["fresh"])
        #expect(page.comments.map(\.issueNumber) == [1])
        #expect(page.comments.first?.comment.author == "zoe")
    }
}
