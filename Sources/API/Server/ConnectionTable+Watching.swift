import NIOCore

extension ConnectionTable {
    /// Runs what is worth nothing without its client: it is cancelled when the connection is gone.
    ///
    /// - Parameters:
    ///   - channel: The connection, or stream of one, whose request it is.
    ///   - body: What is run.
    /// - Returns: What it gives.
    /// - Throws: What it throws; `ChannelError` where it was stopped since its client is gone.
    func run<Value: Sendable>(
        for channel: any Channel,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        // Not a child: it is not this task that is cancelled by the connection.
        let work = Task { try await body() }
        if !watch(channel, whenGone: { work.cancel() }) { work.cancel() }
        defer { _ = watch(channel, whenGone: nil) }
        do {
            return try await withTaskCancellationHandler {
                try await work.value
            } onCancel: {
                work.cancel()
            }
        } catch is CancellationError where !Task.isCancelled {
            throw ChannelError.ioOnClosedChannel
        }
    }
}
