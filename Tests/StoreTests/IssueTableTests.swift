import Domain
import Store
import StoreTestSupport
import Testing

/// What issues, comments and links promise, on every engine.
@Suite struct IssueTableTests {
    private let tracker = TrackerID(500)
    private let present = Timestamp(milliseconds: 1_700_000_000_000)

    private func issue(
        _ id: String,
        _ title: String = "title",
        updated: Int64 = 1_600_000_000_000,
        links: [IssueLink] = []
    ) -> Domain.Issue {
        Domain.Issue(
            externalID: id,
            number: Int(id) ?? 0,
            key: "o/p#\(id)",
            title: title,
            createdAt: Timestamp(milliseconds: 1_500_000_000_000),
            updatedAt: Timestamp(milliseconds: updated),
            links: links
        )
    }

    private func comment(_ id: String, _ body: String = "body") -> Domain.Comment {
        Domain.Comment(
            externalID: id,
            body: body,
            createdAt: present,
            updatedAt: present
        )
    }

    private func project(_ externalID: String, _ store: Store) async throws -> ProjectID {
        try await store.write { [tracker] connection, account in
            try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: tracker,
                    organizationID: OrganizationID(501),
                    externalID: externalID,
                    path: "o/\(externalID)",
                    name: "p",
                    url: "u"
                ),
                account: account,
                on: connection
            ).now.id
        }
    }

    private func put(
        _ issues: [Domain.Issue],
        comments: IncomingComments = .listedByProject,
        in project: ProjectID,
        trust: SnapshotTrust = .listed,
        _ store: Store
    ) async throws -> IssueBatchResult {
        let batch = IssueBatch(
            project: project,
            tracker: tracker,
            items: issues.map { IncomingIssue($0, comments: comments) },
            present: present,
            trust: trust
        )
        return try await store.write { connection, account in
            try IssueTable.upsert(batch, account: account, on: connection)
        }
    }

    private func revision(_ store: Store) async throws -> Revision {
        try await store.read { connection, account in
            try AccountTable.currentRevision(account: account, on: connection)
        }
    }

    @Test(arguments: Engine.all)
    func `an unchanged issue draws no revision`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let project = try await project("a", scratch.store)
        let comments = IncomingComments.complete([comment("1"), comment("2")])
        let first = try await put([issue("1")], comments: comments, in: project, scratch.store)
        #expect(first.created == 1 && first.comments.created == 2)
        let before = try await revision(scratch.store)
        let second = try await put([issue("1")], comments: comments, in: project, scratch.store)
        #expect(second.unchanged == 1 && second.written == 0)
        #expect(try await revision(scratch.store) == before)
        let fewer = IncomingComments.complete([comment("2", "edited")])
        let third = try await put([issue("1")], comments: fewer, in: project, scratch.store)
        #expect(third.comments.deleted == 1 && third.comments.changed == 1)
    }

    @Test(arguments: Engine.all)
    func `a composed and a decomposed letter are a change`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let project = try await project("a", scratch.store)
        _ = try await put([issue("1", "caf\u{E9}")], in: project, scratch.store)
        let result = try await put([issue("1", "cafe\u{301}")], in: project, scratch.store)
        #expect(result.changed == 1)
    }

    @Test(arguments: Engine.all)
    func `an older snapshot is refused unless confirmed`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let project = try await project("a", scratch.store)
        _ = try await put([issue("1", "new", updated: 2000)], in: project, scratch.store)
        let old = issue("1", "old", updated: 1000)
        #expect(try await put([old], in: project, scratch.store).stale == [old])
        let confirmed = try await put([old], in: project, trust: .confirmed, scratch.store)
        #expect(confirmed.changed == 1)
    }

    @Test(arguments: Engine.all)
    func `a stored time in the future protects nothing`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let project = try await project("a", scratch.store)
        let future = issue("1", "new", updated: 4_102_444_799_000)
        _ = try await put([future], in: project, scratch.store)
        #expect(try await put([issue("1")], in: project, scratch.store).changed == 1)
    }

    @Test(arguments: Engine.all)
    func `an issue moves between projects of a tracker`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let (a, b) = (try await project("a", scratch.store), try await project("b", scratch.store))
        _ = try await put([issue("1")], in: a, scratch.store)
        let result = try await put([issue("1")], in: b, scratch.store)
        #expect(result.moved == 1 && result.created == 0)
    }

    @Test(arguments: Engine.all)
    func `links in a cycle and to itself are resolved within a page`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let project = try await project("a", scratch.store)
        let one = issue("1", links: [IssueLink(relation: "closes", targetKey: "o/p#2")])
        let two = issue(
            "2",
            links: [
                IssueLink(relation: "closes", targetKey: "o/p#1"),
                IssueLink(relation: "closes", targetKey: "o/p#2"),
            ]
        )
        _ = try await put([one, two], in: project, scratch.store)
        let links = try await scratch.store.read { connection, account in
            let ids = try ExportTable.issues(
                of: project,
                kind: .issue,
                after: nil,
                withDeleted: false,
                limit: 9,
                account: account,
                on: connection
            ).map(\.id)
            return try LinkTable.list(of: ids, account: account, on: connection)
        }
        #expect(links.count == 3)
        #expect(links.allSatisfy { $0.target != nil })
    }
}
