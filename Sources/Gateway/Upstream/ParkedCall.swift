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
        var caller: String
        var server: UpstreamServerID
        var request: [UInt8]
    }

    /// Longer than that nobody thinks about an answer; the server's own limit is shorter.
    static let lifetime: Duration = .seconds(600)

    let binding: Binding
    let expiry = ContinuousClock.now.advanced(by: lifetime)
    private let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation
    private let open = Mutex<[String: AsyncStream<Result<JSONObject, RPCError>>.Continuation]>([:])
    private let last = Mutex(0)
    private let work = Mutex<Task<Void, Never>?>(nil)

    init(_ binding: Binding) {
        self.binding = binding
        // Holds what one call asks, which its session bounds.
        (events, continuation) = AsyncStream.makeStream()
    }

    /// Begins the call.
    func begin(
        _ body: @escaping @Sendable (@escaping UpstreamListener.Ask) async throws -> JSONObject
    ) {
        let task = Task {
            do {
                let result = try await body { await self.ask($0, $1) }
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
    func cancel() { work.withLock { $0 }?.cancel() }

    private func ask(
        _ method: String,
        _ parameters: JSONObject
    ) async -> Result<JSONObject, RPCError> {
        let number = last.withLock { last in
            last += 1
            return last
        }
        let key = "question-\(number)"
        let (answers, answer) = AsyncStream.makeStream(of: Result<JSONObject, RPCError>.self)
        open.withLock { $0[key] = answer }
        continuation.yield(.asked(key: key, method: method, parameters: parameters))
        for await answer in answers { return answer }
        return .failure(.internalError("there was no answer"))
    }

    /// Gives the server the answers that the client brings; questions without one stay open.
    func answer(_ answers: JSONObject) {
        for member in answers.members {
            guard let waiting = open.withLock({ $0.removeValue(forKey: member.key) }) else {
                continue
            }
            waiting.yield(.success(member.value.object ?? JSONObject()))
            waiting.finish()
        }
    }

    /// Whether a question has no answer yet.
    var hasQuestions: Bool { open.withLock { !$0.isEmpty } }
}
