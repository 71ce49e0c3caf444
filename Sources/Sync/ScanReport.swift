package import Domain
import Store
import Trackers

/// What a scan did.
package struct ScanReport: Sendable, Equatable {
    package var startedAt: Timestamp
    package var duration: Duration
    package var isDryRun: Bool
    /// The scan was stopped from outside; what is stored is consistent and the next scan goes on.
    package var wasCancelled = false
    package var trackers: [TrackerReport] = []

    /// All projects, ordered as their trackers and then by path.
    package var projects: [ProjectReport] { trackers.flatMap(\.projects) }

    /// Whether everything selected was read to its end.
    package var isComplete: Bool {
        !wasCancelled
            && trackers.allSatisfy { tracker in
                tracker.failures.isEmpty && tracker.projects.allSatisfy { !$0.outcome.isFailure }
            }
    }

    /// The sums over all projects.
    package var totals: ScanCounts {
        projects.reduce(into: ScanCounts()) { $0 += $1.counts }
    }
}

/// What a scan did with one tracker.
package struct TrackerReport: Sendable, Equatable {
    package var name: String
    /// Whether there is no usable token: the service refused it, or it cannot be decrypted.
    package var isInvalid = false
    /// What went wrong outside any project, one line each.
    package var failures: [String] = []
    /// What an operator can do about the failures, each advice once.
    package var hints: [String] = []
    package var projects: [ProjectReport] = []

    /// Notes what went wrong outside any project, `place` before it, and what can be done about it.
    mutating func note(_ error: TrackerError, in place: String? = nil) {
        failures.append((place.map { "`\($0)`: " } ?? "") + error.description)
        if let hint = error.hint { note(hint: hint) }
    }

    /// Notes why the tracker cannot be asked at all.
    mutating func note(noClient error: any Error) {
        failures.append("\(error)")
        switch error {
        case let error as StoreError:
            if case .undecryptable = error { isInvalid = true }
            if let hint = error.hint { note(hint: hint) }
        case let error as TrackerError:
            if case .unauthenticated = error { isInvalid = true }
            if let hint = error.hint { note(hint: hint) }
        default: break
        }
    }

    private mutating func note(hint: String) {
        if !hints.contains(where: { haveEqualBytes($0, hint) }) { hints.append(hint) }
    }
}

/// What a scan did with one project.
package struct ProjectReport: Sendable, Equatable {
    package var tracker: String
    package var path: String
    package var outcome = Outcome.done
    /// What an operator can do about the outcome; nil when there is nothing to do but wait.
    package var hint: String?
    package var counts = ScanCounts()
    /// Whether the store was compared with the tracker's whole list.
    package var hasCensus = false
    package var duration = Duration.zero

    /// How the scan of the project ended.
    package enum Outcome: Sendable, Equatable {
        case done
        /// What would be read, in a dry run.
        case planned(String)
        /// The rate limit asked for more patience than a scan has.
        case parked(until: Timestamp)
        /// The token does not see the project; `isNew` when it did at the scan before.
        case inaccessible(reason: String, isNew: Bool)
        case failed(reason: String)
        case cancelled
        /// Not begun or not ended, because the tracker refused the token meanwhile.
        case unauthenticated(reason: String)

        /// Whether something selected was not read; a project known to be hidden is no news.
        package var isFailure: Bool {
            switch self {
            case .done, .planned: false
            case .inaccessible(_, let isNew): isNew
            case .parked, .failed, .cancelled, .unauthenticated: true
            }
        }
    }
}

/// What a scan counts.
package struct ScanCounts: Sendable, Equatable {
    /// Calls to the tracker's client; each is one request or a few.
    package var calls = 0
    package var issuesFetched = 0
    package var issuesCreated = 0
    /// Rewritten because they changed, came back, or came from another project.
    package var issuesChanged = 0
    package var issuesDeleted = 0
    package var commentsFetched = 0
    package var commentsCreated = 0
    package var commentsChanged = 0
    package var commentsDeleted = 0
    /// Snapshots refused because the store holds newer ones.
    package var stale = 0
    /// Items that could not be understood.
    package var quarantined = 0

    package init() {}

    /// Issue and comment rows written.
    package var written: Int {
        issuesCreated + issuesChanged + issuesDeleted + commentsCreated + commentsChanged
            + commentsDeleted
    }

    /// Adds field by field; a report's totals are its projects' counts added up.
    package static func += (left: inout ScanCounts, right: ScanCounts) {
        left.calls += right.calls
        left.issuesFetched += right.issuesFetched
        left.issuesCreated += right.issuesCreated
        left.issuesChanged += right.issuesChanged
        left.issuesDeleted += right.issuesDeleted
        left.commentsFetched += right.commentsFetched
        left.commentsCreated += right.commentsCreated
        left.commentsChanged += right.commentsChanged
        left.commentsDeleted += right.commentsDeleted
        left.stale += right.stale
        left.quarantined += right.quarantined
    }
}

// MARK: JSON

extension ScanReport {
    /// The form of `--json`.
    package var jsonValue: JSONValue {
        [
            "v": 1,
            "started_at": .string(startedAt.iso8601),
            "duration_ms": duration.jsonMilliseconds,
            "dry_run": .bool(isDryRun),
            "cancelled": .bool(wasCancelled),
            "complete": .bool(isComplete),
            "totals": totals.jsonValue,
            "trackers": .array(trackers.map(\.jsonValue)),
        ]
    }
}

extension TrackerReport {
    fileprivate var jsonValue: JSONValue {
        [
            "name": .string(name), "invalid": .bool(isInvalid), "failures": JSONValue(failures),
            "hints": JSONValue(hints), "projects": .array(projects.map(\.jsonValue)),
        ]
    }
}

extension ProjectReport {
    fileprivate var jsonValue: JSONValue {
        [
            "tracker": .string(tracker), "project": .string(path),
            "outcome": .string(outcome.name), "detail": JSONValue(outcome.detail),
            "hint": JSONValue(hint),
            "census": .bool(hasCensus), "duration_ms": duration.jsonMilliseconds,
            "counts": counts.jsonValue,
        ]
    }
}

extension ProjectReport.Outcome {
    /// The outcome in one word.
    package var name: String {
        switch self {
        case .done: "done"
        case .planned: "planned"
        case .parked: "parked"
        case .inaccessible: "inaccessible"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .unauthenticated: "unauthenticated"
        }
    }

    /// What there is to say beyond the word.
    package var detail: String? {
        switch self {
        case .done, .cancelled: nil
        case .planned(let text): text
        case .parked(let until): "the rate limit is used up until \(until)"
        case .inaccessible(let reason, _), .failed(let reason), .unauthenticated(let reason): reason
        }
    }
}

extension ScanCounts {
    fileprivate var jsonValue: JSONValue {
        let members: [(String, Int)] = [
            ("calls", calls), ("issues_fetched", issuesFetched), ("issues_created", issuesCreated),
            ("issues_changed", issuesChanged), ("issues_deleted", issuesDeleted),
            ("comments_fetched", commentsFetched), ("comments_created", commentsCreated),
            ("comments_changed", commentsChanged), ("comments_deleted", commentsDeleted),
            ("stale", stale), ("quarantined", quarantined), ("written", written),
        ]
        var object = JSONObject()
        for (key, value) in members { object.append(key: key, value: .integer(Int64(value))) }
        return .object(object)
    }
}

extension Duration {
    fileprivate var jsonMilliseconds: JSONValue { .integer(Int64(self / .milliseconds(1))) }
}
