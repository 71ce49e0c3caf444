import Domain
import Store
import StoreTestSupport
import Testing

struct TrackerTableTests {
    private let created = Timestamp(milliseconds: 1_700_000_000_000)

    private func tracker(_ id: Int64, name: String, isVetted: Bool = false) -> Tracker {
        Tracker(
            id: TrackerID(id),
            kind: .jira,
            deployment: .cloud,
            name: name,
            url: "https://example.atlassian.net",
            userName: "ann@example.com",
            createdAt: created,
            isVetted: isVetted
        )
    }

    @Test(arguments: Engine.all)
    func `a tracker is found by its name as it was added`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let added = tracker(3, name: "site", isVetted: true)
        let found = try await scratch.store.write { connection, account in
            let sealed = SealedSecret(bytes: [1, 2, 3])
            try TrackerTable.insert(added, credential: sealed, account: account, on: connection)
            #expect(
                try TrackerTable.credential(of: added.id, account: account, on: connection)
                    == sealed
            )
            #expect(
                try TrackerTable.find(name: "Site", account: account, on: connection) == nil
            )
            #expect(
                try TrackerTable.find(name: "site", account: AccountID(2), on: connection) == nil
            )
            return try TrackerTable.find(name: "site", account: account, on: connection)
        }
        #expect(found == added)
    }

    @Test(arguments: Engine.all)
    func `a name is given once`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let (first, second) = (tracker(3, name: "site"), tracker(4, name: "site"))
        let error = await #expect(throws: StoreError.self) {
            try await scratch.store.write { connection, account in
                for tracker in [first, second] {
                    try TrackerTable.insert(
                        tracker,
                        credential: SealedSecret(bytes: [1]),
                        account: account,
                        on: connection
                    )
                }
            }
        }
        guard case .constraint = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
    }

    @Test(arguments: Engine.all)
    func `a tracker gets another name, in its account alone`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let added = tracker(3, name: "site")
        let found = try await scratch.store.write { connection, account in
            let sealed = SealedSecret(bytes: [1])
            try TrackerTable.insert(added, credential: sealed, account: account, on: connection)
            for (name, owner) in [("hub", account), ("lab", AccountID(2))] {
                try TrackerTable.setName(name, of: added.id, account: owner, on: connection)
            }
            return try TrackerTable.list(account: account, on: connection)
        }
        var renamed = added
        renamed.name = "hub"
        #expect(found == [renamed])
    }

    @Test(arguments: Engine.all)
    func `scope rules keep their order and are replaced as a whole`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let scope = Scope([
            ScopeRule(action: .include, pattern: "acme/*"),
            ScopeRule(action: .exclude, pattern: "acme/old-*"),
            ScopeRule(action: .include, pattern: "acme/*"),
        ])
        let scopes = try await scratch.store.write { connection, account in
            try ScopeRuleTable.replace(
                with: scope,
                of: TrackerID(1),
                account: account,
                on: connection
            )
            let first = try ScopeRuleTable.scope(
                of: TrackerID(1),
                account: account,
                on: connection
            )
            try ScopeRuleTable.replace(
                with: Scope(),
                of: TrackerID(1),
                account: account,
                on: connection
            )
            return [
                first,
                try ScopeRuleTable.scope(of: TrackerID(1), account: account, on: connection),
            ]
        }
        #expect(scopes == [scope, Scope()])
    }

    @Test(arguments: Engine.all)
    func `an organisation keeps its row when it is renamed`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let (ids, stored) = try await scratch.store.write { connection, account in
            let ids = try ["old", "new"].map { path in
                try OrganizationTable.upsert(
                    externalID: "77",
                    path: path,
                    name: path,
                    tracker: TrackerID(1),
                    account: account,
                    on: connection
                )
            }
            return (
                ids,
                try OrganizationTable.list(of: TrackerID(1), account: account, on: connection)
            )
        }
        #expect(ids[0] == ids[1])
        #expect(stored.map(\.path) == ["new"])
    }

    @Test(arguments: Engine.all)
    func `a removed tracker leaves tombstones without content and nothing else`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let added = tracker(3, name: "site")
        let (removed, rows, left) = try await scratch.store.write { connection, account in
            try TrackerTable.insert(
                added,
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            for tracker in [3, 4] { try Self.fill(tracker, account: account, on: connection) }
            _ = try AccountTable.nextRevisions(6, account: account, on: connection)
            let removed = try TrackerRemoval.remove(
                added.id,
                deletedAt: Timestamp(milliseconds: 9),
                account: account,
                on: connection
            )
            return (
                removed,
                try connection.rows("SELECT title, body, project_id FROM issues ORDER BY id"),
                try connection.rows("SELECT id FROM trackers UNION ALL SELECT id FROM projects")
            )
        }
        #expect(removed == 1)
        #expect(try rows.map { try $0.text("body") } == ["", "secret plan"])
        #expect(try left.map { try $0.integer("id") } == [40])
        let changes = try await scratch.store.feed(after: Revision(6)).changes
        #expect(changes.map(\.isDeleted) == [true, true, true])
        #expect(Set(changes.map(\.revision.rawValue)) == [7, 8, 9])
    }

    private static func fill(
        _ tracker: Int,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        let project = tracker * 10
        let issue = tracker * 100
        let epoch = Timestamp(milliseconds: 0)
        try connection.execute(batch: [
            """
            INSERT INTO projects
                (account_id, id, tracker_id, organization_id, external_id, path, name, url)
            VALUES (\(account), \(project), \(tracker), 1, \("\(project)"), 'p', 'p', '')
            """,
            """
            INSERT INTO issues
                (account_id, id, project_id, external_id, kind, number, key, title, body, state,
                    labels, assignees, created_at, updated_at, url, content_hash, revision)
            VALUES (\(account), \(issue), \(project), \("\(issue)"), 'issue', 1, 'k', 't',
                'secret plan', 'open', '["x"]', '[]', \(epoch), \(epoch), '',
                \([1] as [UInt8]), \(tracker * 3 - 8))
            """,
            """
            INSERT INTO comments
                (account_id, id, project_id, issue_id, external_id, body, created_at, updated_at,
                    content_hash, revision)
            VALUES (\(account), \(issue + 1), \(project), \(issue), 'c', 'b', \(epoch),
                \(epoch), \([1] as [UInt8]), \(tracker * 3 - 7))
            """,
            """
            INSERT INTO passages
                (account_id, id, model_id, issue_id, part, position, text_start, text_end,
                    text_hash, vector, revision)
            VALUES (\(account), \(issue + 2), 9, \(issue), 'body', 0, 0, 1, \([1] as [UInt8]),
                \([1] as [UInt8]), \(tracker * 3 - 6))
            """,
        ])
    }
}
