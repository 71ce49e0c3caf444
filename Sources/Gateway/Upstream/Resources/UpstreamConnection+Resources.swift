import Domain
import MCP
import Synchronization

/// A stream of the newer era that tells of resources, as long as its task runs.
final class ResourceStream: Sendable {
    /// The resources that the server tells of.
    let accepted: [String]
    private let task: Task<Void, Never>
    private let isOverFlag: Flag

    /// Set once.
    fileprivate final class Flag: Sendable {
        private let value = Mutex(false)
        var isSet: Bool { value.withLock { $0 } }
        func set() { value.withLock { $0 = true } }
    }

    fileprivate init(accepted: [String], task: Task<Void, Never>, isOver: Flag) {
        self.accepted = accepted
        self.task = task
        isOverFlag = isOver
    }

    /// Whether the server has ended it, or it broke off.
    var isOver: Bool { isOverFlag.isSet }

    /// Ends it.
    func cancel() { task.cancel() }
}

/// Asking a server to tell of changes of resources.
extension UpstreamConnection {
    /// How long a server may take to say whether it tells of a resource.
    private static let patience: Duration = .seconds(30)

    /// Asks for one resource, or to hear of it no more, in a session of the older era.
    ///
    /// - Throws: ``UpstreamError``; what the server refuses is ``UpstreamError/refused(_:)``.
    func ask(_ method: String, about uri: String) async throws {
        let parameters = JSONObject([("uri", .string(uri))])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = try await self.call(method, parameters) }
            group.addTask {
                try await Task.sleep(for: Self.patience)
                throw UpstreamError.timedOut(seconds: Int(Self.patience / .seconds(1)))
            }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    /// Opens a stream that tells of resources, with a server of the newer era.
    ///
    /// - Parameters:
    ///   - uris: What is to be told of.
    ///   - over: Told when the stream is over.
    /// - Returns: The stream, once the server has said what it tells of.
    /// - Throws: ``UpstreamError``, and `CancellationError`.
    func stream(
        of uris: [String],
        over: @escaping @Sendable () -> Void
    ) async throws -> ResourceStream {
        let (answers, continuation) = AsyncStream.makeStream(
            of: Result<JSONObject, UpstreamError>.self
        )
        let wanted = JSONObject([("resourceSubscriptions", JSONValue(uris))])
        let parameters = JSONObject([("notifications", .object(wanted))])
        let flag = ResourceStream.Flag()
        // Not a child: it lasts as long as it is wanted.
        let task = Task {
            var listener = UpstreamListener()
            listener.acknowledged = { continuation.yield(.success($0)) }
            do {
                _ = try await self.call("subscriptions/listen", parameters, listener: listener)
                continuation.yield(.failure(.lost(reason: "it has ended its notifications")))
            } catch let error as UpstreamError {
                continuation.yield(.failure(error))
            } catch {
                // Cancelled: nobody waits for it.
            }
            continuation.finish()
            flag.set()
            over()
        }
        let timer = Task {
            // Cancelled when the answer was there first.
            guard (try? await Task.sleep(for: Self.patience)) != nil else { return }
            let seconds = Int(Self.patience / .seconds(1))
            continuation.yield(.failure(.timedOut(seconds: seconds)))
        }
        defer { timer.cancel() }
        for await answer in answers {
            switch answer {
            case .success(let filter):
                let texts = filter["notifications"]?["resourceSubscriptions"]?.array ?? []
                let accepted = texts.compactMap(\.string)
                return ResourceStream(accepted: accepted, task: task, isOver: flag)
            case .failure(let error):
                task.cancel()
                throw error
            }
        }
        task.cancel()
        throw CancellationError()
    }
}
