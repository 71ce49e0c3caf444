import Domain
import MCP
import Testing

@testable import Gateway

/// What fits into an answer that clients take.
struct AnswerRoomTests {
    /// Clients read events of a mebibyte; quotation marks and line ends cost them most.
    @Test(arguments: ["a", "é", "\"", "\\", "\n", "\u{1}", "say \"é\"\r\n\t\\\u{7F}"])
    func `a message with all the text that there is room for is not too long`(_ text: String) {
        var room = AnswerRoom()
        let shown = room.cut(String(repeating: text, count: 600_000))
        let result = ToolResult(["description": .string(shown)])
        let size = JSONValue.object(result.json(for: .november2025)).serialized().count
        #expect(size < 1 << 20)
        // Nor is much given away.
        #expect(size > AnswerRoom.message - 100)
        let more = room.cut("more")
        #expect(more.isEmpty && room.bytes == 0)
    }

    @Test func `half a megabyte of plain text fits`() {
        var room = AnswerRoom()
        let text = String(repeating: "a", count: 500_000)
        let fits = [room.takesWhole(text), room.takesWhole(text)]
        #expect(fits == [true, false] && room.bytes == 0)
    }

    @Test func `a text is cut between characters`() {
        var room = AnswerRoom(7)
        let cut = room.cut("aéé")
        #expect(cut == "aé")
        room = AnswerRoom(600)
        room.take(AnswerRoom.comment)
        #expect(room.bytes == 88)
        room.take(AnswerRoom.comment)
        #expect(room.bytes == 0)
    }
}
