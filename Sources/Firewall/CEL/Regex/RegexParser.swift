/// Reads the syntax of RE2 (github.com/google/re2/wiki/Syntax): no back-references, no look-around.
struct RegexParser {
    /// RE2's limits: 1000 for a count and for the product of counts in one another.
    private static let maximumCount = 1_000
    /// Groups in one another.
    private static let maximumDepth = 200

    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var depth = 0
    private var names: Set<String> = []
    private var flags = Flags()

    private struct Flags {
        var ignoresCase = false
        var isMultiline = false
        var dotMatchesNewline = false
    }

    /// The structure of a pattern.
    static func parse(_ pattern: String) throws(RegexError) -> RegexSyntax {
        var parser = RegexParser(scalars: Array(pattern.unicodeScalars))
        let syntax = try parser.alternation()
        guard parser.peek() == nil else { throw RegexError(message: "unexpected )") }
        guard repetitions(in: syntax) <= maximumCount else {
            throw RegexError(message: "repetitions in one another are too many")
        }
        return syntax
    }

    private init(scalars: [Unicode.Scalar]) {
        self.scalars = scalars
    }

    /// The largest product of counts in one another; cut off above what is allowed, because counts
    /// of seven groups in one another fit no integer.
    private static func repetitions(in syntax: RegexSyntax) -> Int {
        switch syntax {
        case .empty, .set, .anyByte, .assertion: return 1
        case .concatenation(let parts), .alternation(let parts):
            return parts.map(repetitions).max() ?? 1
        case .repetition(let part, let minimum, let maximum):
            let inner = repetitions(in: part)
            return min(inner * max(1, maximum ?? minimum), maximumCount + 1)
        }
    }

    // MARK: - Structure

    private mutating func alternation() throws(RegexError) -> RegexSyntax {
        var branches = [try concatenation()]
        while take("|") { branches.append(try concatenation()) }
        return branches.count == 1 ? branches[0] : .alternation(branches)
    }

    private mutating func concatenation() throws(RegexError) -> RegexSyntax {
        var parts: [RegexSyntax] = []
        while let scalar = peek(), scalar != "|", scalar != ")" {
            if let quoted = try quotation() {
                parts += quoted
                continue
            }
            guard let atom = try atom() else { continue }
            parts.append(try repeated(atom))
        }
        return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .concatenation(parts)
    }

    /// `\Q…\E`: text without meaning.
    private mutating func quotation() throws(RegexError) -> [RegexSyntax]? {
        guard peek() == "\\", peek(1) == "Q" else { return nil }
        index += 2
        var parts: [RegexSyntax] = []
        while let scalar = peek() {
            if scalar == "\\", peek(1) == "E" {
                index += 2
                break
            }
            index += 1
            parts.append(literal(scalar))
        }
        // An operator behind repeats the last character.
        if let last = parts.popLast() { parts.append(try repeated(last)) }
        return parts
    }

    private mutating func repeated(_ atom: RegexSyntax) throws(RegexError) -> RegexSyntax {
        guard let (minimum, maximum) = try repetition() else { return atom }
        _ = take("?")
        if let next = peek(), next == "*" || next == "+" || next == "?" {
            throw RegexError(message: "bad repetition operator")
        }
        let mark = index
        if try repetition() != nil { throw RegexError(message: "bad repetition operator") }
        index = mark
        return .repetition(atom, minimum: minimum, maximum: maximum)
    }

