import Domain
import Synchronization
import Trackers

/// A tracker in memory that tests change at will, read through ``TrackerClient``.
final class TrackerWorld: TrackerClient {
    struct Entry: Sendable {
        var issue: Issue
        var comments: [Comment] = []
        var isMalformed = false
    }

    struct Place: Sendable {
        var remote: RemoteProject
        var isHidden = false
        var entries: [Entry] = []
    }

    struct State: Sendable {
        var places: [Place] = []
        var nextID = 1
        var now: Int64 = 1_700_000_000_000
        var calls: [String] = []
        var isRevoked = false
        /// What every list shows although it is not so: an anonymous 200 without rows.
        var showsNothing = false
        /// Rows of the project list that no client understands.
        var unreadable: [UnreadableProject] = []
        /// Whether answers carry the service's time.
        var tellsTime = true
        /// So long after a change lists show it, of every second issue: a newer change may be shown
        /// before an older one, which is what makes lag dangerous.
        var listLag = Duration.zero
        /// Whether lists of changed issues have a tag, and a known one is answered without rows.
        var tagsLists = false
    }

    let commentListing: CommentListing
    let pageSize: Int
    /// Whether censuses show sightings or whole issues.
    let showsSightings: Bool
    let state = Mutex(State())
    /// Called before each call with its number from 1; it may change the world or refuse.
    let interference = Mutex<Interference?>(nil)

    /// In a struct: the compiler (6.3.1) crashes on a mutex of a closure with typed throws.
    struct Interference: Sendable {
        var body: @Sendable (Int, String, TrackerWorld) throws(TrackerError) -> Void
    }

    init(_ listing: CommentListing = .perProject, pageSize: Int = 3, showsSightings: Bool = false) {
        commentListing = listing
        self.pageSize = pageSize
        self.showsSightings = showsSightings
    }

    var callCount: Int { state.withLock { $0.calls.count } }
    var calls: [String] { state.withLock { $0.calls } }

    func interfere(
        _ body: @escaping @Sendable (Int, String, TrackerWorld) throws(TrackerError) -> Void
    ) {
        interference.withLock { $0 = Interference(body: body) }
    }

    func leaveAlone() {
        interference.withLock { $0 = nil }
    }

    private func call(_ name: String) throws(TrackerError) {
        let number = state.withLock { state in
            state.calls.append(name)
            return state.calls.count
        }
        let interference = interference.withLock { $0 }
        try interference?.body(number, name, self)
        if state.withLock({ $0.isRevoked }) { throw .unauthenticated(detail: "revoked") }
    }

    private func place(_ project: RemoteProject) throws(TrackerError) -> Place {
        let place = state.withLock { state in
            state.places.first { $0.remote.externalID == project.externalID && !$0.isHidden }
        }
        guard let place else { throw .notFound(detail: project.path) }
        return place
    }

    private func servedAt(_ state: State) -> Timestamp {
        Timestamp(milliseconds: state.now)
    }

    // MARK: TrackerClient

    func verify() async throws(TrackerError) -> TrackerIdentity {
        try call("verify")
        return TrackerIdentity(userName: "tester")
    }

    func organizations() async throws(TrackerError) -> [RemoteOrganization] {
        try call("organizations")
        return [RemoteOrganization(externalID: "o", path: "org", name: "Org")]
    }

    func projects(of organization: RemoteOrganization) async throws(TrackerError) -> ProjectList {
        try call("projects")
        return state.withLock { state in
            ProjectList(
                state.places.filter { !$0.isHidden }.map(\.remote),
                unreadable: state.unreadable
            )
        }
    }

    func issues(
        of project: RemoteProject,
        walk: IssueWalk,
        page: PageToken?,
        validator: String?
    ) async throws(TrackerError) -> IssuePage {
        try call("issues \(project.path) \(name(walk))")
        let place = try place(project)
        let (time, lag, tellsTime) = state.withLock { (servedAt($0), $0.listLag, $0.tellsTime) }
        let served = tellsTime ? time : nil
        if state.withLock({ $0.showsNothing }) { return IssuePage(items: [], servedAt: served) }
        var entries = place.entries.filter { entry in
            lag == .zero || number(entry).isMultiple(of: 2)
                || entry.issue.updatedAt.advanced(by: lag) <= time
        }
        switch walk {
        case .everything, .census:
            entries.sort { number($0) < number($1) }
            if let page { entries = entries.filter { number($0) > Int(page.rawValue) ?? 0 } }
        case .changed(let since):
            entries = entries.filter { $0.issue.updatedAt >= since }.sorted(by: precedes)
            if let page { entries = entries.filter { key($0) > page.rawValue } }
        case .newest:
            entries = Array(entries.sorted(by: precedes).suffix(1))
        }
        var tag: String?
        if state.withLock({ $0.tagsLists }), page == nil, case .changed = walk {
            tag = "tag " + entries.map(key).joined(separator: ",")
            if tag == validator {
                return IssuePage(items: [], isNotModified: true, servedAt: served)
            }
        }
        let shown = Array(entries.prefix(pageSize))
        var next: PageToken?
        if let last = shown.last, shown.count < entries.count {
            if case .changed = walk {
                next = PageToken(key(last))
            } else {
                next = PageToken(String(number(last)))
            }
        }
        return IssuePage(
            items: shown.map { item($0, in: walk) },
            next: next,
            validator: tag,
            servedAt: served
        )
    }

