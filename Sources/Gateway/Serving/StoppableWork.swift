package import MCP

/// A job of a session that runs in a task of its own and can be stopped from outside.
package struct StoppableWork: Sendable {
    private let task: Task<Result<ServerSession.Outcome, RPCError>, Never>

    /// Begins at once.
    package init(
        _ work: @escaping @Sendable () async -> Result<ServerSession.Outcome, RPCError>
    ) {
        task = Task { @concurrent in await work() }
    }

    /// Tells the work to stop; its end is waited for all the same.
    package func stop() { task.cancel() }

    /// What it gives in the end; it is stopped when whoever waits is cancelled.
    package func outcome() async -> Result<ServerSession.Outcome, RPCError> {
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
