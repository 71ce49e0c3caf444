import Domain

/// The simple language of conditions: one comparison of one argument.
///
///     args.amount > 100        title.contains('secret')        branch.matches('^release/')
///
/// It has no meaning of its own but by ``cel``. A missing argument makes every comparison false,
/// but `!= x` and `== null`; texts that are numbers are compared as numbers by `<` and its like. A
/// value that a comparison is not made for, such as a text in `== true`, is an error, and an error
/// never allows: the tool may take the one for the other where the rule does not.
struct SimpleCondition: Equatable {
    enum Literal: Equatable {
        case null
        case bool(Bool)
        case integer(Int64)
        case double(Double)
        case string(String)
    }

    enum Order: String, CaseIterable {
        // Longer ones first, for they are looked for in this order.
        case lessOrEqual = "<="
        case greaterOrEqual = ">="
        case less = "<"
        case greater = ">"
    }

    enum Test: Equatable {
        case equals(Literal)
        case differs(Literal)
        case orders(Order, Literal)
        case contains(String)
        case matches(String)
    }

    enum Kind: Equatable {
        case constant(Bool)
        case test([String], Test)
    }

    /// Steps of a path; arguments do not nest deeper.
    private static let maximumSteps = 16
    /// Bytes of a pattern.
    private static let maximumPattern = 512

    let kind: Kind

    /// Reads a condition.
    init(_ text: String) throws(ConditionProblem) {
        if text == "true" || text == "false" {
            kind = .constant(text == "true")
            return
        }
        var rest = text[...]
        var steps = try Self.steps(&rest)
        if let last = steps.last, last == "contains" || last == "matches", rest.first == "(" {
            steps.removeLast()
            kind = .test(try Self.path(steps), try Self.method(last, rest))
            return
        }
        rest = rest.drop(while: \.isWhitespace)
        for (sign, make) in Self.equalities where rest.hasPrefix(sign) {
            kind = .test(try Self.path(steps), make(try Self.literal(rest.dropFirst(2))))
            return
        }
        for order in Order.allCases where rest.hasPrefix(order.rawValue) {
            let literal = try Self.literal(rest.dropFirst(order.rawValue.count))
            switch literal {
            case .null, .bool: throw ConditionProblem("`\(order.rawValue)` compares no such value")
            default: kind = .test(try Self.path(steps), .orders(order, literal))
            }
            return
        }
        throw ConditionProblem(
            "a simple condition is one comparison such as `args.amount > 100`, "
                + "`args.title.contains('x')` or `args.branch.matches('^release/')`; write "
                + "`condition_type: cel` for more"
        )
    }

    private static let equalities: [(String, @Sendable (Literal) -> Test)] = [
        ("==", { .equals($0) }), ("!=", { .differs($0) }),
    ]

    // MARK: - Reading

    /// Names joined by dots.
    private static func steps(_ rest: inout Substring) throws(ConditionProblem) -> [String] {
        var steps: [String] = []
        while true {
            let name = rest.prefix(while: isNameCharacter)
            guard let first = name.unicodeScalars.first, !("0"..."9").contains(first),
                first != "-"
            else {
                throw ConditionProblem(
                    "a simple condition begins with the name of an argument, such as "
                        + "`args.title`; write `condition_type: cel` for other expressions"
                )
            }
            steps.append(String(name))
            rest = rest.dropFirst(name.count)
            guard rest.first == "." else { return steps }
            rest = rest.dropFirst()
        }
    }

    private static func isNameCharacter(_ character: Character) -> Bool {
        guard let byte = character.asciiValue else { return false }
        return (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte) || byte == 0x5F || byte == 0x2D
    }

    private static func path(_ steps: [String]) throws(ConditionProblem) -> [String] {
        let path = steps.first == "args" ? Array(steps.dropFirst()) : steps
        guard !path.isEmpty else { throw ConditionProblem("the name of an argument is missing") }
        guard path.count <= maximumSteps else {
            throw ConditionProblem("a path has at most \(maximumSteps) names")
        }
        return path
    }

    /// `contains('x')` or `matches('x')`; `rest` begins with the bracket.
    private static func method(
        _ name: String,
        _ rest: Substring
    ) throws(ConditionProblem) -> Test {
        guard rest.last == ")" else {
            throw ConditionProblem("`\(name)(` has no `)` at the end of the condition")
        }
        let inner = String(rest.dropFirst().dropLast()).trimmed
        guard let text = quoted(inner) else {
            throw ConditionProblem("`\(name)` takes one text in quotes")
        }
        guard name == "matches" else { return .contains(text) }
        guard text.utf8.count <= maximumPattern else {
            throw ConditionProblem("a pattern has at most \(maximumPattern) bytes")
        }
        do throws(RegexError) {
            _ = try LinearRegex(text)
        } catch {
            throw ConditionProblem("the pattern cannot be used: \(error.message)")
        }
        return .matches(text)
    }

