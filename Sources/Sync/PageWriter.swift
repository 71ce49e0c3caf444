import Crypto
import Domain
import Store
import Trackers

/// Stores what was read of one project, one transaction a page, each under the fence of the store.
struct PageWriter: Sendable {
    let store: Store
    let tracker: TrackerID
    let project: ProjectID
    let listing: CommentListing

    /// What one transaction did.
    struct Result: Sendable {
        var issues = IssueBatchResult()
        var comments = CommentResult()
        var quarantined = 0
        /// As stored: the cursor that was given, with what had to be noted in it.
        var cursor: ProjectCursor

        var rows: Int { issues.written + issues.comments.written + comments.written }
    }

    /// Runs `body` in a transaction that is written only while the lease is held.
    func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Value
    ) async throws -> Value {
        try await store.write(body)
    }

    /// Stores a page of issues and the cursor behind it.
    ///
    /// `confirmed` are issues that were read one by one because the page only showed that they
    /// exist; `sightings` are marked as seen when the page belongs to a census; `stored` is the
    /// cursor as it is in the store, which is not written again when nothing has to be added to it.
    func writeIssues(_ write: IssuePageWrite) async throws -> Result {
        let present = store.clock.now()
        return try await self.write { connection, account in
            var result = Result(cursor: write.cursor)
            result.issues = try IssueTable.upsert(
                batch(write.page.incoming(listing: listing), trust: .listed, present: present),
                account: account,
                on: connection
            )
            let confirmed = try IssueTable.upsert(
                batch(write.confirmed, trust: .confirmed, present: present),
                account: account,
                on: connection
            )
            result.issues.add(confirmed)
            if write.isCensus {
                try IssueTable.markSeen(
                    write.page.sightings + write.confirmed.map { Sighting($0.issue) },
                    in: project,
                    account: account,
                    on: connection
                )
            }
            try QuarantineTable.remove(
                write.page.understoodIDs + write.confirmed.map(\.issue.externalID),
                from: project,
                account: account,
                on: connection
            )
            result.quarantined = try quarantine(
                write.page.malformed,
                at: present,
                account: account,
                on: connection
            )
            try store(
                &result,
                isOfIssues: true,
                over: write.stored,
                account: account,
                on: connection
            )
            return result
        }
    }

    /// Stores issues that were read one by one.
    func writeConfirmed(_ issues: [IncomingIssue]) async throws -> IssueBatchResult {
        let batch = batch(issues, trust: .confirmed, present: store.clock.now())
        return try await write { connection, account in
            try IssueTable.upsert(batch, account: account, on: connection)
        }
    }

    /// Stores a page of the project's comments and the cursor behind it.
    func writeComments(
        _ page: CommentPage,
        cursor: ProjectCursor,
        over stored: ProjectCursor
    ) async throws -> Result {
        let present = store.clock.now()
        return try await write { connection, account in
            var result = Result(cursor: cursor)
            let issues = try IssueTable.identifiers(
                numbers: Set(page.comments.map(\.issueNumber)).sorted(),
                in: project,
                account: account,
                on: connection
            )
            let incoming = page.comments.compactMap { fetched in
                issues[fetched.issueNumber].map { issue in
                    CommentTable.Incoming(issue: issue, comment: fetched.comment)
                }
            }
            result.comments = try CommentTable.upsert(
                incoming,
                in: project,
                present: present,
                account: account,
                on: connection
            )
            result.comments.orphaned = page.comments.count - incoming.count
            try QuarantineTable.remove(
                page.comments.map { MalformedItem.commentID($0.comment.externalID) },
                from: project,
                account: account,
                on: connection
            )
            result.quarantined = try quarantine(
                page.malformed.map(\.ofComment),
                at: present,
                account: account,
                on: connection
            )
            try store(
                &result,
                isOfIssues: false,
                over: stored,
                account: account,
                on: connection
            )
            return result
        }
    }

    /// Stores the cursor unless it is stored already.
    private func store(
        _ result: inout Result,
        isOfIssues: Bool,
        over stored: ProjectCursor,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        result.cursor.noteWritten(rows: result.rows, isOfIssues: isOfIssues, listing: listing)
        guard result.cursor != stored else { return }
        try ProjectTable.setCursor(
            result.cursor.jsonValue,
            of: project,
            account: account,
            on: connection
        )
    }

    /// Keeps items that could not be understood.
    func quarantine(
        _ items: [MalformedItem],
        at instant: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws -> Int {
        for item in items {
            try QuarantineTable.put(
                QuarantinedItem(
                    externalID: item.externalID ?? Self.digest(item.raw),
                    raw: item.raw,
                    reason: item.reason
                ),
                in: project,
                at: instant,
                account: account,
                on: connection
            )
        }
        return items.count
    }

    private static func digest(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        var text = "sha256:"
        for byte in SHA256.hash(data: bytes) {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    private func batch(
        _ items: [IncomingIssue],
        trust: SnapshotTrust,
        present: Timestamp
    ) -> IssueBatch {
        IssueBatch(
            project: project,
            tracker: tracker,
            items: items,
            present: present,
            trust: trust
        )
    }
}

/// A page of issues on its way into the store.
struct IssuePageWrite: Sendable {
    var page: IssuePage
    var confirmed: [IncomingIssue] = []
    var isCensus = false
    var cursor: ProjectCursor
    var stored: ProjectCursor
}

extension IncomingComments {
    /// Where the comments of an issue come from that came with these.
    init(_ embedded: EmbeddedComments, listing: CommentListing) {
        switch (embedded, listing) {
        case (.complete(let comments), _): self = .complete(comments)
        case (.notIncluded, .perProject): self = .listedByProject
        case (.notIncluded, .perIssue): self = .listedByIssue
        }
    }
}

extension IssuePage {
    /// The issues of the page.
    func incoming(listing: CommentListing) -> [IncomingIssue] {
        items.compactMap { item in
            guard case .issue(let issue, let comments) = item else { return nil }
            return IncomingIssue(issue, comments: IncomingComments(comments, listing: listing))
        }
    }

    /// What the page proves to exist.
    var sightings: [Sighting] {
        items.compactMap { item in
            switch item {
            case .issue(let issue, _): Sighting(issue)
            case .sighting(let sighting): Sighting(sighting)
            case .malformed: nil
            }
        }
    }

    var malformed: [MalformedItem] {
        items.compactMap { item in
            guard case .malformed(let item) = item else { return nil }
            return item
        }
    }

    var understoodIDs: [String] {
        items.compactMap { item in
            guard case .issue(let issue, _) = item else { return nil }
            return issue.externalID
        }
    }

    /// What the state machine is told.
    func summary(present: Timestamp) -> ProjectScan.PageSummary {
        let times = items.compactMap { item -> Timestamp? in
            guard case .issue(let issue, _) = item else { return nil }
            return issue.updatedAt
        }
        return ProjectScan.PageSummary(
            count: items.count,
            next: next,
            validator: validator,
            isNotModified: isNotModified,
            newest: times.filter { $0 <= present }.max(),
            // Both clocks must say that a change is long ago.
            servedAt: servedAt.map { min($0, present) }
        )
    }
}

extension CommentPage {
    /// What the state machine is told.
    func summary(present: Timestamp) -> ProjectScan.PageSummary {
        ProjectScan.PageSummary(
            count: comments.count,
            next: next,
            newest: comments.map(\.comment.updatedAt).filter { $0 <= present }.max()
        )
    }
}

extension MalformedItem {
    /// Comments and issues have separate number spaces; the quarantine has one.
    var ofComment: MalformedItem {
        MalformedItem(externalID: externalID.map(Self.commentID), raw: raw, reason: reason)
    }

    static func commentID(_ externalID: String) -> String {
        "comment:\(externalID)"
    }
}

extension Sighting {
    init(_ issue: Issue) {
        self.init(kind: issue.kind, externalID: issue.externalID, updatedAt: issue.updatedAt)
    }

    init(_ sighting: IssueSighting) {
        self.init(
            kind: sighting.kind,
            externalID: sighting.externalID,
            updatedAt: sighting.updatedAt
        )
    }
}

extension IssueBatchResult {
    mutating func add(_ other: IssueBatchResult) {
        created += other.created
        changed += other.changed
        revived += other.revived
        moved += other.moved
        unchanged += other.unchanged
        stale += other.stale
        comments += other.comments
    }
}
