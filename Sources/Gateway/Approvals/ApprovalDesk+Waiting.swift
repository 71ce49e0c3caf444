import Domain
import Firewall
import Store

extension ApprovalDesk {
    /// Waits until a request is decided, at most for `limit`.
    ///
    /// - Parameters:
    ///   - request: As it was seen last.
    ///   - limit: How long, the model's time included; then it is given as it stands.
    ///   - asksModel: Whether the workflow's model is asked first. Only the call that has made the
    ///     request may: a model that is asked again by every call that joins says yes in the end.
    ///   - tell: Told now and then that nothing has happened.
    /// - Returns: The request, pending when the limit came first or too many wait already.
    /// - Throws: `CancellationError`, and what the store refuses.
    func decision(
        about request: ApprovalRequest,
        within limit: Duration,
        asksModel: Bool,
        tell: @escaping @Sendable (Duration, ApprovalRequest) async -> Void
    ) async throws -> ApprovalRequest {
        guard request.state.isPending else { return request }
        let start = ContinuousClock.now
        if asksModel, let judge, request.state.terms.judge != nil, request.state.votes.isEmpty {
            let judged = try await judge.decide(request, self)
            guard judged.state.isPending else { return judged }
        }
        let limit = limit - start.duration(to: .now)
        guard limit > .zero, let seat = room.enter(for: request.id) else {
            return try await find(request.id, withSealed: false)
        }
        defer { room.leave(seat) }
        var waited = Duration.zero
        while true {
            // After the seat was taken: what is decided from here on wakes it.
            let current = try await find(request.id, withSealed: false)
            guard current.state.isPending, waited < limit else { return current }
            let untilEnd = Duration.milliseconds(
                max(1, current.state.expiresAt.milliseconds(since: store.clock.now()))
            )
            let pause = min(limit - waited, GuardedCall.progressInterval, untilEnd)
            let start = ContinuousClock.now
            let isOver = await room.wait(in: seat, atMost: pause)
            try Task.checkCancellation()
            // What the clock calls over is over, however fast it runs.
            waited += isOver ? pause : start.duration(to: .now)
            if isOver { await tell(waited, current) }
        }
    }
}
