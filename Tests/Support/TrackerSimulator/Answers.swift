import Domain

/// What the three services share: JSON answers, filters, pages.
enum Answers {
    /// A JSON document with status 200 unless said otherwise.
    static func json(
        _ value: JSONValue,
        status: Int = 200,
        headers: [(name: String, value: String)] = []
    ) -> HTTPServer.Response {
        let type = (name: "Content-Type", value: "application/json; charset=utf-8")
        return HTTPServer.Response(
            status: status,
            headers: [type] + headers,
            body: value.serialized()
        )
    }

    /// 404 as the services word it.
    static let notFound = json(["message": "Not Found"], status: 404)

    /// 401 as the services word it.
    static let unauthorized = json(["message": "Bad credentials"], status: 401)

    /// One page of `all`, with the number of the next page when there is one.
    static func page<Element>(
        _ all: [Element],
        query: [String: String]
    ) -> (elements: [Element], next: Int?) {
        let size = min(100, max(1, query["per_page"].flatMap { Int($0) } ?? 30))
        let number = max(1, query["page"].flatMap { Int($0) } ?? 1)
        let start = min(all.count, (number - 1) * size)
        let end = min(all.count, start + size)
        return (Array(all[start..<end]), end < all.count ? number + 1 : nil)
    }

    /// Items of a list as `since`/`updated_after`, `state`, `sort`/`order_by` and direction ask.
    static func select(
        _ items: [World.Item],
        since: String?,
        sortsByUpdate: Bool,
        ascending: Bool
    ) -> [World.Item] {
        var chosen = items
        if let since = since.flatMap(Timestamp.init(parsing:)) {
            chosen.removeAll { $0.updatedAt < since }
        }
        chosen.sort {
            let left = sortsByUpdate ? $0.updatedAt : $0.createdAt
            let right = sortsByUpdate ? $1.updatedAt : $1.createdAt
            return (left, $0.id) < (right, $1.id)
        }
        return ascending ? chosen : chosen.reversed()
    }

    /// A `Link` header for the next page of the same list.
    static func link(
        _ request: HTTPServer.Request,
        base: String,
        next: Int?
    ) -> [(name: String, value: String)] {
        guard let next else { return [] }
        var query = request.query
        query["page"] = String(next)
        let items = query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let path = request.path.joined(separator: "/")
        return [("Link", "<\(base)/\(path)?\(items.joined(separator: "&"))>; rel=\"next\"")]
    }

    /// A weak validator over the bytes of an answer.
    static func entityTag(_ response: HTTPServer.Response) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in response.body { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return "W/\"\(String(hash, radix: 16))\""
    }
}
