import Domain
import MCP

/// Subscriptions to resources of other servers.
///
/// Each is decided and recorded as a call of `resources/subscribe`; giving one up is not, for it
/// tells nobody anything.
extension GuardedCall {
    /// Resources that are asked for side by side, for one stream.
    private static let sideBySide = 16

    /// Subscribes to resources, where the caller may.
    ///
    /// - Parameters:
    ///   - resources: Which, by their URIs.
    ///   - forward: What came with the request, its subscriber included; its parameters are not
    ///     looked at.
    ///   - caller: Who wants to hear.
    /// - Returns: Those that are told of, in the given order.
    package func subscribe(
        to resources: [String],
        _ forward: Forward,
        by caller: Caller
    ) async -> [String] {
        var accepted: [String] = []
        for start in stride(from: 0, to: resources.count, by: Self.sideBySide) {
            let part = Array(resources[start..<min(start + Self.sideBySide, resources.count)])
            let outcomes = await withTaskGroup(of: (Int, Bool).self) { group in
                for (place, uri) in part.enumerated() {
                    group.addTask { (place, await self.subscribe(to: uri, forward, by: caller)) }
                }
                var outcomes = Array(repeating: false, count: part.count)
                for await (place, isAccepted) in group { outcomes[place] = isAccepted }
                return outcomes
            }
            accepted += zip(part, outcomes).filter { $0.1 }.map { $0.0 }
        }
        return accepted
    }

    private func subscribe(
        to uri: String,
        _ forward: Forward,
        by caller: Caller
    ) async -> Bool {
        var forward = forward
        forward.method = "resources/subscribe"
        forward.parameters = JSONObject([("uri", .string(uri))])
        do throws(RPCError) {
            _ = try await self.forward(forward, by: caller)
            return true
        } catch {
            // What is left out of the acknowledgement is not told of; the record says why.
            return false
        }
    }

    func unsubscribe(
        _ forward: Forward,
        from uri: String?,
        _ source: any ToolSource
    ) async throws(RPCError) -> JSONObject {
        guard let uri else { throw .invalidParameters("`uri` must be a text") }
        if let subscriber = forward.extras.subscriber {
            await source.unsubscribe(subscriber, from: uri)
        }
        return JSONObject()
    }

    /// Whether a request is none for a subscription, or one to what its caller may read.
    func mayHear(
        _ request: Request,
        _ source: any ToolSource,
        by caller: Caller
    ) async throws(RPCError) -> Bool {
        guard request.tool == "resources/subscribe" else { return true }
        let reading = try await source.responder(
            to: "resources/read",
            request.arguments,
            for: caller
        )
        guard await isVisible(reading, to: caller) else { return false }
        let origin = CallSource(request, by: caller)
        if case .deny = await ruling(on: request.arguments, reading, origin).decision {
            return false
        }
        return true
    }

    /// Ends a subscriber, with everything it has subscribed to.
    package func end(_ subscriber: ResourceSubscriber) async {
        subscriber.finish()
        await tools.source?.unsubscribe(subscriber, from: nil)
    }
}
