import Domain
import Trackers

/// Makes what writes to a tracker when it is first needed, and keeps it: its connections and its
/// credential serve the next write too.
actor WriterProvider {
    private let make: @Sendable (Tracker) async throws -> TrackerWriters
    private var made: [TrackerID: (tracker: Tracker, writers: TrackerWriters)] = [:]

    init(make: @escaping @Sendable (Tracker) async throws -> TrackerWriters) {
        self.make = make
    }

    /// The writers of a tracker; made anew when its address or user has changed.
    func writers(of tracker: Tracker) async throws -> TrackerWriters {
        if let known = made[tracker.id], haveEqualBytes(known.tracker.url, tracker.url),
            known.tracker.userName == tracker.userName
        {
            return known.writers
        }
        let writers = try await make(tracker)
        made[tracker.id] = (tracker, writers)
        return writers
    }
}
