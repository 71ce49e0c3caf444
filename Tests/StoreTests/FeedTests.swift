import Domain
import Foundation
import StoreTestSupport
import Testing

@testable import Store

/// The feed's promise, and what followers do with it.
struct FeedTests {
    private static let epoch = Timestamp(milliseconds: 0)

    private static func insertIssue(
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> (IssueID, Revision) {
        let ids: [IssueID] = try AccountTable.nextIDs(1, account: account, on: connection)
        let revision = try AccountTable.nextRevisions(1, account: account, on: connection)[0]
        try connection.execute(
            """
            INSERT INTO issues
                (account_id, id, project_id, external_id, kind, number, key, title, body, state,
                    labels, assignees, created_at, updated_at, url, content_hash, revision)
            VALUES (\(account), \(ids[0]), 1, \("\(ids[0])"), 'issue', \(ids[0]), 'k', 't', 'b',
                'open', '[]', '[]', \(epoch), \(epoch), '', \([UInt8]()), \(revision))
            """
        )
        return (ids[0], revision)
    }

    private static func insertComment(
        of issue: IssueID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> (CommentID, Revision) {
        let ids: [CommentID] = try AccountTable.nextIDs(1, account: account, on: connection)
        let revision = try AccountTable.nextRevisions(1, account: account, on: connection)[0]
        try connection.execute(
            """
            INSERT INTO comments
                (account_id, id, project_id, issue_id, external_id, body, created_at, updated_at,
                    content_hash, revision)
            VALUES (\(account), \(ids[0]), 1, \(issue), \("\(ids[0])"), 'b', \(epoch), \(epoch),
                \([UInt8]()), \(revision))
            """
        )
        return (ids[0], revision)
    }

    private static func insertPassage(
        of issue: IssueID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> (PassageID, Revision) {
        let ids: [PassageID] = try AccountTable.nextIDs(1, account: account, on: connection)
        let revision = try AccountTable.nextRevisions(1, account: account, on: connection)[0]
        try connection.execute(
            """
            INSERT INTO passages
                (account_id, id, model_id, issue_id, part, position, text_start, text_end,
                    text_hash, vector, revision)
            VALUES (\(account), \(ids[0]), 9, \(issue), 'body', \(ids[0]), 0, 1, \([UInt8]()),
                \([UInt8]()), \(revision))
            """
        )
        return (ids[0], revision)
    }

    @Test(arguments: Engine.all)
    func `changes of all kinds come in the order of their revisions`(
        engine: Engine
    ) async throws {
        let scratch = try await engine.store()
        let expected = try await scratch.store.write { connection, account in
            var changes: [FeedChange] = []
            for _ in 0..<3 {
                let (issue, revision) = try Self.insertIssue(account: account, on: connection)
                changes.append(
                    FeedChange(revision: revision, subject: .issue(issue), isDeleted: false)
                )
                let (passage, second) = try Self.insertPassage(
                    of: issue,
                    account: account,
                    on: connection
                )
                changes.append(
                    FeedChange(
                        revision: second,
                        subject: .passage(passage, of: issue, model: EmbeddingModelID(9)),
                        isDeleted: false
                    )
                )
                let (comment, third) = try Self.insertComment(
                    of: issue,
                    account: account,
                    on: connection
                )
                changes.append(
                    FeedChange(
                        revision: third,
                        subject: .comment(comment, of: issue),
                        isDeleted: false
                    )
                )
            }
            return changes
        }
        #expect(try await scratch.store.feed(after: .zero).changes == expected)
        var paged: [FeedChange] = []
        var position = Revision.zero
        while true {
            let page = try await scratch.store.feed(after: position, limit: 2)
            paged += page.changes
            position = page.position
            if page.isLast { break }
        }
        #expect(paged == expected)
        let issues = try await scratch.store.feed(after: Revision(1), kinds: [.issue])
        #expect(issues.changes == expected.filter { $0.revision > Revision(1) && $0.isIssue })
        #expect(issues.position == Revision(9), "revisions of other kinds are passed over")
        #expect(issues.isLast)
    }

    @Test(arguments: Engine.all)
    func `a tombstone is a change`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let issue = try await scratch.store.write { connection, account in
            let (issue, _) = try Self.insertIssue(account: account, on: connection)
            let revision = try AccountTable.nextRevisions(1, account: account, on: connection)[0]
            try connection.execute(
                """
                UPDATE issues SET deleted_at = \(Self.epoch), revision = \(revision)
                WHERE account_id = \(account) AND id = \(issue)
                """
            )
            return issue
        }
        #expect(
            try await scratch.store.feed(after: .zero).changes == [
                FeedChange(revision: Revision(2), subject: .issue(issue), isDeleted: true)
            ]
        )
    }

    @Test(arguments: Engine.all)
    func `a follower only moves forwards`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let places = try await scratch.store.write { connection, account in
            var places: [Revision] = []
            for revision in [5, 9, 3] as [Int64] {
                try FollowerTable.advance(
                    "index",
                    to: Revision(revision),
                    account: account,
                    on: connection
                )
                places.append(
                    try FollowerTable.revision(of: "index", account: account, on: connection)
                )
            }
            try FollowerTable.reset("index", account: account, on: connection)
            places.append(
                try FollowerTable.revision(of: "index", account: account, on: connection)
            )
            return places.map(\.rawValue)
        }
        #expect(places == [5, 9, 9, 0])
    }

    /// Removing the feed lock (drawing the revision in a transaction before the one that inserts)
    /// makes this fail: a follower passes a revision that becomes visible later.
    @Test(arguments: Engine.all)
    func `no follower misses a revision of eight writers`(engine: Engine) async throws {
        let scratch = try await engine.store()
        let (writers, rows) = (8, 25)
        let seen = try await withThrowingTaskGroup(of: [Revision]?.self) { group in
            for _ in 0..<writers {
                group.addTask {
                    for _ in 0..<rows {
                        try await scratch.store.write { connection, account in
                            _ = try Self.insertIssue(account: account, on: connection)
                        }
                    }
                    return nil
                }
            }
            for _ in 0..<3 {
                group.addTask {
                    try await Self.follow(scratch.store, until: Revision(Int64(writers * rows)))
                }
            }
            var seen: [[Revision]] = []
            for try await revisions in group {
                if let revisions { seen.append(revisions) }
            }
            return seen
        }
        #expect(seen.count == 3)
        for revisions in seen {
            #expect(revisions.map(\.rawValue) == Array(1...Int64(writers * rows)))
        }
    }

    private static func follow(_ store: Store, until end: Revision) async throws -> [Revision] {
        let watcher = ChangeWatcher(store, interval: .milliseconds(1))
        var revisions: [Revision] = []
        var position = Revision.zero
        while position < end {
            _ = try await watcher.waitForChange(after: position)
            let page = try await store.feed(after: position, limit: 7)
            revisions += page.changes.map(\.revision)
            position = page.position
        }
        return revisions
    }
}

extension FeedChange {
    fileprivate var isIssue: Bool {
        if case .issue = subject { true } else { false }
    }
}
