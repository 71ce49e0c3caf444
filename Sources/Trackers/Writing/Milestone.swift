import Domain

/// A milestone of a project, by what services call it.
struct Milestone: Equatable {
    /// GitHub's number, GitLab's identifier.
    var id: Int
    var title: String
    var isOpen: Bool

    init(_ fields: FieldReader) throws(FieldError) {
        // GitHub knows one by its number, GitLab by its identifier.
        id = try fields.value["number"] == nil ? fields.integer("id") : fields.integer("number")
        title = try fields.text("title")
        isOpen = ["open", "active"].contains(try fields.optionalText("state") ?? "open")
    }
}

extension TrackerSession {
    /// The open milestone of that title among those at `path`; nil without a title.
    func milestone(
        _ title: String?,
        at path: String,
        paging: @Sendable (QueryString) -> PageParameters
    ) async throws(TrackerError) -> Milestone? {
        guard let title else { return nil }
        let all = try await rows(at: path, paging: paging, read: Milestone.init)
        let open = all.items.filter(\.isOpen)
        if let found = open.first(where: { $0.title.lowercased() == title.lowercased() }) {
            return found
        }
        let names = open.prefix(20).map { "`\($0.title)`" }.joined(separator: ", ")
        throw .invalid(
            "milestone",
            "`\(title)` is not an open one",
            cure: names.isEmpty ? "leave it out: there are none" : "use one of: \(names)"
        )
    }
}
