import Domain
import Embeddings
import Foundation
import Store
import StoreTestSupport

@testable import Search

/// A store with a tracker, a few projects and whatever a test puts there.
final class World: Sendable {
    let directory: String
    let store: Store
    private let scratch: ScratchStore
    let tracker: TrackerID

    init() async throws {
        directory =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("preloop-search-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: directory,
            withIntermediateDirectories: true
        )
        scratch = try await Engine.current.store()
        store = scratch.store
        tracker = try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: .github,
                    deployment: .cloud,
                    name: "hub",
                    url: "https://hub",
                    createdAt: Timestamp(milliseconds: 0)
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            return ids[0]
        }
    }

    deinit {
        // A directory left behind in the temporary directory harms nobody.
        try? FileManager.default.removeItem(atPath: directory)
    }

    var indexDirectory: String { directory + "/index/1" }
    var snapshotPath: String { indexDirectory + "/vectors.snapshot" }

    func pipeline(
        _ embedder: FakeEmbedder,
        page: Int = 64,
        floor: Double = 0.1,
        backend: VectorBackend = .memory,
        options: SearchIndex.Options = SearchIndex.Options()
    ) async throws -> IndexPipeline {
        var limits = Indexer.Limits()
        limits.page = page
        var duplicates = Duplicates.Limits()
        duplicates.floor = floor
        return try await IndexPipeline(
            store: store,
            embedder: embedder,
            directory: indexDirectory,
            backend: backend,
            options: options,
            limits: limits,
            duplicateLimits: duplicates
        )
    }

    func project(_ path: String) async throws -> ProjectID {
        let tracker = tracker
        return try await store.write { connection, account in
            let owner = String(path.prefix { $0 != "/" })
            let organization = try OrganizationTable.upsert(
                externalID: owner,
                path: owner,
                name: owner,
                tracker: tracker,
                account: account,
                on: connection
            )
            return try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: tracker,
                    organizationID: organization,
                    externalID: path,
                    path: path,
                    name: path,
                    url: "https://hub/\(path)"
                ),
                account: account,
                on: connection
            ).now.id
        }
    }

    /// Writes an issue and all its comments, new or changed.
    @discardableResult
    func put(
        _ number: Int,
        _ title: String,
        _ body: String = "",
        in path: String = "acme/app",
        comments: [String] = [],
        change: (inout Issue) -> Void = { _ in }
    ) async throws -> IssueID {
        let project = try await project(path)
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        var issue = Issue(
            externalID: "\(path)#\(number)",
            number: number,
            key: "\(path)#\(number)",
            title: title,
            body: body,
            createdAt: now,
            updatedAt: now,
            url: "https://hub/\(path)/issues/\(number)"
        )
        change(&issue)
        let all = comments.enumerated().map { place, text in
            Comment(
                externalID: "\(path)#\(number)c\(place)",
                body: text,
                createdAt: now,
                updatedAt: now
            )
        }
        let batch = IssueBatch(
            project: project,
            tracker: tracker,
            items: [IncomingIssue(issue, comments: .complete(all))],
            present: now,
            trust: .confirmed
        )
        let key = issue.key
        return try await store.write { connection, account in
            _ = try IssueTable.upsert(batch, account: account, on: connection)
            let found = try connection.rows(
                "SELECT id FROM issues WHERE account_id = \(account) AND key = \(key)"
            )
            return try found[0].identifier("id")
        }
    }

    func delete(_ issue: IssueID) async throws {
        try await store.write { connection, account in
            try IssueTable.delete(
                [issue],
                at: Timestamp(milliseconds: 1_700_000_100_000),
                account: account,
                on: connection
            )
        }
    }

    /// Everything the passages table says, without identifiers and revisions.
    func passages(_ model: EmbeddingModelID) async throws -> [String] {
        try await store.read { connection, account in
            try connection.rows(
                """
                SELECT issue_id, comment_id, part, position, text_start, text_end,
                    text_hash, vector
                FROM passages WHERE account_id = \(account) AND model_id = \(model)
                    AND deleted_at IS NULL
                ORDER BY issue_id, comment_id, part, position
                """
            ).map { row in
                "\(try row.integer("issue_id")) \(try row.integer("comment_id"))"
                    + " \(try row.text("part")) \(try row.integer("position"))"
                    + " \(try row.integer("text_start")) \(try row.integer("text_end"))"
                    + " \(try row.blob("text_hash")) \(try row.blob("vector"))"
            }
        }
    }

    /// The stored pairs by their issues' keys, in order, for comparing worlds.
    func pairsByKey() async throws -> [(keys: String, score: Double)] {
        let pairs = try await pairs()
        let issues = pairs.flatMap { [$0.pair.first, $0.pair.second] }
        let summaries = try await store.read { connection, account in
            try PassageTable.summaries(of: issues, account: account, on: connection)
        }
        let keys = Dictionary(uniqueKeysWithValues: summaries.map { ($0.issue, $0.key) })
        return pairs.map { scored in
            let both = [keys[scored.pair.first] ?? "?", keys[scored.pair.second] ?? "?"]
            return (both.sorted().joined(separator: " "), scored.score)
        }.sorted { $0.keys < $1.keys }
    }

    func pairs() async throws -> [DuplicateTable.Scored] {
        try await store.read { connection, account in
            try DuplicateTable.all(account: account, on: connection)
        }
    }
}

/// Words of a made-up language, the same for the same seed.
struct Babble {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    mutating func number(below bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }

    /// Words of which low-numbered ones are frequent, as in real texts.
    mutating func text(_ count: Int) -> String {
        (0..<count).map { _ in "wort\(number(below: 20) * number(below: 20))x" }
            .joined(separator: " ")
    }
}
