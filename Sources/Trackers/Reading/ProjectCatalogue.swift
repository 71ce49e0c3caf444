import Domain
import Synchronization

/// What a list of projects held, page by page.
struct ProjectRows<Row: Sendable>: Sendable {
    var rows: [Row] = []
    var unreadable: [UnreadableProject] = []

    /// Adds a page; `pathField` is the member with a project's path.
    mutating func add(_ elements: [Result<Row, MalformedElement>], pathField: String) {
        for element in elements {
            switch element {
            case .success(let row): rows.append(row)
            case .failure(let malformed):
                unreadable.append(UnreadableProject(malformed.item, pathField: pathField))
            }
        }
    }

    /// Says that there is more than was read.
    mutating func noteRest(after pageCount: Int) {
        unreadable.append(
            UnreadableProject(
                externalID: nil,
                path: nil,
                reason: "there are more than \(pageCount) pages; give the token a narrower view"
            )
        )
    }
}

extension UnreadableProject {
    init(_ item: MalformedItem, pathField: String) {
        // Of a row that is no JSON nothing more is known than the reason already says.
        let value = try? JSONParser.parse(item.raw)
        self.init(
            externalID: item.externalID,
            path: value?[pathField]?.string.map(sanitized),
            reason: item.reason
        )
    }
}

/// The projects of the list read last, so that asking for each organisation's next costs no further
/// requests.
final class ProjectCatalogue<Row: Sendable>: Sendable {
    private let stored = Mutex<ProjectRows<Row>?>(nil)

    var rows: [Row]? { stored.withLock { $0?.rows } }

    func replace(with rows: ProjectRows<Row>) {
        stored.withLock { $0 = rows }
    }

    /// What the list held besides, told once: its organisation may be unreadable, too.
    func takeUnreadable() -> [UnreadableProject] {
        stored.withLock { stored in
            let unreadable = stored?.unreadable ?? []
            stored?.unreadable = []
            return unreadable
        }
    }
}

extension ProjectRows {
    /// Refuses a list of which nothing could be read: nobody would ask for its organisations.
    func requireSome() throws(TrackerError) {
        if rows.isEmpty, let first = unreadable.first {
            throw .invalidResponse(detail: first.description)
        }
    }
}
