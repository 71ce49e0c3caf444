import Domain
import HTTPTypes

/// Which part of a list is asked for: by `cursor`, or by `skip` and `limit`.
struct PageRequest: Sendable, Equatable {
    static let maximumLimit = 100
    static let standardLimit = 50
    /// Reaching further is what cursors are for.
    static let maximumSkip = 10_000

    var limit: Int
    var skip: Int
    /// What a page before gave; it means something to its own list only.
    var cursor: String?

    /// Reads the parameters of ``Route/paged``; `standard` is the limit when nobody says.
    ///
    /// A `skip` of 0 says nothing, so that it may stand beside a cursor; another one would have to
    /// be dropped.
    init(_ request: APIRequest, standard: Int = Self.standardLimit) throws(Problem) {
        func number(_ name: String, _ standard: Int) -> Int {
            request.arguments[name]?.integer.flatMap(Int.init(exactly:)) ?? standard
        }
        limit = number("limit", standard)
        skip = number("skip", 0)
        guard let text = request.arguments["cursor"]?.string else { return }
        guard skip == 0 else { throw .contradiction("skip", "cursor") }
        guard let bytes = Base64URL.decode(text),
            let cursor = String(validating: bytes, as: UTF8.self)
        else { throw Self.invalidCursor }
        self.cursor = cursor
    }

    /// A cursor that no page has given.
    static let invalidCursor = Problem.invalid("cursor", "must be what a page before gave")

    /// How many items are before the page, of a list whose cursor is that number.
    func start(atMost furthest: Int = .max) throws(Problem) -> Int {
        guard let cursor else { return skip }
        guard let place = Int(cursor), (0...furthest).contains(place) else {
            throw Self.invalidCursor
        }
        return place
    }

    /// A part of a list that is at hand; its cursor is the number of items before.
    func slice<Item>(of items: [Item]) throws(Problem) -> (items: ArraySlice<Item>, next: String?) {
        let start = try start()
        let page = items.dropFirst(start).prefix(limit)
        let end = min(start, items.count) + page.count
        return (page, end < items.count ? String(end) : nil)
    }

    /// The answer: a list, with the way to the next page in its head.
    func answer(
        _ items: some Sequence<JSONValue>,
        next: String?,
        to request: APIRequest
    ) -> APIResponse {
        .json(.array(Array(items)), headers: headers(next: next, to: request))
    }

    /// The way to the next page, for the head of an answer.
    func headers(next: String?, to request: APIRequest) -> HTTPFields {
        var headers: HTTPFields = [:]
        if let next {
            let cursor = Base64URL.encode(next.utf8)
            headers[.nextCursor] = cursor
            let kept = request.query.items.filter { $0.name != "cursor" && $0.name != "skip" }
            let query = kept.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))&" }
            headers[.link] =
                "<\(request.path)?\(query.joined())cursor=\(cursor)>; rel=\"next\""
        }
        return headers
    }
}

extension Route {
    /// The route with the parameters of ``PageRequest``.
    var paged: Route { paged() }

    /// The same, of pages that have another length when nobody says, or that end sooner.
    func paged(
        standard: Int = PageRequest.standardLimit,
        furthest: Int = PageRequest.maximumSkip
    ) -> Route {
        var copy = query(
            "limit",
            Shape.integer(1...PageRequest.maximumLimit, "How many; \(standard).")
        )
        .query("skip", Shape.integer(0...furthest, "How many to leave out; 0."))
        .query(
            "cursor",
            Shape.text(
                256,
                "`X-Next-Cursor` of the page before, in place of `skip`, with which it is refused."
            )
        )
        copy.isPaged = true
        return copy
    }
}

extension HTTPField.Name {
    static let nextCursor = known("X-Next-Cursor")
    static let link = known("Link")
}

/// Text as it may stand in a query.
func percentEncoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
        let isPlain =
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || "-._~".utf8.contains(byte)
        if isPlain {
            result.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            let digits = String(byte, radix: 16, uppercase: true)
            result += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
        }
    }
    return result
}
