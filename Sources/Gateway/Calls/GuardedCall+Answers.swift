import Crypto
import Domain
import MCP
import Store

extension GuardedCall {
    /// Records how a call ended, and what was ``ToolResult/answered``; gives why that failed.
    @discardableResult
    func complete(
        _ call: ToolCallTable.Call,
        _ outcome: ToolCallTable.Outcome,
        _ answered: [UInt8],
        since start: ContinuousClock.Instant,
        note: String? = nil
    ) async -> (any Error)? {
        var end = ToolCallTable.End(
            endedAt: clock.now(),
            duration: start.duration(to: .now),
            resultBytes: answered.count
        )
        end.reason = note
        end.resultDigest = Array(SHA256.hash(data: answered))
        do {
            try await journal.complete(call.id, outcome, end)
            return nil
        } catch {
            return error
        }
    }
}

extension ToolResult {
    /// What is answered, as limits and records count it.
    ///
    /// Of our own tools the text, which says everything. Of another server all that is handed on,
    /// as JSON: pictures, resources and structured content besides texts. One text and nothing
    /// else is the text there too, for that is nearly every answer, and costs no JSON that way.
    var answered: [UInt8] {
        if let protocolError { return protocolError.json.serialized() }
        guard let original, !original.isOneText else { return Array(text.utf8) }
        return JSONValue.object(original).serialized()
    }
}

extension JSONObject {
    /// Whether a result says no more than its one text, and at most that this tells of an error.
    fileprivate var isOneText: Bool {
        var texts = 0
        for member in members {
            switch member.key {
            case "content":
                guard member.value.array?.count == 1, let block = member.value[0]?.object,
                    block.members.count == 2, block["type"] == "text",
                    block["text"]?.string != nil
                else { return false }
                texts += 1
            case "isError": guard member.value.bool != nil else { return false }
            default: return false
            }
        }
        // A server may write a key twice; both are handed on, and one would not be counted.
        return texts == 1 && members.count <= 2
    }
}
