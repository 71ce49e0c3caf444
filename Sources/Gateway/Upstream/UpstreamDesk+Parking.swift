import Crypto
import Domain
import MCP

/// Servers of the older era that ask clients of the newer one.
extension UpstreamDesk {
    /// Calls that may wait for their client; each holds a session's place.
    private static let maximumParked = 256
    private static let prefix = "preloop-parked-"

    /// Whether a client comes back to a call that waits here.
    static func isParked(_ extras: GuardedCall.Extras) -> Bool {
        extras.inputs["requestState"]?.string?.utf8.starts(with: prefix.utf8) == true
    }

    /// Calls a server, and gives its question as the result where it has one.
    func parkable(_ call: Call, _ context: CallContext) async throws -> JSONObject {
        let binding = Self.binding(call, context)
        let parked: ParkedCall
        if Self.isParked(context.extras),
            let state = context.extras.inputs["requestState"]?.string
        {
            // Good once, for the same caller with the same request; others leave it where it is.
            guard let known = self.parked[state], known.expiry > .now, known.binding == binding
            else {
                throw UpstreamError.refused(
                    .invalidParameters("`requestState` is of no call that waits; call anew")
                )
            }
            self.parked[state] = nil
            known.resume(context.extras.inputs["inputResponses"]?.object ?? JSONObject())
            parked = known
        } else {
            parked = ParkedCall(binding)
            parked.begin { [parked] in try await self.perform(call, context, parked) }
        }
        switch await parked.next() {
        case .finished(let result): return try result.get()
        case .asked(let key, let method, let parameters):
            return try park(parked, key, method, parameters)
        case nil:
            parked.cancel()
            throw CancellationError()
        }
    }

    private func park(
        _ call: ParkedCall,
        _ key: String,
        _ method: String,
        _ parameters: JSONObject
    ) throws -> JSONObject {
        dropExpired()
        guard parked.count < Self.maximumParked else {
            call.cancel()
            throw UpstreamError.unreachable(
                reason: "\(parked.count) calls wait for answers already"
            )
        }
        let state = Self.prefix + Self.random()
        parked[state] = call
        call.park()
        let question: JSONValue = ["method": .string(method), "params": .object(parameters)]
        return JSONObject([
            ("resultType", "input_required"), ("inputRequests", [key: question]),
            ("requestState", .string(state)),
        ])
    }

    /// Forgets the calls whose clients have not come back in time.
    func dropExpired() {
        for (state, call) in parked where call.expiry < .now {
            call.cancel()
            parked[state] = nil
        }
    }

    /// 128 random bits: whoever does not have them does not guess them.
    static func random() -> String {
        (0..<2).map { _ in String(UInt64.random(in: 0...UInt64.max), radix: 36) }.joined()
    }

    /// The request without what its client comes back with.
    private static func binding(_ call: Call, _ context: CallContext) -> ParkedCall.Binding {
        var parameters = call.parameters
        for key in ["inputResponses", "requestState", "_meta"] { parameters[key] = nil }
        let request = JSONValue.object(
            JSONObject([("method", .string(call.method)), ("params", .object(parameters))])
        ).serialized(sortedKeys: true)
        return ParkedCall.Binding(
            caller: context.caller.name,
            server: call.server,
            request: Array(SHA256.hash(data: request))
        )
    }
}
