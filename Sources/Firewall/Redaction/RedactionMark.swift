/// What stands in the place of something sensitive: `[redacted:email:0123456789abcdef]`, with the
/// type between kind and digest where the value was no text.
struct RedactionMark {
    /// 64 bits tell values of one account apart, and are of no use to whoever lacks the key.
    static let digestDigits = 16
    private static let beginning = Array("[redacted:".utf8)
    private static let types: Set<String> = ["integer", "number", "boolean", "array", "object"]

    let text: String

    init(_ kind: SensitiveKind, type: String? = nil, digest: String) {
        let middle = type.map { "\($0):" } ?? ""
        text = "[redacted:\(kind.rawValue):\(middle)\(digest)]"
    }

    /// The end of the mark that begins at a place; nil when there is none.
    ///
    /// Marks are left as they are, so that redacting twice is redacting once.
    static func end(in bytes: ArraySlice<UInt8>, at start: Int) -> Int? {
        guard bytes[start...].starts(with: beginning) else { return nil }
        var place = start + beginning.count
        guard let kind = word(bytes, &place), SensitiveKind(rawValue: kind) != nil
        else { return nil }
        var last = place
        if let type = word(bytes, &last), types.contains(type) { place = last }
        let end = place + digestDigits
        guard end < bytes.endIndex, bytes[end] == UInt8(ascii: "]"),
            bytes[place..<end].allSatisfy({ $0.isDigit || (97...102).contains($0) })
        else { return nil }
        return end + 1
    }

    /// Whether a text is a mark and nothing else.
    static func isWhole(_ bytes: ArraySlice<UInt8>) -> Bool {
        end(in: bytes, at: bytes.startIndex) == bytes.endIndex
    }

    /// Whether a text has the beginning of a mark in it.
    static func isIn(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.contains(beginning[0]) && bytes.firstRange(of: beginning) != nil
    }

    /// A word of small letters and its colon.
    private static func word(_ bytes: ArraySlice<UInt8>, _ place: inout Int) -> String? {
        let start = place
        // The longest kind has 14 letters.
        while place < bytes.endIndex, place - start < 16,
            (97...122).contains(bytes[place]) || bytes[place] == UInt8(ascii: "_")
        {
            place += 1
        }
        guard place > start, place < bytes.endIndex, bytes[place] == UInt8(ascii: ":")
        else { return nil }
        defer { place += 1 }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }
}
