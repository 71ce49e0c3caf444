/// Finds what is sensitive in a text, in one pass.
///
/// Every place is looked at once, and what is looked at from a place is bounded or passed over
/// afterwards, so that the time grows with the length of the text whatever stands in it.
struct SensitiveText {
    /// Something sensitive: where it is, and what.
    struct Part {
        var range: Range<Int>
        var kind: SensitiveKind
    }

    /// Longer names than this are not looked at backwards from a `=`.
    private static let maximumName = 64
    /// RFC 5321: 64 bytes before the `@`, 255 behind it.
    private static let maximumLocalPart = 64
    private static let maximumDomain = 255
    /// Spaces round a `=` or `:`, and quotes with their backslashes.
    private static let maximumPadding = 4

    private let bytes: ArraySlice<UInt8>
    private let kinds: SensitiveKinds
    /// In their order.
    private(set) var parts: [Part] = []
    /// Where the last part or mark ends: nothing reaches back over it.
    private var floor = 0
    /// How far digits have been looked at for cards.
    private var digitsEnd = 0
    /// How far the last run of base64url characters reaches.
    private var runEnd = 0

    /// Bytes at which something may begin or be seen.
    private static let isInteresting: [Bool] = {
        var table = [Bool](repeating: false, count: 256)
        for byte in "@:=-[+(".utf8 { table[Int(byte)] = true }
        for byte in UInt8(ascii: "0")...UInt8(ascii: "9") { table[Int(byte)] = true }
        for byte in "eEbB".utf8 { table[Int(byte)] = true }
        for byte in 0..<256 where !TokenPrefix.byFirstByte[byte].isEmpty { table[byte] = true }
        return table
    }()

    /// Looks through a text for these kinds.
    init(_ text: [UInt8], kinds: SensitiveKinds) {
        bytes = text[...]
        self.kinds = kinds
        let interesting = Self.isInteresting
        var place = 0
        while place < bytes.count {
            if interesting[Int(bytes[place])], let end = pass(place) {
                floor = end
                place = max(end, place + 1)
            } else {
                place += 1
            }
        }
    }

    // MARK: - One place

    /// Where to go on, when something ends behind `place`.
    private mutating func pass(_ place: Int) -> Int? {
        switch bytes[place] {
        case UInt8(ascii: "["): return RedactionMark.end(in: bytes, at: place)
        case UInt8(ascii: "@"): return email(place)
        case UInt8(ascii: "="): return assignment(place)
        case UInt8(ascii: ":"): return address(place) ?? assignment(place)
        case UInt8(ascii: "-"): return privateKey(place) ?? option(place)
        case UInt8(ascii: "+"), UInt8(ascii: "("): return phone(place)
        default:
            if bytes[place].isDigit, let end = account(place) { return end }
            guard isBoundary(place) else { return nil }
            if bytes[place].isDigit { return phone(place) ?? cards(place) }
            return token(place) ?? webToken(place) ?? bearer(place)
        }
    }

    private mutating func add(_ range: Range<Int>, _ kind: SensitiveKind) -> Int {
        parts.append(Part(range: range, kind: kind))
        return range.upperBound
    }

    private func isBoundary(_ place: Int) -> Bool {
        place == floor || !bytes[place - 1].isAlphanumeric
    }

    private func hasPrefix(_ text: String, at place: Int, anyCase: Bool = false) -> Bool {
        guard place + text.utf8.count <= bytes.count else { return false }
        var index = place
        for wanted in text.utf8 {
            let found = bytes[index]
            guard found == wanted || anyCase && wanted.isLetter && found == wanted ^ 32
            else { return false }
            index += 1
        }
        return true
    }

    private func end(from place: Int, while condition: (UInt8) -> Bool) -> Int {
        var end = place
        while end < bytes.count, condition(bytes[end]) { end += 1 }
        return end
    }

    // MARK: - Tokens

    private mutating func token(_ place: Int) -> Int? {
        for prefix in TokenPrefix.byFirstByte[Int(bytes[place])]
        where kinds.contains(prefix.kind) && bytes[place...].starts(with: prefix.text) {
            let start = place + prefix.text.count
            let end = end(from: start, while: prefix.alphabet.has)
            guard end - start >= prefix.minimum else { continue }
            return add(place..<end, prefix.kind)
        }
        return nil
    }

