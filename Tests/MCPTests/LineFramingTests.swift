import MCP
import Testing

struct LineFramingTests {
    private func lines(_ pieces: [String], limit: Int = 100) -> [String] {
        var framing = LineFraming(limit: limit)
        var lines: [LineFraming.Line] = []
        for piece in pieces { lines += framing.add(ArraySlice(piece.utf8)) }
        if let last = framing.finish() { lines.append(last) }
        return lines.map { line in
            switch line {
            case .message(let bytes): String(decoding: bytes, as: UTF8.self)
            case .tooLong: "too long"
            }
        }
    }

    @Test func `lines are whole however they come`() {
        let text = "{\"a\":1}\n\n  \r\n{\"b\":2}\r\nlast"
        let whole = ["{\"a\":1}", "{\"b\":2}", "last"]
        #expect(lines([text]) == whole)
        #expect(lines(text.map(String.init)) == whole)
        #expect(lines([]) == [])
    }

    @Test func `a line that is too long is passed over and told of`() {
        let long = String(repeating: "x", count: 101)
        #expect(lines(["a\n\(long)\nb\n"]) == ["a", "too long", "b"])
        #expect(lines(["a\n", long, long, "\nb"]) == ["a", "too long", "b"])
        #expect(lines([long]) == ["too long"])
        #expect(lines([String(long.dropLast()) + "\n"]).count == 1)
    }
}
