/// Telephone numbers and bank accounts in texts: forms strict enough that versions, dates, amounts
/// and identifiers are none.
///
/// All functions look at a bounded number of bytes from a place. `floor` is where the last finding
/// or mark ends: what follows at once begins a word of its own.
enum PersonalNumbers {
    // MARK: - Telephone numbers

    /// E.164 allows 15 digits; no country has numbers as long, and what follows behind a space may
    /// be another number.
    private static let phoneDigits = 8...13
    /// Without spaces, shorter ones are numbers of anything.
    private static let plainDigits = 10...15
    /// `+33 1 23 45 67 89` has six.
    private static let maximumGroups = 7
    private static let maximumGroup = 8
    /// A payment card's, ISO/IEC 7812.
    private static let cardDigits = 13...19

    /// Country codes (ITU-T E.164): of one digit, of two, of three.
    private static let codes: [ClosedRange<Int>] = [
        1...1, 7...7,
        20...20, 27...27, 30...34, 36...36, 39...41, 43...49, 51...58, 60...66, 81...82, 84...84,
        86...86, 90...95, 98...98,
        211...213, 216...216, 218...218, 220...258, 260...269, 290...291, 297...299, 350...359,
        370...378, 380...383, 385...387, 389...389, 420...421, 423...423, 500...509, 590...599,
        670...670, 672...683, 685...692, 850...850, 852...853, 855...856, 880...880, 886...886,
        960...968, 970...977, 992...996, 998...998,
    ]

    /// A telephone number that begins at a place, with `+` or in the form of North America; nil
    /// for none.
    static func phone(
        in bytes: ArraySlice<UInt8>,
        at place: Int,
        floor: Int
    ) -> Range<Int>? {
        guard place == floor || isStart(after: bytes[place - 1]) else { return nil }
        return bytes[place] == UInt8(ascii: "+")
            ? international(bytes, place) : northAmerican(bytes, place)
    }

    private static func isStart(after byte: UInt8) -> Bool {
        !byte.isAlphanumeric && !"+-./".utf8.contains(byte)
    }

    /// `+49 30 901820`, `+1 (415) 555-2671`, `+4930901820`.
    private static func international(
        _ bytes: ArraySlice<UInt8>,
        _ place: Int
    ) -> Range<Int>? {
        var groups: [[UInt8]] = []
        var (next, count) = (place + 1, 0)
        // Of the longest number; behind it may stand numbers of something else.
        var last: Int?
        while groups.count < maximumGroups, let found = group(bytes, next) {
            let digits = bytes[found.digits]
            let isFirst = groups.isEmpty
            guard digits.count <= (isFirst ? plainDigits.upperBound : maximumGroup),
                isFirst || count + digits.count <= phoneDigits.upperBound,
                isFirst || digits.count > 1 || groups.count == 1,
                isFirst || !beginsCard(bytes, found.digits)
            else { break }
            groups.append(Array(digits))
            count += digits.count
            if isNumber(groups), isEnd(bytes, found.end) { last = found.end }
            guard let start = startOfNext(bytes, found.end) else { break }
            next = start
        }
        return last.map { place..<$0 }
    }

    /// The digits at a place, perhaps in brackets, and where they end with them.
    private static func group(
        _ bytes: ArraySlice<UInt8>,
        _ place: Int
    ) -> (digits: Range<Int>, end: Int)? {
        let isOpen = place < bytes.endIndex && bytes[place] == UInt8(ascii: "(")
        let start = isOpen ? place + 1 : place
        var end = start
        // One more than any number has, to know that it is none.
        let limit = min(bytes.endIndex, start + plainDigits.upperBound + 1)
        while end < limit, bytes[end].isDigit { end += 1 }
        guard end > start else { return nil }
        guard isOpen else { return (start..<end, end) }
        guard end < bytes.endIndex, bytes[end] == UInt8(ascii: ")") else { return nil }
        return (start..<end, end + 1)
    }

    /// Where another group may begin.
    private static func startOfNext(_ bytes: ArraySlice<UInt8>, _ end: Int) -> Int? {
        guard end < bytes.endIndex else { return nil }
        let start = " -./".utf8.contains(bytes[end]) ? end + 1 : end
        guard start < bytes.endIndex,
            bytes[start].isDigit || bytes[start] == UInt8(ascii: "(")
        else { return nil }
        return start
    }

    private static func isNumber(_ groups: [[UInt8]]) -> Bool {
        let digits = groups.joined().map { Int($0 - 48) }
        guard let first = groups.first, phoneDigits.lowerBound <= digits.count else { return false }
        // A country code stands alone, or everything in one; `+2026-01-31` is a line of a patch.
        let lengths = groups.count == 1 ? 1...3 : first.count...first.count
        guard lengths.upperBound <= 3, groups.count > 1 || plainDigits.contains(digits.count)
        else { return false }
        for length in lengths {
            let code = digits.prefix(length).reduce(0) { $0 * 10 + $1 }
            guard codes.contains(where: { $0.contains(code) }) else { continue }
            let national = digits.dropFirst(length)
            switch code {
            case 1:
                return national.count == 10 && isNorthAmerican(Array(national))
            case 7: return national.count == 10
            // Italy keeps the zero; elsewhere `+20 000 000 000` is an amount.
            case 39: return true
            default:
                let hasTrunkZero = groups.count > 1 && groups[1].count == 1
                return national.first != 0 || hasTrunkZero
            }
        }
        return false
    }

