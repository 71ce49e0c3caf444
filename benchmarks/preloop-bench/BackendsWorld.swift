import Domain
import Embeddings
import Search
import Store

/// A store of issues with one vector each, and questions with theirs.
struct BackendsWorld {
    let store: Store
    let model: EmbeddingModelTable.Row
    let identity: ModelIdentity
    /// The issues, in the order of their vectors.
    let issues: [IssueID]

    private static let page = 1_000
    private static let instant = Timestamp(milliseconds: 1_700_000_000_000)

    /// Fills an empty store; one that was filled before is taken as it is.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - vectors: One of each issue.
    ///   - texts: Titles and bodies, taken again and again; made-up ones when there are none.
    ///   - rest: How many vectors at the end are left out: their issues are there.
    ///   - isMirrored: Whether vectors are mirrored, where the database has pgvector.
    /// - Throws: What the store refuses.
    init(
        filling store: Store,
        with vectors: [[Float]],
        texts: [(title: String, body: String)] = [],
        leaving rest: Int = 0,
        isMirrored: Bool = false
    ) async throws {
        self.store = store
        identity = ModelIdentity(name: "given", revision: "1", dimension: vectors[0].count)
        model = try await Self.model(identity, in: store)
        if isMirrored {
            let state = try await VectorMirror.prepare(store)
            guard state.isReady else { throw BenchmarkError.incomplete(state.description) }
        }
        let known = try await Self.issues(in: store)
        guard known.count < vectors.count else {
            issues = known
            return
        }
        try await Self.writeIssues(vectors.count, texts, in: store)
        issues = try await Self.issues(in: store)
        try await write(Array(vectors.dropLast(rest)), from: 0)
    }

    private static func model(
        _ identity: ModelIdentity,
        in store: Store
    ) async throws -> EmbeddingModelTable.Row {
        let id = try await store.write { connection, account in
            try EmbeddingModelTable.makeCurrent(
                name: identity.name,
                revision: identity.revision,
                dimension: identity.dimension,
                at: instant,
                account: account,
                on: connection
            )
        }
        return EmbeddingModelTable.Row(
            id: id,
            name: identity.name,
            revision: identity.revision,
            dimension: identity.dimension,
            isCurrent: true
        )
    }

    /// Writes the vectors of the issues behind a place.
    ///
    /// - Returns: The revision with which the last of them was written.
    @discardableResult
    func write(_ vectors: [[Float]], from place: Int) async throws -> Revision {
        let (issues, model) = (issues, model)
        var last = Revision.zero
        for start in stride(from: 0, to: vectors.count, by: Self.page) {
            let end = min(start + Self.page, vectors.count)
            last = try await store.write { connection, account in
                let drafts = (start..<end).map { index in
                    PassageTable.Draft(
                        id: nil,
                        place: .init(issue: issues[place + index], part: .title, position: 0),
                        range: 0..<1,
                        textHash: [],
                        vector: vectors[index]
                    )
                }
                try PassageTable.write(
                    drafts,
                    deleting: [],
                    model: model.id,
                    at: Self.instant,
                    account: account,
                    on: connection
                )
                let head = try AccountTable.currentRevision(account: account, on: connection)
                try FollowerTable.advance(
                    Indexer.follower(of: model.id),
                    to: head,
                    account: account,
                    on: connection
                )
                return head
            }
        }
        return last
    }

    private static func issues(in store: Store) async throws -> [IssueID] {
        try await store.read { connection, account in
            try PassageTable.issues(matching: IssueFilter(), account: account, on: connection)
        }
    }

