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
}
