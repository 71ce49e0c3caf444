import Bootstrap
import Domain
import Search
import Sync
import Synchronization

/// What a running scan has told so far, for whoever draws it.
final class ProgressBoard: IndexedScan.Observer {
    /// One project, or a tracker that is being listed.
    struct Line: Sendable {
        var step: ScanProgress
        var startedAt: ContinuousClock.Instant
        var changedAt: ContinuousClock.Instant
        /// Until when the tracker's rate limit keeps requests waiting, past instants included.
        var waitEnd: Timestamp?
    }

    private struct State {
        /// In the order in which they were first heard of.
        var order: [String] = []
        var lines: [String: Line] = [:]
        /// By tracker, since all its projects share one budget.
        var waits: [String: Timestamp] = [:]
        var index = IndexReport()
        var written = 0
    }

    private let state = Mutex(State())

    /// Notes a step of the scan.
    ///
    /// - Returns: Whether rows were written that the indexer has not been told of.
    func note(_ step: ScanProgress) -> Bool {
        let key = "\(step.tracker)\0\(step.project ?? "")"
        let now = ContinuousClock.now
        return state.withLock { state in
            if step.project == nil, step.phase == .ended {
                // The projects have lines of their own.
                state.order.removeAll { $0 == key }
                state.lines[key] = nil
                return false
            }
            let before = state.lines[key]
            if before == nil { state.order.append(key) }
            state.lines[key] = Line(
                step: step,
                startedAt: before?.startedAt ?? now,
                changedAt: now
            )
            let isWritten = step.written > (before?.step.written ?? 0)
            state.written += max(0, step.written - (before?.step.written ?? 0))
            return isWritten
        }
    }

    /// Notes that requests to a tracker wait for its rate limit.
    func noteWait(of tracker: String, until end: Timestamp) {
        state.withLock { $0.waits[tracker] = max(end, $0.waits[tracker] ?? end) }
    }

    /// Notes what the indexer has done so far.
    func note(_ report: IndexReport) {
        state.withLock { $0.index = report }
    }

    /// Everything at this moment.
    var snapshot: (lines: [Line], indexed: IndexReport, written: Int) {
        state.withLock { state in
            let lines = state.order.compactMap { key -> Line? in
                guard var line = state.lines[key] else { return nil }
                line.waitEnd = state.waits[line.step.tracker]
                return line
            }
            return (lines, state.index, state.written)
        }
    }
}
