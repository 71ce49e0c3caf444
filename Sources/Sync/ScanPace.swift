package import Domain
package import Store

/// Decides when a tracker is scanned; no clock and no chance of its own.
package struct ScanPace: Sendable, Equatable {
    /// For trackers without an interval of their own.
    package var interval = Duration.seconds(900)
    /// A part of the pause left to chance, so that trackers and installations do not all ask at the
    /// full hour.
    package var jitter = 0.1
    /// A tracker that goes on failing is still asked so often, or as often as its interval says.
    package var longestPause = Duration.seconds(6 * 3_600)

    /// The defaults.
    package init() {}

    /// How often a tracker is scanned; nil for never.
    package func interval(of schedule: ScanSchedule) -> Duration? {
        let interval = schedule.interval ?? interval
        return interval > .zero ? interval : nil
    }

    /// Whether a scan is due.
    ///
    /// A next scan that is further away than any pause was planned by a clock that was wrong.
    package func isDue(_ schedule: ScanSchedule, now: Timestamp) -> Bool {
        guard let interval = interval(of: schedule) else { return false }
        guard let next = schedule.nextAt else { return true }
        let longest = max(interval, longestPause) * (1 + jitter)
        return next <= now || next > now.advanced(by: longest)
    }

    /// When the scan after one at `now` is due: doubled with each failure, but not beyond
    /// ``longestPause``.
    ///
    /// - Parameters:
    ///   - schedule: The tracker's, its failures counted up to now.
    ///   - now: When the last scan ended or was asked for.
    ///   - chance: From 0 to 1.
    /// - Returns: The instant; nil for a tracker that is never scanned.
    package func next(
        _ schedule: ScanSchedule,
        now: Timestamp,
        chance: Double
    ) -> Timestamp? {
        guard let interval = interval(of: schedule) else { return nil }
        let doubled = interval * (1 << min(max(schedule.failures, 0), 16))
        let pause = min(doubled, max(interval, longestPause))
        // Added: a product alone would round the whole pause as a double.
        return now.advanced(by: pause + pause * (jitter * chance))
    }
}
