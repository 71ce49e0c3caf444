/// Reads one line of wiki markup into runs.
///
/// Every construct is looked for from its first byte and its end is either near, the next byte of
/// its kind, or known to be absent, so that the cost is linear in the line.
struct WikiInlineParser {
    /// The most bytes a strike-through, a picture's name or a macro's tag is looked for.
    private static let nearby = 256

    private let bytes: ArraySlice<UInt8>
    private var runs: [MarkdownInline] = []
    private var literal: [UInt8] = []
    /// Ends of lines before which no `}}` was found.
    private var withoutMonospaceEnd: Int?

    /// Prepares for one line; see ``parse(_:)``.
    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    /// The runs of a line.
    static func parse(_ line: ArraySlice<UInt8>) -> [MarkdownInline] {
        var parser = WikiInlineParser(line)
        parser.read(line.indices, style: [])
        return parser.runs
    }

    /// The end of the link, monospaced text or picture that begins at `position`, inside which a
    /// `|` does not end a table cell.
    mutating func endOfUnit(at position: Int) -> Int? {
        switch bytes[position] {
        case UInt8(ascii: "\\"): position + 1 < bytes.endIndex ? position + 2 : nil
        case UInt8(ascii: "["): link(at: position, in: bytes.indices)?.end
        case UInt8(ascii: "{"): monospaced(at: position, in: bytes.indices)?.end
        case UInt8(ascii: "!"): image(at: position, in: bytes.indices)?.end
        default: nil
        }
    }

    private mutating func read(_ range: Range<Int>, style: MarkdownStyle) {
        var position = range.lowerBound
        while position < range.upperBound {
            if let end = construct(at: position, in: range, style: style) {
                position = end
            } else {
                literal.append(bytes[position])
                position += 1
            }
        }
        flush(style)
    }

    private mutating func flush(_ style: MarkdownStyle) {
        guard !literal.isEmpty else { return }
        runs.append(.text(String(decoding: literal, as: UTF8.self), style, link: nil))
        literal.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ run: MarkdownInline, after style: MarkdownStyle) {
        flush(style)
        runs.append(run)
    }