    private mutating func repetition() throws(RegexError) -> (Int, Int?)? {
        switch peek() {
        case "*":
            index += 1
            return (0, nil)
        case "+":
            index += 1
            return (1, nil)
        case "?":
            index += 1
            return (0, 1)
        case "{": return try counts()
        default: return nil
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else in braces is text.
    private mutating func counts() throws(RegexError) -> (Int, Int?)? {
        let mark = index
        index += 1
        guard let minimum = number() else {
            index = mark
            return nil
        }
        var maximum: Int? = minimum
        if take(",") { maximum = peek() == "}" ? nil : number() ?? -1 }
        guard maximum != -1, take("}") else {
            index = mark
            return nil
        }
        guard minimum <= Self.maximumCount, maximum ?? 0 <= Self.maximumCount,
            minimum <= maximum ?? minimum
        else { throw RegexError(message: "invalid repetition size") }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        let start = index
        var value = 0
        while let scalar = peek(), let digit = scalar.digit(radix: 10) {
            value = min(value * 10 + digit, Self.maximumCount + 1)
            index += 1
        }
        return index > start ? value : nil
    }

    // MARK: - Atoms

    private mutating func atom() throws(RegexError) -> RegexSyntax? {
        guard let scalar = peek() else { return nil }
        index += 1
        switch scalar {
        case "(": return try group()
        case "[": return .set(try characterClass())
        case ".":
            return .set(flags.dotMatchesNewline ? .all : ScalarSet(0x0A).inverted)
        case "^": return .assertion(flags.isMultiline ? .lineStart : .textStart)
        case "$": return .assertion(flags.isMultiline ? .lineEnd : .textEnd)
        case "\\": return try escape()
        case "*", "+", "?": throw RegexError(message: "no argument for repetition operator")
        default: return literal(scalar)
        }
    }

    private func literal(_ scalar: Unicode.Scalar) -> RegexSyntax {
        let set = ScalarSet(scalar.value)
        return .set(flags.ignoresCase ? set.caseFolded : set)
    }

    private mutating func group() throws(RegexError) -> RegexSyntax? {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw RegexError(message: "groups nested more than \(Self.maximumDepth) deep")
        }
        let outer = flags
        if take("?") {
            if take("P") || (peek() == "<") {
                try groupName()
            } else if try !flagGroup() {
                // `(?i)` holds until the enclosing group ends.
                return nil
            }
        }
        let inner = try alternation()
        guard take(")") else { throw RegexError(message: "missing )") }
        flags = outer
        return inner
    }

    private mutating func groupName() throws(RegexError) {
        guard take("<") else { throw RegexError(message: "invalid named capture group") }
        var name = ""
        while let scalar = peek(), scalar != ">" {
            let isWord = UnicodeClasses.words.contains(scalar.value)
            guard isWord else { throw RegexError(message: "invalid named capture group") }
            name.unicodeScalars.append(scalar)
            index += 1
        }
        guard take(">"), !name.isEmpty, names.insert(name).inserted else {
            throw RegexError(message: "invalid named capture group")
        }
    }

    /// Reads flags; true when a group follows them.
    private mutating func flagGroup() throws(RegexError) -> Bool {
        var isOn = true
        var isAny = false
        while let scalar = peek() {
            index += 1
            switch scalar {
            case "i": flags.ignoresCase = isOn
            case "m": flags.isMultiline = isOn
            case "s": flags.dotMatchesNewline = isOn
            // Which of several matches is preferred makes no difference to whether there is one.
            case "U": break
            case "-" where isOn:
                isOn = false
                isAny = false
                continue
            case ":" where isOn || isAny: return true
            case ")" where isAny: return false
            default: throw RegexError(message: "invalid or unsupported group")
            }
            isAny = true
        }
        throw RegexError(message: "missing )")
    }

    // MARK: - Escapes

    private mutating func escape() throws(RegexError) -> RegexSyntax {
        guard let scalar = peek() else { throw RegexError(message: "trailing \\") }
        switch scalar {
        case "A": return advance(.assertion(.textStart))
        case "z": return advance(.assertion(.textEnd))
        case "b": return advance(.assertion(.wordBoundary))
        case "B": return advance(.assertion(.noWordBoundary))
        case "C": return advance(.anyByte)
        default: break
        }
        if let set = try classEscape() { return .set(set) }
        return literal(try scalarEscape())
    }

    private mutating func advance(_ syntax: RegexSyntax) -> RegexSyntax {
        index += 1
        return syntax
    }

    /// The set of `\d`, `\pL` and their like, which are valid in brackets too.
    private mutating func classEscape() throws(RegexError) -> ScalarSet? {
        guard let scalar = peek() else { return nil }
        let set: ScalarSet
        switch scalar {
        case "d", "D": set = UnicodeClasses.digits
        case "s", "S": set = UnicodeClasses.spaces
        case "w", "W": set = UnicodeClasses.words
        case "p", "P": return try property(isInverted: scalar == "P")
        default: return nil
        }
        index += 1
        let folded = flags.ignoresCase ? set.caseFolded : set
        return scalar.properties.isUppercase ? folded.inverted : folded
    }

    private mutating func property(isInverted: Bool) throws(RegexError) -> ScalarSet {
        index += 1
        var name = ""
        var isInverted = isInverted
        if take("{") {
            if take("^") { isInverted.toggle() }
            while let scalar = peek(), scalar != "}" {
                name.unicodeScalars.append(scalar)
                index += 1
            }
            guard take("}") else { throw RegexError(message: "invalid character class range") }
        } else if let scalar = peek() {
            name.unicodeScalars.append(scalar)
            index += 1
        }
        guard let set = UnicodeClasses.named(name) else {
            throw RegexError(message: "invalid character class range: \\p{\(name)}")
        }
        let folded = flags.ignoresCase ? set.caseFolded : set
        return isInverted ? folded.inverted : folded
    }

    private mutating func scalarEscape() throws(RegexError) -> Unicode.Scalar {
        guard let scalar = peek() else { throw RegexError(message: "trailing \\") }
        index += 1
        switch scalar {
        case "a": return "\u{07}"
        case "f": return "\u{0C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{0B}"
        case "x": return try hexadecimal()
        case "0"..."7": return try octal(first: scalar)
        default:
            let isPunctuation =
                scalar.isASCII && !UnicodeClasses.words.contains(scalar.value)
            guard isPunctuation else { throw invalidEscape }
            return scalar
        }
    }

    private mutating func octal(first: Unicode.Scalar) throws(RegexError) -> Unicode.Scalar {
        var value = first.value - 48
        // One digit but 0 would be a back-reference.
        guard first == "0" || peek()?.digit(radix: 8) != nil else { throw invalidEscape }
        var count = 1
        while count < 3, let digit = peek()?.digit(radix: 8) {
            value = value * 8 + UInt32(digit)
            index += 1
            count += 1
        }
        guard let scalar = Unicode.Scalar(value) else { throw invalidEscape }
        return scalar
    }

    private mutating func hexadecimal() throws(RegexError) -> Unicode.Scalar {
        let isBraced = take("{")
        var value: UInt32 = 0
        var count = 0
        while let digit = peek()?.digit(radix: 16), isBraced || count < 2 {
            value = value << 4 | UInt32(digit)
            guard value <= ScalarSet.maximum else { throw invalidEscape }
            index += 1
            count += 1
        }
        let isComplete = isBraced ? count > 0 && take("}") : count == 2
        guard isComplete, let scalar = Unicode.Scalar(value) else { throw invalidEscape }
        return scalar
    }

    private var invalidEscape: RegexError { RegexError(message: "invalid escape sequence") }

    // MARK: - Classes

    private mutating func characterClass() throws(RegexError) -> ScalarSet {
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        var isFirst = true
        while let scalar = peek(), scalar != "]" || isFirst {
            isFirst = false
            if scalar == "[", peek(1) == ":", let set = try posixClass() {
                ranges += set.ranges
                continue
            }
            if scalar == "\\" {
                index += 1
                if let set = try classEscape() {
                    ranges += set.ranges
                    continue
                }
                index -= 1
            }
            ranges.append(try classRange())
        }
        guard take("]") else { throw RegexError(message: "missing ]") }
        var set = ScalarSet(ranges)
        if flags.ignoresCase { set = set.caseFolded }
        return isInverted ? set.inverted : set
    }

    private mutating func classRange() throws(RegexError) -> ClosedRange<UInt32> {
        let low = try classScalar()
        guard peek() == "-", let next = peek(1), next != "]" else {
            return low.value...low.value
        }
        index += 1
        let high = try classScalar()
        guard low.value <= high.value else {
            throw RegexError(message: "invalid character class range")
        }
        return low.value...high.value
    }

    private mutating func classScalar() throws(RegexError) -> Unicode.Scalar {
        guard let scalar = peek() else { throw RegexError(message: "missing ]") }
        index += 1
        return scalar == "\\" ? try scalarEscape() : scalar
    }

    /// `[:alpha:]` inside of brackets; nil when it is text.
    private mutating func posixClass() throws(RegexError) -> ScalarSet? {
        var end = index + 2
        while end + 1 < scalars.count, !(scalars[end] == ":" && scalars[end + 1] == "]") {
            end += 1
        }
        guard end + 1 < scalars.count else { return nil }
        var name = String(String.UnicodeScalarView(scalars[index + 2..<end]))
        let isInverted = name.hasPrefix("^")
        if isInverted { name.removeFirst() }
        guard var set = UnicodeClasses.posix(name) else {
            throw RegexError(message: "invalid character class range: [:\(name):]")
        }
        index = end + 2
        if flags.ignoresCase { set = set.caseFolded }
        return isInverted ? set.inverted : set
    }

    // MARK: - Characters

    private func peek(_ distance: Int = 0) -> Unicode.Scalar? {
        index + distance < scalars.count ? scalars[index + distance] : nil
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek() == scalar else { return false }
        index += 1
        return true
    }
}

extension Unicode.Scalar {
    /// The digit's value when this is an ASCII digit of the radix.
    fileprivate func digit(radix: Int) -> Int? {
        guard isASCII else { return nil }
        let digit = Character(self).hexDigitValue
        return digit.flatMap { $0 < radix ? $0 : nil }
    }
}
