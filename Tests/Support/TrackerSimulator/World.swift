import Domain
import Glibc

/// The sample issues, as read from `SampleIssues.jsonl`, grouped by service and project.
struct World: Sendable {
    /// One issue or pull request with its comments.
    struct Item: Sendable {
        var id: Int64
        var project: String
        var number: Int64
        var isPullRequest: Bool
        var title: String
        var body: String
        var isOpen: Bool
        var labels: [String]
        var author: String
        var createdAt: Timestamp
        var updatedAt: Timestamp
        var comments: [Remark]
    }

    /// A comment.
    struct Remark: Sendable {
        var id: Int64
        var author: String
        var body: String
        var createdAt: Timestamp
    }

    /// Items by service name, oldest first.
    private(set) var items: [String: [Item]] = [:]

    /// Reads one JSON object a line: service, project, number, title, body and so on.
    init(jsonLines bytes: [UInt8]) throws {
        var next: Int64 = 1_000
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let object = try JSONParser.parse(Array(line))
            guard let service = object["service"]?.string, let project = object["project"]?.string,
                let number = object["number"]?.integer, let title = object["title"]?.string,
                let created = object["created_at"]?.string.flatMap(Timestamp.init(parsing:))
            else { throw SimulatorError(message: "sample issue \(next) is incomplete") }
            next += 10
            let updated = object["updated_at"]?.string.flatMap(Timestamp.init(parsing:)) ?? created
            let comments = (object["comments"]?.array ?? []).enumerated().map { index, comment in
                Remark(
                    id: next * 10 + Int64(index),
                    author: comment["author"]?.string ?? "someone",
                    body: comment["body"]?.string ?? "",
                    createdAt: created.advanced(by: .seconds(3600 * (index + 1)))
                )
            }
            items[service, default: []].append(
                Item(
                    id: next,
                    project: project,
                    number: number,
                    isPullRequest: object["pull_request"]?.bool ?? false,
                    title: title,
                    body: object["body"]?.string ?? "",
                    isOpen: object["state"]?.string != "closed",
                    labels: (object["labels"]?.array ?? []).compactMap(\.string),
                    author: object["author"]?.string ?? "someone",
                    createdAt: created,
                    updatedAt: max(updated, comments.last?.createdAt ?? updated),
                    comments: comments
                )
            )
        }
    }

    /// The service's projects in order of name, each with a stable number.
    func projects(of service: String) -> [(id: Int64, path: String)] {
        let paths = Set((items[service] ?? []).map(\.project)).sorted()
        return paths.enumerated().map { (Int64($0.offset) + 501, $0.element) }
    }

    /// The path of a project given by path or number.
    func projectPath(_ name: String, of service: String) -> String? {
        projects(of: service).first { $0.path == name || String($0.id) == name }?.path
    }
}
