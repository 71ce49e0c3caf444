import MCP

/// When a call has taken too long, as a value.
///
/// Time in which its server waits for an answer of our own client does not count: a person who
/// thinks is no server that hangs.
struct CallDeadline: Sendable {
    /// What the server may take.
    let limit: Duration
    private let start: ContinuousClock.Instant
    private var questions: Set<ClientSession.AskID> = []
    private var askedAt: ContinuousClock.Instant?
    private var waited: Duration = .zero

    init(limit: Duration, at start: ContinuousClock.Instant) {
        self.limit = limit
        self.start = start
    }

    /// The server wants to know something.
    mutating func asked(_ question: ClientSession.AskID, at now: ContinuousClock.Instant) {
        if questions.isEmpty { askedAt = now }
        questions.insert(question)
    }

    /// It has its answer, or does not want it any more.
    mutating func answered(_ question: ClientSession.AskID, at now: ContinuousClock.Instant) {
        guard questions.remove(question) != nil, questions.isEmpty, let askedAt else { return }
        waited += askedAt.duration(to: now)
        self.askedAt = nil
    }

    /// How long the call may still take if nothing more is asked; zero when it has had its time.
    func rest(at now: ContinuousClock.Instant) -> Duration {
        let asking = askedAt.map { $0.duration(to: now) } ?? .zero
        return max(limit + waited + asking - start.duration(to: now), .zero)
    }
}
