import Foundation
import Synchronization

/// Runs tasks that nobody waits for, on a thread of its own with a lower priority.
///
/// The tasks of requests share as many threads as there are cores. Work that computes for long –
/// reading what a tracker answers, embedding it – would keep requests waiting there; here the
/// system gives it what they leave.
package final class BackgroundExecutor: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        /// Those before it have been run.
        var next = 0
    }

    /// As much as `nice` gives by default.
    private static let niceness: Int32 = 10

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// Starts the thread, which runs as long as the process.
    package init() {
        Thread.detachNewThread { [self] in
            // Of this thread alone, as Linux has it; one that may not is a thread like others.
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
            while true {
                signal.wait()
                guard let job = next() else { continue }
                unsafe job.runSynchronously(on: asUnownedTaskExecutor())
            }
        }
    }

    /// Takes a piece of work.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
        signal.signal()
    }

    private func next() -> UnownedJob? {
        state.withLock { state in
            guard state.next < state.jobs.count else { return nil }
            let job = state.jobs[state.next]
            state.next += 1
            // Moved to the front when half is over, so that it costs nothing on average.
            if state.next * 2 > state.jobs.count {
                state.jobs.removeFirst(state.next)
                state.next = 0
            }
            return job
        }
    }
}
