private import Glibc
import Synchronization

/// A readers/writer lock for holds of microseconds that lets a waiting writer go before new
/// readers, so that a stream of searches cannot keep insertions out.
///
/// Who has to wait looks again for a while before it sleeps: to be woken takes longer than a writer
/// needs to put its lists into place, and readers would wait for that too. Not reentrant; there is
/// at most one writer at a time, which the caller sees to.
@safe
struct ReadWriteLock: ~Copyable, @unchecked Sendable {
    /// Readers inside, and a bit each for a writer that waits and one that is inside.
    private let state = Atomic<UInt32>(0)
    /// Threads that sleep or are about to.
    private let sleepers = Atomic<UInt32>(0)
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let change: UnsafeMutablePointer<pthread_cond_t>

    private static let waiting: UInt32 = 1 << 30
    private static let writing: UInt32 = 1 << 31
    /// Looks in a row, of a few nanoseconds each.
    private static let looks = 200
    /// Looks after that, between which others get the processor.
    private static let yields = 100

    init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe change = .allocate(capacity: 1)
        let status = unsafe pthread_mutex_init(mutex, nil) | pthread_cond_init(change, nil)
        precondition(status == 0, "cannot make a lock")
    }

    deinit {
        unsafe pthread_cond_destroy(change)
        unsafe pthread_mutex_destroy(mutex)
        unsafe change.deallocate()
        unsafe mutex.deallocate()
    }

    /// Runs `body` beside other readers.
    func read<Result>(_ body: () -> Result) -> Result {
        while !enter() { wait { $0 & (Self.waiting | Self.writing) == 0 } }
        defer {
            let left = state.subtract(1, ordering: .sequentiallyConsistent).newValue
            // The last reader before a writer.
            if left == Self.waiting { wake() }
        }
        return body()
    }

    /// Runs `body` alone.
    func write<Result>(_ body: () -> Result) -> Result {
        let before = state.bitwiseOr(Self.waiting, ordering: .sequentiallyConsistent).oldValue
        precondition(before & (Self.waiting | Self.writing) == 0, "a second writer")
        wait { $0 == Self.waiting }
        // Nobody enters beside one that waits.
        state.store(Self.writing, ordering: .sequentiallyConsistent)
        defer {
            state.store(0, ordering: .sequentiallyConsistent)
            wake()
        }
        return body()
    }

    /// Whether a writer waits for readers to leave; for tests.
    var isAwaited: Bool { state.load(ordering: .acquiring) & Self.waiting != 0 }

    /// Enters as a reader unless a writer is inside or waits.
    private func enter() -> Bool {
        var current = state.load(ordering: .relaxed)
        while current & (Self.waiting | Self.writing) == 0 {
            let (isEntered, now) = state.weakCompareExchange(
                expected: current,
                desired: current + 1,
                ordering: .acquiring
            )
            if isEntered { return true }
            current = now
        }
        return false
    }

    /// Returns when the state is such, or was.
    private func wait(until isSuch: (UInt32) -> Bool) {
        for _ in 0..<Self.looks where isSuch(state.load(ordering: .acquiring)) { return }
        for _ in 0..<Self.yields {
            if isSuch(state.load(ordering: .acquiring)) { return }
            sched_yield()
        }
        unsafe pthread_mutex_lock(mutex)
        // Whoever changes the state afterwards finds a sleeper, and waits for the mutex.
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while !isSuch(state.load(ordering: .sequentiallyConsistent)) {
            unsafe pthread_cond_wait(change, mutex)
        }
        sleepers.subtract(1, ordering: .sequentiallyConsistent)
        unsafe pthread_mutex_unlock(mutex)
    }

    private func wake() {
        guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        unsafe pthread_mutex_lock(mutex)
        unsafe pthread_cond_broadcast(change)
        unsafe pthread_mutex_unlock(mutex)
    }
}
