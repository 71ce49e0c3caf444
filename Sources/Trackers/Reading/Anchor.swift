import Domain

/// A walk in order of time that goes on from the last time seen instead of counting pages.
///
/// Page numbers count rows from the start, so a row that moves away meanwhile shifts all later ones
/// and one of them falls between two pages. Asking again "from the last row's time on" has no such
/// gap. Only rows that share one instant and fill more than a page are counted in pages.
struct Anchor {
    /// The query parameter with the inclusive lower bound.
    var parameter: String
    /// The member of a row that the bound refers to and the list is sorted by.
    var field: String
    /// Writes the bound as the service wants it; rounded down, because the bound is inclusive.
    var format: @Sendable (Timestamp) -> String

    /// The query parameters that count pages or hold a service's cursor.
    private static let places = ["page", "after", "before", "cursor"]

    /// The query of the page after `list`; nil when the service says that there is none.
    ///
    /// INVARIANT: the bound grows or, with the same bound, the page does; so a walk ends, whatever
    /// the rows hold.
    func nextQuery(after list: TrackerList, linked: QueryString?) -> QueryString? {
        guard let linked else { return nil }
        guard let last = instant(list.elements.last, of: list) else { return linked }
        let bound = format(last)
        let current = list.query[parameter]
        if let current {
            guard let old = Timestamp(parsing: current), let new = Timestamp(parsing: bound),
                new > old
            else { return linked }
        } else if last.milliseconds < 1000 {
            // GitHub answers a bound at the epoch with an empty list: such rows are paged.
            return linked
        }
        var query = list.query
        for name in Self.places { query[name] = nil }
        query[parameter] = bound
        // A first page full of one instant is also the first page of the walk from that instant: it
        // is not asked for again. Links with cursors belong to their own bound and are not bent.
        let isFirst = !list.query.items.contains { Self.places.contains($0.name) }
        if isFirst, linked["page"] == "2", linked["after"] == nil, linked["cursor"] == nil,
            let first = instant(list.elements.first, of: list), format(first) == bound
        {
            query["page"] = "2"
        }
        return query
    }

    private func instant(_ element: Range<Int>?, of list: TrackerList) -> Timestamp? {
        guard let element,
            // An unreadable row is quarantined elsewhere; here it only means counting pages.
            let row = try? JSONParser.parse(list.raw(element))
        else { return nil }
        return row[field]?.string.flatMap { Timestamp(parsing: $0) }
    }
}

extension PageToken {
    /// A token that holds the whole query of a page, behind the name of the list it belongs to.
    init(stream: String, query: QueryString) {
        self.init("\(stream)?\(query.encoded)")
    }

    /// The list and query of a token made by ``init(stream:query:)``.
    ///
    /// Stored tokens outlive versions of this program: unknown parameters and lists, or one too
    /// long, mean that the walk must start again.
    func decoded(
        streams: Set<String>,
        parameters: Set<String>
    ) throws(TrackerError) -> (stream: String, query: QueryString) {
        let parts = rawValue.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard rawValue.utf8.count <= 4096, parts.count == 2, streams.contains(String(parts[0]))
        else { throw .pageTokenExpired }
        let query = QueryString(parsing: parts[1])
        guard query.items.allSatisfy({ parameters.contains($0.name) }) else {
            throw .pageTokenExpired
        }
        return (String(parts[0]), query)
    }
}
