@_spi(_Unicode) import Swift
import Synchronization

/// What becomes of a Unicode scalar before WordPiece: dropped, a space, or letters and punctuation
/// after canonical decomposition, removal of accents and lower-casing.
///
/// Computed from the standard library's Unicode data on first use, 256 scalars at a time, and kept.
/// The decomposition is the library's own (`_nfd`), which is not API yet; it saves linking
/// Foundation, and should it move this file stops compiling rather than changing answers. Folding
/// scalar by scalar leaves out the canonical reordering of marks that stay (class Mc): no
/// vocabulary entry depends on it.
final class ScalarFolding: Sendable {
    /// The results for 256 neighbouring scalars.
    final class Page: Sendable {
        let entries: [Entry]
        /// Scalars of entries that stand for several.
        let sequences: [Entry]

        init(entries: [Entry], sequences: [Entry]) {
            self.entries = entries
            self.sequences = sequences
        }
    }

    /// One result in 32 bits: a kind above 24 bits of payload.
    struct Entry: Sendable, Equatable {
        enum Kind: UInt32 {
            case nothing
            case space
            case letter
            case punctuation
            /// The payload is place (16 bits) and count (8 bits) in the page's sequences.
            case sequence
        }

        private(set) var bits: UInt32

        init(_ kind: Kind, _ payload: UInt32 = 0) {
            bits = kind.rawValue << 25 | payload
        }

        var kind: Kind { Kind(rawValue: bits >> 25) ?? .nothing }
        /// Whether spaces go round it (the ideograph blocks).
        var isIdeograph: Bool {
            get { bits & 1 << 24 != 0 }
            set { bits = newValue ? bits | 1 << 24 : bits & ~(1 << 24) }
        }
        var payload: UInt32 { bits & 0xFF_FFFF }
    }

    private let options: WordPieceTokenizer.Options
    private let pages = Mutex<[Page?]>(Array(repeating: nil, count: 0x11_0000 / 256))

    init(options: WordPieceTokenizer.Options) {
        self.options = options
    }

    /// The pages made so far.
    var snapshot: [Page?] { pages.withLock { $0 } }

    /// The page of `scalar`, made if need be.
    func page(of scalar: UInt32) -> Page {
        let index = Int(scalar >> 8)
        return pages.withLock { pages in
            if let page = pages[index] { return page }
            let page = makePage(UInt32(index) << 8)
            pages[index] = page
            return page
        }
    }

    private func makePage(_ first: UInt32) -> Page {
        var entries: [Entry] = []
        var sequences: [Entry] = []
        for value in first..<first + 256 {
            guard let scalar = Unicode.Scalar(value) else {
                entries.append(Entry(.nothing))
                continue
            }
            let parts = fold(scalar)
            var entry: Entry
            if parts.count == 1 {
                entry = parts[0]
            } else if parts.isEmpty {
                entry = Entry(.nothing)
            } else {
                entry = Entry(.sequence, UInt32(sequences.count) << 8 | UInt32(parts.count))
                sequences += parts
            }
            entry.isIdeograph = options.splitsIdeographs && Self.isIdeograph(value)
            entries.append(entry)
        }
        return Page(entries: entries, sequences: sequences)
    }

    /// Follows BertNormalizer and BertPreTokenizer step by step for one scalar.
    private func fold(_ scalar: Unicode.Scalar) -> [Entry] {
        guard scalar.value != 0, scalar.value != 0xFFFD, !Self.isControl(scalar) else { return [] }
        guard !scalar.properties.isWhitespace else { return [Entry(.space)] }
        var scalars = [scalar]
        if options.stripsAccents {
            scalars = Self.decompose(scalar).filter { part in
                Self.category(of: part) != .nonspacingMark
            }
        }
        if options.lowercases {
            scalars = scalars.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
        }
        return scalars.map { scalar in
            Entry(Self.isPunctuation(scalar) ? .punctuation : .letter, scalar.value)
        }
    }

    private static func decompose(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        category(of: scalar) == .unassigned ? [scalar] : Array(String(scalar)._nfd)
    }

    /// The category in Unicode 8, which the reference tokenizer's tables are of.
    ///
    /// Newer scalars were not assigned then, and these seven have changed since. Found by comparing
    /// all 1.1 million scalars.
    private static func category(of scalar: Unicode.Scalar) -> Unicode.GeneralCategory {
        switch scalar.value {
        case 0x1885, 0x1886: return .otherLetter
        case 0xA9BD: return .spacingMark
        case 0x111C9, 0x166D: return .otherPunctuation
        case 0x1734, 0x1171E: return .nonspacingMark
        default: break
        }
        guard let age = scalar.properties.age, age.major <= 8 else { return .unassigned }
        return scalar.properties.generalCategory
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 9, 10, 13: return false
        default: break
        }
        switch category(of: scalar) {
        case .control, .format, .privateUse, .surrogate: return true
        default: return false
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // All of ASCII's symbols count, `$` and `+` too, which Unicode calls otherwise.
        case 33...47, 58...64, 91...96, 123...126: return true
        default: break
        }
        switch category(of: scalar) {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }

    /// The blocks BERT puts spaces round: Han ideographs, not kana or hangul.
    private static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F,
            0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
