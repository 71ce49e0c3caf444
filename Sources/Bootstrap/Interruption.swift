import ArgumentParser
import Dispatch
import Glibc

/// Runs `body` until it ends; SIGINT or SIGTERM cancel it and wait for its orderly end.
///
/// `body` has to end soon after its task is cancelled; what it returns or throws is passed on. A
/// second signal ends the process at once, as it would have without us: the store stays sound.
package func interruptible<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let signals = try StopSignals()
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

/// Runs what goes on until somebody stops it: a signal is its proper end, which the exit status
/// alone tells.
package func untilInterrupted(
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    do {
        try await interruptible(body)
    } catch {
        guard CommandFailure("", cause: error).status == .interrupted else { throw error }
        throw ExitCode(ExitStatus.interrupted.rawValue)
    }
}

/// SIGINT and SIGTERM as a stream.
private struct StopSignals {
    /// One element for the first signal.
    let arrivals: AsyncStream<Void>

    private let pipe: SignalPipe
    private let source: any DispatchSourceRead

    init() throws {
        let pipe = try SignalPipe([SIGINT, SIGTERM])
        let readEnd = pipe.readEnd
        self.pipe = pipe
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
        source.setCancelHandler { continuation.finish() }
        source.resume()
    }

    func close() {
        pipe.close()
        source.cancel()
    }
}
