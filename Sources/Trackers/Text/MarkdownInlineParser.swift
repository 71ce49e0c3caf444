/// Reads the text of one Markdown block into runs.
///
/// Marks are matched by CommonMark's delimiter rules. Every search has an end that is near, or is
/// remembered to fail, so that hostile text costs little more than its length.
struct MarkdownInlineParser {
    /// Longer addresses and titles are no links; browsers stop at about this length.
    private static let maximumLinkLength = 4096

    private let bytes: ArraySlice<UInt8>
    private var pieces: [Piece] = []
    private var literal: [UInt8] = []
    private var brackets: [Bracket] = []
    /// Lengths of runs of backticks that have no partner behind the place noted.
    private var lonelyTicks: Set<Int> = []

    /// A part of the block while marks are not matched yet.
    struct Piece {
        var content: Content
        var link: String?
        /// From marks inside the same link.
        var style: MarkdownStyle = []

        enum Content {
            case text([UInt8])
            case code([UInt8])
            case image(description: String, url: String)
            case lineBreak
            case marks(MarkdownDelimiter)
        }
    }

    private struct Bracket {
        var piece: Int
        var isImage: Bool
    }

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    /// The runs of a block's text.
    static func parse(_ text: ArraySlice<UInt8>) -> [MarkdownInline] {
        var parser = MarkdownInlineParser(text)
        parser.read()
        return MarkdownDelimiter.resolve(parser.pieces)
    }

    private mutating func read() {
        var position = bytes.startIndex
        while position < bytes.endIndex {
            if let end = construct(at: position) {
                position = end
            } else {
                literal.append(bytes[position])
                position += 1
            }
        }
        flush()
    }

    private mutating func flush() {
        guard !literal.isEmpty else { return }
        pieces.append(Piece(content: .text(literal)))
        literal.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ content: Piece.Content, link: String? = nil) {
        flush()
        pieces.append(Piece(content: content, link: link))
    }

    /// Reads what begins at `position`; nil when it is a plain byte.
    private mutating func construct(at position: Int) -> Int? {
        switch bytes[position] {
        case UInt8(ascii: "\\"): return escape(at: position)
        case 0x0A: return lineBreak(at: position)
        case UInt8(ascii: "`"): return codeSpan(at: position)
        case UInt8(ascii: "*"), UInt8(ascii: "_"), UInt8(ascii: "~"): return marks(at: position)
        case UInt8(ascii: "!"):
            guard byte(position + 1) == UInt8(ascii: "[") else { return nil }
            return open(isImage: true, at: position)
        case UInt8(ascii: "["): return open(isImage: false, at: position)
        case UInt8(ascii: "]"): return close(at: position)
        case UInt8(ascii: "<"): return angle(at: position)
        case UInt8(ascii: "&"): return entity(at: position)
        case UInt8(ascii: "h"): return bareAddress(at: position)
        default: return nil
        }
    }

    private func byte(_ index: Int) -> UInt8? {
        bytes.indices.contains(index) ? bytes[index] : nil
    }

    // MARK: - Escapes and breaks

    private mutating func escape(at position: Int) -> Int? {
        guard let next = byte(position + 1) else { return nil }
        if next == 0x0A { return lineBreak(at: position + 1) }
        guard isMarkdownPunctuation(next) else { return nil }
        literal.append(next)
        return position + 2
    }

    private mutating func lineBreak(at position: Int) -> Int {
        while let last = literal.last, last == 0x20 || last == 0x09 { literal.removeLast() }
        append(.lineBreak)
        var end = position + 1
        while let byte = byte(end), byte == 0x20 || byte == 0x09 { end += 1 }
        return end
    }

