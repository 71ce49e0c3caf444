package import Domain
import Glibc

/// Where the time of day comes from; injected, so that tests decide it.
package struct WallClock: Sendable {
    /// The instant now.
    package let now: @Sendable () -> Timestamp

    /// A clock that answers what `now` answers.
    package init(now: @escaping @Sendable () -> Timestamp) {
        self.now = now
    }

    /// The machine's clock.
    package static let system = WallClock {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }
}
