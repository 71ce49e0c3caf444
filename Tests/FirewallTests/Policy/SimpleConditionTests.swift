import Domain
import TestSupport
import Testing

@testable import Firewall

struct SimpleConditionTests {
    /// True, false, or nil for an error, by the translation.
    private static func translated(_ text: String, _ arguments: JSONValue) throws -> Bool? {
        let source = try SimpleCondition(text).cel
        let program = try CELProgram.compile(source, in: PolicyExpression.environment)
        var context = call("t", arguments)
        context.arguments = arguments.object ?? JSONObject()
        return try? program.truth(PolicyExpression.bindings(context))
    }

    @Test(
        arguments: [
            ("args.amount > 100", ["amount": 101], true),
            ("amount > 100", ["amount": 101], true),
            ("args.amount > 100", ["amount": 100], false),
            ("args.amount > 100", [:], false),
            ("args.amount > 100", ["amount": "101"], true),
            ("args.amount > 100", ["amount": "99.5"], false),
            ("args.amount > 100", ["amount": "lots"], nil),
            ("args.amount > 100", ["amount": "nan"], nil),
            ("args.amount > 100", ["amount": "inf"], nil),
            ("args.amount > 100", ["amount": true], nil),
            ("args.amount > 100", ["amount": ["x"]], nil),
            ("args.amount > 100", ["amount": nil], nil),
            ("args.amount >= '10'", ["amount": "9"], false),
            ("name > 'm'", ["name": "n"], true),
            ("name > m", ["name": "a"], false),
            ("name > m", ["name": 5], nil),
            ("args.a != 5", [:], true),
            ("args.a != null", [:], false),
            ("args.a == null", [:], true),
            ("args.a == null", ["a": nil], true),
            ("args.a != null", ["a": 1], true),
            ("args.a == 5", ["a": 5.0], true),
            // A tool may take the one for the other.
            ("args.a == 5", ["a": "5"], nil),
            ("args.a != 5", ["a": "6"], nil),
            ("args.a == 1", ["a": true], nil),
            ("args.a == true", ["a": "true"], nil),
            ("args.a == true", ["a": 1], nil),
            ("args.a == true", ["a": true], true),
            ("args.a != true", ["a": false], true),
            ("args.a == true", ["a": nil], false),
            ("args.a != 5", ["a": nil], true),
            ("args.a == x", ["a": ["x"]], nil),
            ("args.a == '5'", ["a": 5], nil),
            ("args.a == open", ["a": "open"], true),
            ("args.a.b == 1", ["a": 3], false),
            ("args.a.b == 1", ["a": ["b": 1]], true),
            ("args.a.b != 1", ["a": 3], true),
            ("args.a-b == 1", ["a-b": 1], true),
            ("args.t.contains('x')", ["t": "axb"], true),
            ("args.t.contains('x')", ["t": ["x"]], true),
            ("args.t.contains('x')", ["t": ["xy"]], false),
            ("args.t.contains('x')", [:], false),
            ("args.t.contains('x')", ["t": 4], nil),
            ("args.t.contains('x')", ["t": ["x": 1]], nil),
            ("args.t.matches('^a+$')", ["t": "aaa"], true),
            ("args.t.matches('b')", ["t": "abc"], true),
            ("args.t.matches('b')", ["t": 1], nil),
            ("args.args.x == 1", ["args": ["x": 1]], true),
            ("true", [:], true),
            ("false", [:], false),
            ("args.contains == 1", ["contains": 1], true),
        ] as [(String, JSONValue, Bool?)]
    )
    func `a comparison means what is promised`(
        text: String,
        arguments: JSONValue,
        expected: Bool?
    ) throws {
        #expect(try Self.translated(text, arguments) == expected)
    }

    @Test(arguments: [
        "", "args", "args.a", "args.a = 1", "args.a == ", "args.a == 1 && args.b == 2",
        "!args.a", "args.a in [1]", "args.a[0] == 1", "args.a == 'x", "args.a == 'a' 'b'",
        "args.a.contains(5)", "args.a.contains('a', 'b')", "args.a.startsWith('x')",
        "args.a.matches('(')", "args.a > true", "args.a < null", "args..a == 1", "1 == 1",
        "args.a.matches('(?=x)')", "size(args) > 1", "args.a == x || true", "args.a == (1)",
    ])
    func `what is no simple comparison is refused`(text: String) {
        #expect(throws: ConditionProblem.self) { try SimpleCondition(text) }
    }

    /// Against an interpreter of its own, which walks the arguments.
    @Test func `the translation agrees with a direct interpreter`() throws {
        var random = SeededGenerator(seed: 1_128)
        var seen: [Bool?: Int] = [:]
        for round in 0..<6_000 {
            let condition = RandomCondition(&random)
            let arguments = JSONValue.object(RandomCondition.arguments(&random))
            let direct = condition.value(arguments)
            let translated = try Self.translated(condition.text, arguments)
            seen[direct, default: 0] += 1
            #expect(
                direct == translated,
                "round \(round): \(condition.text) on \(arguments.serializedText())"
            )
        }
        // All three answers have come often.
        #expect((seen[true] ?? 0) > 300)
        #expect((seen[false] ?? 0) > 300)
        #expect((seen[Bool?.none] ?? 0) > 150)
    }
}

