import NIOCore
import Synchronization

/// Every open connection with what it is doing and until when it may.
///
/// Slow clients are closed by their deadlines; and where there are too many connections, the one
/// that has let the server wait longest makes room, so that slow ones cannot keep others out. The
/// streams of an HTTP/2 connection have deadlines of their own.
final class ConnectionTable: Sendable {
    /// Names connections and streams.
    typealias ID = ObjectIdentifier

    /// What a connection is doing.
    enum Phase: Sendable {
        /// Nothing; the head of a request is to come.
        case waiting
        /// A body is coming.
        case reading
        /// A request is being answered.
        case serving
    }

    /// What happened so far, for metrics.
    struct Counts: Sendable, Equatable {
        var open = 0
        var accepted = 0
        /// Closed to make room, for others or for others' answers.
        var evicted = 0
        /// Turned away, for there was no room to make.
        var refused = 0
        /// Closed because they were too slow.
        var overdue = 0
    }

    private struct Entry {
        var channel: any Channel
        var address: String
        var phase: Phase
        var since: ContinuousClock.Instant
        var deadline: ContinuousClock.Instant?
        var stallDeadline: ContinuousClock.Instant?
        /// Bytes of answers that its client has not taken.
        var unread = 0
        /// Run when the connection is gone while it is being served.
        var whenGone: (@Sendable () -> Void)?
        /// Of a stream, the connection it belongs to.
        var parent: ID?
        /// Of a connection, how many streams it has.
        var streams = 0
        /// And how many of them are being served.
        var servedStreams = 0

        /// Whether something waits for its answer.
        var isServed: Bool { phase == .serving || servedStreams > 0 }

        func isOverdue(at now: ContinuousClock.Instant) -> Bool {
            deadline.map { $0 <= now } == true || stallDeadline.map { $0 <= now } == true
        }
    }

    /// A connection that makes room, and whom to tell.
    private struct Evicted {
        var channel: any Channel
        var whenGone: (@Sendable () -> Void)?
    }

    /// A connection as it was when it was found to have waited long.
    private struct Candidate {
        var id: ID
        var since: ContinuousClock.Instant
    }

    private struct State {
        var entries: [ID: Entry] = [:]
        /// Bytes of answers that clients have not taken.
        var unread = 0
        /// Who makes room next, the one that has waited longest last.
        var line: [Candidate] = []
        /// The address that they are of; nil for any.
        var lineAddress: String?
        var perAddress: [String: Int] = [:]
        var counts = Counts()
        var streamCount = 0

        var connectionCount: Int { entries.count - streamCount }
    }

    let limits: ServerLimits
    private let state = Mutex(State())

    init(limits: ServerLimits) {
        self.limits = limits
    }

    /// What happened so far.
    var counts: Counts {
        state.withLock { state in
            var counts = state.counts
            counts.open = state.connectionCount
            return counts
        }
    }

    /// Takes a new connection in, closing another one when there are too many.
    ///
    /// - Parameters:
    ///   - channel: The connection.
    ///   - address: Where it comes from, counted as ``NetworkAddress/origin(of:)`` has it.
    /// - Returns: Its name; nil when all others are being served, so that it must be closed.
    func admit(_ channel: any Channel, address: String) -> ID? {
        let now = ContinuousClock.now
        let address = NetworkAddress.origin(of: address)
        let (id, evicted) = state.withLock { state -> (ID?, Evicted?) in
            state.counts.accepted += 1
            var evicted: Evicted?
            let isCrowded = state.perAddress[address, default: 0] >= limits.connectionsPerAddress
            if isCrowded || state.connectionCount >= limits.connections {
                guard let victim = Self.victim(in: &state, of: isCrowded ? address : nil) else {
                    state.counts.refused += 1
                    return (nil, nil)
                }
                let channel = state.entries[victim]?.channel
                let whenGone = Self.remove(victim, from: &state).whenGone
                evicted = channel.map { Evicted(channel: $0, whenGone: whenGone) }
                state.counts.evicted += 1
            }
            let id = ObjectIdentifier(channel)
            state.entries[id] = Entry(
                channel: channel,
                address: address,
                phase: .waiting,
                since: now,
                deadline: now + limits.headTime
            )
            state.perAddress[address, default: 0] += 1
            return (id, evicted)
        }
        // Outside the lock: closing calls handlers. They find nothing to remove any more, and so
        // tell nobody.
        evicted?.channel.close(promise: nil)
        evicted?.whenGone?()
        return id
    }

