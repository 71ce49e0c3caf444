import Glibc
import Synchronization

/// Where the signal handler writes; -1 while nobody listens.
private let wakeUpDescriptor = Atomic<Int32>(-1)

/// Turns signals into bytes of a pipe; one at a time in a process.
///
/// Not a dispatch signal source: on Linux it needs the signal blocked in every thread, which it
/// does only when a thread has caught one, and under load about one signal in twenty was lost for
/// good.
///
/// A second signal of the same kind does what it would have done without us.
package struct SignalPipe: Sendable {
    /// Can be read when a signal has come.
    package let readEnd: Int32
    private let signals: [Int32]

    /// Takes over signals.
    package init(_ signals: [Int32]) throws(CommandFailure) {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0,
            ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 })
        else {
            throw CommandFailure(
                .failure,
                "cannot listen for signals",
                reason: systemMessage(errno)
            )
        }
        readEnd = ends[0]
        self.signals = signals
        wakeUpDescriptor.store(ends[1], ordering: .sequentiallyConsistent)
        for number in signals { _ = signal(number, handleSignal) }
    }

    /// Lets signals do again what they do without us.
    ///
    /// The handler may run on another thread at this moment: the pipe stays open, of which a
    /// process makes one or two.
    package func close() {
        for number in signals { _ = signal(number, SIG_DFL) }
        wakeUpDescriptor.store(-1, ordering: .sequentiallyConsistent)
    }
}

/// Runs on any thread at any point: only calls that signal-safety(7) allows.
private func handleSignal(_ number: Int32) {
    _ = signal(number, SIG_DFL)
    let descriptor = wakeUpDescriptor.load(ordering: .sequentiallyConsistent)
    guard descriptor >= 0 else { return }
    var byte = UInt8(truncatingIfNeeded: number)
    _ = unsafe write(descriptor, &byte, 1)
}
