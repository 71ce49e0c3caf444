import Domain
import Glibc

/// The sample issues, as read from `SampleIssues.jsonl`, grouped by service and project, and what
/// was written to them.
struct World: Sendable {
    /// One issue or pull request with its comments.
    struct Item: Sendable {
        var id: Int64
        var project: String
        var number: Int64
        var isPullRequest = false
        var title: String
        var body: String
        /// Jira's document as it was written; nil for samples, whose text is plain.
        var document: JSONValue?
        var isOpen = true
        /// GitHub's reason or Jira's status; nil for the service's usual one.
        var status: String?
        /// Jira's alone.
        var resolution: String?
        /// Nil for the service's usual one.
        var type: String?
        /// Jira's alone; nil for the usual one.
        var priority: String?
        var labels: [String]
        /// By the names of ``World/people(of:)``.
        var assignees: [String] = []
        var author: String
        var createdAt: Timestamp
        var updatedAt: Timestamp
        var comments: [Remark] = []
        /// Identifiers of the items it is linked to as a duplicate.
        var duplicates: [Int64] = []
    }

    /// A comment.
    struct Remark: Sendable {
        var id: Int64
        var author: String
        var body: String
        /// As of an item.
        var document: JSONValue?
        var createdAt: Timestamp
        var updatedAt: Timestamp
        /// The first comment of the thread it answers in; nil for one that stands by itself.
        var thread: Int64?
    }

    /// Items by service name, oldest first.
    private(set) var items: [String: [Item]] = [:]
    /// The last identifier given away; what follows it by less than ten are an item's comments'.
    private var lastID: Int64 = 1_000

    /// When what is written is written; nil where nothing is.
    var time: Timestamp?
    /// Grows with every write.
    private(set) var writeCount = 0

    /// Reads one JSON object a line: service, project, number, title, body and so on.
    init(jsonLines bytes: [UInt8]) throws {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let object = try JSONParser.parse(Array(line))
            guard let service = object["service"]?.string, let project = object["project"]?.string,
                let number = object["number"]?.integer, let title = object["title"]?.string,
                let created = object["created_at"]?.string.flatMap(Timestamp.init(parsing:))
            else { throw SimulatorError(message: "sample issue \(lastID) is incomplete") }
            let id = newID()
            let updated = object["updated_at"]?.string.flatMap(Timestamp.init(parsing:)) ?? created
            let comments = (object["comments"]?.array ?? []).enumerated().map { index, comment in
                let instant = created.advanced(by: .seconds(3600 * (index + 1)))
                return Remark(
                    id: id * 10 + Int64(index),
                    author: comment["author"]?.string ?? "someone",
                    body: comment["body"]?.string ?? "",
                    createdAt: instant,
                    updatedAt: instant
                )
            }
            items[service, default: []].append(
                Item(
                    id: id,
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

    /// The number of a project given by path; 0 for none.
    func projectID(_ path: String, of service: String) -> Int64 {
        projects(of: service).first { $0.path == path }?.id ?? 0
    }

    /// An item by its identifier.
    func item(_ id: Int64, of service: String) -> Item? {
        items[service]?.first { $0.id == id }
    }

    /// Whose every token is.
    static let owner = "sample-user"

    /// Who may be given an issue: the token's owner, then everybody who has written something.
    func people(of service: String) -> [String] {
        let all = items[service] ?? []
        let names = Set(all.flatMap { [$0.author] + $0.comments.map(\.author) })
        return [Self.owner] + names.subtracting([Self.owner]).sorted()
    }

    /// The labels of a project's items, in order of name.
    func labels(of project: String, in service: String) -> [String] {
        let mine = (items[service] ?? []).filter { $0.project == project }
        return Set(mine.flatMap(\.labels)).sorted()
    }

    // MARK: - Writing

    /// Adds an open issue of the token's owner, numbered as the service numbers.
    mutating func add(
        to project: String,
        of service: String,
        _ fill: (inout Item) -> Void
    ) -> Item {
        let now = now(after: nil)
        // GitHub counts issues and pull requests together, the others apart.
        let taken = (items[service] ?? []).filter {
            $0.project == project && (service == "github" || !$0.isPullRequest)
        }
        var item = Item(
            id: newID(),
            project: project,
            number: (taken.map(\.number).max() ?? 0) + 1,
            title: "",
            body: "",
            labels: [],
            author: Self.owner,
            createdAt: now,
            updatedAt: now
        )
        fill(&item)
        writeCount += 1
        items[service, default: []].append(item)
        return item
    }

    /// Changes an item, which is then later than it was; nil when there is none.
    @discardableResult
    mutating func change(
        _ id: Int64,
        of service: String,
        _ body: (inout Item) -> Void
    ) -> Item? {
        guard let place = items[service]?.firstIndex(where: { $0.id == id }),
            var item = items[service]?[place]
        else { return nil }
        item.updatedAt = now(after: item.updatedAt)
        body(&item)
        writeCount += 1
        items[service]?[place] = item
        return item
    }

    /// Adds a comment of the token's owner to an item that there is.
    mutating func comment(
        on id: Int64,
        of service: String,
        _ text: String,
        document: JSONValue? = nil,
        thread: Int64? = nil
    ) -> Remark {
        let now = now(after: item(id, of: service)?.updatedAt)
        let remark = Remark(
            id: newID() * 10,
            author: Self.owner,
            body: text,
            document: document,
            createdAt: now,
            updatedAt: now,
            thread: thread
        )
        change(id, of: service) { $0.comments.append(remark) }
        return remark
    }

    /// Gives a comment another text; nil when the item has no such comment.
    mutating func changeComment(
        _ remark: Int64,
        on id: Int64,
        of service: String,
        _ text: String,
        document: JSONValue? = nil
    ) -> Remark? {
        let remarks = item(id, of: service)?.comments ?? []
        guard let place = remarks.firstIndex(where: { $0.id == remark }) else { return nil }
        return change(id, of: service) { item in
            item.comments[place].body = text
            item.comments[place].document = document
            item.comments[place].updatedAt = item.updatedAt
        }?.comments[place]
    }

    private mutating func newID() -> Int64 {
        lastID += 10
        return lastID
    }

    /// The time of the write, or a moment after `earlier` where that is later.
    private func now(after earlier: Timestamp?) -> Timestamp {
        let time = time ?? Self.now
        return max(time, earlier?.advanced(by: .milliseconds(1)) ?? time)
    }

    /// The time by the machine's clock.
    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(
            milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
        )
    }
}
