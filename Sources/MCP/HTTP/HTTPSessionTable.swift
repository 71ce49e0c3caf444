import Domain

/// The sessions of the older revisions that are open, by identifier; a value, time comes in.
package struct HTTPSessionTable<Session: Sendable>: Sendable {
    /// How many there may be, and for how long nobody needs to come.
    package struct Limits: Sendable, Equatable {
        package var sessions = 10_000
        /// Of one principal: an agent has one, a forgetful one begins a new one for each task.
        package var sessionsPerPrincipal = 100
        package var idleTime: Duration = .seconds(3_600)

        package init() {}
    }

    private struct Entry: Sendable {
        var session: Session
        var principal: String
        var lastUsed: Duration
    }

    private let limits: Limits
    private var entries: [String: Entry] = [:]

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// How many are open.
    package var count: Int { entries.count }
    /// Every session, in no order.
    package var all: [Session] { entries.values.map(\.session) }
    /// Every session, the one that was not used for longest first.
    package var leastRecentlyUsed: [Session] {
        entries.values.sorted { $0.lastUsed < $1.lastUsed }.map(\.session)
    }

    /// Adds a session.
    ///
    /// - Parameters:
    ///   - session: A new one.
    ///   - id: From a source of randomness, 128 bits or more.
    ///   - principal: Whose it is; nobody else finds it.
    ///   - now: Since any fixed instant.
    /// - Returns: Sessions that had to make room, least recently used first; the caller ends them.
    package mutating func add(
        _ session: Session,
        id: String,
        principal: String,
        now: Duration
    ) -> [Session] {
        var ended: [Session] = []
        let own = entries.filter { haveEqualBytes($0.value.principal, principal) }
        if own.count >= limits.sessionsPerPrincipal { ended += drop(oldestOf: own) }
        if entries.count >= limits.sessions { ended += drop(oldestOf: entries) }
        entries[id] = Entry(session: session, principal: principal, lastUsed: now)
        return ended
    }

    /// Changes a session of a principal; nil when there is none, which is a 404 to its client.
    package mutating func with<Value>(
        _ id: String,
        principal: String,
        now: Duration,
        _ body: (inout Session) -> Value
    ) -> Value? {
        guard var entry = entries[id], haveEqualBytes(entry.principal, principal)
        else { return nil }
        // Taken out meanwhile, so that the session is changed in place.
        entries[id] = nil
        entry.lastUsed = now
        let value = body(&entry.session)
        entries[id] = entry
        return value
    }

    /// Takes a session of a principal out; nil when there is none.
    package mutating func remove(_ id: String, principal: String) -> Session? {
        guard let entry = entries[id], haveEqualBytes(entry.principal, principal)
        else { return nil }
        entries[id] = nil
        return entry.session
    }

    /// Takes out the sessions that a condition holds for, in no order.
    package mutating func remove(where isOver: (Session) -> Bool) -> [Session] {
        let over = entries.filter { isOver($0.value.session) }
        for id in over.keys { entries[id] = nil }
        return over.values.map(\.session)
    }

    /// Takes out the sessions that nobody has used for long and that do nothing.
    package mutating func expire(
        now: Duration,
        isBusy: (Session) -> Bool
    ) -> [Session] {
        let idle = entries.filter { entry in
            now - entry.value.lastUsed >= limits.idleTime && !isBusy(entry.value.session)
        }
        for id in idle.keys { entries[id] = nil }
        return idle.values.sorted { $0.lastUsed < $1.lastUsed }.map(\.session)
    }

    private mutating func drop(oldestOf candidates: [String: Entry]) -> [Session] {
        guard let oldest = candidates.min(by: { $0.value.lastUsed < $1.value.lastUsed }) else {
            return []
        }
        entries[oldest.key] = nil
        return [oldest.value.session]
    }
}
