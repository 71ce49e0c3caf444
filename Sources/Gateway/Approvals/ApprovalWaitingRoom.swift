import Domain
import Store
import Synchronization

/// Where calls wait for their decision: woken in this process, or by what another one has stored.
///
/// A waiting call holds no connection and no task of its own besides the one it is: one watcher
/// asks the store for all of them, after a sign that somebody has committed, and one tick ends the
/// waits whose time is up.
final class ApprovalWaitingRoom: Sendable {
    /// How the room watches and how many it takes.
    struct Limits: Sendable {
        /// A parked call holds its frames and its arguments, some kilobytes: forty megabytes a
        /// thousand are never reached.
        var calls = 10_000
        /// SQLite tells of nothing: a look costs microseconds.
        var sqliteInterval: Duration = .milliseconds(100)
        /// PostgreSQL notifies; this is for notifications that were lost.
        var postgresInterval: Duration = .seconds(1)
        /// How far the clocks of two hosts may be apart.
        var skew: Duration = .seconds(60)
        /// How long a store that fails is left alone.
        var patience: Duration = .seconds(1)
        /// How exactly a wait ends; people do not notice.
        var tick: Duration = .milliseconds(250)
    }

    /// A place of one waiting call; what wakes it before it waits is not lost.
    struct Seat: Sendable {
        fileprivate let request: String
        fileprivate let number: Int
    }

    fileprivate struct Waiter {
        /// Nil while its call looks at the request.
        var continuation: CheckedContinuation<Bool, Never>?
        var remaining = Duration.zero
        /// Woken while nobody waited.
        var isSignalled = false
    }

    private struct State {
        var seats: [String: [Int: Waiter]] = [:]
        var count = 0
        var next = 0
        /// Looks at the store while anybody waits; nil when nobody does.
        var watcher: Task<Void, Never>?
    }

    private let store: Store
    private let limits: Limits
    private let pacing: any Clock<Duration>
    private let state = Mutex(State())

    init(_ store: Store, pacing: any Clock<Duration>, limits: Limits = Limits()) {
        self.store = store
        self.pacing = pacing
        self.limits = limits
    }

    /// How many wait.
    var count: Int { state.withLock(\.count) }

    /// Takes a place; nil when all are taken.
    ///
    /// Whoever takes one looks at the request after that, and leaves.
    func enter(for request: String) -> Seat? {
        let number = state.withLock { state -> Int? in
            guard state.count < limits.calls else { return nil }
            state.next += 1
            state.count += 1
            state.seats[request, default: [:]][state.next] = Waiter()
            return state.next
        }
        guard let number else { return nil }
        watch()
        return Seat(request: request, number: number)
    }

    /// Gives a place back.
    func leave(_ seat: Seat) {
        state.withLock { state in
            guard state.seats[seat.request]?.removeValue(forKey: seat.number) != nil
            else { return }
            state.count -= 1
            if state.seats[seat.request]?.isEmpty == true { state.seats[seat.request] = nil }
        }
    }

    /// Waits until the request may have changed, at most for `duration`; returns early when the
    /// task is cancelled.
    ///
    /// - Returns: Whether the time is up.
    func wait(in seat: Seat, atMost duration: Duration) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    guard var waiter = state.seats[seat.request]?[seat.number] else { return true }
                    let isOver = waiter.isSignalled || Task.isCancelled
                    waiter.isSignalled = false
                    if !isOver {
                        waiter.continuation = continuation
                        waiter.remaining = duration
                    }
                    state.seats[seat.request]?[seat.number] = waiter
                    return isOver
                }
                if isOver { continuation.resume(returning: false) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                state.seats[seat.request]?[seat.number]?.take()
            }
            waiting?.resume(returning: false)
        }
    }

    /// Wakes whoever waits for a request.
    func wake(_ request: String) {
        let waiting = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
            var waiting: [CheckedContinuation<Bool, Never>] = []
            for number in (state.seats[request] ?? [:]).keys {
                if let continuation = state.seats[request]?[number]?.take() {
                    waiting.append(continuation)
                } else {
                    state.seats[request]?[number]?.isSignalled = true
                }
            }
            return waiting
        }
        for continuation in waiting { continuation.resume(returning: false) }
    }

    /// Ends the waits whose time is up.
    private func pass(_ time: Duration) {
        let over = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
            var over: [CheckedContinuation<Bool, Never>] = []
            for (request, waiters) in state.seats {
                for (number, waiter) in waiters where waiter.continuation != nil {
                    state.seats[request]?[number]?.remaining = waiter.remaining - time
                    guard waiter.remaining <= time else { continue }
                    if let waiting = state.seats[request]?[number]?.take() { over.append(waiting) }
                }
            }
            return over
        }
        for continuation in over { continuation.resume(returning: true) }
    }

    // MARK: - Watching

    /// Starts the watcher unless it is at work; it ends when nobody waits.
    private func watch() {
        state.withLock { state in
            guard state.watcher == nil else { return }
            // Not a child of the caller: it serves the others too, and ends by itself.
            state.watcher = Task { await self.serve() }
        }
    }

    private func serve() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.follow() }
            group.addTask { await self.tick() }
            await group.next()
            group.cancelAll()
        }
        let isNeeded = state.withLock { state in
            state.watcher = nil
            return state.count > 0
        }
        if isNeeded { watch() }
    }

    private func tick() async {
        while !Task.isCancelled {
            // Ends early by cancellation alone, which the loop sees.
            try? await pacing.sleep(for: limits.tick)
            pass(limits.tick)
            await Task.yield()
        }
    }

    /// Looks at the store whenever somebody has committed, until nobody waits for a while.
    private func follow() async {
        var since = store.clock.now()
        // Those that come while it ends find it at work, or start it again.
        var idle = 0
        let interval =
            store.database.dialect == .sqlite ? limits.sqliteInterval : limits.postgresInterval
        while idle < 2 {
            idle = count == 0 ? idle + 1 : 0
            do {
                let token = try await store.database.changeToken()
                let now = store.clock.now()
                try await wakeResolved(since: since.advanced(by: .zero - limits.skew))
                since = now
                while count > 0,
                    try await !store.database.waitForChange(after: token, atMost: interval)
                {}
                if count == 0 { try await Task.sleep(for: interval) }
            } catch {
                // The store's trouble is told to those who use it; here it is waited for.
                try? await Task.sleep(for: limits.patience)
            }
        }
    }

    private func wakeResolved(since instant: Timestamp) async throws {
        let limit = limits.calls
        let resolved = try await store.read { connection, account in
            try ApprovalTable.resolved(
                since: instant,
                limit: limit,
                account: account,
                on: connection
            )
        }
        for request in resolved { wake(request) }
    }
}

extension ApprovalWaitingRoom.Waiter {
    /// Gives what waits, which then waits no more.
    fileprivate mutating func take() -> CheckedContinuation<Bool, Never>? {
        defer { continuation = nil }
        return continuation
    }
}
