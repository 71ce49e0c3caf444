import Domain
import HTTPClient

extension GitLabClient {
    /// Takes one reaction to a merge request back and gives another.
    func react(
        _ change: ReactionChange,
        to pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) {
        let path = "\(Self.mergePath(project, pull))/award_emoji"
        if let removed = change.removed { try await takeBack(removed.gitLab, at: path) }
        guard let name = change.added?.gitLab else { return }
        let (_, response) = try await session.write(
            .json("POST", path, ["name": .string(name)], acceptedStatuses: [404]),
            isIdempotent: true
        )
        guard response.status == 404 else { return }
        // What is given already is "not found" to GitLab (its issue 26060), as is an unknown name.
        let detail = ErrorDetail(response).text
        let text = detail.lowercased()
        if text.contains("already been taken") { return }
        guard text.contains("emoji") else { throw .notFound(detail: detail) }
        throw .invalid(ReactionChange.adding, "`\(name)` is no emoji of this GitLab")
    }

    /// Removes the token's user's own; none there is what was wanted.
    private func takeBack(_ name: String, at path: String) async throws(TrackerError) {
        let (user, _) = try await session.document(TrackerRequest(path: "/user"))
        guard let own = user["id"]?.integer else {
            throw .invalidResponse(detail: "`/user` names no user")
        }
        let rows = try await session.rows(at: path, paging: { _ in Self.paging }) {
            (fields) throws(FieldError) in
            (
                id: try fields.integer("id"), name: try fields.text("name"),
                user: fields.value["user"]?["id"]?.integer
            )
        }
        guard let reaction = rows.items.first(where: { $0.name == name && $0.user == own }) else {
            if rows.isComplete { return }
            throw .unsupported("there are too many reactions to find one among them")
        }
        try await session.remove("\(path)/\(reaction.id)")
    }
}
