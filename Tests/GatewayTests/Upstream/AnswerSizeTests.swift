import Crypto
import Domain
import Firewall
import MCP
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import Gateway

/// What of another server's answer is counted, digested and limited.
///
/// Only texts were: a picture, structured content or a resource had no bytes, the digest of
/// nothing, and no limit.
@Suite struct AnswerSizeTests {
    private static let picture: JSONValue = [
        "type": "image", "data": "aGk=", "mimeType": "image/png",
    ]
    private static let answers: [JSONValue] = [
        ["content": [picture], "structuredContent": ["width": 640]],
        ["content": [["type": "resource", "resource": ["uri": "memo://one", "blob": "aGk="]]]],
        ["content": [["type": "text", "text": "hi"], picture]],
        ["content": [["type": "text", "text": "hi"], ["type": "text", "text": "you"]]],
        ["content": [["type": "text", "text": "hi"]], "structuredContent": ["a": 1]],
        ["content": [["type": "text", "text": "hi", "annotations": ["priority": 1]]]],
        ["content": [["type": "text", "text": "hi"]], "isError": "a long story"],
        ["content": []],
    ]

    /// What the record of the last call says of its answer.
    private func expect(_ bytes: [UInt8], in world: ProxiedWorld) async throws {
        let end = try #require(try await world.records()[0].end)
        #expect(end.resultBytes == bytes.count)
        let redactor = try AuditKeys.testing(world.scratch.store.account).redactor
        #expect(end.resultDigest == redactor.digest(of: Array(SHA256.hash(data: bytes))))
    }

    @Test(arguments: answers)
    func `all that is handed on is on record`(_ answer: JSONValue) async throws {
        let world = try await ProxiedWorld()
        world.upstream.state.withLock { $0.result = answer }
        #expect(try await world.call().original == answer.object)
        try await expect(answer.serialized(), in: world)
    }

    @Test(
        arguments: [
            ["content": [["type": "text", "text": "hi"]]],
            ["content": [["type": "text", "text": "hi"]], "isError": true],
            ["content": [["text": "hi", "type": "text"]]],
        ] as [JSONValue]
    )
    func `one text and nothing else is the text`(_ answer: JSONValue) async throws {
        let world = try await ProxiedWorld()
        world.upstream.state.withLock { $0.result = answer }
        _ = try await world.call()
        try await expect(Array("hi".utf8), in: world)
    }

    @Test func `a text that is given twice is counted twice`() async throws {
        let blocks: JSONValue = [["type": "text", "text": "hi"]]
        let world = try await ProxiedWorld()
        let answer = JSONValue.object(JSONObject([("content", blocks), ("content", blocks)]))
        world.upstream.state.withLock { $0.result = answer }
        let given = try await world.call().original
        try await expect(JSONValue.object(try #require(given)).serialized(), in: world)
    }

    @Test func `a resource that is read is on record`() async throws {
        let world = try await ProxiedWorld()
        world.upstream.state.withLock { $0.contents = [["uri": "memo://one", "blob": "aGk="]] }
        let answer = try await read(world)
        try await expect(JSONValue.object(answer).serialized(), in: world)
    }

    @Test func `an error of the protocol is on record with its data`() async throws {
        let world = try await ProxiedWorld()
        let refusal = RPCError(-32_050, "no", data: ["why": "it is Friday"])
        world.upstream.state.withLock { $0.refusal = refusal }
        #expect(try await world.call().protocolError == refusal)
        try await expect(refusal.json.serialized(), in: world)
    }

    @Test func `what a rule redacts is on record as it is handed on`() async throws {
        let rule = "{id: no-mail, on: tool.result, types: [email], action: redact}"
        let world = try await ProxiedWorld(more: "sensitive_data: {rules: [\(rule)]}")
        world.upstream.state.withLock {
            $0.result = ["content": [], "structuredContent": ["to": "ann@example.org"]]
        }
        let given = try #require(try await world.call().original)
        #expect(!JSONValue.object(given).serializedText().contains("example.org"))
        try await expect(JSONValue.object(given).serialized(), in: world)
    }

    @Test func `a picture, a resource and an error beyond the limit are refused`() async throws {
        var limits = GuardedCall.Limits()
        limits.resultBytes = 500
        let world = try await ProxiedWorld(limits: limits)
        let long = JSONValue.string(String(repeating: "a", count: 600))
        world.upstream.state.withLock { state in
            state.result = ["content": [["type": "image", "data": long, "mimeType": "image/png"]]]
            state.contents = [["uri": "memo://one", "blob": long]]
        }
        let refused = try await world.call()
        #expect(refused.isError && refused.text.contains("more than 500 bytes"))
        #expect(try await world.records()[0].outcome == .failed)
        try await expect(Array(refused.text.utf8), in: world)
        await #expect(throws: RPCError.internalError(refused.text)) { try await read(world) }
        world.upstream.state.withLock { $0.refusal = RPCError(-32_050, "no", data: long) }
        #expect(try await world.call() == refused)
        // What fits is handed on.
        world.upstream.state.withLock { ($0.refusal, $0.result) = (nil, nil) }
        #expect(try await world.call().text == "hi")
    }

    private func read(_ world: ProxiedWorld) async throws -> JSONObject {
        let forward = GuardedCall.Forward(
            method: "resources/read",
            parameters: object(["uri": "memo://one"])
        )
        return try await world.calls.forward(forward, by: caller)
    }
}