    /// What stands between quotes; nil when the text is not one text in quotes.
    ///
    /// There are no escapes, so that patterns stand as they are.
    private static func quoted(_ text: String) -> String? {
        guard text.utf8.count >= 2, let quote = text.first, quote == "'" || quote == "\"",
            text.last == quote
        else { return nil }
        let inner = text.dropFirst().dropLast()
        return inner.contains(quote) ? nil : String(inner)
    }

    private static func literal(_ rest: Substring) throws(ConditionProblem) -> Literal {
        let text = String(rest).trimmed
        guard let first = text.first else {
            throw ConditionProblem("the value to compare with is missing")
        }
        if first == "'" || first == "\"" {
            guard let inner = quoted(text) else {
                throw ConditionProblem(
                    "`\(text)` is not one text in quotes; write `condition_type: cel` for more"
                )
            }
            return .string(inner)
        }
        switch text {
        case "true", "True": return .bool(true)
        case "false", "False": return .bool(false)
        case "null", "none", "None": return .null
        default: break
        }
        if let integer = Int64(text) { return .integer(integer) }
        if isNumeric(text), let double = Double(text), double.isFinite { return .double(double) }
        guard text.utf8.allSatisfy({ $0 > 0x20 && !"'\"()[]{}&|<>=!,`".utf8.contains($0) }) else {
            throw ConditionProblem(
                "`\(text)` is not one value; put a text into quotes, or write "
                    + "`condition_type: cel` for more"
            )
        }
        return .string(text)
    }

    /// Whether a text has only what numbers are written with.
    static func isNumeric(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { "0123456789+-.eE".utf8.contains($0) }
    }
}

extension SimpleCondition {
    /// The same in CEL.
    var cel: String {
        guard case .test(let path, let test) = kind else {
            return kind == .constant(true) ? "true" : "false"
        }
        var holder = "args"
        var guards: [String] = []
        for (index, name) in path.enumerated() {
            if index > 0 { guards.append("type(\(holder)) == map") }
            let key = doubleQuoted(name)
            guards.append("\(key) in \(holder)")
            holder += "[\(key)]"
        }
        let present = guards.joined(separator: " && ")
        let value = holder
        switch test {
        case .equals(.null): return "!(\(present)) || \(value) == null"
        case .equals(let literal): return "\(present) && \(Self.equality(value, "==", literal))"
        case .differs(.null): return "\(present) && \(value) != null"
        case .differs(let literal): return "!(\(present)) || \(Self.equality(value, "!=", literal))"
        case .orders(let order, let literal):
            return "\(present) && \(Self.comparison(value, order, literal))"
        case .contains(let text):
            let text = doubleQuoted(text)
            return "\(present) && (type(\(value)) == list ? \(text) in \(value) "
                + ": \(value).contains(\(text)))"
        case .matches(let pattern):
            return "\(present) && \(value).matches(\(doubleQuoted(pattern)))"
        }
    }

    /// What is compared, as people write it and in CEL; nil when nothing is.
    var subject: (name: String, cel: String)? {
        guard case .test(let path, _) = kind else { return nil }
        let cel = path.reduce("args") { "\($0)[\(doubleQuoted($1))]" }
        return ("args." + path.joined(separator: "."), cel)
    }

    /// A value is compared with one of its own JSON type; null is like what is missing.
    ///
    /// For others it is the error that `bool("")` is.
    private static func equality(_ value: String, _ sign: String, _ literal: Literal) -> String {
        let types: [String] =
            switch literal {
            case .null: ["null_type"]
            case .bool: ["bool"]
            case .integer, .double: ["int", "double"]
            case .string: ["string"]
            }
        let isOfType = types.map { "type(\(value)) == \($0)" }.joined(separator: " || ")
        return "((\(isOfType)) ? \(value) \(sign) \(text(literal)) "
            + ": \(value) == null ? \(sign == "!=") : bool(\"\"))"
    }

    /// Numbers are compared with numbers and with texts that are numbers, texts with texts.
    private static func comparison(_ value: String, _ order: Order, _ literal: Literal) -> String {
        var literal = literal
        if case .string(let text) = literal {
            guard isNumeric(text), let number = Double(text), number.isFinite else {
                return "\(value) \(order.rawValue) \(Self.text(literal))"
            }
            literal = .double(number)
        }
        // What has other letters, such as NaN, becomes the error that `double("")` is.
        let digits = "\(value).matches(\"^[-+.0-9eE]+$\") ? \(value) : \"\""
        return "(type(\(value)) == string ? double(\(digits)) : \(value)) \(order.rawValue) "
            + Self.text(literal)
    }

    private static func text(_ literal: Literal) -> String {
        switch literal {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): "\(value)"
        case .double(let value): CELText.literal(value)
        case .string(let value): doubleQuoted(value)
        }
    }
}

/// Why a condition cannot be used.
struct ConditionProblem: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
