import Glibc
import Synchronization

/// Wakes the thread that waits for a server's answer, when the task it waits for is cancelled or
/// the listener has to end.
final class PostgresInterrupt: Sendable {
    /// Readable once requested; -1 when the process has no descriptor left, and then the waiting
    /// thread looks at ``isRequested`` when the server answers.
    let descriptor: Int32
    private let writer: Int32
    private let requested = Atomic(false)

    init() {
        var ends: [Int32] = [-1, -1]
        let isMade = unsafe pipe(&ends) == 0
        (descriptor, writer) = isMade ? (ends[0], ends[1]) : (-1, -1)
        for end in ends where isMade {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    /// Whether it has been requested; it stays so.
    var isRequested: Bool { requested.load(ordering: .acquiring) }

    /// Wakes the waiting thread, now and at every later wait.
    func request() {
        requested.store(true, ordering: .releasing)
        var byte: UInt8 = 1
        // A pipe that is full is readable, too.
        _ = unsafe write(writer, &byte, 1)
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        close(writer)
    }
}

extension PostgresInterrupt {
    /// Sleeps until requested or the time is up.
    func wait(atMost duration: Duration) {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&waiting, 1, Int32(clamping: Int64(duration / .milliseconds(1))))
    }
}
