package import Domain
import Foundation
import FoundationNetworking

/// What a perfect reader of one project must end up with.
package struct TrackerTruth: Sendable {
    package var projectID: String
    package var items: [Int: Item]

    /// One issue or pull request.
    package struct Item: Sendable {
        package var id: String
        package var title: String?
        package var bodySHA256: String
        package var isOpen: Bool
        package var isPullRequest: Bool
        package var labels: [String]
        package var updatedAt: String
        /// Digest of the body by comment id.
        package var comments: [String: String]
    }
}

extension FakeTrackers {
    /// What the service named `tracker` (`github`, `gitlab`, `jira`) holds of a project.
    package func truth(tracker: String, project: String) async throws -> TrackerTruth {
        let path = project.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? project
        let answer = try await control("_truth?tracker=\(tracker)&project=\(path)", body: nil)
        var truth = TrackerTruth(projectID: "\(answer["id"]?.integer ?? -1)", items: [:])
        for member in answer["items"]?.object?.members ?? [] {
            guard let number = Int(member.key) else { continue }
            truth.items[number] = Self.item(member.value)
        }
        return truth
    }

    private static func item(_ value: JSONValue) -> TrackerTruth.Item {
        var comments: [String: String] = [:]
        for comment in value["comments"]?.object?.members ?? [] {
            comments[comment.key] = comment.value.string
        }
        return TrackerTruth.Item(
            id: "\(value["id"]?.integer ?? -1)",
            title: value["title"]?.string,
            bodySHA256: value["body_sha256"]?.string ?? "",
            isOpen: value["state"]?.string == "open",
            isPullRequest: value["is_pull_request"]?.bool ?? false,
            labels: value["labels"]?.array?.compactMap(\.string) ?? [],
            updatedAt: value["updated_at"]?.string ?? "",
            comments: comments
        )
    }

    /// Changes the services' contents; `change` as their `/_mutate` takes it.
    @discardableResult
    package func mutate(_ change: JSONValue) async throws -> JSONValue {
        try await control("_mutate", body: change)
    }

    /// Makes a token be refused from now on, or accepted again.
    package func revoke(_ token: String, restore: Bool = false) async throws {
        _ = try await control(
            "_revoke",
            body: ["token": .string(token), "restore": .bool(restore)]
        )
    }

    /// Requests by route, statuses, faults, and so on since the start or ``resetStats()``.
    package func stats() async throws -> JSONValue {
        try await control("_stats", body: nil)
    }

    /// Starts counting anew.
    package func resetStats() async throws {
        _ = try await control("_stats/reset", body: [:])
    }

    private func control(_ path: String, body: JSONValue?) async throws -> JSONValue {
        guard let url = URL(string: "\(origin)/\(path)") else {
            throw FakeTrackersError.refused(path)
        }
        var request = URLRequest(url: url)
        if let body {
            request.httpMethod = "POST"
            request.httpBody = Data(body.serializedText().utf8)
        }
        let (data, response) = try await URLSession.shared.data(for: request)
        guard (response as? HTTPURLResponse)?.statusCode == 200 else {
            throw FakeTrackersError.refused(String(decoding: data, as: UTF8.self))
        }
        return try JSONParser.parse(Array(data))
    }
}
