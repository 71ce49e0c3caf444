import Synchronization

/// A clock that stands still but for sleeping, which takes no time.
final class VirtualClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration

        static func < (left: Self, right: Self) -> Bool { left.offset < right.offset }
        func advanced(by duration: Duration) -> Self { Self(offset: offset + duration) }
        func duration(to other: Self) -> Duration { other.offset - offset }
    }

    private let elapsed = Mutex(Duration.zero)

    var now: Instant { Instant(offset: elapsed.withLock { $0 }) }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        elapsed.withLock { $0 = max($0, deadline.offset) }
        await Task.yield()
    }
}
