import Domain
import HTTPClient

extension GitHubClient {
    /// What became of one issue; a redirect means moved, and the token never follows it elsewhere.
    ///
    /// A 404 may hide a lost permission: the issue is gone only if the repository still answers. A
    /// 410 means gone unless it says that issues are disabled.
    package func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence {
        let path = "/repositories/\(percentEncoded(project.externalID))/issues/\(issue.number)"
        let request = TrackerRequest(
            path: path,
            acceptedStatuses: [301, 302, 307, 308, 403, 404, 410],
            followsRedirects: false
        )
        let (value, response) = try await session.document(request)
        switch response.status {
        case 301, 302, 307, 308: return .moved(toKey: try await key(behind: response))
        case 410:
            // "Issues are disabled for this repo": nothing may be concluded from that.
            let text = value["message"]?.string?.lowercased() ?? ""
            return text.contains("disabled") ? .inaccessible : .gone
        case 403: return .inaccessible
        case 404: return try await answers(project) ? .gone : .inaccessible
        default: break
        }
        do throws(FieldError) {
            let present = try GitHubReading.issue(
                FieldReader(value),
                projectPath: project.path
            )
            // Deliveries about pull requests name them by their numbers alone.
            guard issue.externalID.isEmpty || present.externalID == issue.externalID else {
                return .gone
            }
            return .present(
                present,
                comments: .notIncluded,
                projectExternalID: project.externalID
            )
        } catch {
            throw .invalidResponse(detail: "issue \(issue.number): \(error.reason)")
        }
    }

    /// The key of the issue a redirect leads to; nil when it cannot be read with this token.
    private func key(behind redirect: HTTPResponse) async throws(TrackerError) -> String? {
        // Of the target only the part below `/repositories/` is used, and only if it has the form
        // that GitHub gives it, so that the token goes nowhere else.
        let location = redirect.headers["Location"] ?? ""
        let segments = location.utf8.split(separator: UInt8(ascii: "/")).map {
            String(decoding: Array($0), as: UTF8.self)
        }
        guard segments.count >= 4 else { return nil }
        let tail = segments.suffix(4).map { $0 }
        guard tail[0] == "repositories", tail[2] == "issues", Int(tail[1]) != nil,
            Int(tail[3]) != nil
        else { return nil }
        let request = TrackerRequest(
            path: "/repositories/\(tail[1])/issues/\(tail[3])",
            acceptedStatuses: [301, 403, 404, 410],
            followsRedirects: false
        )
        let (value, response) = try await session.document(request)
        guard response.status == 200, let repository = value["repository_url"]?.string else {
            return nil
        }
        let names = repository.split(separator: "/").suffix(2)
        return names.count == 2 ? "\(names.joined(separator: "/"))#\(tail[3])" : nil
    }

    /// Whether the token still sees the repository.
    private func answers(_ project: RemoteProject) async throws(TrackerError) -> Bool {
        let path = "/repositories/\(percentEncoded(project.externalID))"
        let request = TrackerRequest(path: path, acceptedStatuses: [403, 404, 451])
        return try await session.document(request).response.status == 200
    }
}
