import Domain
import MCP

/// Lists of a server.
extension UpstreamConnection {
    /// Pages of a list, and what they may hold in all: more is a server that never ends.
    private static let maximumPages = 100
    private static let maximumItems = 2_000

    /// Everything of a list, page by page.
    ///
    /// - Parameters:
    ///   - method: Such as `tools/list`.
    ///   - key: The member of the result that holds the items.
    ///   - trace: Where each page's request stands; nil for what nobody waits for.
    /// - Returns: The items that are objects.
    /// - Throws: ``UpstreamError``, also for a list that does not end.
    func list(
        _ method: String,
        _ key: String,
        in trace: UpstreamTrace? = nil
    ) async throws -> [JSONObject] {
        var items: [JSONObject] = []
        var cursor: JSONValue?
        for _ in 0..<Self.maximumPages {
            let parameters = JSONObject(cursor.map { [("cursor", $0)] } ?? [])
            let result =
                if let trace {
                    try await trace.perform(method, parameters) { try await call(method, $0) }
                } else {
                    try await call(method, parameters)
                }
            guard let page = result[key]?.array else {
                throw UpstreamError.invalid(reason: "`\(method)` gives no `\(key)`")
            }
            items += page.compactMap(\.object)
            guard items.count <= Self.maximumItems else {
                throw UpstreamError.invalid(
                    reason: "`\(method)` gives more than \(Self.maximumItems) items"
                )
            }
            guard let next = result["nextCursor"], next.string?.isEmpty == false, next != cursor
            else { return items }
            cursor = next
        }
        throw UpstreamError.invalid(
            reason: "`\(method)` has more than \(Self.maximumPages) pages"
        )
    }
}