    private static func isNorthAmerican(_ digits: [Int]) -> Bool { digits[0] > 1 && digits[3] > 1 }

    /// `(415) 555-2671`, `415-555-2671`, `415.555.2671`.
    private static func northAmerican(
        _ bytes: ArraySlice<UInt8>,
        _ place: Int
    ) -> Range<Int>? {
        guard let area = group(bytes, place), area.digits.count == 3 else { return nil }
        var start = area.end
        let isOpen = area.digits.lowerBound > place
        guard start < bytes.endIndex else { return nil }
        let mark = bytes[start]
        if isOpen {
            if mark == 32 { start += 1 }
        } else {
            guard mark == UInt8(ascii: "-") || mark == UInt8(ascii: ".") else { return nil }
            start += 1
        }
        guard start < bytes.endIndex, bytes[start].isDigit, let exchange = group(bytes, start),
            exchange.digits.count == 3, exchange.end < bytes.endIndex
        else { return nil }
        let second = bytes[exchange.end]
        guard isOpen ? second == UInt8(ascii: "-") || second == UInt8(ascii: ".") : second == mark,
            exchange.end + 1 < bytes.endIndex, bytes[exchange.end + 1].isDigit,
            let line = group(bytes, exchange.end + 1), line.digits.count == 4,
            isEnd(bytes, line.end)
        else { return nil }
        let digits = (bytes[area.digits] + bytes[exchange.digits]).map { Int($0 - 48) }
        return isNorthAmerican(digits) ? place..<line.end : nil
    }

    /// Whether a number may end here: neither in a word, nor in a longer run of numbers.
    private static func isEnd(_ bytes: ArraySlice<UInt8>, _ end: Int) -> Bool {
        guard end < bytes.endIndex else { return true }
        let byte = bytes[end]
        guard !byte.isAlphanumeric, byte != UInt8(ascii: "-"), byte != UInt8(ascii: "/") else {
            return false
        }
        let isPoint = byte == UInt8(ascii: ".") && end + 1 < bytes.endIndex
        return !(isPoint && bytes[end + 1].isDigit)
    }

    /// Whether a payment card begins with these digits: it is not to be taken for a number's end.
    private static func beginsCard(_ bytes: ArraySlice<UInt8>, _ group: Range<Int>) -> Bool {
        var digits: [UInt8] = []
        var place = group.lowerBound
        // Twice as many bytes as digits is every digit with a space behind it.
        let limit = min(bytes.endIndex, place + 2 * cardDigits.upperBound)
        while place < limit {
            if bytes[place].isDigit {
                digits.append(bytes[place] - 48)
                let isLast = place + 1 == bytes.endIndex || !bytes[place + 1].isDigit
                if isLast, cardDigits.contains(digits.count), SensitiveText.isCard(digits) {
                    return true
                }
            } else if bytes[place] != 32, bytes[place] != UInt8(ascii: "-") {
                return false
            }
            place += 1
        }
        return false
    }

    // MARK: - Bank accounts

    /// Characters of an account's number by country (ISO 13616, the registry's release 99).
    private static let lengths: [String: Int] = [
        "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
        "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
        "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
        "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
        "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
        "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
        "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23,
        "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
        "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
        "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
    ]

    /// An international bank account number whose check digits begin at a place; nil for none.
    ///
    /// Capitals and digits, as they are printed: in one, or in groups of four.
    static func account(
        in bytes: ArraySlice<UInt8>,
        checkedAt place: Int,
        floor: Int
    ) -> Range<Int>? {
        let start = place - 2
        guard start >= floor, isCapital(bytes[start]), isCapital(bytes[start + 1]),
            start == floor || !bytes[start - 1].isAlphanumeric,
            let length = lengths[String(decoding: bytes[start..<place], as: UTF8.self)]
        else { return nil }
        var text: [UInt8] = []
        var end = start
        while text.count < length, end < bytes.endIndex {
            let byte = bytes[end]
            if byte.isDigit || isCapital(byte) {
                text.append(byte)
            } else {
                let isSpace = byte == 32 && text.count.isMultiple(of: 4)
                guard isSpace, bytes[end - 1] != 32 else { return nil }
            }
            end += 1
        }
        guard text.count == length, end == bytes.endIndex || !bytes[end].isAlphanumeric,
            isRight(text)
        else { return nil }
        return start..<end
    }

    private static func isCapital(_ byte: UInt8) -> Bool { (65...90).contains(byte) }

    /// Whether the check digits are those of the rest (ISO 7064, MOD 97-10).
    private static func isRight(_ text: [UInt8]) -> Bool {
        let remainder = (text[4...] + text[..<4]).reduce(0) { sum, byte in
            byte.isDigit ? (sum * 10 + Int(byte - 48)) % 97 : (sum * 100 + Int(byte - 55)) % 97
        }
        return remainder == 1
    }
}
