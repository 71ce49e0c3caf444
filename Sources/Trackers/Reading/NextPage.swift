import HTTPClient

extension HTTPHeaders {
    /// The query of the page that follows; nil on the last page.
    ///
    /// Of the link only the query is used: the next page is asked for at the address that answered
    /// this one, so neither a proxy's idea of the host name nor a hostile target leads the token
    /// astray.
    var nextPageQuery: QueryString? {
        guard let target = link(relation: "next"),
            let mark = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        else { return nil }
        let rest = target[target.utf8.index(after: mark)...]
        return QueryString(parsing: rest.prefix { $0 != "#" })
    }

    /// The number of the last page; nil for lists without numbers and on the last page itself.
    var lastPage: Int? {
        guard let target = link(relation: "last"),
            let mark = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        else { return nil }
        let rest = target[target.utf8.index(after: mark)...]
        let page = QueryString(parsing: rest.prefix { $0 != "#" })["page"].flatMap { Int($0) }
        // A count beyond any list is no count.
        return page.flatMap { (1...10_000_000).contains($0) ? $0 : nil }
    }
}
