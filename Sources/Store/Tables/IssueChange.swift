import Domain

/// What is stored of an issue, as far as a new snapshot is compared with it.
struct CurrentIssue: Equatable {
    var id: IssueID
    var projectID: ProjectID
    var key: IssueTable.Key
    var humanKey: String
    var number: Int
    var updatedAt: Timestamp
    var commentCount: Int?
    var areCommentsDue: Bool
    var contentHash: [UInt8]
    var isDeleted: Bool

    init(_ row: SQLRow) throws(StoreError) {
        guard let kind = IssueKind(rawValue: try row.text("kind")) else {
            throw .unexpectedValue(column: "kind")
        }
        id = try row.identifier("id")
        projectID = try row.identifier("project_id")
        key = IssueTable.Key(kind: kind, externalID: try row.text("external_id"))
        humanKey = try row.text("key")
        number = Int(try row.integer("number"))
        updatedAt = try row.timestamp("updated_at")
        commentCount = try row.optionalInteger("comment_count").map(Int.init)
        areCommentsDue = try row.bool("comments_due")
        contentHash = try row.blob("content_hash")
        isDeleted = try row.optionalTimestamp("deleted_at") != nil
    }

    /// Whether a snapshot has the number and key that are stored, in the same project.
    func hasPlace(of issue: Issue, in project: ProjectID) -> Bool {
        projectID == project && number == issue.number && haveEqualBytes(humanKey, issue.key)
    }
}

/// What a snapshot does to the store.
enum IssueChange: Equatable {
    case create
    case change(CurrentIssue)
    case revive(CurrentIssue)
    case move(CurrentIssue)
    /// Says what is stored already.
    case keep(CurrentIssue)
    /// Is older than what is stored.
    case refuse

    init(of issue: Issue, hash: [UInt8], from current: CurrentIssue?, in batch: IssueBatch) {
        guard let current else {
            self = .create
            return
        }
        // A stored time that lies in the future cannot be true; if it protected its row, no edit
        // would ever get through.
        let isStale =
            batch.trust == .listed && issue.updatedAt < current.updatedAt
            && current.updatedAt <= batch.present
        if isStale {
            self = .refuse
        } else if current.projectID != batch.project {
            self = .move(current)
        } else if current.isDeleted {
            self = .revive(current)
        } else {
            self = current.contentHash == hash ? .keep(current) : .change(current)
        }
    }

    /// Whether the issue's row is written.
    var isWritten: Bool {
        switch self {
        case .create, .change, .revive, .move: true
        case .keep, .refuse: false
        }
    }

    /// Whether links that wait for `key` can now be resolved to this issue.
    func isNewTarget(key: String) -> Bool {
        switch self {
        case .create, .revive, .move: true
        case .change(let current): !haveEqualBytes(current.humanKey, key)
        case .keep, .refuse: false
        }
    }
}

/// A snapshot with what will be done about it.
struct DecidedIssue {
    var item: IncomingIssue
    var hash: [UInt8]
    var change: IssueChange

    /// Whether the comments of the issue must be read one by one after this write.
    var areCommentsDue: Bool {
        switch (item.comments, change) {
        case (.complete, _), (_, .refuse): false
        case (.listedByProject, .create): false
        case (.listedByProject, .change(let row)), (.listedByProject, .revive(let row)),
            (.listedByProject, .move(let row)), (_, .keep(let row)):
            row.areCommentsDue
        case (.listedByIssue, .create):
            mayHaveComments(item.issue.commentCount)
        case (.listedByIssue, .change(let row)), (.listedByIssue, .revive(let row)),
            (.listedByIssue, .move(let row)):
            // The time moved or the count did, else the row would not be written.
            row.areCommentsDue || mayHaveComments(item.issue.commentCount)
                || mayHaveComments(row.commentCount)
        }
    }

    private func mayHaveComments(_ count: Int?) -> Bool {
        (count ?? 1) > 0
    }
}

extension IssueBatchResult {
    mutating func count(_ decided: DecidedIssue) {
        switch decided.change {
        case .create: created += 1
        case .change: changed += 1
        case .revive: revived += 1
        case .move: moved += 1
        case .keep: unchanged += 1
        case .refuse: stale.append(decided.item.issue)
        }
    }
}