    private func item(_ entry: Entry, in walk: IssueWalk) -> PageItem {
        if entry.isMalformed {
            return .malformed(
                MalformedItem(
                    externalID: entry.issue.externalID,
                    raw: Array("{\"title\":7}".utf8),
                    reason: "title is no string"
                )
            )
        }
        if walk == .census, showsSightings {
            return .sighting(
                IssueSighting(
                    externalID: entry.issue.externalID,
                    kind: entry.issue.kind,
                    updatedAt: entry.issue.updatedAt
                )
            )
        }
        return .issue(reported(entry), comments: .notIncluded)
    }

    private func reported(_ entry: Entry) -> Issue {
        var issue = entry.issue
        issue.commentCount = entry.comments.count
        return issue
    }

    func comments(
        of project: RemoteProject,
        walk: CommentWalk,
        page: PageToken?
    ) async throws(TrackerError) -> CommentPage {
        try call("comments \(project.path) \(name(walk))")
        let place = try place(project)
        var all: [FetchedComment] = []
        switch walk {
        case .project(let since):
            for entry in place.entries {
                all += entry.comments.map {
                    FetchedComment(comment: $0, issueNumber: entry.issue.number)
                }
            }
            if let since { all = all.filter { $0.comment.updatedAt >= since } }
        case .issue(let reference):
            guard let entry = place.entries.first(where: { matches($0, reference) }) else {
                throw .notFound(detail: reference.key)
            }
            all = entry.comments.map {
                FetchedComment(comment: $0, issueNumber: entry.issue.number)
            }
        }
        // By identifier, which is also the order of creation; deep enough for these tests.
        all.sort { (Int($0.comment.externalID) ?? 0) < (Int($1.comment.externalID) ?? 0) }
        if let page {
            all = all.filter { (Int($0.comment.externalID) ?? 0) > Int(page.rawValue) ?? 0 }
        }
        let shown = Array(all.prefix(pageSize))
        let next =
            shown.count < all.count ? shown.last.map { PageToken($0.comment.externalID) } : nil
        return CommentPage(comments: shown, next: next)
    }

    func presence(
        of issue: IssueReference,
        in project: RemoteProject
    ) async throws(TrackerError) -> IssuePresence {
        try call("presence \(project.path) \(issue.externalID)")
        let places = state.withLock { $0.places }
        guard places.contains(where: { $0.remote.externalID == project.externalID && !$0.isHidden })
        else { return .inaccessible }
        for place in places where !place.isHidden {
            if let entry = place.entries.first(where: { matches($0, issue) }) {
                return .present(
                    reported(entry),
                    comments: .notIncluded,
                    projectExternalID: place.remote.externalID
                )
            }
        }
        return .gone
    }

    private func matches(_ entry: Entry, _ reference: IssueReference) -> Bool {
        entry.issue.externalID == reference.externalID && entry.issue.kind == reference.kind
    }

    private func number(_ entry: Entry) -> Int { Int(entry.issue.externalID) ?? 0 }

    private func key(_ entry: Entry) -> String {
        let time = String(entry.issue.updatedAt.milliseconds)
        let identifier = entry.issue.externalID
        return String(repeating: "0", count: 20 - time.count) + time + "."
            + String(repeating: "0", count: 9 - identifier.count) + identifier
    }

    private func precedes(_ left: Entry, _ right: Entry) -> Bool { key(left) < key(right) }

    private func name(_ walk: IssueWalk) -> String {
        switch walk {
        case .everything: "everything"
        case .changed: "changed"
        case .census: "census"
        case .newest: "newest"
        }
    }

    private func name(_ walk: CommentWalk) -> String {
        switch walk {
        case .project(nil): "all"
        case .project: "since"
        case .issue(let issue): "of \(issue.externalID)"
        }
    }
}

// MARK: Changes

