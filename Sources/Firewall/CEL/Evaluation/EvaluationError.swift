/// Why an expression has no value for these bindings.
package struct EvaluationError: Error, Equatable, Sendable {
    /// What went wrong.
    package enum Reason: Equatable, Sendable {
        case unknownVariable(String)
        case unknownFunction(String)
        case noSuchOverload
        case noSuchKey(String)
        case unsupportedKey(typeName: String)
        case repeatedKey
        case noFieldSelection(typeName: String)
        case indexOutOfRange(String)
        case divisionByZero
        case modulusByZero
        case overflow
        /// A number, time or duration that its type cannot hold.
        case outOfRange(String)
        case invalidArgument(String)
        case noValue
        case costLimit
    }

    package let reason: Reason
    /// Where in the source, when it is known.
    package private(set) var position: SourcePosition?
    /// The function that failed, when one did.
    package private(set) var function: String?

    /// An error that has not yet been given its place.
    package init(_ reason: Reason) {
        self.reason = reason
    }

    /// The error with its place; the innermost place stays.
    func at(_ position: SourcePosition, in function: String? = nil) -> EvaluationError {
        guard self.position == nil else { return self }
        var error = self
        error.position = position
        error.function = function
        return error
    }

    /// Whether it may be ignored by a logical operator whose other side decides.
    ///
    /// Running out of budget may not: the other side would be paid for by nobody.
    var isAbsorbable: Bool { reason != .costLimit }
}

extension EvaluationError: CustomStringConvertible {
    package var description: String {
        guard let position else { return text }
        return "\(position): \(text)"
    }

    /// What went wrong, without the place.
    package var words: String { text }

    private var text: String {
        let place = function.map { " `\($0)`" } ?? ""
        switch reason {
        case .unknownVariable(let name): return "unknown variable `\(name)`"
        case .unknownFunction(let name): return "unbound function `\(name)`"
        case .noSuchOverload: return "no such overload\(place)"
        case .noSuchKey(let key): return "no such key: \(key)"
        case .unsupportedKey(let name): return "unsupported key type \(name)"
        case .repeatedKey: return "repeated key in a map"
        case .noFieldSelection(let name):
            return "a value of type \(name) does not support field selection"
        case .indexOutOfRange(let index): return "index out of range: \(index)"
        case .divisionByZero: return "division by zero"
        case .modulusByZero: return "modulus by zero"
        case .overflow: return "integer overflow\(place)"
        case .outOfRange(let what): return "\(what) is out of range"
        case .invalidArgument(let what): return what
        case .noValue: return "the optional has no value"
        case .costLimit: return "the expression costs more than it may"
        }
    }
}
