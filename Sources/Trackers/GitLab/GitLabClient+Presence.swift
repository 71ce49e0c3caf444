import Domain
import HTTPClient

extension GitLabClient {
    /// A deleted issue and a lost permission are both 404; the project's answer tells which.
    ///
    /// A moved issue stays where it was, closed, and its copy is another issue: it is present.
    package func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence {
        let stream = GitLabStream(issue.kind)
        let (value, response) = try await session.document(
            TrackerRequest(
                path: "\(Self.path(project))/\(stream.rawValue)/\(issue.number)",
                acceptedStatuses: [403, 404, 410]
            )
        )
        switch response.status {
        case 403: return .inaccessible
        case 404, 410:
            let (answer, answered) = try await session.document(
                TrackerRequest(path: Self.path(project), acceptedStatuses: [403, 404])
            )
            guard answered.status == 200 else { return .inaccessible }
            // Switched off is not deleted.
            let key = stream == .issues ? "issues_enabled" : "merge_requests_enabled"
            return answer[key]?.bool == false ? .inaccessible : .gone
        default: break
        }
        do throws(FieldError) {
            let present = try GitLabReading.item(
                FieldReader(value),
                stream: stream,
                projectPath: project.path
            )
            // Deliveries about pull requests name them by their numbers alone.
            guard issue.externalID.isEmpty || present.externalID == issue.externalID else {
                return .gone
            }
            return .present(
                present,
                comments: .notIncluded,
                projectExternalID: try FieldReader(value).identifier("project_id")
            )
        } catch {
            throw .invalidResponse(detail: "\(issue.key): \(error.reason)")
        }
    }
}
