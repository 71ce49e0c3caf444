import Domain

/// Where a walk goes on: always a place among the issues, never a count of rows or a token of the
/// service, so that it survives kills, expiry, and issues that move meanwhile.
enum JiraCursor: Equatable {
    /// All issues after one, by identifier.
    case all(after: Int64)
    /// As ``all(after:)``, identifiers alone.
    case census(after: Int64)
    /// Changes from an instant on, a whole second.
    case changed(since: Timestamp)
    /// The changes of one second that fill more than a page, by identifier; afterwards
    /// ``changed(since:)`` the next second.
    case ties(second: Timestamp, after: Int64)

    /// The cursor of a walk's first page; nil for ``IssueWalk/newest``, which has one page.
    init?(walk: IssueWalk) {
        switch walk {
        case .everything: self = .all(after: 0)
        case .census: self = .census(after: 0)
        case .changed(let since): self = .changed(since: since.wholeSecond)
        case .newest: return nil
        }
    }

    /// Reads a stored token; one of another walk or form means that the walk must start again.
    init(_ token: PageToken, walk: IssueWalk) throws(TrackerError) {
        let parts = token.rawValue.split(separator: ":").map(String.init)
        let numbers = parts.dropFirst().map { Int64($0) ?? -1 }
        guard numbers.allSatisfy({ $0 >= 0 && $0 < 1 << 53 }) else { throw .pageTokenExpired }
        switch (walk, parts.first, numbers.count) {
        case (.everything, "all", 1): self = .all(after: numbers[0])
        case (.census, "census", 1): self = .census(after: numbers[0])
        case (.changed, "changed", 1):
            self = .changed(since: Timestamp(milliseconds: numbers[0]).wholeSecond)
        case (.changed, "ties", 2):
            self = .ties(second: Timestamp(milliseconds: numbers[0]).wholeSecond, after: numbers[1])
        default: throw .pageTokenExpired
        }
    }

    /// The token for ``init(_:walk:)``.
    var token: PageToken {
        switch self {
        case .all(let last): PageToken("all:\(last)")
        case .census(let last): PageToken("census:\(last)")
        case .changed(let since): PageToken("changed:\(since.milliseconds)")
        case .ties(let second, let last): PageToken("ties:\(second.milliseconds):\(last)")
        }
    }

    /// The query for the page.
    func jql(project: String) -> String {
        switch self {
        case .all(let last), .census(let last): JQL.issues(ofProject: project, after: last)
        case .changed(let since): JQL.issues(ofProject: project, changedSince: since)
        case .ties(let second, let last):
            JQL.issues(ofProject: project, changedInSecond: second, after: last)
        }
    }

    /// Whether this is the first page of a walk, on which nothing at all is a surprise.
    var isStart: Bool {
        switch self {
        case .all(let last), .census(let last): last == 0
        case .changed: true
        case .ties: false
        }
    }

    /// The issue the page is anchored on; nil when the anchor is a time.
    var anchor: Int64? {
        switch self {
        case .all(let last), .census(let last), .ties(_, let last): last
        case .changed: nil
        }
    }

    /// The cursor of the page after one with `rows`; nil when the walk is over.
    ///
    /// INVARIANT: it is a later place than `self`, so a walk ends.
    func next(after rows: [JiraRowPlace], isLast: Bool) throws(TrackerError) -> JiraCursor? {
        switch self {
        case .all(let last):
            return isLast ? nil : .all(after: try Self.anchor(rows, beyond: last))
        case .census(let last):
            return isLast ? nil : .census(after: try Self.anchor(rows, beyond: last))
        case .changed(let since):
            guard !isLast else { return nil }
            // A row shows its time at the moment of reading, its place is that of the index, which
            // lags: a row changed just now stands far too early and would carry the anchor past all
            // that lies between. The earliest of the last three is no later than its place.
            let instants = rows.compactMap(\.updatedAt).suffix(3)
            guard let second = instants.min()?.wholeSecond else {
                throw .invalidResponse(detail: "no row of a page has a readable `updated`")
            }
            return second > since ? .changed(since: second) : .ties(second: since, after: 0)
        case .ties(let second, let last):
            guard isLast else {
                return .ties(second: second, after: try Self.anchor(rows, beyond: last))
            }
            return .changed(since: second.advanced(by: .seconds(1)))
        }
    }

    private static func anchor(
        _ rows: [JiraRowPlace],
        beyond last: Int64
    ) throws(TrackerError) -> Int64 {
        guard let next = rows.last(where: { $0.id != nil })?.id, next != last else {
            throw .invalidResponse(detail: "the search does not go on after issue \(last)")
        }
        return next
    }
}

/// What of a row a walk goes by.
struct JiraRowPlace: Equatable {
    var id: Int64?
    var updatedAt: Timestamp?
}

extension Timestamp {
    /// The start of the second, not before the epoch: Jira's index knows whole seconds.
    var wholeSecond: Timestamp {
        Timestamp(milliseconds: max(0, milliseconds) / 1000 * 1000)
    }
}
