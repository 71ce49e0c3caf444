/// Numbers whose digits ``JSONValue`` does not keep: integers beyond 64 bits, and decimals that a
/// double does not tell from their neighbours.
package enum InexactNumbers {
    /// What is shown of a number.
    private static let shownBytes = 64

    /// The first such number of a JSON document, shortened; nil when all keep their digits.
    ///
    /// - Complexity: O(n) in the number of bytes.
    package static func first(in bytes: [UInt8]) -> String? {
        var place = 0
        while place < bytes.count {
            switch bytes[place] {
            case UInt8(ascii: "\""): place = endOfString(bytes, from: place)
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                let start = place
                while place < bytes.count, isPart(bytes[place]) { place += 1 }
                let text = String(decoding: bytes[start..<place], as: UTF8.self)
                guard isKept(text) else { return String(text.prefix(shownBytes)) }
            default: place += 1
            }
        }
        return nil
    }

    /// Whether a number of a document is written again as the same number.
    private static func isKept(_ text: String) -> Bool {
        if Int64(text) != nil { return true }
        let isInteger = !text.utf8.contains { byte in
            byte == UInt8(ascii: ".") || byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E")
        }
        guard !isInteger, let value = Double(text), value.isFinite, let wanted = Digits(text)
        else { return false }
        return wanted == Digits("\(value)")
    }

    private static func isPart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
            UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
            true
        default: false
        }
    }

    /// The place behind the string that begins here.
    private static func endOfString(_ bytes: [UInt8], from start: Int) -> Int {
        var place = start + 1
        while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
            place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        return place + 1
    }

    /// A number without its sign as digits, the first and last of which are no zeros, times a power
    /// of ten: equal numbers have equal ones.
    private struct Digits: Equatable {
        private var digits: [UInt8] = []
        private var exponent = 0

        /// A double's are far within; a document's end before any sum of them overflows.
        private static let powers = -1_000_000...1_000_000

        /// Nil for an exponent that is beyond all numbers.
        init?(_ text: String) {
            var isFraction = false
            var rest = text.utf8[...]
            while let byte = rest.first, byte != UInt8(ascii: "e"), byte != UInt8(ascii: "E") {
                rest = rest.dropFirst()
                switch byte {
                case UInt8(ascii: "."): isFraction = true
                case UInt8(ascii: "0")...UInt8(ascii: "9"):
                    if isFraction { exponent -= 1 }
                    if byte != UInt8(ascii: "0") || !digits.isEmpty { digits.append(byte) }
                default: break
                }
            }
            if !rest.isEmpty {
                let digits = String(decoding: rest.dropFirst(), as: UTF8.self)
                guard let power = Int(digits), Self.powers.contains(power) else { return nil }
                exponent += power
            }
            while digits.last == UInt8(ascii: "0") {
                digits.removeLast()
                exponent += 1
            }
            if digits.isEmpty { exponent = 0 }
        }
    }
}
