package import Domain

/// Issues of one project on their way into the store, usually one page of a tracker's list.
package struct IssueBatch: Sendable {
    package var project: ProjectID
    package var tracker: TrackerID
    package var items: [IncomingIssue]
    /// The instant now; an update time behind it cannot be true and protects no row.
    package var present: Timestamp
    /// Whether the snapshots may be older than what is stored.
    package var trust: SnapshotTrust

    package init(
        project: ProjectID,
        tracker: TrackerID,
        items: [IncomingIssue],
        present: Timestamp,
        trust: SnapshotTrust = .listed
    ) {
        self.project = project
        self.tracker = tracker
        self.items = items
        self.present = present
        self.trust = trust
    }
}

/// How sure a snapshot is to be the newest.
package enum SnapshotTrust: Sendable, Equatable {
    /// From a list, which may lag: an older update time than the stored one is refused.
    case listed
    /// From a read of this one issue: it counts even when its update time went back.
    case confirmed
}

/// An issue with what is known of its comments.
package struct IncomingIssue: Sendable, Equatable {
    package var issue: Issue
    package var comments: IncomingComments

    package init(_ issue: Issue, comments: IncomingComments) {
        self.issue = issue
        self.comments = comments
    }
}

/// Where an issue's comments come from.
package enum IncomingComments: Sendable, Equatable {
    /// From a list of the whole project: nothing is to be asked for.
    case listedByProject
    /// To be asked for when the issue changed.
    case listedByIssue
    /// All of them: those stored and not in the list are deleted.
    case complete([Comment])
}

/// What became of a batch.
package struct IssueBatchResult: Sendable, Equatable {
    package var created = 0
    package var changed = 0
    /// Had been taken for deleted and are back.
    package var revived = 0
    /// Came from another project of the tracker.
    package var moved = 0
    package var unchanged = 0
    /// The issues refused because the store holds a newer snapshot.
    package var stale: [Issue] = []
    package var comments = CommentResult()

    package init() {}

    /// Issue rows that were written.
    package var written: Int { created + changed + revived + moved }
}

/// What became of comments.
package struct CommentResult: Sendable, Equatable {
    package var created = 0
    package var changed = 0
    package var deleted = 0
    package var unchanged = 0
    /// Belong to an issue that is not stored.
    package var orphaned = 0

    package init() {}

    /// Comment rows that were written.
    package var written: Int { created + changed + deleted }

    /// Adds field by field, as the comments of a batch come from several issues.
    package static func += (left: inout CommentResult, right: CommentResult) {
        left.created += right.created
        left.changed += right.changed
        left.deleted += right.deleted
        left.unchanged += right.unchanged
        left.orphaned += right.orphaned
    }
}
