import Domain
import HTTPClient

extension JiraClient {
    /// What became of one issue, asked by its immutable identifier.
    ///
    /// 404 means deleted or hidden, so the project is asked too: only where it answers is the issue
    /// gone.
    package func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence {
        let request = TrackerRequest(
            path: "\(dialect.apiPath)/issue/\(percentEncoded(issue.externalID))",
            query: QueryString(["fields": JiraDialect.issueFields]),
            acceptedStatuses: [404]
        )
        let (value, response) = try await session.document(request)
        guard response.status != 404 else {
            return try await isVisible(project) ? .gone : .inaccessible
        }
        let found: JiraIssue
        do throws(FieldError) {
            found = try reader(for: project).issue(FieldReader(value))
        } catch {
            throw .invalidResponse(detail: "issue \(issue.key): \(error.reason)")
        }
        if let id = found.projectID, id != project.externalID {
            return .moved(toKey: found.issue.key)
        }
        return .present(
            found.issue,
            comments: try await comments(of: found),
            projectExternalID: found.projectID
        )
    }
}
