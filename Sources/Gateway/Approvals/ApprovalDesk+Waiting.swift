import Domain
import Firewall
import Store

extension ApprovalDesk {
    /// Waits until a request is decided, at most for `limit`.
    ///
    /// - Parameters:
    ///   - request: As it was seen last.
    ///   - limit: How long, the model's time included; then it is given as it stands.
    ///   - asksModel: Whether a workflow's model is asked first. Only the call that has made the
    ///     request may: a model that is asked again by every call that joins says yes in the end.
    ///     Of a workflow that is asked when nobody waits any more, people decide.
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
        // The place of the last workflow whose model was asked, if it has one.
        var place = request.state.place
        if asksModel {
            let judged = try await judged(request, within: limit)
            guard judged.state.isPending else { return judged }
            place = judged.state.place
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
            if asksModel, current.state.place > place {
                let start = ContinuousClock.now
                let judged = try await judged(try await find(request.id), within: limit - waited)
                place = judged.state.place
                waited += start.duration(to: .now)
                continue
            }
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

    /// Asks the model of the workflow that is asked now, and of each that is asked behind it by the
    /// word of the one before; where there is none, or it has been asked, nobody.
    ///
    /// The first workflow's model has its time in any case: it answers before callers get a handle.
    /// Models of others are asked for as long as the caller still waits, and people after that.
    private func judged(
        _ request: ApprovalRequest,
        within limit: Duration
    ) async throws -> ApprovalRequest {
        let start = ContinuousClock.now
        var current = request
        while let judge, current.state.isPending, current.state.terms.judge != nil,
            current.state.ballot.isEmpty
        {
            let rest = current.state.place == 0 ? nil : limit - start.duration(to: .now)
            let next = try await judge.decide(current, self, within: rest)
            guard next.state.place > current.state.place else { return next }
            current = next
        }
        return current
    }
}
