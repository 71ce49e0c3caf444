import Domain
import HTTPClient

extension GitHubClient {
    /// Takes one reaction to a pull request back and gives another.
    ///
    /// Given again, a reaction is answered as it is there: that tells the identifier of the one to
    /// take back also to an App's token, which has no user to look for in the list.
    func react(
        adding added: String?,
        removing removed: String?,
        to pull: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) {
        let path = "\(Self.path(project, pull))/reactions"
        if let removed {
            let reaction = try await give(removed, at: path)
            guard let id = reaction["id"]?.integer else {
                throw .invalidResponse(detail: "a reaction without `id`")
            }
            try await session.remove("\(path)/\(id)")
        }
        if let added { _ = try await give(added, at: path) }
    }

    private func give(
        _ content: String,
        at path: String
    ) async throws(TrackerError) -> JSONValue {
        let request = TrackerRequest.json("POST", path, ["content": .string(content)])
        return try await session.write(request, isIdempotent: true).value
    }
}
