/// Splits text into the terms of the lexical index; the same for what is stored and what is asked.
///
/// A term is a run of letters and digits in lower case, stemmed when it is an English word. Scripts
/// that write no spaces (Han, Kana, Hangul, Thai) give one term a character; a query then asks for
/// neighbours as phrases, so that 缺陷 is found inside 界面缺陷报告.
package enum TextAnalyzer {
    /// One term and what the query builder must know of it.
    package struct Term: Sendable, Hashable {
        package var text: String
        /// One character of a script without spaces, to be asked together with its neighbour.
        package var isIdeograph: Bool
        /// Follows the ideograph before it without anything between.
        package var isAdjacent: Bool
    }

    /// Longer runs are encoded data, not words; a SHA-256 in hexadecimal is just kept whole.
    static let maximumTermBytes = 64

    /// The terms of a text in order, repeats included.
    ///
    /// - Parameters:
    ///   - text: Any text.
    ///   - limit: At most so many terms; what follows is not read.
    /// - Returns: At most `limit` terms.
    package static func terms(of text: String, limit: Int) -> [Term] {
        var collector = Collector(limit: limit)
        for scalar in text.unicodeScalars {
            collector.take(scalar)
            if collector.isFull { break }
        }
        collector.endWord()
        return collector.terms
    }

    /// The terms joined by spaces, as the index stores them.
    package static func storedForm(of text: String, limit: Int) -> String {
        var stored: [UInt8] = []
        for term in terms(of: text, limit: limit) {
            if !stored.isEmpty { stored.append(UInt8(ascii: " ")) }
            stored.append(contentsOf: term.text.utf8)
        }
        return String(decoding: stored, as: UTF8.self)
    }

    private static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x0E01...0x0E4E, 0x2E80...0x2FDF, 0x3005...0x3007, 0x3041...0x30FF, 0x3131...0x318E,
            0x31F0...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0x20000...0x3FFFD:
            value != 0x30FB
        default: false
        }
    }

    private struct Collector {
        let limit: Int
        var terms: [Term] = []
        private var word: [UInt8] = []
        private var isAscii = true
        private var followsIdeograph = false

        init(limit: Int) {
            self.limit = limit
        }

        var isFull: Bool { terms.count >= limit }

        mutating func take(_ scalar: Unicode.Scalar) {
            switch scalar.value {
            case 48...57, 97...122: extend(UInt8(scalar.value))
            case 65...90: extend(UInt8(scalar.value) | 0x20)
            case 0..<128: endRun()
            default: takeWide(scalar)
            }
        }

        private mutating func takeWide(_ scalar: Unicode.Scalar) {
            if TextAnalyzer.isIdeograph(scalar.value) {
                endWord()
                guard !isFull else { return }
                terms.append(
                    Term(
                        text: String(Character(scalar)),
                        isIdeograph: true,
                        isAdjacent: followsIdeograph
                    )
                )
                followsIdeograph = true
                return
            }
            let properties = scalar.properties
            guard properties.isAlphabetic || properties.numericType != nil || isMark(properties)
            else {
                endRun()
                return
            }
            followsIdeograph = false
            isAscii = false
            guard word.count < TextAnalyzer.maximumTermBytes else { return }
            word.append(contentsOf: properties.lowercaseMapping.utf8)
        }

        /// A combining mark continues a word but never begins one.
        private func isMark(_ properties: Unicode.Scalar.Properties) -> Bool {
            guard !word.isEmpty else { return false }
            switch properties.generalCategory {
            case .nonspacingMark, .spacingMark: return true
            default: return false
            }
        }

        private mutating func extend(_ byte: UInt8) {
            followsIdeograph = false
            if word.count < TextAnalyzer.maximumTermBytes { word.append(byte) }
        }

        private mutating func endRun() {
            endWord()
            followsIdeograph = false
        }

        mutating func endWord() {
            defer {
                word.removeAll(keepingCapacity: true)
                isAscii = true
            }
            // Common words stay: BM25 gives them next to no weight, and leaving them out changed
            // the ranking for the worse.
            guard !isFull, !word.isEmpty else { return }
            let stem = isAscii ? PorterStemmer.stem(word) : word
            terms.append(
                Term(
                    text: String(decoding: stem, as: UTF8.self),
                    isIdeograph: false,
                    isAdjacent: false
                )
            )
        }
    }
}
