package import Domain
package import Store
package import Sync
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
        package var name: String?
        package var url: String?
        package var userName: String?
        package var token: Secret?
        package var scope: Scope?
        package var isTested: Bool
    }

    /// Who changes something.
    package struct Author: Sendable, Equatable {
        /// Whose trackers it is done to.
        package var account: AccountID
        /// Who it is, for the record: `user:ann`.
        package var name: String

        package init(account: AccountID, name: String) {
            self.account = account
            self.name = name
        }
    }

    /// Asked in the transaction that writes: throws when somebody has changed meanwhile what the
    /// change was made for.
    package typealias Check = @Sendable (any SQLConnection, AccountID) throws -> Void

    /// How a scan is, or was.
    package struct SyncState: Sendable {
        /// `running`, also in another process; `done`, `partial`, `failed`, or `idle` when none
        /// goes on and the latest did not run here.
        package var state: String
        /// Nil for a scan of another process.
        package var startedAt: Timestamp?
        package var endedAt: Timestamp?
        /// Why it failed, or what was not read.
        package var problems: [String]
        /// One for each project that the scan has come to; of another process's scan, or when none
        /// goes on, what is stored.
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

    /// What a removal did.
    package struct Removal: Sendable {
        /// How many issues went.
        package var issues: Int
        /// What stays at the tracker, a line each: it refused to let go of webhooks.
        package var leftovers: [String]

        package init(issues: Int, leftovers: [String] = []) {
            self.issues = issues
            self.leftovers = leftovers
        }
    }

    /// What is to become of our webhooks at a tracker.
    package enum WebhookTask: Sendable, Equatable {
        /// They are looked at.
        case look
        case install(renewsSecrets: Bool)
        case remove
    }

    /// Checks and stores a tracker.
    package var add: @Sendable (Draft, Author) async throws -> Tracker
    /// Checks and stores a change.
    package var change: @Sendable (Tracker, Change, Author, @escaping Check) async throws -> Void
    /// Takes our webhooks away from a tracker, and removes it with all that was read from it.
    package var remove: @Sendable (Tracker, Author, @escaping Check) async throws -> Removal
    /// Asks the service who the token belongs to, and notes the outcome.
    package var test: @Sendable (Tracker, AccountID) async throws -> TrackerIdentity
    /// Asks the service the same, and then for a project by that token.
    package var testProject:
        @Sendable (StoredProject, Tracker, AccountID) async throws -> TrackerIdentity
    /// Begins a scan of one tracker or all; throws a ``Problem`` when one is running.
    package var startSync: @Sendable (Tracker?, AccountID) async throws -> SyncState
    /// How the scan is that goes on in any process, else the latest of this one; of one tracker,
    /// or of all.
    package var syncState: @Sendable (Tracker?, AccountID) async throws -> SyncState
    /// Looks at our webhooks at a tracker, registers them or takes them away; gives what is there
    /// then, and what was refused, of each organisation.
    package var webhooks: @Sendable (Tracker, WebhookTask, Author) async throws -> [Webhooks]

    /// Our webhooks at one organisation of a tracker.
    package typealias Webhooks = WebhookInstaller.Outcome

    package init(
        add: @escaping @Sendable (Draft, Author) async throws -> Tracker,
        change:
            @escaping @Sendable (Tracker, Change, Author, @escaping Check) async throws -> Void,
        remove: @escaping @Sendable (Tracker, Author, @escaping Check) async throws -> Removal,
        test: @escaping @Sendable (Tracker, AccountID) async throws -> TrackerIdentity,
        testProject:
            @escaping @Sendable (StoredProject, Tracker, AccountID) async throws -> TrackerIdentity,
        startSync: @escaping @Sendable (Tracker?, AccountID) async throws -> SyncState,
        syncState: @escaping @Sendable (Tracker?, AccountID) async throws -> SyncState,
        webhooks:
            @escaping @Sendable (Tracker, WebhookTask, Author) async throws -> [Webhooks]
    ) {
        self.add = add
        self.change = change
        self.remove = remove
        self.test = test
        self.testProject = testProject
        self.startSync = startSync
        self.syncState = syncState
        self.webhooks = webhooks
    }
}
