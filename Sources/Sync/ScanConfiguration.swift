/// What a scan may use.
package struct ScanConfiguration: Sendable {
    /// Projects of one tracker read side by side.
    ///
    /// The client's budget of requests is shared; more would only hold more pages in memory.
    package var projectConcurrency = 4
    /// Single issues asked for side by side within one project.
    package var issueConcurrency = 4
    /// After so long the store is compared with the tracker's whole list.
    package var censusInterval = Duration.seconds(86_400)
    /// How long the lease is ours without renewal: longer than any one transaction.
    package var leaseDuration = Duration.seconds(60)
    /// How often it is renewed: twice may fail.
    package var leaseRenewal = Duration.seconds(20)
    /// A census may remove so many issues on single confirmations; a larger part of the project
    /// goes only when the tracker has confirmed every one of them.
    package var censusRemovalCount = 20
    /// See ``censusRemovalCount``; a share of the project's live issues.
    package var censusRemovalShare = 0.2
    /// Tombstones written in one transaction.
    package var removalBatchCount = 200
    /// Issues whose comments are stored in one transaction.
    package var commentBatchCount = 16
    /// So many unknown issues of a census page are asked for one by one; more, and all are read.
    package var maximumSightings = 50

    /// The defaults, each with its reason.
    package init() {}
}

/// Which part of the account a scan reads.
package enum ScanSelection: Sendable, Equatable {
    case all
    case tracker(name: String)
    case project(tracker: String, path: String)
}

/// What a scan is asked to do.
package struct ScanRequest: Sendable, Equatable {
    package var selection: ScanSelection
    /// Read everything again, and look for what is gone.
    package var isFull: Bool
    /// Say what would be read, and write nothing.
    package var isDryRun: Bool

    package init(
        _ selection: ScanSelection = .all,
        isFull: Bool = false,
        isDryRun: Bool = false
    ) {
        self.selection = selection
        self.isFull = isFull
        self.isDryRun = isDryRun
    }
}

/// Why a scan could not begin, or an item not be brought up to date.
package enum SyncError: Error, Equatable, Sendable {
    case unknownTracker(name: String)
    case unknownProject(tracker: String, path: String)
    /// The tracker holds imported issues; there is no service behind it.
    case notRemote(tracker: String)
    /// Others kept writing the item while it was read.
    case itemKeepsChanging(key: String)
}

extension SyncError: CustomStringConvertible {
    /// One line for the operator.
    package var description: String {
        switch self {
        case .unknownTracker(let name): "there is no tracker named `\(name)`"
        case .unknownProject(let tracker, let path):
            "the tracker `\(tracker)` shows no project `\(path)` within its scope"
        case .notRemote(let tracker): "`\(tracker)` holds imported issues; there is nothing to scan"
        case .itemKeepsChanging(let key): "`\(key)` was written by others each time it was read"
        }
    }

    /// What an operator can do about it.
    package var hint: String {
        switch self {
        case .unknownTracker: "see `preloop trackers list`"
        case .unknownProject: "check the path, the token's access and the tracker's scope rules"
        case .notRemote: "`preloop index import` reads such issues"
        case .itemKeepsChanging: "it is tried again by itself"
        }
    }
}