    private static func writeIssues(
        _ count: Int,
        _ texts: [(title: String, body: String)],
        in store: Store
    ) async throws {
        let project = try await project(in: store)
        var words = Words(state: 7)
        for start in stride(from: 0, to: count, by: page) {
            let items = (start..<min(start + page, count)).map { number in
                var issue = Issue(
                    externalID: "\(number)",
                    number: number,
                    key: "o/p#\(number)",
                    title: texts.isEmpty ? words.text(8) : texts[number % texts.count].title,
                    body: texts.isEmpty ? words.text(80) : texts[number % texts.count].body,
                    createdAt: instant,
                    updatedAt: instant,
                    url: "https://example.org/\(number)"
                )
                issue.labels = labels(of: number)
                return IncomingIssue(issue, comments: .listedByProject)
            }
            let batch = IssueBatch(
                project: project,
                tracker: TrackerID(1),
                items: items,
                present: instant
            )
            _ = try await store.write { connection, account in
                try IssueTable.upsert(batch, account: account, on: connection)
            }
        }
    }

    /// Labels that the named shares of all issues have, spread evenly.
    static func labels(of number: Int) -> [String] {
        let place = number * 7_919 % 1_000
        let shares = [(10, "p1"), (100, "p10"), (500, "p50")]
        return ["all"] + shares.compactMap { share, name in place < share ? name : nil }
    }

    private static func project(in store: Store) async throws -> ProjectID {
        try await store.write { connection, account in
            let ids: [TrackerID] = try AccountTable.nextIDs(1, account: account, on: connection)
            try TrackerTable.insert(
                Tracker(
                    id: ids[0],
                    kind: .github,
                    deployment: .cloud,
                    name: "hub",
                    url: "https://example.org",
                    createdAt: instant
                ),
                credential: SealedSecret(bytes: [1]),
                account: account,
                on: connection
            )
            let organization = try OrganizationTable.upsert(
                externalID: "o",
                path: "o",
                name: "o",
                tracker: ids[0],
                account: account,
                on: connection
            )
            return try ProjectTable.upsert(
                ProjectDescription(
                    trackerID: ids[0],
                    organizationID: organization,
                    externalID: "p",
                    path: "o/p",
                    name: "p",
                    url: "https://example.org/o/p"
                ),
                account: account,
                on: connection
            ).now.id
        }
    }
}

/// Words of which low-numbered ones are frequent, as in real texts.
struct Words {
    var state: UInt64

    mutating func text(_ count: Int) -> String {
        var random = SplitMix(state: state)
        defer { state = random.state }
        return (0..<count).map { _ in
            let share = Double.random(in: 0..<1, using: &random)
            return "word\(Int(30_000 * share * share * share * share))"
        }.joined(separator: " ")
    }
}

/// Knows the vectors of the questions: what is measured is the search, not the model.
struct GivenEmbedder: Embedder {
    let model: ModelIdentity
    let vectors: [String: [Float]]

    func encode(_ texts: [String]) async throws(EmbeddingError) -> EmbeddingMatrix {
        EmbeddingMatrix(
            dimension: model.dimension,
            values: texts.flatMap { vectors[$0] ?? [Float](repeating: 0, count: model.dimension) }
        )
    }

    func windows(of text: String, maximumCount: Int) -> [Range<Int>] { [0..<text.utf8.count] }
}

/// What is asked: titles of real reports, or made-up words, with the vectors of the data.
struct BackendsQuestions {
    /// Those that are measured, in the order of their vectors.
    let texts: [String]
    /// Others, asked before them: rows of the base are their vectors, which nobody asks for later.
    let earlier: [String]
    let embedder: GivenEmbedder

    init(_ world: BackendsWorld, _ data: VectorData, _ given: [(title: String, body: String)]) {
        var words = Words(state: 11)
        func question(_ place: Int, _ number: Int) -> String {
            // A number that is in no text tells the vectors apart.
            let text = given.isEmpty ? words.text(6) : given[place * 13 % given.count].title
            return "\(text) \(number + place)"
        }
        let count = data.queries.count
        texts = (0..<count).map { question($0, 9_000_000) }
        earlier = (0..<count).map { question($0 + count, 8_000_000) }
        let others = (0..<count).map { data.base[$0 * 31 % data.base.count] }
        embedder = GivenEmbedder(
            model: world.identity,
            vectors: Dictionary(
                uniqueKeysWithValues: zip(texts + earlier, data.queries + others)
            )
        )
    }
}
