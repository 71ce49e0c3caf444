package import Domain
package import Store
package import VectorIndex

/// Where the vectors of windows are searched.
package enum VectorBackend: String, Sendable, CaseIterable {
    /// An index in the memory of this process (``SearchIndex``).
    case memory
    /// The database itself, by its extension pgvector (``DatabaseIndex``).
    case pgvector
}

/// Searches the vectors of one model's windows; what it answers is up to date with the store.
///
/// Whoever answers a question takes one view for all of it. The implementations answer alike, but
/// for what an approximate search misses: the same filters, the same order, equal scores by age.
package protocol WindowIndex: Sendable {
    /// The model whose vectors are searched.
    var model: EmbeddingModelID { get }

    /// What passes the filters that were asked for lately.
    var filters: FilterCache { get }

    /// The windows as they are now, those of issues that pass.
    ///
    /// - Parameters:
    ///   - filter: What the issues must be.
    ///   - head: Where the caller has just seen the end of the feed; nil has it looked up.
    /// - Returns: The same windows for as long as it is held.
    /// - Throws: What the store refuses.
    func windows(passing filter: IssueFilter, at head: Revision?) async throws -> any WindowView

    /// Takes in what the store has; cheap when that is nothing.
    func refresh() async throws

    /// Keeps what was taken in for other processes, when it is more than `changes`.
    ///
    /// - Returns: Whether there was anything to do.
    @discardableResult
    func saveIfWorthwhile(after changes: Int) async throws -> Bool

    /// Makes everything anew from the store.
    func rebuild() async throws
}

extension WindowIndex {
    /// The windows as they are now, those of issues that pass.
    package func windows(passing filter: IssueFilter) async throws -> any WindowView {
        try await windows(passing: filter, at: nil)
    }

    /// Keeps what was taken in when a reader would have much to catch up with.
    @discardableResult
    package func saveIfWorthwhile() async throws -> Bool {
        try await saveIfWorthwhile(after: SearchIndex.saveThreshold)
    }
}

/// The windows at one moment, restricted to those of issues that pass a filter.
package protocol WindowView: Sendable {
    /// The issues that pass; nil when all do.
    var issues: KeySet? { get }

    /// How many windows are best asked for at first: with more of them fewer issues that words
    /// bring in have to be looked up one by one.
    var firstCount: Int { get }

    /// Issues that words brought in of which so many are looked up at first: they may spare the
    /// rest.
    var firstMeasured: Int { get }

    /// For each vector the nearest windows.
    ///
    /// - Parameters:
    ///   - vectors: Unit vectors of the model.
    ///   - count: At most so many windows for each.
    /// - Returns: In the order of `vectors`.
    /// - Throws: What the store refuses.
    func nearest(to vectors: [[Float]], count: Int) async throws -> [NearestWindows]

    /// For each issue its window nearest to a vector; issues without windows are left out.
    func nearest(of issues: [IssueID], to vector: [Float]) async throws -> [IssueID: NearWindow]
}

/// The windows near one vector.
package struct NearestWindows: Sendable, Equatable {
    /// Nearest first, equal scores by identifier; of live windows alone.
    package var windows: [NearWindow]
    /// Whether there are no others.
    package var isAll: Bool
}

extension NearestWindows {
    /// The nearest of two that have no window in common, each with its own nearest `count`.
    init(_ first: NearestWindows, _ second: NearestWindows, atMost count: Int) {
        let both = (first.windows + second.windows).sorted {
            ($1.score, $0.passage) < ($0.score, $1.passage)
        }
        windows = Array(both.prefix(count))
        isAll = first.isAll && second.isAll && both.count <= count
    }
}