    /// The references that people write by hand, and numeric ones.
    private static let entities: [String: String] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}",
    ]

    private mutating func entity(at position: Int) -> Int? {
        let rest = bytes[(position + 1)...].prefix(12)
        guard let end = rest.firstIndex(of: UInt8(ascii: ";")) else { return nil }
        let name = String(decoding: rest[..<end], as: UTF8.self)
        if let text = Self.entities[name] {
            literal += Array(text.utf8)
        } else if name.hasPrefix("#x") || name.hasPrefix("#X"),
            let scalar = UInt32(name.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init),
            scalar.value != 0
        {
            literal += Array(String(Character(scalar)).utf8)
        } else if name.hasPrefix("#"),
            let scalar = UInt32(name.dropFirst()).flatMap(Unicode.Scalar.init), scalar.value != 0
        {
            literal += Array(String(Character(scalar)).utf8)
        } else {
            return nil
        }
        return end + 1
    }

    // MARK: - Code and marks

    private mutating func codeSpan(at position: Int) -> Int? {
        let tick = UInt8(ascii: "`")
        let count = bytes[position...].prefix { $0 == tick }.count
        var search = position + count
        while !lonelyTicks.contains(count),
            let start = bytes[search...].firstIndex(of: tick)
        {
            let run = bytes[start...].prefix { $0 == tick }.count
            if run == count {
                append(.code(Self.codeText(bytes[(position + count)..<start])))
                return start + run
            }
            search = start + run
        }
        lonelyTicks.insert(count)
        literal += bytes[position..<(position + count)]
        return position + count
    }

    private static func codeText(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let line = text.map { $0 == 0x0A ? 0x20 : $0 }
        guard line.count > 2, line.first == 0x20, line.last == 0x20,
            line.contains(where: { $0 != 0x20 })
        else { return line }
        return Array(line.dropFirst().dropLast())
    }

    private mutating func marks(at position: Int) -> Int? {
        let mark = bytes[position]
        let count = bytes[position...].prefix { $0 == mark }.count
        // One tilde is a home directory, three are none of ours.
        if mark == UInt8(ascii: "~"), count != 2 {
            literal += bytes[position..<(position + count)]
            return position + count
        }
        let delimiter = MarkdownDelimiter(
            mark,
            count: count,
            before: bytes[..<position],
            after: bytes[(position + count)...]
        )
        append(.marks(delimiter))
        return position + count
    }

    // MARK: - Links

    private mutating func open(isImage: Bool, at position: Int) -> Int {
        append(.text(Array((isImage ? "![" : "[").utf8)))
        brackets.append(Bracket(piece: pieces.count - 1, isImage: isImage))
        return position + (isImage ? 2 : 1)
    }

    private mutating func close(at position: Int) -> Int? {
        guard let bracket = brackets.popLast() else { return nil }
        guard let (url, end) = destination(at: position + 1) else { return nil }
        flush()
        let inner = pieces[(bracket.piece + 1)...]
        if bracket.isImage {
            let description = inner.map(\.plainText).joined()
            pieces.removeSubrange(bracket.piece...)
            pieces.append(Piece(content: .image(description: description, url: url)))
        } else {
            var linked = MarkdownDelimiter.resolved(Array(inner))
            for index in linked.indices where linked[index].link == nil { linked[index].link = url }
            pieces.removeSubrange(bracket.piece...)
            pieces += linked
            // No link inside a link.
            brackets.removeAll { !$0.isImage }
        }
        return end
    }

    /// `(address "title")`; the title is dropped.
    private func destination(at position: Int) -> (url: String, end: Int)? {
        guard byte(position) == UInt8(ascii: "(") else { return nil }
        let limit = min(bytes.endIndex, position + Self.maximumLinkLength)
        var index = position + 1
        while index < limit, isMarkdownSpace(bytes[index]) { index += 1 }
        var url: [UInt8] = []
        if byte(index) == UInt8(ascii: "<") {
            index += 1
            while index < limit, bytes[index] != UInt8(ascii: ">") {
                guard bytes[index] != 0x0A else { return nil }
                url.append(bytes[index])
                index += 1
            }
            index += 1
        } else {
            var depth = 0
            while index < limit, !isMarkdownSpace(bytes[index]) {
                if bytes[index] == UInt8(ascii: "(") { depth += 1 }
                if bytes[index] == UInt8(ascii: ")") {
                    guard depth > 0 else { break }
                    depth -= 1
                }
                url.append(bytes[index])
                index += 1
            }
        }
        guard let end = endOfTitle(at: index, limit: limit) else { return nil }
        return (String(decoding: url, as: UTF8.self), end)
    }

    private func endOfTitle(at position: Int, limit: Int) -> Int? {
        var index = position
        while index < limit, isMarkdownSpace(bytes[index]) { index += 1 }
        guard index < limit else { return nil }
        let quote = bytes[index]
        if quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            guard let close = bytes[(index + 1)..<limit].firstIndex(of: quote) else { return nil }
            index = close + 1
            while index < limit, isMarkdownSpace(bytes[index]) { index += 1 }
        }
        guard index < limit, bytes[index] == UInt8(ascii: ")") else { return nil }
        return index + 1
    }

    /// `<https://…>` and `<br>`.
    private mutating func angle(at position: Int) -> Int? {
        let rest = bytes[(position + 1)...].prefix(Self.maximumLinkLength)
        guard let end = rest.firstIndex(where: { $0 == UInt8(ascii: ">") || isMarkdownSpace($0) })
        else { return nil }
        let text = String(decoding: rest[..<end], as: UTF8.self)
        let lowered = text.lowercased()
        if lowered == "br" || lowered == "br/" || rest[...end].starts(with: "br ".utf8),
            let close = rest.firstIndex(of: UInt8(ascii: ">"))
        {
            append(.lineBreak)
            return close + 1
        }
        guard bytes[end] == UInt8(ascii: ">"),
            ["http://", "https://", "mailto:"].contains(where: { lowered.hasPrefix($0) })
        else { return nil }
        append(.text(Array(text.utf8)), link: text)
        return end + 1
    }

    /// `https://…` in running text; what ends a sentence is not part of it.
    private mutating func bareAddress(at position: Int) -> Int? {
        let rest = bytes[position...]
        guard rest.starts(with: "http://".utf8) || rest.starts(with: "https://".utf8),
            !(byte(position - 1).map(isMarkdownWord) ?? false), brackets.isEmpty
        else { return nil }
        let address = rest.prefix { !isMarkdownSpace($0) && !"<>`\\*~".utf8.contains($0) }
        var end = address.endIndex
        var depth = 0
        for byte in address {
            if byte == UInt8(ascii: "(") { depth += 1 }
            if byte == UInt8(ascii: ")") { depth -= 1 }
        }
        while end > position, let last = byte(end - 1),
            ".,;:!?'\"]_".utf8.contains(last) || last == UInt8(ascii: ")") && depth < 0
        {
            if last == UInt8(ascii: ")") { depth += 1 }
            end -= 1
        }
        guard end > position + 8 else { return nil }
        let text = String(decoding: bytes[position..<end], as: UTF8.self)
        append(.text(Array(text.utf8)), link: text)
        return end
    }
}

extension MarkdownInlineParser.Piece {
    /// What a picture's description keeps of it.
    fileprivate var plainText: String {
        switch content {
        case .text(let bytes), .code(let bytes): String(decoding: bytes, as: UTF8.self)
        case .image(let description, _): description
        case .lineBreak: " "
        case .marks(let delimiter): delimiter.text
        }
    }
}
