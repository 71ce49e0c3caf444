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
        /// Closed to make room.
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
        /// Run when the connection is gone while it is being served.
        var whenGone: (@Sendable () -> Void)?
        /// Of a stream, the connection it belongs to.
        var parent: ID?
        /// Of a connection, how many streams it has.
        var streams = 0

        func isOverdue(at now: ContinuousClock.Instant) -> Bool {
            deadline.map { $0 <= now } == true || stallDeadline.map { $0 <= now } == true
        }
    }

    private struct State {
        var entries: [ID: Entry] = [:]
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
    /// - Returns: Its name; nil when all others are being served, so that it must be closed.
    func admit(_ channel: any Channel, address: String) -> ID? {
        let now = ContinuousClock.now
        let (id, evicted) = state.withLock { state -> (ID?, (any Channel)?) in
            state.counts.accepted += 1
            var evicted: (any Channel)?
            let isCrowded = state.perAddress[address, default: 0] >= limits.connectionsPerAddress
            if isCrowded || state.connectionCount >= limits.connections {
                guard let victim = Self.victim(in: state, of: isCrowded ? address : nil) else {
                    state.counts.refused += 1
                    return (nil, nil)
                }
                evicted = state.entries[victim]?.channel
                state.counts.evicted += 1
                _ = Self.remove(victim, from: &state)
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
        // Outside the lock: closing calls handlers.
        evicted?.close(promise: nil)
        return id
    }

    /// The connection that has waited longest without being served, of an address or of any.
    private static func victim(in state: State, of address: String?) -> ID? {
        var served: Set<ID> = []
        if state.streamCount > 0 {
            for entry in state.entries.values where entry.phase == .serving {
                if let parent = entry.parent { served.insert(parent) }
            }
        }
        return state.entries
            .filter { $0.value.parent == nil && $0.value.phase != .serving }
            .filter { address == nil || $0.value.address == address }
            .filter { !served.contains($0.key) }
            .min { $0.value.since < $1.value.since }?.key
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
        if let parent = entry.parent {
            state.streamCount -= 1
            state.entries[parent]?.streams -= 1
        } else {
            let count = state.perAddress[entry.address, default: 1] - 1
            state.perAddress[entry.address] = count > 0 ? count : nil
        }
        return (entry.whenGone, entry.parent)
    }
}
