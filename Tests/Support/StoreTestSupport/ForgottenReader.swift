import Dispatch
package import Store

extension Store {
    /// Runs `body` while a transaction is open that was there before everything in it and has read
    /// the mirror of vectors: a session that somebody forgot.
    package func withForgottenReader<Value>(
        _ body: () async throws -> Value
    ) async throws -> Value {
        let (isOpen, isOver) = (AsyncStream<Void>.makeStream(), DispatchSemaphore(value: 0))
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await self.read { connection, _ in
                    // Idle for longer than two minutes, where much else is under way.
                    try connection.liftLimits()
                    _ = try connection.rows("SELECT count(*) AS count FROM passage_vectors")
                    isOpen.continuation.finish()
                    isOver.wait()
                }
            }
            defer { isOver.signal() }
            for await _ in isOpen.stream {}
            return try await body()
        }
    }
}