    /// How many of those who have waited longest are looked for at a time: in a storm each new
    /// connection closes an old one, and to go through a thousand for each of them, with the lock
    /// held that every connection needs, cost more than to serve them.
    private static let lineLength = 64

    /// The connection that has waited longest without being served, of an address or of any.
    private static func victim(in state: inout State, of address: String?) -> ID? {
        if state.lineAddress != address { state.line = [] }
        while true {
            if state.line.isEmpty {
                state.line = longestWaiting(in: state, of: address)
                state.lineAddress = address
            }
            guard let candidate = state.line.popLast() else { return nil }
            // Whatever it has done since makes it one of the youngest.
            guard let entry = state.entries[candidate.id], entry.since == candidate.since,
                !entry.isServed
            else { continue }
            return candidate.id
        }
    }

    /// Those that have waited longest without being served, the one that has waited longest last.
    private static func longestWaiting(in state: State, of address: String?) -> [Candidate] {
        var waiting: [Candidate] = []
        for (id, entry) in state.entries where entry.parent == nil && !entry.isServed {
            guard address == nil || entry.address == address else { continue }
            waiting.append(Candidate(id: id, since: entry.since))
        }
        waiting.sort { $0.since > $1.since }
        return Array(waiting.suffix(lineLength))
    }

    /// Whether a channel is a connection that was taken in.
    func isConnection(_ channel: any Channel) -> Bool {
        state.withLock { $0.entries[ObjectIdentifier(channel)].map { $0.parent == nil } ?? false }
    }

    /// Takes in a stream of a connection.
    ///
    /// - Returns: Its name; nil when the connection is gone.
    func admitStream(_ channel: any Channel, of connection: any Channel) -> ID? {
        let now = ContinuousClock.now
        return state.withLock { state in
            let parent = ObjectIdentifier(connection)
            guard let address = state.entries[parent]?.address else { return nil }
            state.entries[parent]?.streams += 1
            state.entries[parent]?.phase = .reading
            state.entries[parent]?.since = now
            // Its streams have deadlines.
            state.entries[parent]?.deadline = nil
            let id = ObjectIdentifier(channel)
            state.entries[id] = Entry(
                channel: channel,
                address: address,
                phase: .waiting,
                since: now,
                deadline: now + limits.headTime,
                parent: parent
            )
            state.streamCount += 1
            return id
        }
    }

    /// Notes what a connection does now, and until when it may.
    func note(_ id: ID, _ phase: Phase, for time: Duration?) {
        let now = ContinuousClock.now
        state.withLock { state in
            guard let before = state.entries[id] else { return }
            if let parent = before.parent {
                let change = (phase == .serving ? 1 : 0) - (before.phase == .serving ? 1 : 0)
                state.entries[parent]?.servedStreams += change
            }
            state.entries[id]?.phase = phase
            state.entries[id]?.since = now
            state.entries[id]?.deadline = time.map { now + $0 }
        }
    }

    /// Gives a body that is coming more time.
    func extend(_ id: ID, by time: Duration) {
        state.withLock { state in
            guard let deadline = state.entries[id]?.deadline else { return }
            state.entries[id]?.deadline = deadline + time
        }
    }

    /// Notes whether a client takes what is written.
    func noteStall(_ id: ID, isStalled: Bool) {
        let deadline = isStalled ? ContinuousClock.now + limits.writeStallTime : nil
        state.withLock { $0.entries[id]?.stallDeadline = deadline }
    }