    /// A JSON Web Token: header and claims begin with `{"` in base64url.
    private mutating func webToken(_ place: Int) -> Int? {
        guard kinds.contains(.jwt), hasPrefix("eyJ", at: place) else { return nil }
        func isURLBase64(_ byte: UInt8) -> Bool {
            byte.isAlphanumeric || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        // `eyJ-eyJ-eyJ-…` is one run however often it is looked at.
        if place >= runEnd { runEnd = end(from: place, while: isURLBase64) }
        let header = runEnd
        guard header - place >= 10, header < bytes.count, bytes[header] == UInt8(ascii: ".")
        else { return nil }
        let claims = end(from: header + 1, while: isURLBase64)
        guard claims - header > 6 else { return nil }
        guard claims < bytes.count, bytes[claims] == UInt8(ascii: ".") else {
            return add(place..<claims, .jwt)
        }
        return add(place..<end(from: claims + 1, while: isURLBase64), .jwt)
    }

    private mutating func bearer(_ place: Int) -> Int? {
        guard kinds.contains(.bearer), hasPrefix("bearer ", at: place, anyCase: true) else {
            return nil
        }
        let start = end(from: place + 7) { $0 == 32 }
        let end = end(from: start, while: \.isTokenByte)
        // "Bearer authentication" is a word; tokens are longer or have other characters.
        let isWord = bytes[start..<end].allSatisfy { $0.isLetter || $0 == UInt8(ascii: ".") }
        guard end - start >= (isWord ? 20 : 8) else { return nil }
        return add(start..<end, .bearer)
    }

    private mutating func privateKey(_ place: Int) -> Int? {
        guard kinds.contains(.privateKey), hasPrefix("-----BEGIN ", at: place) else { return nil }
        let name = end(from: place + 11) { $0 != UInt8(ascii: "-") && $0 != 10 }
        guard
            bytes[place + 11..<name].suffix(11).elementsEqual("PRIVATE KEY".utf8)
                || bytes[place + 11..<name].suffix(17).elementsEqual("PRIVATE KEY BLOCK".utf8)
        else { return nil }
        var end = name
        while end < bytes.count, !hasPrefix("-----END ", at: end) { end += 1 }
        guard end < bytes.count else { return add(place..<bytes.count, .privateKey) }
        end = self.end(from: end + 9) { $0 != UInt8(ascii: "-") && $0 != 10 }
        return add(place..<self.end(from: end) { $0 == UInt8(ascii: "-") }, .privateKey)
    }

    // MARK: - Addresses

    /// The password of `scheme://user:password@host`, or a long user without one.
    private mutating func address(_ place: Int) -> Int? {
        guard kinds.contains(.urlPassword), hasPrefix("://", at: place) else { return nil }
        let start = place + 3
        var (colon, at): (Int?, Int?) = (nil, nil)
        let end = end(from: start) { byte in
            !byte.isSpace && !#"/?#"'<>\`"#.utf8.contains(byte)
        }
        for index in start..<end {
            if bytes[index] == UInt8(ascii: ":"), colon == nil, at == nil { colon = index }
            if bytes[index] == UInt8(ascii: "@") { at = index }
        }
        guard let at else { return nil }
        let secret = (colon.map { $0 + 1 } ?? start)..<at
        guard !secret.isEmpty, colon != nil || secret.count >= Self.maximumPadding * 4,
            !RedactionMark.isWhole(bytes[secret])
        else { return nil }
        return add(secret, .urlPassword)
    }

    private mutating func email(_ place: Int) -> Int? {
        guard kinds.contains(.email) else { return nil }
        func isLocal(_ byte: UInt8) -> Bool {
            byte.isAlphanumeric || byte >= 0x80 || ".!#$%&*+-_~^{|}".utf8.contains(byte)
        }
        let lowest = max(floor, place - Self.maximumLocalPart)
        var start = place
        while start > lowest, isLocal(bytes[start - 1]) { start -= 1 }
        // Not in the middle of a letter.
        while start < place, bytes[start] & 0xC0 == 0x80 { start += 1 }
        let highest = min(bytes.count, place + 1 + Self.maximumDomain)
        var end = place + 1
        while end < highest,
            bytes[end].isAlphanumeric || bytes[end] >= 0x80 || "-.".utf8.contains(bytes[end])
        {
            end += 1
        }
        while end > place, end < bytes.count, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        while end > place + 1, "-.".utf8.contains(bytes[end - 1]) { end -= 1 }
        let labels = bytes[place + 1..<max(end, place + 1)].split(
            separator: UInt8(ascii: "."),
            omittingEmptySubsequences: false
        )
        // `https://git@host` is how one speaks to a host.
        let isUser = start >= 3 && hasPrefix("://", at: start - 3)
        guard start < place, labels.count >= 2, let last = labels.last, last.count >= 2, !isUser,
            labels.allSatisfy({ !$0.isEmpty }), last.contains(where: { !$0.isDigit })
        else { return nil }
        return add(start..<end, .email)
    }

    // MARK: - Names and their values

    /// The value behind `name=` or `name:`.
    private mutating func assignment(_ place: Int) -> Int? {
        guard kinds.contains(.named), let strength = nameStrength(before: place) else { return nil }
        var start = place + 1
        // `=>` and `:=` too.
        if start < bytes.count, ">=".utf8.contains(bytes[start]) { start += 1 }
        let needsProof = bytes[place] == UInt8(ascii: ":") && strength == .text
        return value(from: start, needsProof: needsProof)
    }

    /// The value behind `--name`.
    private mutating func option(_ place: Int) -> Int? {
        guard kinds.contains(.named), hasPrefix("--", at: place) else { return nil }
        let limit = min(bytes.count, place + 2 + Self.maximumName)
        var name = place + 2
        while name < limit, bytes[name].isAlphanumeric || bytes[name] == UInt8(ascii: "-") {
            name += 1
        }
        guard name < limit, bytes[name] == 32,
            SensitiveName.strength(of: bytes[place + 2..<name]) != nil
        else { return nil }
        return value(from: name, needsProof: false)
    }

    private func nameStrength(before place: Int) -> SensitiveName.Strength? {
        var end = place
        let padding = max(floor, place - Self.maximumPadding)
        while end > padding, bytes[end - 1] == 32 || #"\"'`"#.utf8.contains(bytes[end - 1]) {
            end -= 1
        }
        let lowest = max(floor, end - Self.maximumName)
        var start = end
        while start > lowest,
            bytes[start - 1].isAlphanumeric || "_-.".utf8.contains(bytes[start - 1])
        {
            start -= 1
        }
        guard start < end else { return nil }
        return SensitiveName.strength(of: bytes[start..<end])
    }

