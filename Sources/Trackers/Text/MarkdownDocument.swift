/// A block of a Markdown document: what both converters build and one renderer writes, so that the
/// same text from Jira Cloud and from Jira Server becomes the same Markdown.
indirect enum MarkdownBlock: Sendable, Equatable {
    case paragraph([MarkdownInline])
    case heading(level: Int, [MarkdownInline])
    case code(language: String?, text: String)
    case quote([MarkdownBlock])
    case list([MarkdownListItem])
    case table([MarkdownTableRow])
    case rule

    /// Whether nothing of it would be seen.
    var isEmpty: Bool {
        switch self {
        case .paragraph(let inlines), .heading(_, let inlines):
            !inlines.contains(where: \.isVisible)
        case .code(_, let text): text.isEmpty
        case .quote(let blocks): blocks.allSatisfy(\.isEmpty)
        case .list(let items): items.isEmpty
        case .table(let rows): rows.allSatisfy { row in row.cells.allSatisfy(\.isEmpty) }
        case .rule: false
        }
    }
}

/// One item of a list with its marker.
struct MarkdownListItem: Sendable, Equatable {
    var marker: Marker
    var blocks: [MarkdownBlock]

    enum Marker: Sendable, Equatable {
        case bullet
        case number(Int)
        case task(isDone: Bool)
    }
}

/// One row of a table; a cell is one line of text.
struct MarkdownTableRow: Sendable, Equatable {
    var isHeader: Bool
    var cells: [[MarkdownInline]]
}

/// A run of text inside a block.
enum MarkdownInline: Sendable, Equatable {
    /// Literal text, not yet escaped.
    case text(String, MarkdownStyle, link: String?)
    /// A picture or file; the address is empty for an attachment, whose place Jira does not tell.
    case image(description: String, url: String)
    case lineBreak

    /// Whether more than white space would be seen.
    var isVisible: Bool {
        switch self {
        case .text(let text, _, _):
            // Jira's editor leaves paragraphs that hold a no-break space.
            text.unicodeScalars.contains { !$0.properties.isWhitespace }
        case .image: true
        case .lineBreak: false
        }
    }

    /// Text without marks.
    static func plain(_ text: String) -> MarkdownInline {
        .text(text, [], link: nil)
    }
}

/// The marks Markdown knows; underline, colour and the like are dropped by the converters.
struct MarkdownStyle: OptionSet, Sendable, Hashable {
    let rawValue: UInt8

    static let strike = MarkdownStyle(rawValue: 1)
    static let strong = MarkdownStyle(rawValue: 2)
    static let emphasis = MarkdownStyle(rawValue: 4)
    /// A code span; the other marks may stand round it.
    static let code = MarkdownStyle(rawValue: 8)
}

/// Space, tab, line feed or carriage return.
func isMarkdownSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
}

/// An ASCII letter or digit, or any part of a character beyond ASCII.
func isMarkdownWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122, 0x80...: true
    default: false
    }
}

/// An ASCII character that a backslash can escape.
func isMarkdownPunctuation(_ byte: UInt8) -> Bool {
    switch byte {
    case 33...47, 58...64, 91...96, 123...126: true
    default: false
    }
}

extension [MarkdownBlock] {
    /// The blocks as one line of inlines with breaks between, for a table cell.
    ///
    /// - Complexity: O(n) in the number of nodes.
    var flattened: [MarkdownInline] {
        var inlines: [MarkdownInline] = []
        for block in self where !block.isEmpty {
            if !inlines.isEmpty { inlines.append(.lineBreak) }
            inlines += block.flattened
        }
        return inlines
    }
}

extension MarkdownBlock {
    fileprivate var flattened: [MarkdownInline] {
        switch self {
        case .paragraph(let inlines), .heading(_, let inlines): return inlines
        case .code(_, let text):
            let lines = text.utf8.split(separator: 0x0A).map { String(Substring($0)) }
            return Array(
                lines.map { [.text($0, .code, link: nil)] }.joined(separator: [.lineBreak])
            )
        case .quote(let blocks): return blocks.flattened
        case .list(let items):
            let lines = items.map { [.plain($0.marker.text)] + $0.blocks.flattened }
            return Array(lines.joined(separator: [.lineBreak]))
        case .table(let rows):
            let lines = rows.map { Array($0.cells.joined(separator: [.plain(" ")])) }
            return Array(lines.joined(separator: [.lineBreak]))
        case .rule: return []
        }
    }
}

extension MarkdownListItem.Marker {
    /// The marker with the space after it.
    var text: String {
        switch self {
        case .bullet: "- "
        case .number(let number): "\(number). "
        case .task(let isDone): isDone ? "- [x] " : "- [ ] "
        }
    }
}
