/// Runs `transform` for all elements, at most `limit` at a time; the results keep their order.
func mapConcurrently<Element: Sendable, Result: Sendable>(
    _ elements: [Element],
    limit: Int,
    transform: @escaping @Sendable (Element) async -> Result
) async -> [Result] {
    precondition(limit > 0, "at least one at a time")
    return await withTaskGroup(of: (Int, Result).self) { group in
        var results: [Int: Result] = [:]
        for (index, element) in elements.enumerated() {
            if index >= limit, let (place, result) = await group.next() { results[place] = result }
            group.addTask { (index, await transform(element)) }
        }
        for await (place, result) in group { results[place] = result }
        return elements.indices.compactMap { results[$0] }
    }
}
