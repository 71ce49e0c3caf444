/// Collects the header lines of the final response; those of interim responses and of proxies that
/// come before it are forgotten, trailers after it ignored.
struct ResponseHead {
    /// Why a head is not accepted.
    enum Refusal: Error, Equatable {
        case tooManyBytes(limit: Int)
        case tooManyFields(limit: Int)
    }

    /// Far more than any service sends; without a limit a hostile one could fill the memory.
    static let maximumByteCount = 256 << 10
    static let maximumFieldCount = 512

    private(set) var fields: [HTTPField] = []
    private var byteCount = 0
    /// The empty line that ends the head was there.
    private(set) var isComplete = false

    /// Takes one line as it arrived, line end included.
    mutating func receive(_ line: some Collection<UInt8>) throws(Refusal) {
        if line.starts(with: "HTTP/".utf8) {
            self = ResponseHead()
            return
        }
        guard !isComplete else { return }
        byteCount += line.count
        guard byteCount <= Self.maximumByteCount else {
            throw .tooManyBytes(limit: Self.maximumByteCount)
        }
        let text = trimmed(line)
        guard !text.isEmpty else {
            isComplete = true
            return
        }
        if let first = line.first, Self.isSpace(first), let last = fields.indices.last {
            // A folded line continues the value before it (RFC 9112, section 5.2).
            fields[last].value += " " + String(decoding: text, as: UTF8.self)
            return
        }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")), colon > text.startIndex else {
            return
        }
        guard fields.count < Self.maximumFieldCount else {
            throw .tooManyFields(limit: Self.maximumFieldCount)
        }
        let value = trimmed(text[text.index(after: colon)...])
        fields.append(
            HTTPField(
                String(decoding: trimmed(text[..<colon]), as: UTF8.self),
                String(decoding: value, as: UTF8.self)
            )
        )
    }

    private func trimmed<Bytes: Collection<UInt8>>(_ bytes: Bytes) -> [UInt8] {
        var rest = Array(bytes.drop(while: Self.isSpace))
        while let last = rest.last, Self.isSpace(last) { rest.removeLast() }
        return rest
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A
    }
}