    /// Notes that bytes of an answer are on their way to a client.
    ///
    /// When clients together leave too many unread, the one that has taken none for longest is
    /// closed; who takes them as they come is none of those.
    func noteWriting(_ id: ID, bytes: Int) {
        let slowest = state.withLock { state -> (any Channel)? in
            guard state.entries[id] != nil else { return nil }
            state.entries[id]?.unread += bytes
            state.unread += bytes
            guard state.unread > limits.unreadBytes, let slowest = Self.slowest(in: state) else {
                return nil
            }
            // Its bytes go with it: the next one over the limit closes another one.
            state.unread -= state.entries[slowest]?.unread ?? 0
            state.entries[slowest]?.unread = 0
            state.counts.evicted += 1
            return state.entries[slowest]?.channel
        }
        // Outside the lock: closing calls handlers.
        slowest?.close(promise: nil)
    }

    /// Notes that a client has taken bytes of an answer, or never will.
    func noteWritten(_ id: ID, bytes: Int) {
        state.withLock { state in
            guard let unread = state.entries[id]?.unread else { return }
            state.entries[id]?.unread -= min(bytes, unread)
            state.unread -= min(bytes, unread)
        }
    }

    /// Whoever has stalled for longest of those who leave something unread.
    private static func slowest(in state: State) -> ID? {
        var found: (id: ID, deadline: ContinuousClock.Instant)?
        for (id, entry) in state.entries where entry.unread > 0 {
            guard let deadline = entry.stallDeadline else { continue }
            if let found, found.deadline <= deadline { continue }
            found = (id, deadline)
        }
        return found?.id
    }

    /// Forgets a connection or stream that is gone, and tells whoever serves it.
    func remove(_ id: ID) {
        let whenGone = state.withLock { state in
            let (whenGone, parent) = Self.remove(id, from: &state)
            if let parent, state.entries[parent]?.streams == 0 {
                let now = ContinuousClock.now
                state.entries[parent]?.phase = .waiting
                state.entries[parent]?.since = now
                state.entries[parent]?.deadline = now + limits.idleTime
            }
            return whenGone
        }
        whenGone?()
    }

    /// Says what is to be run when a connection is gone while a request of it is being served; nil
    /// when there is nothing more to tell.
    ///
    /// - Returns: Whether the connection is there.
    func watch(_ channel: any Channel, whenGone: (@Sendable () -> Void)?) -> Bool {
        state.withLock { state in
            let id = ObjectIdentifier(channel)
            guard state.entries[id] != nil else { return false }
            state.entries[id]?.whenGone = whenGone
            return true
        }
    }

    /// Closes the connections and streams whose time is over; called once a second.
    func closeOverdue() {
        let now = ContinuousClock.now
        let overdue = state.withLock { state in
            let overdue = state.entries.values.filter { $0.isOverdue(at: now) }
            state.counts.overdue += overdue.count
            return overdue.map(\.channel)
        }
        for channel in overdue { channel.close(promise: nil) }
    }

    /// Closes whatever is open: the time to drain is over.
    func closeAll() {
        let channels = state.withLock { $0.entries.values.map(\.channel) }
        for channel in channels { channel.close(promise: nil) }
    }

    private static func remove(
        _ id: ID,
        from state: inout State
    ) -> (whenGone: (@Sendable () -> Void)?, parent: ID?) {
        guard let entry = state.entries.removeValue(forKey: id) else { return (nil, nil) }
        state.unread -= entry.unread
        if let parent = entry.parent {
            state.streamCount -= 1
            state.entries[parent]?.streams -= 1
            if entry.phase == .serving { state.entries[parent]?.servedStreams -= 1 }
        } else {
            let count = state.perAddress[entry.address, default: 1] - 1
            state.perAddress[entry.address] = count > 0 ? count : nil
        }
        return (entry.whenGone, entry.parent)
    }
}
