package import Domain

/// What the server asks of a client during a call: in the older era by requests of its own.
extension ServerSession {
    /// Asks the client something.
    ///
    /// - Parameters:
    ///   - job: The running job that wants to know; nil for what is asked outside of calls, which
    ///     must be taken back when nobody waits any more.
    ///   - method: What is asked.
    ///   - parameters: With which parameters.
    /// - Returns: The number that ``Action/answered(_:_:)`` will name, and what to do; nil when the
    ///   client cannot be asked, for its era has no such requests or the job is over.
    package mutating func ask(
        _ job: JobID?,
        _ method: String,
        _ parameters: JSONObject
    ) -> (AskID, [Action])? {
        guard !isEnded, asks.count < limits.running else { return nil }
        var exchange: ExchangeID?
        if let job {
            guard let request = open[job], request.state == .running,
                request.context.version.era == .legacy
            else { return nil }
            exchange = request.exchange
        } else {
            guard handshake != nil else { return nil }
        }
        lastAsk += 1
        let id = RequestID.string("ask-\(lastAsk)")
        asks[id] = (lastAsk, job)
        let message = Message.request(.init(id: id, method: method, parameters: parameters))
        return (lastAsk, [.send(message.json, exchange: exchange)])
    }

    /// Takes back what nobody wants to know any more; nothing happens when it has been answered.
    package mutating func withdraw(_ ask: AskID) -> [Action] {
        guard !isEnded, let (id, entry) = asks.first(where: { $0.value.ask == ask }) else {
            return []
        }
        asks[id] = nil
        return [Self.withdrawal(of: id, exchange: entry.job.flatMap { open[$0]?.exchange })]
    }

    mutating func take(_ response: Message.Response) -> [Action] {
        // Only what was asked is answered.
        guard let id = response.id, let entry = asks.removeValue(forKey: id) else { return [] }
        return [.answered(entry.ask, response.outcome)]
    }

    /// The job is over: its questions need no answer any more.
    mutating func withdrawAsks(of job: JobID, exchange: ExchangeID) -> [Action] {
        let open = asks.filter { $0.value.job == job }
        return open.sorted { $0.value.ask < $1.value.ask }.map { id, _ in
            asks[id] = nil
            return Self.withdrawal(of: id, exchange: exchange)
        }
    }

    private static func withdrawal(of id: RequestID, exchange: ExchangeID?) -> Action {
        let parameters = JSONObject([("requestId", id.json)])
        let message = Message.notification(
            .init(method: "notifications/cancelled", parameters: parameters)
        )
        return .send(message.json, exchange: exchange)
    }
}
