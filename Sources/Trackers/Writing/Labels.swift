import Domain
import HTTPClient

/// Reads one item of an answer; what cannot be read is an answer that is not as documented.
func readAnswer<Item>(
    _ value: JSONValue,
    _ read: (FieldReader) throws(FieldError) -> Item
) throws(TrackerError) -> Item {
    do throws(FieldError) {
        return try read(FieldReader(value))
    } catch {
        throw .invalidResponse(detail: "the answer's \(error.reason)")
    }
}

/// The label among `names` that says this priority; nil when there is none.
func priorityLabelName(_ wanted: String, among names: [String]) -> String? {
    names.first { name in
        haveEqualBytes(name.lowercased(), wanted.lowercased())
            && priority(fromLabels: [name]) != nil
    }
        ?? names.first { name in
            priority(fromLabels: [name]).map { haveEqualBytes($0, wanted.lowercased()) } ?? false
        }
}

extension Optional<LabelChange> {
    /// The change with the priority labels among `present` exchanged for `label`.
    func exchangingPriority(of present: [String], for label: String) -> LabelChange {
        let old = present.filter { name in
            priority(fromLabels: [name]) != nil && !haveEqualBytes(name, label)
        }
        switch self {
        case .set(let names):
            return .set(names.filter { priority(fromLabels: [$0]) == nil } + [label])
        case .change(let added, let removed):
            return .change(adding: added + [label], removing: removed + old)
        case nil: return .change(adding: [label], removing: old)
        }
    }
}

extension TrackerSession {
    /// More labels than this are not looked through for a priority.
    private static let maximumNamePageCount = 5

    /// The `name` of each row of a list, page by page.
    func names(
        at path: String,
        paging: @Sendable (QueryString) -> PageParameters
    ) async throws(TrackerError) -> [String] {
        var names: [String] = []
        var query: QueryString? = ["per_page": "100"]
        for _ in 0..<Self.maximumNamePageCount {
            guard let current = query else { break }
            let list = try await list(
                TrackerRequest(path: path, query: current, paging: paging(current))
            )
            let rows = list.read { (fields) throws(FieldError) in try fields.text("name") }
            names += rows.compactMap { try? $0.get() }
            query = list.response.headers.nextPageQuery
        }
        return names
    }
}
