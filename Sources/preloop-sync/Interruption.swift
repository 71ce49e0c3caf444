import Bootstrap
import Dispatch
import Glibc

/// Runs `body` until it ends; SIGINT or SIGTERM cancel it and wait for its orderly end.
///
/// A second signal ends the process at once, as it would have without us: the store stays sound.
/// `body` has to end soon after its task is cancelled; what it returns or throws is passed on.
func interruptible<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let (signals, receiver) = AsyncStream.makeStream(
        of: Void.self,
        bufferingPolicy: .bufferingNewest(1)
    )
    let sources = [SIGINT, SIGTERM].map { number in
        _ = signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler {
            _ = signal(number, SIG_DFL)
            receiver.yield()
        }
        source.resume()
        return source
    }
    defer { for source in sources { source.cancel() } }
    return try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await _ in signals { return nil }
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
