/// A regular expression's structure.
indirect enum RegexSyntax: Sendable {
    case empty
    case set(ScalarSet)
    /// `\C`, any one byte.
    case anyByte
    case assertion(RegexAssertion)
    case concatenation([RegexSyntax])
    case alternation([RegexSyntax])
    /// From `minimum` to `maximum` times; without an end when nil.
    case repetition(RegexSyntax, minimum: Int, maximum: Int?)
}

/// What must hold between two bytes.
enum RegexAssertion: UInt8, Sendable {
    case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary
}

/// Why a pattern is not one.
struct RegexError: Error, Equatable {
    let message: String
}
