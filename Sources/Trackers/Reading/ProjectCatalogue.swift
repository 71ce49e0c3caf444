import Domain
import HTTPClient
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

/// How a service shows projects in lists that `Link` headers lead through.
struct ProjectForm<Row: Sendable>: Sendable {
    /// The member with a project's path.
    var pathField: String
    var read: @Sendable (FieldReader) throws(FieldError) -> Row
    var paging: @Sendable (QueryString) -> PageParameters
}

extension TrackerSession {
    /// 20,000 projects; a token that sees more wants a narrower view.
    private static let maximumProjectPageCount = 200

    /// Every page of a list of projects.
    ///
    /// - Returns: Nil when the list is refused (403, 404) and `mayBeMissing` said so.
    func projects<Row>(
        at path: String,
        _ first: QueryString,
        in keys: [String] = [],
        mayBeMissing: Bool,
        as form: ProjectForm<Row>
    ) async throws(TrackerError) -> ProjectRows<Row>? {
        var projects = ProjectRows<Row>()
        var query: QueryString? = first
        for _ in 0..<Self.maximumProjectPageCount {
            guard let current = query else { break }
            let list = try await list(
                TrackerRequest(
                    path: path,
                    query: current,
                    acceptedStatuses: mayBeMissing ? [403, 404] : [],
                    paging: form.paging(current)
                ),
                at: keys
            )
            if list.response.status != 200 { return nil }
            projects.add(list.read(form.read), pathField: form.pathField)
            query = list.response.headers.nextPageQuery
        }
        if query != nil { projects.noteRest(after: Self.maximumProjectPageCount) }
        return projects
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
