/// Turns Jira's wiki markup into Markdown.
///
/// Macros that hold text (`{code}`, `{noformat}`, `{quote}`, `{panel}`) are found first, wherever
/// they stand; the lines between them are read one by one. No step looks at a byte more than a
/// fixed number of times, so hostile text costs no more than its length.
package enum WikiConverter {
    /// The Markdown of a text; plain text stays as it is.
    ///
    /// - Complexity: O(n) in the number of bytes.
    package static func markdown(from text: String) -> String {
        let bytes = Array(withLineFeeds(text).utf8)
        return MarkdownRenderer.render(WikiReader(bytes).blocks(in: 0..<bytes.count, depth: 0))
    }
}

/// Cuts a text into macros and lines.
struct WikiReader {
    /// Macros of one kind cannot nest, so real nesting is at most two; more is not looked for.
    private static let maximumDepth = 4

    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The blocks of a part of the text.
    func blocks(in range: Range<Int>, depth: Int) -> [MarkdownBlock] {
        var builder = WikiBlockBuilder()
        // Kinds known to have no further end, so that a thousand openers cost one search.
        var unclosed: Set<WikiMacro.Kind> = []
        var position = range.lowerBound
        var textStart = position
        while let brace = bytes[position..<range.upperBound].firstIndex(of: UInt8(ascii: "{")) {
            position = brace + 1
            guard depth < Self.maximumDepth,
                let macro = WikiMacro(bytes, at: brace, end: range.upperBound),
                let body = body(
                    of: macro,
                    textStart: textStart,
                    end: range.upperBound,
                    unclosed: &unclosed
                )
            else { continue }
            feed(textStart..<brace, isAfterMacro: textStart > range.lowerBound, to: &builder)
            builder.add(blocks(of: macro, body: body.range, depth: depth))
            position = body.end
            textStart = body.end
        }
        feed(textStart..<range.upperBound, isAfterMacro: textStart > range.lowerBound, to: &builder)
        return builder.finish()
    }

    /// The text a macro holds and where the closing tag ends.
    ///
    /// A macro that is never closed holds the rest of the text when it begins a line, and is no
    /// macro when it stands inside one.
    private func body(
        of macro: WikiMacro,
        textStart: Int,
        end: Int,
        unclosed: inout Set<WikiMacro.Kind>
    ) -> (range: Range<Int>, end: Int)? {
        if !unclosed.contains(macro.kind) {
            if let close = WikiMacro.firstClose(of: macro.kind, in: bytes, macro.end..<end) {
                return (macro.end..<close, close + macro.kind.closingTag.count)
            }
            unclosed.insert(macro.kind)
        }
        let line = bytes[textStart..<macro.start].suffix(400).suffix(while: { $0 != 0x0A })
        return line.allSatisfy(isMarkdownSpace) ? (macro.end..<end, end) : nil
    }

    /// A macro's title, which it may have whatever it holds, and its text.
    private func blocks(of macro: WikiMacro, body: Range<Int>, depth: Int) -> [MarkdownBlock] {
        let title = macro.title.map { MarkdownBlock.paragraph([.text($0, .strong, link: nil)]) }
        switch macro.kind {
        case .code, .noformat:
            let text = String(decoding: trimmedLineFeeds(bytes[body]), as: UTF8.self)
            return [title, .code(language: macro.language, text: text)].compactMap(\.self)
        case .quote, .panel:
            return [.quote([title].compactMap(\.self) + blocks(in: body, depth: depth + 1))]
        }
    }

    /// Hands on the lines between two macros; what is left of a macro's own lines is no empty line.
    private func feed(
        _ range: Range<Int>,
        isAfterMacro: Bool,
        to builder: inout WikiBlockBuilder
    ) {
        var lines = bytes[range].split(separator: 0x0A, omittingEmptySubsequences: false)[...]
        if isAfterMacro, let first = lines.first, first.allSatisfy(isMarkdownSpace) {
            lines.removeFirst()
        }
        if range.upperBound < bytes.count, let last = lines.last,
            last.allSatisfy(isMarkdownSpace)
        {
            lines.removeLast()
        }
        for line in lines { builder.add(line: line) }
    }

    private func trimmedLineFeeds(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let last = text.lastIndex(where: { $0 != 0x0A }) else { return [] }
        return text[...last].drop { $0 == 0x0A }
    }
}

extension ArraySlice<UInt8> {
    /// The longest end of the slice whose bytes all satisfy `predicate`.
    fileprivate func suffix(while predicate: (UInt8) -> Bool) -> ArraySlice<UInt8> {
        var start = endIndex
        while start > startIndex, predicate(self[start - 1]) { start -= 1 }
        return self[start...]
    }
}

/// The opening tag of a macro that holds text.
struct WikiMacro {
    enum Kind: CaseIterable, Hashable {
        case code, noformat, quote, panel

        /// The name between the braces.
        var name: String {
            switch self {
            case .code: "code"
            case .noformat: "noformat"
            case .quote: "quote"
            case .panel: "panel"
            }
        }

        var closingTag: [UInt8] { Array("{\(name)}".utf8) }
    }

    /// Longer parameters than a title, a language and a few colours are no parameters.
    private static let maximumTagLength = 400

    let kind: Kind
    let start: Int
    /// Just after the closing brace of the tag.
    let end: Int
    private let parameters: String

    /// Reads the tag that begins with the brace at `start`; nil when there is none.
    init?(_ bytes: [UInt8], at start: Int, end limit: Int) {
        if start > 0, bytes[start - 1] == UInt8(ascii: "\\") { return nil }
        let rest = bytes[(start + 1)..<min(limit, start + Self.maximumTagLength)]
        guard let kind = Kind.allCases.first(where: { rest.starts(with: $0.name.utf8) }) else {
            return nil
        }
        let after = rest.dropFirst(kind.name.utf8.count)
        guard let first = after.first, first == UInt8(ascii: "}") || first == UInt8(ascii: ":"),
            let close = after.firstIndex(where: { "}{\n".utf8.contains($0) }),
            bytes[close] == UInt8(ascii: "}")
        else { return nil }
        self.kind = kind
        self.start = start
        self.end = close + 1
        parameters = String(decoding: after[..<close].dropFirst(), as: UTF8.self)
    }

    /// The place of the first closing tag; a code block inside a quote does not hide one.
    static func firstClose(of kind: Kind, in bytes: [UInt8], _ range: Range<Int>) -> Int? {
        let tag = kind.closingTag
        var rest = bytes[range]
        while let brace = rest.firstIndex(of: UInt8(ascii: "{")) {
            if bytes[brace..<range.upperBound].starts(with: tag) { return brace }
            rest = rest[(brace + 1)...]
        }
        return nil
    }

    /// The language of a code block: `{code:java}`, `{code:language=java|title=x}`.
    var language: String? {
        guard kind == .code else { return nil }
        for part in parameters.split(separator: "|") {
            if part.hasPrefix("language=") { return String(part.dropFirst(9)) }
            if !part.contains("=") { return String(part) }
        }
        return nil
    }

    /// What stands above the text: `{panel:title=Note}`.
    var title: String? {
        let part = parameters.split(separator: "|").first { $0.hasPrefix("title=") }
        return part.map { String($0.dropFirst(6)) }
    }
}
