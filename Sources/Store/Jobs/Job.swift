package import Domain

/// What kind of work a job is; whoever handles it defines the name.
package struct JobKind: Sendable, Hashable {
    /// As it is stored, such as `scan`.
    package let name: String

    /// A kind of that name.
    package init(_ name: String) {
        self.name = name
    }
}

extension JobKind: CustomStringConvertible {
    /// The name.
    package var description: String { name }
}

/// A piece of work that is done at least once, by whichever process claims it.
///
/// States: `waiting` → `running` → `done`; a failure leads back to `waiting` with a later due time,
/// the last one allowed to `dead`. A `running` job whose worker is gone is claimed by another one.
package struct Job: Sendable, Equatable {
    /// Unique in the account; greater than those made before.
    package var id: String
    package var kind: JobKind
    package var payload: JSONValue
    package var state: State
    /// Not claimed before.
    package var dueAt: Timestamp
    /// How often it was claimed, claims given back unused left out.
    package var attempts: Int
    /// With so many failures it is given up.
    package var maximumAttempts: Int
    /// Why the last attempt failed or waits; nil when none has.
    package var lastError: String?
    package var createdAt: Timestamp
    package var endedAt: Timestamp?
    /// Who runs it; nil when nobody does.
    package var holder: LeaseHolder?
    /// Until when it is theirs unless they renew it; nil when nobody runs it.
    package var leasedUntil: Timestamp?

    /// Whether its worker is gone, or has not renewed its lease, before an end was written.
    ///
    /// Whoever works on its kind goes on with it; until then it is kept as running. `isDead` says
    /// whether a holder is known to be dead; outside tests it is left at its default.
    package func isLost(
        at now: Timestamp,
        isDead: (LeaseHolder) -> Bool = \.isKnownDead
    ) -> Bool {
        guard state == .running else { return false }
        guard let leasedUntil, let holder else { return true }
        return leasedUntil <= now || leasedUntil > now.advanced(by: JobTable.longestLease)
            || isDead(holder)
    }

    /// Where a job is in its life.
    package enum State: String, Sendable, CaseIterable {
        case waiting
        case running
        case done
        /// Given up; kept and shown until someone revives it or it is pruned.
        case dead
    }

    /// What is enqueued.
    package struct Draft: Sendable, Equatable {
        package var id: String
        package var kind: JobKind
        package var payload: JSONValue
        package var uniqueness: Uniqueness
        package var dueAt: Timestamp
        package var maximumAttempts: Int
        package var createdAt: Timestamp

        /// A job of work; made outside a transaction, for its identifier is chance.
        ///
        /// - Parameters:
        ///   - kind: What has to be done.
        ///   - payload: With what; at most ``JobTable/maximumPayloadBytes`` as JSON.
        ///   - uniqueness: What makes it one with a job that is there.
        ///   - now: When it is made.
        ///   - dueAt: When it may be run; at once when nil.
        ///   - maximumAttempts: With the usual back-off eight span about two hours.
        package init(
            _ kind: JobKind,
            payload: JSONValue = .object(JSONObject()),
            uniqueness: Uniqueness = .none,
            now: Timestamp,
            dueAt: Timestamp? = nil,
            maximumAttempts: Int = 8
        ) {
            precondition(maximumAttempts > 0, "a job is tried once at least")
            id = TimeOrderedIdentifier.make(at: now)
            self.kind = kind
            self.payload = payload
            self.uniqueness = uniqueness
            self.dueAt = dueAt ?? now
            self.maximumAttempts = maximumAttempts
            createdAt = now
        }
    }

    /// When a job is the same as one that is there already.
    package enum Uniqueness: Sendable, Equatable {
        /// Never.
        case none
        /// While one of its kind with that key waits; one that runs may have missed what is new.
        ///
        /// Two jobs with one key must be the same work: the payload of the first is kept, the
        /// earlier due time counts.
        case whileWaiting(String)
        /// As long as one of its kind with that key is kept, done or dead ones included: for
        /// deliveries that may come twice.
        case whileKept(String)
    }
}

/// A job together with the proof that its holder may run it.
package struct ClaimedJob: Sendable, Equatable {
    package var job: Job
    package var holder: LeaseHolder
    /// Greater than that of every claim of the job before.
    package var fence: Int64
}

/// How many jobs of a kind are in a state.
package struct JobCount: Sendable, Equatable {
    package var kind: JobKind
    package var state: Job.State
    package var count: Int

    package init(kind: JobKind, state: Job.State, count: Int) {
        self.kind = kind
        self.state = state
        self.count = count
    }
}

/// How long a job that failed waits: doubled with each failure, half of it left to chance, lest
/// what failed together comes back together.
package struct JobBackoff: Sendable, Equatable {
    /// Longer than a service's restart.
    package var first = Duration.seconds(30)
    /// An operator who mends something sees the effect within the hour.
    package var longest = Duration.seconds(3_600)

    /// The usual one.
    package init() {}

    /// The pause after so many failures, at least one.
    ///
    /// - Parameters:
    ///   - failures: Failures one after the other, this one included.
    ///   - chance: From 0 to 1.
    /// - Returns: From half of the doubled pause to all of it.
    package func pause(after failures: Int, chance: Double) -> Duration {
        let doublings = min(max(failures, 1) - 1, 20)
        let whole = min(longest, first * (1 << doublings))
        return whole / 2 + whole / 2 * chance
    }
}