extension TrackerWorld {
    /// The world's own time, a second later at each change.
    func tick(_ seconds: Int64 = 1) -> Timestamp {
        state.withLock { state in
            state.now += seconds * 1000
            return Timestamp(milliseconds: state.now)
        }
    }

    var now: Timestamp { state.withLock { Timestamp(milliseconds: $0.now) } }

    @discardableResult
    func addProject(_ path: String) -> String {
        state.withLock { state in
            let id = "p\(state.places.count + 1)"
            state.places.append(
                Place(
                    remote: RemoteProject(
                        externalID: id,
                        path: path,
                        name: path,
                        url: "https://example/\(path)"
                    )
                )
            )
            return id
        }
    }

    private func change(_ path: String, _ body: (inout Place, inout State) -> Void) {
        state.withLock { state in
            guard let index = state.places.firstIndex(where: { $0.remote.path == path }) else {
                return
            }
            var place = state.places[index]
            body(&place, &state)
            state.places[index] = place
        }
    }

    @discardableResult
    func addIssue(_ path: String, links: [IssueLink] = [], at: Timestamp? = nil) -> Int {
        let now = at ?? tick()
        var made = 0
        change(path) { place, state in
            let id = state.nextID
            state.nextID += 1
            made = (place.entries.map(\.issue.number).max() ?? 0) + 1
            place.entries.append(
                Entry(
                    issue: Issue(
                        externalID: String(id),
                        number: made,
                        key: "\(path)#\(made)",
                        title: "issue \(id)",
                        body: "body \(id)",
                        labels: ["a"],
                        author: "ann",
                        createdAt: now,
                        updatedAt: now,
                        url: "https://example/\(path)/\(made)",
                        links: links
                    )
                )
            )
        }
        return made
    }

    func edit(_ path: String, _ number: Int, _ body: (inout Entry) -> Void) {
        change(path) { place, _ in
            guard let index = place.entries.firstIndex(where: { $0.issue.number == number }) else {
                return
            }
            body(&place.entries[index])
        }
    }

    /// Changes an issue's text as a user would.
    func touch(_ path: String, _ number: Int) {
        let now = tick()
        edit(path, number) { entry in
            entry.issue.body += "!"
            entry.issue.updatedAt = now
        }
    }

    func addComment(_ path: String, _ number: Int) {
        let now = tick()
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID - 1
        }
        edit(path, number) { entry in
            entry.comments.append(
                Comment(
                    externalID: String(id),
                    author: "bob",
                    body: "comment \(id)",
                    createdAt: now,
                    updatedAt: now
                )
            )
            entry.issue.updatedAt = now
        }
    }

    /// Takes the issue's first comment away; nothing else moves.
    func removeComment(_ path: String, _ number: Int) {
        edit(path, number) { entry in
            if !entry.comments.isEmpty { entry.comments.removeFirst() }
        }
    }

    func remove(_ path: String, _ number: Int) {
        change(path) { place, _ in place.entries.removeAll { $0.issue.number == number } }
    }

    func hide(_ path: String, _ isHidden: Bool) {
        change(path) { place, _ in place.isHidden = isHidden }
    }

    func rename(_ path: String, to other: String) {
        change(path) { place, _ in
            place.remote.path = other
            for index in place.entries.indices {
                place.entries[index].issue.key = "\(other)#\(place.entries[index].issue.number)"
            }
        }
    }

    /// Moves an issue to another project; it keeps its identifier.
    func transfer(_ path: String, _ number: Int, to other: String) {
        let now = tick()
        var moved: Entry?
        change(path) { place, _ in
            moved = place.entries.first { $0.issue.number == number }
            place.entries.removeAll { $0.issue.number == number }
        }
        guard var entry = moved else { return }
        change(other) { place, _ in
            let number = (place.entries.map(\.issue.number).max() ?? 0) + 1
            entry.issue.number = number
            entry.issue.key = "\(other)#\(number)"
            entry.issue.updatedAt = now
            place.entries.append(entry)
        }
    }

    /// What a perfect scan ends up with, one line an issue.
    var truth: [String] {
        state.withLock { state in
            state.places.filter { !$0.isHidden }.flatMap { place in
                place.entries.filter { !$0.isMalformed }.map { entry in
                    describe(place.remote.path, entry.issue, entry.comments)
                }
            }.sorted()
        }
    }
}

/// An issue in one line, for comparing a store with a world.
func describe(_ path: String, _ issue: Issue, _ comments: [Comment]) -> String {
    let texts = comments.sorted { $0.externalID < $1.externalID }.map {
        "\($0.externalID)=\($0.body)"
    }
    return "\(path) \(issue.key) \(issue.externalID) \(issue.title)|\(issue.body)"
        + "|\(issue.updatedAt)|\(texts.joined(separator: ","))"
}
