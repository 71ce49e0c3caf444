import Domain
import MCP
import Synchronization
import Testing

@testable import Gateway

/// Calls of servers of the older era that wait for what their clients of the newer one answer.
@Suite(.timeLimit(.minutes(5)))
struct ParkedCallTests {
    /// Reads a resource whose server asks who reads it, as a client of the newer era does; one that
    /// comes back with an answer gives the question that it is to.
    private func read(
        _ name: String,
        answering question: JSONObject? = nil,
        in world: WatchedWorld
    ) async throws -> JSONObject {
        var forward = GuardedCall.Forward(
            method: "resources/read",
            parameters: object(["uri": .string("memo://note/ask-\(name)")])
        )
        forward.extras.isModern = true
        forward.extras.capabilities = object(["elicitation": [:]])
        if let question {
            var answers = JSONObject()
            for member in question["inputRequests"]?.object?.members ?? [] {
                answers.append(key: member.key, value: ["action": "decline"])
            }
            forward.extras.inputs = JSONObject([
                ("inputResponses", .object(answers)),
                ("requestState", question["requestState"] ?? .null),
            ])
        }
        return try await world.calls.forward(forward, by: caller)
    }

    /// A client that cannot answer, as one whose own code fails, does not come back, and the
    /// protocol has no way to say so: until its call had expired, what the server asked of the
    /// same caller's later calls was refused, for it might have been of that call.
    @Test func `a client that stays away with a question keeps no other from being asked`()
        async throws
    {
        let world = try await WatchedWorld()
        let abandoned = try await read("one", in: world)
        #expect(abandoned["resultType"] == "input_required")
        for name in ["two", "three"] {
            let question = try await read(name, in: world)
            #expect(question["resultType"] == "input_required", "\(name)")
            let result = try await read(name, answering: question, in: world)
            #expect(result["contents"]?[0]?["text"] == "read")
        }
        let heard = world.upstream.state.withLock { $0.heard }
        for name in ["two", "three"] {
            let answer = heard.first { $0["id"]?.string == name }
            #expect(answer?["result"] == ["action": "decline"], "\(name)")
        }
        #expect(!heard.contains { $0["id"] == "one" })
        // The one that was away may come back all the same.
        let result = try await read("one", answering: abandoned, in: world)
        #expect(result["contents"]?[0]?["text"] == "read")
        #expect(Set(world.upstream.state.withLock { $0.readers }).count == 1)
        await world.desk.close()
    }

    private func parked(lifetime: Duration = ParkedCall.lifetime) -> ParkedCall {
        let binding = ParkedCall.Binding(caller: "ann", server: UpstreamServerID(1), request: [])
        return ParkedCall(binding, lifetime: lifetime)
    }

    /// Begins a call that asks, and ends when it has its answer; gives the question's key.
    private func ask(_ call: ParkedCall) async throws -> String {
        call.begin {
            let outcome = await call.ask("elicitation/create", JSONObject())
            try Task.checkCancellation()
            return try outcome.get()
        }
        guard case .asked(let key, _, _)? = await call.next() else {
            throw ToolFailure("there is no question")
        }
        return key
    }

    /// It ended when the next call was parked, which might be never.
    @Test func `a call whose client does not come back in time ends`() async throws {
        let call = parked(lifetime: .milliseconds(10))
        _ = try await ask(call)
        call.park()
        guard case .finished(.failure(let error))? = await call.next() else {
            Issue.record("it did not end")
            return
        }
        #expect(error is CancellationError)
    }

    @Test func `a client is away from its question until it comes back`() async throws {
        let call = parked()
        #expect(!call.isClientAway)
        let key = try await ask(call)
        call.park()
        #expect(call.isClientAway)
        call.resume(JSONObject([(key, ["name": "ann"])]))
        #expect(!call.isClientAway)
        guard case .finished(.success(let answer))? = await call.next() else {
            Issue.record("it has no answer")
            return
        }
        #expect(answer == object(["name": "ann"]))
    }
}
