package import Domain
package import Trackers

/// What is done about trackers beyond the store; made by whoever composes the server.
///
/// Services are asked, credentials sealed, scans run.
package struct TrackerOperations: Sendable {
    /// A tracker that is to be.
    package struct Draft: Sendable {
        package var name: String
        package var kind: TrackerKind
        package var deployment: TrackerDeployment?
        /// Nil for the vendor's own cloud.
        package var url: String?
        package var userName: String?
        package var token: Secret
        package var scope: Scope
        /// Whether the token is tried out before it is stored.
        package var isTested: Bool
    }

    /// What is to change about a tracker; nil stays.
    package struct Change: Sendable {
        package var url: String?
        package var userName: String?
        package var token: Secret?
        package var scope: Scope?
        package var isTested: Bool
    }

    /// How a scan is, or was.
    package struct SyncState: Sendable {
        /// `running`, `done`, `partial`, `failed`, or `idle` when none has run here.
        package var state: String
        package var startedAt: Timestamp?
        package var endedAt: Timestamp?
        /// Why it failed, or what was not read.
        package var problems: [String]
        /// One for each project that the scan has come to.
        package var projects: [ProjectProgress]

        package init(state: String) {
            self.state = state
            problems = []
            projects = []
        }
    }

    /// How far a project is.
    package struct ProjectProgress: Sendable {
        package var tracker: String
        package var project: String?
        package var phase: String
        package var fetched: Int
        package var written: Int

        package init(
            tracker: String,
            project: String?,
            phase: String,
            fetched: Int,
            written: Int
        ) {
            self.tracker = tracker
            self.project = project
            self.phase = phase
            self.fetched = fetched
            self.written = written
        }
    }

    /// Checks and stores a tracker.
    package var add: @Sendable (Draft, AccountID) async throws -> Tracker
    /// Checks and stores a change.
    package var change: @Sendable (Tracker, Change, AccountID) async throws -> Void
    /// Removes a tracker and all that was read from it; gives the number of issues.
    package var remove: @Sendable (Tracker, AccountID) async throws -> Int
    /// Asks the service who the token belongs to, and notes the outcome.
    package var test: @Sendable (Tracker, AccountID) async throws -> TrackerIdentity
    /// Begins a scan of one tracker or all; throws a ``Problem`` when one is running.
    package var startSync: @Sendable (Tracker?, AccountID) async throws -> SyncState
    /// How the latest scan that this process began is.
    package var syncState: @Sendable (AccountID) async -> SyncState

    package init(
        add: @escaping @Sendable (Draft, AccountID) async throws -> Tracker,
        change: @escaping @Sendable (Tracker, Change, AccountID) async throws -> Void,
        remove: @escaping @Sendable (Tracker, AccountID) async throws -> Int,
        test: @escaping @Sendable (Tracker, AccountID) async throws -> TrackerIdentity,
        startSync: @escaping @Sendable (Tracker?, AccountID) async throws -> SyncState,
        syncState: @escaping @Sendable (AccountID) async -> SyncState
    ) {
        self.add = add
        self.change = change
        self.remove = remove
        self.test = test
        self.startSync = startSync
        self.syncState = syncState
    }
}
