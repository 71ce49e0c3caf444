/// How much text of people's an answer still has room for.
///
/// The official clients read events of a mebibyte and give up what is longer, unless they are told
/// otherwise. An answer goes over the wire as structured content and again as text, whose escapes
/// are escaped once more: so a quotation mark takes three times as much as a letter.
struct AnswerRoom {
    /// Of a message: what is left of the mebibyte is for names, labels and the envelope.
    static let message = (1 << 20) - (28 << 10)
    /// What a comment has besides its text: names, times and keys, twice.
    static let comment = 512

    /// What is left.
    private(set) var bytes: Int

    init(_ bytes: Int = Self.message) {
        self.bytes = bytes
    }

    /// Takes room for what has no text; nothing is left where there is not so much.
    mutating func take(_ count: Int) { bytes = max(0, bytes - count) }

    /// Takes a whole text, or none of it and all that was left.
    ///
    /// - Returns: Whether there was room.
    mutating func takesWhole(_ text: String) -> Bool {
        cut(text).utf8.count == text.utf8.count
    }

    /// Takes the longest beginning of whole characters that there is room for.
    mutating func cut(_ text: String) -> String {
        var count = 0
        for byte in text.utf8 {
            let cost = Self.cost(of: byte)
            guard cost <= bytes else {
                bytes = 0
                break
            }
            bytes -= cost
            count += 1
        }
        return prefix(of: text, bytes: count)
    }

    private static func cost(of byte: UInt8) -> Int {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): 2 + 4
        case 0x09, 0x0A, 0x0D: 2 + 3
        case 0..<0x20: 6 + 7
        default: 1 + 1
        }
    }
}

/// The longest beginning of whole characters within so many bytes.
func prefix(of text: String, bytes limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    var end = text.utf8.index(text.startIndex, offsetBy: max(0, limit))
    while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text[..<end])
}