/// A condition made by chance, with its meaning by the rules of the reference.
private struct RandomCondition {
    private static let names = ["a", "b", "c-d", "contains"]
    private static let words = ["x", "xy", "10", "-2.5", "open", "", "1e3", "7", "nan", "+4"]

    let path: [String]
    let sign: String
    let literal: JSONValue
    let text: String

    init(_ random: inout SeededGenerator) {
        path = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            Self.names.randomElement(using: &random) ?? "a"
        }
        let prefix = Bool.random(using: &random) ? "args." : ""
        let subject = prefix + path.joined(separator: ".")
        let signs = ["==", "!=", "<", "<=", ">", ">=", "contains", "matches"]
        sign = signs.randomElement(using: &random) ?? "=="
        let word = Self.words.randomElement(using: &random) ?? "x"
        switch sign {
        case "contains", "matches":
            literal = .string(sign == "matches" ? "x" : word)
            text = "\(subject).\(sign)('\(literal.string ?? "")')"
        default:
            let isOrder = sign.first == "<" || sign.first == ">"
            switch Int.random(in: 0..<(isOrder ? 3 : 5), using: &random) {
            case 0: literal = .integer(Int64.random(in: -5...15, using: &random))
            case 1: literal = .double(Double(Int.random(in: -9...19, using: &random)) / 2)
            case 2: literal = .string(word)
            case 3: literal = .bool(Bool.random(using: &random))
            default: literal = .null
            }
            let written: String =
                switch literal {
                case .string(let word): "\"\(word)\""
                case .double(let number): "\(number)"
                case .integer(let number): "\(number)"
                case .bool(let flag): "\(flag)"
                default: "null"
                }
            text = "\(subject) \(sign) \(written)"
        }
    }

    static func arguments(_ random: inout SeededGenerator, depth: Int = 0) -> JSONObject {
        var object = JSONObject()
        for name in names where Int.random(in: 0..<3, using: &random) > 0 {
            object[name] = value(&random, depth)
        }
        return object
    }

    private static func value(_ random: inout SeededGenerator, _ depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth < 2 ? 12 : 8), using: &random) {
        case 0: .integer(Int64.random(in: -5...15, using: &random))
        case 1: .double(Double(Int.random(in: -9...19, using: &random)) / 2)
        case 2, 3: .string(words.randomElement(using: &random) ?? "x")
        case 4: .bool(Bool.random(using: &random))
        case 5: .null
        case 6, 7: .array([.string("x"), .string(words.randomElement(using: &random) ?? "")])
        default: .object(arguments(&random, depth: depth + 1))
        }
    }

    /// True, false, or nil for an error.
    func value(_ arguments: JSONValue) -> Bool? {
        var found: JSONValue? = arguments
        for name in path { found = found?.object?[name] }
        switch sign {
        case "==":
            guard let found, found != .null else { return literal == .null }
            return same(found, literal)
        case "!=":
            guard let found, found != .null else { return literal != .null }
            return same(found, literal).map { !$0 }
        case "contains":
            guard let found else { return false }
            let word = literal.string ?? ""
            if let text = found.string { return word.isEmpty || text.contains(word) }
            return found.array.map { $0.contains(literal) }
        case "matches":
            guard let found else { return false }
            return found.string.map { $0.contains("x") }
        default:
            guard let found else { return false }
            return ordered(found)
        }
    }

    /// Nil for values of different types, of which the left one is not null.
    private func same(_ left: JSONValue, _ right: JSONValue) -> Bool? {
        switch (left, right) {
        case (_, .null): return false
        case (.bool, .bool), (.string, .string): return left == right
        default:
            guard let one = number(left), let other = number(right) else { return nil }
            return one == other
        }
    }

    private func number(_ value: JSONValue) -> Double? {
        switch value {
        case .integer(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    private func ordered(_ found: JSONValue) -> Bool? {
        guard let bound = number(literal) ?? literal.string.flatMap(decimal) else {
            guard let text = found.string, let other = literal.string else { return nil }
            return decide(text.utf8.lexicographicallyPrecedes(other.utf8), text == other)
        }
        guard let value = number(found) ?? found.string.flatMap(decimal) else { return nil }
        return decide(value < bound, value == bound)
    }

    private func decimal(_ text: String) -> Double? {
        guard text.allSatisfy({ "0123456789+-.eE".contains($0) }) else { return nil }
        return Double(text).flatMap { $0.isFinite ? $0 : nil }
    }

    private func decide(_ isLess: Bool, _ isSame: Bool) -> Bool {
        switch sign {
        case "<": isLess
        case "<=": isLess || isSame
        case ">": !isLess && !isSame
        default: !isLess
        }
    }
}