    private static let schemes = [
        "bearer ", "basic ", "token ", "apikey ", "digest ",
    ]
    /// Values that say that there is none.
    private static let nothings = ["null", "nil", "true", "false", "none"]
    /// "The token: needed" is prose; tokens are longer, and have digits or signs.
    private static let shortestProven = 6

    /// A value that begins at a place, perhaps behind spaces, a quote and a scheme.
    private mutating func value(from place: Int, needsProof: Bool) -> Int? {
        var start = place
        while start < bytes.count, start - place < Self.maximumPadding, bytes[start] == 32 {
            start += 1
        }
        let escapes = end(from: start) { $0 == UInt8(ascii: "\\") } - start
        var quote: Quote?
        if start + escapes < bytes.count, escapes <= Self.maximumPadding,
            #""'`"#.utf8.contains(bytes[start + escapes])
        {
            quote = Quote(mark: bytes[start + escapes], isEscaped: escapes > 0)
            start += escapes + 1
        }
        var needsProof = needsProof && quote == nil
        for scheme in Self.schemes where hasPrefix(scheme, at: start, anyCase: true) {
            start = end(from: start) { $0 != 32 } + 1
            needsProof = false
        }
        let end = valueEnd(from: start, quote)
        guard end > start else { return nil }
        let text = bytes[start..<end]
        if RedactionMark.isWhole(text) { return end }
        if needsProof {
            let isPlain = text.allSatisfy { byte in
                byte.isLetter || byte >= 0x80 || ".!?-".utf8.contains(byte)
            }
            guard text.count >= Self.shortestProven, !isPlain else { return nil }
        }
        guard !Self.nothings.contains(where: { text.elementsEqual($0.utf8) }) else { return nil }
        return add(start..<end, .named)
    }

    /// How a quoted value began.
    private struct Quote {
        var mark: UInt8
        /// Whether backslashes stand before it, as in a document inside a document.
        var isEscaped: Bool
    }

