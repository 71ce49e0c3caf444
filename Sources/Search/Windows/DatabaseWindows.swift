import Domain
import Store
import VectorIndex

/// The windows of a ``DatabaseIndex`` that pass a filter.
struct DatabaseWindows: WindowView {
    let index: DatabaseIndex
    let filter: IssueFilter
    let issues: KeySet?
    /// Rows among which the index walks, roughly.
    let rowCount: Int
    /// Of them those that can be found, roughly: an account with few shares the index with others.
    let ownCount: Int

    /// `hnsw.ef_search` for few windows: of 50,000 it finds 0.985 to 0.992 of the nearest ten
    /// (docs/decisions/0008-pgvector.md), as good as needed for candidates of pairs.
    static let fewEffort = 100
    /// Windows that count as few.
    static let few = 50
    /// For more of them: 0.998 of the nearest ten.
    static let effort = 200
    /// The most that pgvector takes; who wants more windows has them compared one by one.
    static let maximumEffort = 1_000
    /// What visiting a row by the index costs, in rows compared one by one: 24 microseconds to 3
    /// where each is looked up in the table of issues, 12 to 1.8 on a faster machine where it is
    /// not.
    ///
    /// Of 50,000 comparing is faster where a tenth pass, the index where a fifth do.
    static let visitCost = 8
    /// Issues whose rows two connections compare, half of them each.
    ///
    /// A row waits for memory, most of its time. Of 50,000 issues with a filter of 10 % half of all
    /// searches took 5.8 ms in place of 8.6.
    static let splitFrom = 1_000
    /// Vectors asked for at a time; each answer is some kilobytes.
    static let vectorsAtOnce = 64

    /// Without a filter 200 take hardly longer than 64; where few pass, each stands for many rows
    /// that the index visits.
    var firstCount: Int {
        guard issues != nil else { return 200 }
        let share = Double(ownCount) / Double(max(rowCount, 1))
        return min(max(Int(160 * share), 64), 200)
    }

    /// At 64 nearly half of the searches with a filter of 10 % asked once more, mostly for fewer
    /// than 64.
    let firstMeasured = 128

    func nearest(to vectors: [[Float]], count: Int) async throws -> [NearestWindows] {
        guard count > 0, issues?.isEmpty != true else {
            return vectors.map { _ in NearestWindows(windows: [], isAll: true) }
        }
        var found: [NearestWindows] = []
        for chunk in vectors.chunked(by: Self.vectorsAtOnce) {
            found += try await nearest(chunk, count)
        }
        return found
    }

    private func nearest(_ vectors: [[Float]], _ count: Int) async throws -> [NearestWindows] {
        let plan = plan(count)
        let wanted = siftedCount(for: count)
        if index.plain == .index, wanted <= Self.maximumEffort,
            plan == .index || wanted * Self.visitCost < ownCount,
            let sifted = try await sift(vectors, count, among: wanted)
        {
            return sifted
        }
        switch plan {
        case .rows: return try await compareRows(vectors, count)
        case .index: return try await searchIndex(vectors, count)
        }
    }

    /// The index visits `count` rows for each share that passes, and comparing costs as many as
    /// pass: whichever is less.
    private func plan(_ count: Int) -> DatabaseIndex.Plan {
        guard count <= Self.maximumEffort else { return .rows }
        let visited = visitedCount(for: count)
        return Double(ownCount) <= visited * Double(Self.visitCost) ? .rows : index.plain
    }

    /// Rows among which as many as are wanted pass, when those that pass are anywhere.
    private func visitedCount(for count: Int) -> Double {
        Double(count) * Double(max(rowCount, 1)) / Double(max(ownCount, 1))
    }

    /// The same for nearly every question: where they are three standard deviations more on
    /// average.
    private func siftedCount(for count: Int) -> Int {
        let most = Double(Self.maximumEffort + 1)
        return Int(min(visitedCount(for: count) * (1 + 3 / Double(count).squareRoot()), most))
    }

    /// With more rows than that of its own an account is never compared row by row, however many
    /// windows are asked for.
    static func worthwhileCount(among total: Int) -> Int {
        let square = Double(maximumEffort) * Double(visitCost) * Double(max(total, 1))
        return Int(square.squareRoot()) + 1
    }

    private func searchIndex(_ vectors: [[Float]], _ count: Int) async throws -> [NearestWindows] {
        let found = try await ask(vectors, count, .index(filter))
        // The index gives up where few pass: then it is not known whether there are others.
        let short = found.indices.filter { found[$0].isAll }
        guard !short.isEmpty else { return found }
        var mended = found
        let compared = try await compareRows(short.map { vectors[$0] }, count)
        for (place, windows) in zip(short, compared) { mended[place] = windows }
        return mended
    }

    /// The nearest of those that pass among some more that are near, nil where few pass: what
    /// passes is known here, and looking that up in the database takes as long as finding windows.
    private func sift(
        _ vectors: [[Float]],
        _ count: Int,
        among wanted: Int
    ) async throws -> [NearestWindows]? {
        guard let issues else { return nil }
        let near = try await ask(vectors, max(wanted, count), .index(IssueFilter()))
        var sifted: [NearestWindows] = []
        for found in near {
            let passing = found.windows.lazy.filter { issues.contains($0.issue.rawValue) }
            let windows = Array(passing.prefix(count))
            // What passes is not where the question is, or the index gave up.
            guard windows.count == count else { return nil }
            sifted.append(NearestWindows(windows: windows, isAll: false))
        }
        return sifted
    }

    private func compareRows(_ vectors: [[Float]], _ count: Int) async throws -> [NearestWindows] {
        guard let issues else { return try await ask(vectors, count, .everyRow) }
        var passing: [IssueID] = []
        passing.reserveCapacity(issues.count)
        issues.forEach { passing.append(IssueID($0)) }
        guard passing.count >= Self.splitFrom else {
            return try await ask(vectors, count, .rows(of: passing))
        }
        let half = passing.count / 2
        let (low, high) = (Array(passing[..<half]), Array(passing[half...]))
        async let others = ask(vectors, count, .rows(of: low))
        let found = try await ask(vectors, count, .rows(of: high))
        return zip(try await others, found).map { NearestWindows($0, $1, atMost: count) }
    }

    /// Asks for as many more as must not be found.
    private func ask(
        _ vectors: [[Float]],
        _ count: Int,
        _ scope: PassageVectorTable.Scope
    ) async throws -> [NearestWindows] {
        var wanted = count
        while true {
            let least = wanted <= Self.few ? Self.fewEffort : Self.effort
            let effort = min(max(least, wanted), Self.maximumEffort)
            let answer = try await index.answer(
                .init(vectors: vectors, count: wanted, scope: scope, effort: effort)
            )
            let orphans = answer.orphans
            let isEnough =
                orphans.isEmpty || wanted >= count + orphans.count
                || !answer.near.contains { $0.contains { orphans.contains($0.passage) } }
            guard isEnough else {
                wanted = count + orphans.count
                continue
            }
            return answer.near.map { near in
                let live = near.filter { !orphans.contains($0.passage) }
                return NearestWindows(
                    windows: Array(live.prefix(count)),
                    isAll: near.count < wanted
                )
            }
        }
    }

    func nearest(
        of issues: [IssueID],
        to vector: [Float]
    ) async throws -> [IssueID: NearWindow] {
        let row = index.row
        let found = try await index.store.read { connection, account in
            try PassageVectorTable.nearest(
                of: issues,
                to: vector,
                model: row,
                account: account,
                on: connection
            )
        }
        return Dictionary(found.map { ($0.issue, $0) }, uniquingKeysWith: { first, _ in first })
    }
}
