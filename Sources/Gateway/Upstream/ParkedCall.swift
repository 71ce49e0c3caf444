import Domain
import MCP
import Synchronization

/// A call whose server asks something by a request of its own, while its client is of the newer
/// era and answers by calling again: it goes on between the two.
final class ParkedCall: Sendable {
    /// What happens next.
    enum Event: Sendable {
        /// The server wants to know something.
        case asked(key: String, method: String, parameters: JSONObject)
        case finished(Result<JSONObject, any Error>)
    }

    /// Who may go on with it: the same caller, with the same request.
    struct Binding: Sendable, Equatable {
        /// The bytes of the name: a name that only looks the same is another caller's.
        private let caller: [UInt8]
        private let server: UpstreamServerID
        private let request: [UInt8]

        init(caller: String, server: UpstreamServerID, request: [UInt8]) {
            self.caller = Array(caller.utf8)
            self.server = server
            self.request = request
        }
    }

    /// Longer than that nobody thinks about an answer; the server's own limit is shorter.
    static let lifetime: Duration = .seconds(600)

    private struct Questions {
        var last = 0
        /// Where the answers are waited for.
        var open: [String: AsyncStream<Result<JSONObject, RPCError>>.Continuation] = [:]
        /// Whether the client has one, or is about to get it, and has not come back since.
        var isOut = false
    }

    let binding: Binding
    let expiry: ContinuousClock.Instant
    private let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation
    private let questions = Mutex(Questions())
    private let work = Mutex<Task<Void, Never>?>(nil)
    /// Ends the call while its client is away.
    private let timer = Mutex<Task<Void, Never>?>(nil)

    /// - Parameters:
    ///   - binding: Who may go on with it.
    ///   - lifetime: After how long its client need not come back any more.
    init(_ binding: Binding, lifetime: Duration = ParkedCall.lifetime) {
        self.binding = binding
        expiry = ContinuousClock.now.advanced(by: lifetime)
        // Holds what one call asks, which its session bounds.
        (events, continuation) = AsyncStream.makeStream()
    }

    /// Begins the call.
    func begin(_ body: @escaping @Sendable () async throws -> JSONObject) {
        let task = Task {
            do {
                let result = try await body()
                self.continuation.yield(.finished(.success(result)))
            } catch {
                self.continuation.yield(.finished(.failure(error)))
            }
            self.continuation.finish()
        }
        work.withLock { $0 = task }
    }

    /// What happens next; nil when the caller has gone.
    func next() async -> Event? {
        for await event in events { return event }
        return nil
    }

    /// Ends the call.
    func cancel() {
        timer.withLock { $0 }?.cancel()
        work.withLock { $0 }?.cancel()
    }

    /// Asks the client something, and waits for its answer.
    func ask(
        _ method: String,
        _ parameters: JSONObject
    ) async -> Result<JSONObject, RPCError> {
        let (answers, answer) = AsyncStream.makeStream(of: Result<JSONObject, RPCError>.self)
        let key = questions.withLock { questions in
            questions.last += 1
            questions.isOut = true
            let name = "question-\(questions.last)"
            questions.open[name] = answer
            return name
        }
        // Nobody waits for the answer to what the server has withdrawn.
        defer { questions.withLock { _ = $0.open.removeValue(forKey: key) } }
        continuation.yield(.asked(key: key, method: method, parameters: parameters))
        for await answer in answers { return answer }
        return .failure(.internalError("there was no answer"))
    }

    /// Whether the client has gone with a question: nobody says when it will not come back, as one
    /// that cannot answer does not.
    var isClientAway: Bool { questions.withLock { $0.isOut } }

    /// Lets the client go with a question; ends the call when it has not come back in time.
    func park() {
        let task = Task {
            // Cancelled when the client comes back.
            guard (try? await Task.sleep(until: expiry, clock: .continuous)) != nil else { return }
            self.cancel()
        }
        timer.withLock { $0 = task }
    }

    /// Goes on with the answers that the client brings; questions without one stay open.
    func resume(_ answers: JSONObject) {
        timer.withLock { $0 }?.cancel()
        let given = questions.withLock { questions in
            let given = answers.members.map { member in
                (questions.open.removeValue(forKey: member.key), member.value)
            }
            // The client is about to get the others.
            questions.isOut = !questions.open.isEmpty
            return given
        }
        for (waiting, answer) in given {
            waiting?.yield(.success(answer.object ?? JSONObject()))
            waiting?.finish()
        }
    }
}