    /// Reads what begins at `position`; nil when it is a plain byte.
    private mutating func construct(
        at position: Int,
        in range: Range<Int>,
        style: MarkdownStyle
    ) -> Int? {
        switch bytes[position] {
        case UInt8(ascii: "\\"): return escape(at: position, in: range, style: style)
        case UInt8(ascii: "{"): return brace(at: position, in: range, style: style)
        case UInt8(ascii: "["):
            guard let (run, end) = link(at: position, in: range) else { return nil }
            append(run(style), after: style)
            return end
        case UInt8(ascii: "!"):
            guard let (run, end) = image(at: position, in: range) else { return nil }
            append(run, after: style)
            return end
        case UInt8(ascii: "h"):
            guard let end = bareAddress(at: position, in: range) else { return nil }
            let text = text(position..<end)
            append(.text(text, style, link: text), after: style)
            return end
        case UInt8(ascii: "*"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"),
            UInt8(ascii: "^"), UInt8(ascii: "~"):
            return phrase(at: position, in: range, style: style)
        default: return nil
        }
    }

    // MARK: - Escapes and braces

    /// `\*` is a star; two backslashes before white space or the end break the line; others stay,
    /// so that `C:\dir` and `\\host` are what they were.
    private mutating func escape(
        at position: Int,
        in range: Range<Int>,
        style: MarkdownStyle
    ) -> Int? {
        guard let next = byte(position + 1, in: range) else { return nil }
        if "*_-+^~{}[]!|#?".utf8.contains(next) {
            literal.append(next)
            return position + 2
        }
        guard next == UInt8(ascii: "\\") else { return nil }
        if byte(position + 2, in: range).map(isMarkdownSpace) ?? true,
            byte(position - 1, in: range) != next
        {
            append(.lineBreak, after: style)
        } else {
            literal += [next, next]
        }
        return position + 2
    }

    private mutating func brace(
        at position: Int,
        in range: Range<Int>,
        style: MarkdownStyle
    ) -> Int? {
        if let (run, end) = monospaced(at: position, in: range) {
            append(run(style), after: style)
            return end
        }
        if let end = droppedMacro(at: position, in: range) { return end }
        // `{*}` is a `*` that counts inside a word; without its partner it is text.
        guard byte(position + 2, in: range) == UInt8(ascii: "}"),
            let mark = byte(position + 1, in: range), let added = Self.style(of: mark),
            !style.contains(added) || added.isEmpty,
            let close = bracedClose(mark, in: (position + 3)..<range.upperBound)
        else { return nil }
        flush(style)
        read((position + 3)..<close, style: style.union(added))
        return close + 3
    }

    private func bracedClose(_ mark: UInt8, in range: Range<Int>) -> Int? {
        let near = range.prefix(Self.nearby * 2)
        return near.first { index in
            bytes[index] == UInt8(ascii: "{") && byte(index + 1, in: range) == mark
                && byte(index + 2, in: range) == UInt8(ascii: "}")
        }
    }

    /// `{color:red}`, `{color}` and `{anchor:x}` leave nothing.
    private func droppedMacro(at position: Int, in range: Range<Int>) -> Int? {
        let rest = bytes[(position + 1)..<range.upperBound].prefix(Self.nearby)
        guard rest.starts(with: "color".utf8) || rest.starts(with: "anchor".utf8),
            let close = rest.firstIndex(of: UInt8(ascii: "}"))
        else { return nil }
        let parameters = rest[..<close].drop { $0 != UInt8(ascii: ":") }
        let name = rest[..<close].count - parameters.count
        guard name == (rest.first == UInt8(ascii: "c") ? 5 : 6) else { return nil }
        return close + 1
    }

    /// `{{text}}`.
    private mutating func monospaced(
        at position: Int,
        in range: Range<Int>
    ) -> (run: (MarkdownStyle) -> MarkdownInline, end: Int)? {
        guard byte(position + 1, in: range) == UInt8(ascii: "{"),
            withoutMonospaceEnd != range.upperBound
        else { return nil }
        var close = position + 3
        while close + 1 < range.upperBound {
            if bytes[close] == UInt8(ascii: "}"), bytes[close + 1] == UInt8(ascii: "}") {
                // `{{${x}}}` holds `${x}`: the last two braces of a run are the end.
                while byte(close + 2, in: range) == UInt8(ascii: "}") { close += 1 }
                let text = text(withoutSeparators((position + 2)..<close))
                return ({ .text(text, $0.union(.code), link: nil) }, close + 2)
            }
            close += 1
        }
        withoutMonospaceEnd = range.upperBound
        return nil
    }

    /// Jira's editor writes `{{{}x{}}}` where the text touches a word.
    private func withoutSeparators(_ range: Range<Int>) -> Range<Int> {
        let separator = "{}".utf8
        var inner = range
        if bytes[inner].starts(with: separator) { inner.removeFirst(2) }
        if inner.count > 2, bytes[inner].suffix(2).elementsEqual(separator) { inner.removeLast(2) }
        return inner
    }

    // MARK: - Links and pictures

    /// `[address]`, `[text|address]`, `[~user]`, `[^file]`, `[text|#anchor]`.
    private func link(
        at position: Int,
        in range: Range<Int>
    ) -> (run: (MarkdownStyle) -> MarkdownInline, end: Int)? {
        let inner = bytes[(position + 1)..<range.upperBound]
        guard
            let close = inner.firstIndex(where: {
                $0 == UInt8(ascii: "]") || $0 == UInt8(ascii: "[")
            }), bytes[close] == UInt8(ascii: "]"), close > position + 1
        else { return nil }
        let parts = bytes[(position + 1)..<close].split(
            separator: UInt8(ascii: "|"),
            omittingEmptySubsequences: false
        )
        guard let first = parts.first, let address = parts.dropFirst().first ?? parts.first else {
            return nil
        }
        let target = text(address)
        let label = parts.count > 1 && !first.isEmpty ? text(first) : nil
        let run: (MarkdownStyle) -> MarkdownInline
        if Self.isAddress(target) {
            run = { .text(label ?? target, $0, link: target) }
        } else if target.hasPrefix("~") {
            let name = target.dropFirst(target.hasPrefix("~accountid:") ? 11 : 1)
            guard !name.isEmpty else { return nil }
            run = { .text("@\(name)", $0, link: nil) }
        } else if target.utf8.count > 1, target.hasPrefix("^") {
            run = { .text(label ?? String(target.dropFirst()), $0, link: nil) }
        } else if let label, target.hasPrefix("#") {
            run = { .text(label, $0, link: nil) }
        } else {
            return nil
        }
        return (run, close + 1)
    }

    private static func isAddress(_ text: String) -> Bool {
        let schemes = ["http://", "https://", "ftp://", "mailto:", "file:/", "www."]
        return schemes.contains { text.hasPrefix($0) }
            && !text.utf8.contains(where: isMarkdownSpace)
    }

    /// `http://…` outside brackets; what ends a sentence is not part of it.
    private func bareAddress(at position: Int, in range: Range<Int>) -> Int? {
        let rest = bytes[position..<range.upperBound]
        guard rest.starts(with: "http://".utf8) || rest.starts(with: "https://".utf8),
            !(byte(position - 1, in: range).map(isMarkdownWord) ?? false)
        else { return nil }
        let address = rest.prefix { !isMarkdownSpace($0) && !"[]|)>{}\"".utf8.contains($0) }
        var end = address.endIndex
        while end > position, ".,;:!?'*_".utf8.contains(bytes[end - 1]) { end -= 1 }
        return end > position + 8 ? end : nil
    }

    /// `!name.png|width=300!` or `!https://…!`.
    private func image(
        at position: Int,
        in range: Range<Int>
    ) -> (run: MarkdownInline, end: Int)? {
        let inner = bytes[(position + 1)..<range.upperBound].prefix(Self.nearby)
        guard let first = inner.first, !isMarkdownSpace(first),
            let close = inner.firstIndex(of: UInt8(ascii: "!"))
        else { return nil }
        let name = inner[..<close].prefix { $0 != UInt8(ascii: "|") }
        guard let last = name.last, !isMarkdownSpace(last) else { return nil }
        let text = text(name)
        if Self.isAddress(text) { return (.image(description: "image", url: text), close + 1) }
        // An exclamation is no picture: a file has a short ending.
        let ending = text.split(separator: ".").last.map { $0.lowercased() } ?? ""
        guard Self.fileEndings.contains(ending), text.utf8.count > ending.utf8.count + 1 else {
            return nil
        }
        return (.image(description: text, url: ""), close + 1)
    }

    private static let fileEndings: Set<String> = [
        "png", "jpg", "jpeg", "gif", "bmp", "svg", "webp", "tif", "tiff", "pdf", "mp4", "mov",
        "avi", "webm",
    ]

    // MARK: - Marks

    /// `*strong*` and its relatives; the marks stand at the edges of words.
    private mutating func phrase(
        at position: Int,
        in range: Range<Int>,
        style: MarkdownStyle
    ) -> Int? {
        let mark = bytes[position]
        guard let added = Self.style(of: mark), added.isEmpty || !style.contains(added),
            let next = byte(position + 1, in: range), !isMarkdownSpace(next), next != mark,
            isEdge(before: position, in: range, mark),
            let close = close(of: mark, in: (position + 2)..<range.upperBound, of: range)
        else { return nil }
        flush(style)
        read((position + 1)..<close, style: style.union(added))
        return close + 1
    }

    /// The byte that ends a mark: the next of its kind, which must stand at the end of a word.
    ///
    /// A hyphen is searched a little further, because words have hyphens inside.
    private func close(of mark: UInt8, in search: Range<Int>, of range: Range<Int>) -> Int? {
        guard search.lowerBound < search.upperBound else { return nil }
        let isHyphen = mark == UInt8(ascii: "-")
        let limit =
            isHyphen ? min(search.upperBound, search.lowerBound + Self.nearby) : search.upperBound
        for index in search.lowerBound..<limit where bytes[index] == mark {
            // An escaped mark is text.
            if bytes[index - 1] == UInt8(ascii: "\\") { continue }
            let isEnd =
                !isMarkdownSpace(bytes[index - 1]) && isEdge(at: index + 1, in: range, mark)
            if isEnd { return index }
            let isInsideWord = isMarkdownWord(bytes[index - 1])
            guard isHyphen, isInsideWord else { return nil }
        }
        return nil
    }

    /// Whether what begins at `index` ends a word.
    private func isEdge(at index: Int, in range: Range<Int>, _ mark: UInt8) -> Bool {
        guard let byte = byte(index, in: range) else { return true }
        if byte >= 0x80 { return !isLetter(lead: byte, next: self.byte(index + 1, in: range)) }
        return byte != mark && byte != UInt8(ascii: "_") && !isMarkdownWord(byte)
    }

    /// Whether the character that ends before `index` is outside a word.
    private func isEdge(before index: Int, in range: Range<Int>, _ mark: UInt8) -> Bool {
        var start = index - 1
        while start > index - 4, let byte = byte(start, in: range), byte & 0xC0 == 0x80 {
            start -= 1
        }
        return isEdge(at: start, in: range, mark)
    }

    /// Whether a character beyond ASCII is rather a letter than a space or a sign, told from its
    /// first bytes: U+0080 to U+00BF, U+2000 to U+2FFF and U+3000 to U+303F are signs, with few
    /// exceptions.
    private func isLetter(lead: UInt8, next: UInt8?) -> Bool {
        !(lead == 0xC2 || lead == 0xE2 || lead == 0xE3 && next == 0x80)
    }

    /// The mark's style; empty for those Markdown lacks, nil for what is no mark.
    private static func style(of mark: UInt8) -> MarkdownStyle? {
        switch mark {
        case UInt8(ascii: "*"): .strong
        case UInt8(ascii: "_"): .emphasis
        case UInt8(ascii: "-"): .strike
        case UInt8(ascii: "+"), UInt8(ascii: "^"), UInt8(ascii: "~"): []
        default: nil
        }
    }

    // MARK: - Bytes

    private func byte(_ index: Int, in range: Range<Int>) -> UInt8? {
        range.contains(index) ? bytes[index] : nil
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }

    private func text(_ slice: ArraySlice<UInt8>) -> String {
        String(decoding: slice, as: UTF8.self)
    }
}
