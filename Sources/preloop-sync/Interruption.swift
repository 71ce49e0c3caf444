import Bootstrap
import Dispatch
import Glibc
import Synchronization

/// Where the signal handler writes; -1 while nobody listens.
private let wakeUpDescriptor = Atomic<Int32>(-1)

/// Runs `body` until it ends; SIGINT or SIGTERM cancel it and wait for its orderly end.
///
/// `body` has to end soon after its task is cancelled; what it returns or throws is passed on. A
/// second signal ends the process at once, as it would have without us: the store stays sound.
func interruptible<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let signals = try SignalPipe()
    defer { signals.close() }
    let arrivals = signals.arrivals
    return try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await _ in arrivals { return nil }
            return nil
        }
        defer { group.cancelAll() }
        while let result = try await group.next() {
            if let result { return result }
            // The signal: the body is told, and still gives its report.
            group.cancelAll()
        }
        throw CommandFailure(.interrupted, "interrupted")
    }
}

/// Turns signals into bytes of a pipe.
///
/// Not a dispatch signal source: on Linux it needs the signal blocked in every thread, which it
/// does only when a thread has caught one, and under load about one signal in twenty was lost for
/// good.
private struct SignalPipe {
    /// One element for the first signal.
    let arrivals: AsyncStream<Void>

    private let source: any DispatchSourceRead

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0,
            ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 })
        else {
            throw CommandFailure(
                .failure,
                "cannot listen for signals",
                reason: unsafe String(cString: strerror(errno))
            )
        }
        let (readEnd, writeEnd) = (ends[0], ends[1])
        let (stream, continuation) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        arrivals = stream
        source = DispatchSource.makeReadSource(fileDescriptor: readEnd, queue: .global())
        source.setEventHandler {
            var byte: UInt8 = 0
            _ = unsafe read(readEnd, &byte, 1)
            continuation.yield()
            continuation.finish()
        }
        source.setCancelHandler {
            // The handler may run on another thread at this moment; the two descriptors of a
            // process that is about to end are left to it.
            continuation.finish()
        }
        source.resume()
        wakeUpDescriptor.store(writeEnd, ordering: .sequentiallyConsistent)
        for number in [SIGINT, SIGTERM] { _ = signal(number, handleSignal) }
    }

    func close() {
        for number in [SIGINT, SIGTERM] { _ = signal(number, SIG_DFL) }
        wakeUpDescriptor.store(-1, ordering: .sequentiallyConsistent)
        source.cancel()
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
