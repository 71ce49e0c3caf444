/// Cuts an expression into its lexical elements (cel-spec, doc/langdef.md, "Syntax").
struct Lexer {
    private let source: [UInt8]
    private var offset = 0
    private var line: Int32 = 1
    /// Where the present line starts, and how many of its bytes so far start no code point.
    private var lineStart = 0
    private var continuations = 0
    /// Up to where `continuations` has counted.
    private var countedTo = 0

    private init(_ source: String) {
        self.source = Array(source.utf8)
    }

    /// All elements, the end last.
    ///
    /// - Complexity: O(n) in the number of bytes.
    static func tokens(of source: String) throws(CompilationError) -> [Token] {
        var lexer = Lexer(source)
        var tokens: [Token] = []
        while true {
            lexer.skipSpace()
            let position = lexer.position
            let kind = try lexer.next()
            tokens.append(Token(kind: kind, position: position))
            if kind == .end { return tokens }
        }
    }

    // MARK: - Elements

    private mutating func next() throws(CompilationError) -> Token.Kind {
        guard let byte = peek() else { return .end }
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            return try number()
        case UInt8(ascii: "."):
            if let digit = peek(1), isDigit(digit) { return try number() }
            offset += 1
            return .symbol(.dot)
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            return try literal(isRaw: false, isBytes: false)
        case UInt8(ascii: "`"):
            return try quotedName()
        case _ where isNameStart(byte):
            return try prefixedLiteral() ?? name()
        default:
            return try symbol(byte)
        }
    }

    /// A string with `r`, `b` or `br` before it, in either case.
    private mutating func prefixedLiteral() throws(CompilationError) -> Token.Kind? {
        var length = 0
        var isBytes = false
        var isRaw = false
        if let byte = peek(), byte | 0x20 == UInt8(ascii: "b") {
            isBytes = true
            length = 1
        }
        if let byte = peek(length), byte | 0x20 == UInt8(ascii: "r") {
            isRaw = true
            length += 1
        }
        guard length > 0, let quote = peek(length),
            quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'")
        else { return nil }
        offset += length
        return try literal(isRaw: isRaw, isBytes: isBytes)
    }

    private mutating func name() -> Token.Kind {
        let start = offset
        while let byte = peek(), isNameStart(byte) || isDigit(byte) { offset += 1 }
        let text = String(decoding: source[start..<offset], as: UTF8.self)
        if let word = Token.Word(rawValue: text) { return .word(word) }
        return Token.reservedWords.contains(text) ? .reserved(text) : .identifier(text)
    }

    private mutating func quotedName() throws(CompilationError) -> Token.Kind {
        offset += 1
        let start = offset
        while let byte = peek(), byte != UInt8(ascii: "`") {
            let isAllowed =
                isNameStart(byte) || isDigit(byte) || byte == UInt8(ascii: ".")
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "/")
                || byte == UInt8(ascii: " ")
            guard isAllowed else { throw failure("a character that a quoted name cannot have") }
            offset += 1
        }
        guard peek() != nil, offset > start else { throw failure("an unfinished quoted name") }
        let text = String(decoding: source[start..<offset], as: UTF8.self)
        offset += 1
        return .quoted(text)
    }

    private mutating func symbol(_ byte: UInt8) throws(CompilationError) -> Token.Kind {
        if let second = peek(1) {
            let pair = String(decoding: [byte, second], as: UTF8.self)
            if let symbol = Token.Symbol(rawValue: pair) {
                offset += 2
                return .symbol(symbol)
            }
        }
        let single = String(decoding: [byte], as: UTF8.self)
        guard let symbol = Token.Symbol(rawValue: single) else {
            throw failure("a character that no expression can have here")
        }
        offset += 1
        return .symbol(symbol)
    }

    // MARK: - Numbers

    private mutating func number() throws(CompilationError) -> Token.Kind {
        let start = offset
        if peek() == UInt8(ascii: "0"), let mark = peek(1), mark == UInt8(ascii: "x"),
            let digit = peek(2), isHexadecimal(digit)
        {
            offset += 2
            while let byte = peek(), isHexadecimal(byte) { offset += 1 }
            return try integer(source[start + 2..<offset], radix: 16)
        }
        skipDigits()
        var isDouble = false
        if peek() == UInt8(ascii: "."), let digit = peek(1), isDigit(digit) {
            isDouble = true
            offset += 1
            skipDigits()
        }
        if let mark = peek(), mark | 0x20 == UInt8(ascii: "e") {
            let isSigned = peek(1) == UInt8(ascii: "+") || peek(1) == UInt8(ascii: "-")
            if let digit = peek(isSigned ? 2 : 1), isDigit(digit) {
                isDouble = true
                offset += isSigned ? 2 : 1
                skipDigits()
            }
        }
        guard isDouble else { return try integer(source[start..<offset], radix: 10) }
        let text = String(decoding: source[start..<offset], as: UTF8.self)
        guard let value = Double(text) else { throw failure("a number that cannot be read") }
        return .double(value)
    }

    private mutating func integer(
        _ digits: ArraySlice<UInt8>,
        radix: Int
    ) throws(CompilationError) -> Token.Kind {
        let isUnsigned = peek().map { $0 | 0x20 == UInt8(ascii: "u") } ?? false
        if isUnsigned { offset += 1 }
        let text = String(decoding: digits, as: UTF8.self)
        guard let value = UInt64(text, radix: radix) else {
            throw failure("a number that does not fit 64 bits")
        }
        return isUnsigned ? .uint(value) : .int(magnitude: value)
    }

    private mutating func skipDigits() {
        while let byte = peek(), isDigit(byte) { offset += 1 }
    }

    // MARK: - Literals

    private mutating func literal(
        isRaw: Bool,
        isBytes: Bool
    ) throws(CompilationError) -> Token.Kind {
        let start = position
        let quote = source[offset]
        let isTriple = peek(1) == quote && peek(2) == quote
        offset += isTriple ? 3 : 1
        var text = LiteralText(isBytes: isBytes)
        while let byte = peek() {
            if byte == quote, !isTriple || (peek(1) == quote && peek(2) == quote) {
                offset += isTriple ? 3 : 1
                return isBytes ? .bytes(text.bytes) : .string(text.string)
            }
            switch byte {
            case UInt8(ascii: "\\") where !isRaw:
                guard let length = text.appendEscape(source[offset...]) else {
                    throw failure("an escape sequence that cannot be read")
                }
                offset += length
            case 0x0A, 0x0D:
                guard isTriple else { throw failure("a string that does not end on its line") }
                newline(into: &text)
            default:
                text.append(byte)
                offset += 1
            }
        }
        throw CompilationError(
            step: .parsing,
            position: start,
            message: "a string that does not end"
        )
    }

    /// Takes a line end of a long string; each kind of line end is one line feed.
    private mutating func newline(into text: inout LiteralText) {
        text.append(0x0A)
        let isPair = peek() == 0x0D && peek(1) == 0x0A
        offset += isPair ? 2 : 1
        startLine()
    }

    // MARK: - Bytes

    private mutating func skipSpace() {
        while let byte = peek() {
            switch byte {
            case 0x20, 0x09, 0x0C:
                offset += 1
            case 0x0A:
                offset += 1
                startLine()
            case 0x0D:
                offset += 1
                if peek() != 0x0A { startLine() }
            case UInt8(ascii: "/") where peek(1) == byte:
                while let next = peek(), next != 0x0A { offset += 1 }
            default:
                return
            }
        }
    }

    private mutating func startLine() {
        line += 1
        lineStart = offset
        countedTo = offset
        continuations = 0
    }

    private var position: SourcePosition {
        mutating get {
            for byte in source[countedTo..<offset] where byte & 0xC0 == 0x80 { continuations += 1 }
            countedTo = offset
            let column = offset - lineStart - continuations + 1
            return SourcePosition(line: line, column: Int32(clamping: column))
        }
    }

    private mutating func failure(_ message: String) -> CompilationError {
        CompilationError(step: .parsing, position: position, message: message)
    }

    private func peek(_ distance: Int = 0) -> UInt8? {
        offset + distance < source.count ? source[offset + distance] : nil
    }

    private func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }

    private func isHexadecimal(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "f"))
    }

    private func isNameStart(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_")
            || (byte | 0x20 >= UInt8(ascii: "a")
                && byte | 0x20 <= UInt8(ascii: "z"))
    }
}
