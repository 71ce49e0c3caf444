/// A lexical element with its place.
struct Token {
    /// What it is; literals carry their value.
    enum Kind: Equatable {
        /// A name that is not reserved.
        case identifier(String)
        /// A word that may only be a field or method name.
        case reserved(String)
        /// A name in back-ticks, a field of any spelling.
        case quoted(String)
        case int(magnitude: UInt64)
        case uint(UInt64)
        case double(Double)
        case string(String)
        case bytes([UInt8])
        case word(Word)
        case symbol(Symbol)
        case end
    }

    /// The words that are part of the grammar.
    enum Word: String {
        case `true`, `false`, null, `in`
    }

    /// Operators and punctuation.
    enum Symbol: String {
        case equal = "=="
        case notEqual = "!="
        case lessOrEqual = "<="
        case greaterOrEqual = ">="
        case and = "&&"
        case or = "||"
        case less = "<"
        case greater = ">"
        case not = "!"
        case plus = "+"
        case minus = "-"
        case times = "*"
        case divide = "/"
        case remainder = "%"
        case question = "?"
        case colon = ":"
        case comma = ","
        case dot = "."
        case openParenthesis = "("
        case closeParenthesis = ")"
        case openBracket = "["
        case closeBracket = "]"
        case openBrace = "{"
        case closeBrace = "}"
    }

    let kind: Kind
    let position: SourcePosition

    /// The element as a message names it.
    var name: String {
        switch kind {
        case .identifier(let name), .reserved(let name), .quoted(let name): "`\(name)`"
        case .int, .uint, .double: "a number"
        case .string, .bytes: "a literal"
        case .word(let word): "`\(word.rawValue)`"
        case .symbol(let symbol): "`\(symbol.rawValue)`"
        case .end: "the end"
        }
    }

    /// Words kept for languages that embed expressions: fields and methods may have these names,
    /// variables may not.
    static let reservedWords: Set<String> = [
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    ]
}
