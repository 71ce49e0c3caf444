/// Writes the runs of one block: marks nested properly, text escaped where it looks like markup.
///
/// White space at the edge of a mark moves outside it, because `** a**` is not bold.
struct MarkdownInlineWriter {
    /// Where the text stands.
    enum Form {
        case paragraph
        /// One line.
        case heading
        /// One line in which `|` ends the cell and a break is `<br>`.
        case cell
    }

    private enum Mark: Equatable {
        case link(String)
        case strike, strong, emphasis
    }

    private var output: [UInt8] = []
    /// White space that is written only when something follows.
    private var pending: [UInt8] = []
    private var open: [Mark] = []
    private var escaper: MarkdownEscaper
    private let form: Form

    private init(_ inlines: [MarkdownInline], form: Form) {
        self.form = form
        escaper = MarkdownEscaper(inlines)
    }

    /// The Markdown of `inlines` without white space at its ends.
    ///
    /// - Complexity: O(n) in the number of bytes.
    static func write(_ inlines: [MarkdownInline], form: Form) -> [UInt8] {
        var writer = MarkdownInlineWriter(inlines, form: form)
        let merged = merged(inlines)
        for (index, inline) in merged.enumerated() {
            let next = index + 1 < merged.count ? merged[index + 1] : nil
            writer.write(inline, next: next)
        }
        writer.close(downTo: 0)
        guard form == .cell else { return writer.output }
        return writer.output.flatMap { byte in
            byte == UInt8(ascii: "|") ? Array("\\|".utf8) : [byte]
        }
    }

    /// Joins neighbours of equal marks, so that `ab` in two runs is not written `**a****b**`.
    private static func merged(_ inlines: [MarkdownInline]) -> [MarkdownInline] {
        var result: [MarkdownInline] = []
        var text = ""
        var key: (style: MarkdownStyle, link: String?)?
        func flush() {
            if let key, !text.isEmpty { result.append(.text(text, key.style, link: key.link)) }
            text = ""
            key = nil
        }
        for inline in inlines {
            guard case .text(let part, let style, let link) = inline else {
                flush()
                result.append(inline)
                continue
            }
            if let open = key, open.style == style, open.link == link {
                text += part
            } else {
                flush()
                (text, key) = (part, (style, link))
            }
        }
        flush()
        return result
    }

    private mutating func write(_ inline: MarkdownInline, next: MarkdownInline?) {
        switch inline {
        case .lineBreak: pending.append(0x0A)
        case .image(let description, let url):
            flushPending()
            let label = MarkdownURL.label(description)
            output += Array("![\(label)](\(MarkdownURL.destination(url) ?? ""))".utf8)
            escaper.passed()
        case .text(let text, let style, let link): write(text, style, link: link, next: next)
        }
    }

    private mutating func write(
        _ text: String,
        _ style: MarkdownStyle,
        link: String?,
        next: MarkdownInline?
    ) {
        let bytes = Array(text.utf8)
        guard let start = bytes.firstIndex(where: { !isMarkdownSpace($0) }),
            let last = bytes.lastIndex(where: { !isMarkdownSpace($0) })
        else {
            pending += bytes
            return
        }
        if let link, haveSameBytes(link, bytes[start...last]), MarkdownURL.isPlain(link) {
            close(downTo: 0)
            pending += bytes[..<start]
            flushPending()
            output += bytes[start...last]
            escaper.passed()
        } else {
            let marks = marks(style, link: link)
            let common = zip(open, marks).prefix { $0 == $1 }.count
            close(downTo: common)
            pending += bytes[..<start]
            flushPending()
            for mark in marks[common...] { begin(mark) }
            if style.contains(.code) {
                output += codeSpan(bytes[start...last])
                escaper.passed()
            } else {
                writeLines(bytes[start...last], isLinked: link != nil, next: next)
            }
        }
        pending += bytes[(last + 1)...]
    }

    private func marks(_ style: MarkdownStyle, link: String?) -> [Mark] {
        var marks: [Mark] = []
        if let link, let destination = MarkdownURL.destination(link) {
            marks.append(.link(destination))
        }
        if style.contains(.strike) { marks.append(.strike) }
        if style.contains(.strong) { marks.append(.strong) }
        if style.contains(.emphasis) { marks.append(.emphasis) }
        return marks
    }

    /// Writes text whose line feeds depend on the form.
    private mutating func writeLines(
        _ bytes: ArraySlice<UInt8>,
        isLinked: Bool,
        next: MarkdownInline?
    ) {
        var following: UInt8? = nil
        if case .text(let text, _, _) = next { following = text.utf8.first }
        if case .image = next { following = UInt8(ascii: "!") }
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            if index > 0 { pending.append(0x0A) }
            guard let start = line.firstIndex(where: { !isMarkdownSpace($0) }),
                let last = line.lastIndex(where: { !isMarkdownSpace($0) })
            else { continue }
            pending += line[..<start]
            flushPending()
            let isLast = index == lines.count - 1
            escaper.escape(
                line[start...last],
                following: isLast ? following : nil,
                isLinked: isLinked,
                into: &output
            )
            pending += line[(last + 1)...]
        }
    }

    private mutating func begin(_ mark: Mark) {
        switch mark {
        case .link:
            // `!` before a link would make it a picture.
            if output.last == UInt8(ascii: "!") { output.insert(0x5C, at: output.count - 1) }
            output.append(UInt8(ascii: "["))
        case .strike: output += Array("~~".utf8)
        case .strong: output += Array("**".utf8)
        case .emphasis: output.append(UInt8(ascii: "*"))
        }
        open.append(mark)
        escaper.passed()
    }

    private mutating func close(downTo count: Int) {
        while open.count > count, let mark = open.popLast() {
            switch mark {
            case .link(let destination): output += Array("](\(destination))".utf8)
            case .strike: output += Array("~~".utf8)
            case .strong: output += Array("**".utf8)
            case .emphasis: output.append(UInt8(ascii: "*"))
            }
        }
    }

    /// Writes the white space held back; at the start of the block there is none.
    private mutating func flushPending() {
        defer { pending.removeAll(keepingCapacity: true) }
        guard !output.isEmpty else { return }
        guard pending.contains(0x0A) else {
            output += pending
            escaper.passed(spaces: pending.count)
            return
        }
        switch form {
        case .heading: output.append(0x20)
        case .cell: output += Array("<br>".utf8)
        case .paragraph:
            // An empty line ends the paragraph, which must not happen inside a mark.
            let indent = pending.count - 1 - (pending.lastIndex(of: 0x0A) ?? 0)
            let breaks = pending.count { $0 == 0x0A }
            if breaks > 1, open.isEmpty { output.append(0x0A) }
            output.append(0x0A)
            output += pending.suffix(indent)
            escaper.startLine(indent: indent)
        }
    }

    /// A code span whose fence is longer than any run of backticks inside.
    private func codeSpan(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let tick = UInt8(ascii: "`")
        let line = bytes.map { $0 == 0x0A ? 0x20 : $0 }
        let fence = [UInt8](repeating: tick, count: longestRun(of: tick, in: line) + 1)
        let needsSpace = line.first == tick || line.last == tick
        return needsSpace ? fence + [0x20] + line + [0x20] + fence : fence + line + fence
    }
}

private func haveSameBytes(_ text: String, _ bytes: ArraySlice<UInt8>) -> Bool {
    text.utf8.elementsEqual(bytes)
}
