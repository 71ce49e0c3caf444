import Domain
package import HTTPClient

/// One exchange with a tracker, relative to the session's base URL.
package struct TrackerRequest: Sendable {
    /// What is no read goes through ``TrackerSession/write(_:isIdempotent:)``.
    package var method: String
    /// Below the base URL, starting with `/`, already percent-encoded.
    package var path: String
    package var query: QueryString
    package var headers: [HTTPField]
    package var body: [UInt8]?
    /// Statuses besides 2xx that come back as a response instead of a ``TrackerError``.
    package var acceptedStatuses: Set<Int>
    /// False to see 301 and 307 as responses; they must then be accepted.
    package var followsRedirects: Bool
    /// How a list names its page size; lets the session ask for less when the service breaks down.
    package var paging: PageParameters?

    package init(
        method: String = "GET",
        path: String,
        query: QueryString = QueryString(),
        headers: [HTTPField] = [],
        body: [UInt8]? = nil,
        acceptedStatuses: Set<Int> = [],
        followsRedirects: Bool = true,
        paging: PageParameters? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.acceptedStatuses = acceptedStatuses
        self.followsRedirects = followsRedirects
        self.paging = paging
    }
}

extension TrackerRequest {
    /// A request with a JSON body.
    static func json(
        _ method: String,
        _ path: String,
        _ body: JSONValue,
        query: QueryString = QueryString(),
        acceptedStatuses: Set<Int> = []
    ) -> TrackerRequest {
        TrackerRequest(
            method: method,
            path: path,
            query: query,
            headers: [HTTPField("Content-Type", "application/json")],
            body: body.serialized(),
            acceptedStatuses: acceptedStatuses,
            followsRedirects: false
        )
    }
}

/// The query parameters by which a list is paged.
package struct PageParameters: Sendable, Equatable {
    /// The parameter with the number of rows: `per_page`, `maxResults`.
    package var size: String
    /// The parameter that counts pages of that size from 1, when there is one; an offset in rows
    /// (`startAt`) or a cursor does not depend on the size and is not named here.
    package var page: String?

    package init(size: String, page: String? = nil) {
        self.size = size
        self.page = page
    }
}