    private func valueEnd(from start: Int, _ quote: Quote?) -> Int {
        guard let quote else {
            // A mark has brackets of its own; what follows it belongs to the value.
            let mark = start < bytes.count ? RedactionMark.end(in: bytes, at: start) : nil
            return end(from: mark ?? start) { byte in
                !byte.isSpace && !#",;&)]}"'`<>"#.utf8.contains(byte)
            }
        }
        var end = start
        while end < bytes.count, bytes[end] != quote.mark {
            let isEscape = bytes[end] == UInt8(ascii: "\\") && end + 1 < bytes.count
            if isEscape, quote.isEscaped, bytes[end + 1] == quote.mark { return end }
            end += isEscape ? 2 : 1
        }
        return min(end, bytes.count)
    }

    // MARK: - Numbers

    private mutating func phone(_ place: Int) -> Int? {
        guard kinds.contains(.phone),
            let range = PersonalNumbers.phone(in: bytes, at: place, floor: floor)
        else { return nil }
        return add(range, .phone)
    }

    private mutating func account(_ place: Int) -> Int? {
        guard kinds.contains(.iban),
            let range = PersonalNumbers.account(in: bytes, checkedAt: place, floor: floor)
        else { return nil }
        return add(range, .iban)
    }

    /// The payment cards in a run of digits with single spaces or hyphens between them.
    private mutating func cards(_ place: Int) -> Int? {
        guard kinds.contains(.card), place >= digitsEnd else { return nil }
        var groups: [Range<Int>] = []
        var start = place
        while true {
            digitsEnd = end(from: start, while: \.isDigit)
            groups.append(start..<digitsEnd)
            guard digitsEnd + 1 < bytes.count, bytes[digitsEnd + 1].isDigit,
                bytes[digitsEnd] == 32 || bytes[digitsEnd] == UInt8(ascii: "-")
            else { break }
            start = digitsEnd + 1
        }
        // `0.4111…` is a fraction, `4111…a` a name.
        if place > floor, bytes[place - 1] == UInt8(ascii: ".") { groups.removeFirst() }
        if digitsEnd < bytes.count, bytes[digitsEnd].isLetter, !groups.isEmpty {
            groups.removeLast()
        }
        var (first, found): (Int, Int?) = (0, nil)
        while first < groups.count {
            guard let last = card(in: groups, from: first) else {
                first += 1
                continue
            }
            found = add(groups[first].lowerBound..<groups[last].upperBound, .card)
            first = last + 1
        }
        return found
    }

    /// The last group of the card that begins with a group.
    private func card(in groups: [Range<Int>], from first: Int) -> Int? {
        var digits: [UInt8] = []
        for (index, group) in groups[first...].enumerated() {
            guard digits.count + group.count <= 19 else { return nil }
            if index > 0 {
                let isEven = bytes[groups[first].upperBound] == bytes[group.lowerBound - 1]
                // 4-4-4-4, 4-6-5, 4-3-3-3 and 4-4-4-4-3 are how cards are written.
                guard isEven, group.count >= 3, groups[first].count == 4 else { return nil }
            }
            digits += bytes[group].map { $0 - 48 }
            if digits.count >= 13, Self.isCard(digits) { return first + index }
        }
        return nil
    }

    /// Whether an issuer has such numbers (ISO/IEC 7812) and the check digit is right (Luhn).
    static func isCard(_ digits: [UInt8]) -> Bool {
        let head = digits.prefix(4).reduce(0) { $0 * 10 + Int($1) }
        let lengths: ClosedRange<Int>
        switch head {
        case 4000...4999: lengths = 13...19
        case 2221...2720, 5100...5599: lengths = 16...16
        case 3400...3499, 3700...3799: lengths = 15...15
        case 3000...3059, 3600...3699, 3800...3999: lengths = 14...19
        case 3528...3589, 6011, 6440...6599, 6200...6299: lengths = 16...19
        case 5000...5099, 5600...5899, 6300...6399, 6700...6799: lengths = 13...19
        default: return false
        }
        guard lengths.contains(digits.count) else { return false }
        var sum = 0
        for (place, digit) in digits.reversed().enumerated() {
            let value = place.isMultiple(of: 2) ? Int(digit) : Int(digit) * 2
            sum += value > 9 ? value - 9 : value
        }
        return sum.isMultiple(of: 10)
    }
}
