/// A run of `*`, `_` or `~` and what it may do (CommonMark 0.31, section 6.2).
struct MarkdownDelimiter {
    let mark: UInt8
    let count: Int
    let canOpen: Bool
    let canClose: Bool

    init(_ mark: UInt8, count: Int, before: ArraySlice<UInt8>, after: ArraySlice<UInt8>) {
        let left = MarkdownSide(last: before)
        let right = MarkdownSide(first: after)
        let isLeftFlanking =
            right != .space && (right != .punctuation || left != .word)
        let isRightFlanking =
            left != .space && (left != .punctuation || right != .word)
        self.mark = mark
        self.count = count
        if mark == UInt8(ascii: "_") {
            canOpen = isLeftFlanking && (!isRightFlanking || left == .punctuation)
            canClose = isRightFlanking && (!isLeftFlanking || right == .punctuation)
        } else {
            canOpen = isLeftFlanking
            canClose = isRightFlanking
        }
    }

    /// The run as it was written.
    var text: String { String(repeating: Character(Unicode.Scalar(mark)), count: count) }

    /// Whether the two may be the ends of one span: the rule of three.
    func matches(_ closer: MarkdownDelimiter) -> Bool {
        guard mark == closer.mark else { return false }
        guard canClose || closer.canOpen else { return true }
        return (count + closer.count) % 3 != 0 || (count % 3 == 0 && closer.count % 3 == 0)
    }
}

/// What stands beside a run of marks.
private enum MarkdownSide {
    case space, punctuation, word

    init(last bytes: ArraySlice<UInt8>) {
        var start = bytes.endIndex
        while start > bytes.startIndex, bytes.endIndex - start < 4 {
            start -= 1
            if bytes[start] & 0xC0 != 0x80 { break }
        }
        self.init(bytes[start...])
    }

    init(first bytes: ArraySlice<UInt8>) {
        self.init(bytes.prefix(4))
    }

    private init(_ bytes: ArraySlice<UInt8>) {
        guard let first = bytes.first else {
            self = .space
            return
        }
        if first < 0x80 {
            self = isMarkdownSpace(first) ? .space : isMarkdownWord(first) ? .word : .punctuation
            return
        }
        let scalar = String(decoding: bytes, as: UTF8.self).unicodeScalars.first
        guard let properties = scalar?.properties else {
            self = .space
            return
        }
        if properties.isWhitespace {
            self = .space
        } else {
            switch properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
                .initialPunctuation, .finalPunctuation, .otherPunctuation, .mathSymbol,
                .currencySymbol, .modifierSymbol, .otherSymbol:
                self = .punctuation
            default: self = .word
            }
        }
    }
}

extension MarkdownDelimiter {
    /// The runs of a block's pieces.
    static func resolve(_ pieces: [MarkdownInlineParser.Piece]) -> [MarkdownInline] {
        let spans = spans(pieces)
        var style = StyleCounter()
        var runs: [MarkdownInline] = []
        for (index, piece) in pieces.enumerated() {
            style.apply(spans.changes[index])
            switch piece.content {
            case .text(let bytes):
                let text = String(decoding: bytes, as: UTF8.self)
                runs.append(.text(text, style.current.union(piece.style), link: piece.link))
            case .code(let bytes):
                let text = String(decoding: bytes, as: UTF8.self)
                let marks = style.current.union(piece.style).union(.code)
                runs.append(.text(text, marks, link: piece.link))
            case .image(let description, let url):
                runs.append(.image(description: description, url: url))
            case .lineBreak: runs.append(.lineBreak)
            case .marks(let delimiter):
                let left = delimiter.text.prefix(spans.left[index])
                if !left.isEmpty {
                    let marks = style.current.union(piece.style)
                    runs.append(.text(String(left), marks, link: piece.link))
                }
            }
        }
        return runs
    }

    /// The pieces with their marks matched among themselves, as the inside of a link needs it.
    static func resolved(
        _ pieces: [MarkdownInlineParser.Piece]
    ) -> [MarkdownInlineParser.Piece] {
        let spans = spans(pieces)
        var style = StyleCounter()
        var result: [MarkdownInlineParser.Piece] = []
        for (index, piece) in pieces.enumerated() {
            style.apply(spans.changes[index])
            var piece = piece
            if case .marks(let delimiter) = piece.content {
                let left = delimiter.text.prefix(spans.left[index])
                guard !left.isEmpty else { continue }
                piece.content = .text(Array(left.utf8))
            }
            piece.style = piece.style.union(style.current)
            result.append(piece)
        }
        return result
    }

    /// What begins and ends before each piece, and how many marks of each stay text.
    private struct Spans {
        var changes: [[(style: MarkdownStyle, step: Int)]]
        var left: [Int]
    }

    /// CommonMark's "process emphasis", with the bottom of each kind of opener remembered so that
    /// hostile text is linear.
    private static func spans(_ pieces: [MarkdownInlineParser.Piece]) -> Spans {
        var spans = Spans(
            changes: Array(repeating: [], count: pieces.count + 1),
            left: Array(repeating: 0, count: pieces.count)
        )
        var openers: [Int] = []
        var bottoms: [Int: Int] = [:]
        func delimiter(_ index: Int) -> MarkdownDelimiter? {
            if case .marks(let delimiter) = pieces[index].content { delimiter } else { nil }
        }
        for index in pieces.indices {
            guard let closer = delimiter(index) else { continue }
            spans.left[index] = closer.count
            if closer.canClose {
                let kind = Int(closer.mark) * 8 + closer.count % 3 * 2 + (closer.canOpen ? 1 : 0)
                while spans.left[index] > 0 {
                    let bottom = bottoms[kind] ?? -1
                    let candidates = openers.reversed().prefix { $0 > bottom }
                    guard
                        let depth = candidates.firstIndex(where: {
                            delimiter($0)?.matches(closer) == true
                        })
                    else {
                        bottoms[kind] = openers.last ?? -1
                        break
                    }
                    let opener = candidates[depth]
                    openers.removeLast(openers.reversed().prefix { $0 != opener }.count)
                    let used = min(2, spans.left[opener], spans.left[index])
                    let style: MarkdownStyle =
                        closer.mark == UInt8(ascii: "~")
                        ? .strike : used == 2 ? .strong : .emphasis
                    spans.changes[opener + 1].append((style, 1))
                    spans.changes[index].append((style, -1))
                    spans.left[opener] -= used
                    spans.left[index] -= used
                    if spans.left[opener] == 0 { openers.removeLast() }
                }
            }
            if closer.canOpen, spans.left[index] > 0 { openers.append(index) }
        }
        return spans
    }

    /// How often each style is open.
    private struct StyleCounter {
        private var counts: [MarkdownStyle: Int] = [:]
        private(set) var current: MarkdownStyle = []

        mutating func apply(_ changes: [(style: MarkdownStyle, step: Int)]) {
            for change in changes {
                let count = (counts[change.style] ?? 0) + change.step
                counts[change.style] = count
                if count > 0 { current.insert(change.style) } else { current.remove(change.style) }
            }
        }
    }
}
