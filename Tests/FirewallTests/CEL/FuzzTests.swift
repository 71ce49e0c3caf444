import Domain
import Firewall
import TestSupport
import Testing

/// Input that nobody meant: whatever it is, there is an answer and it does not take long.
@Suite(.timeLimit(.minutes(2)))
struct FuzzTests {
    private static let seeds = [
        "args.path.startsWith('/etc') && args.n > 3", "[1, 2, 3].map(x, x * 2).exists(y, y == 4)",
        "{'a': [1, 2u, 3.0], 'b': b'\\xff'}.a[0] == 1 ? 'x' : 'y'",
        "has(args.a) || args.?b.orValue(1) == 2",
        "timestamp('2009-02-13T23:31:30Z').getHours('Europe/Berlin') + 1",
        "'%s %.3f %x'.format(['a', 1.5, 255])", "cel.bind(x, 'a' + 'b', x.matches('^(a|b)+$'))",
        "cel.block([1, cel.index(0) + 1], cel.index(1))", "math.greatest(1, 2.5, 3u)",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3')", "optional.of(1).optMap(v, v + 1).hasValue()",
        "{'k': 1}.transformMap(k, v, v > 0, string(v) + k)", "'a,b'.split(',').join('-').reverse()",
        "-1 - --1 / 2 % 3 * !true", "duration('1h') > duration('-3s') && type(1) == int",
        "'''a\nb'''",
    ]
    private static let fragments = [
        "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "'", "\"", "\\", "0x", "1e", "u", "b'",
        "r'",
        "&&", "||", "==", "<", "-", "!", "in", " ", "\n", "args", ".map(x, ", ".all(", "has(", "1",
        "9223372036854775807",
        "null", "`a`", "//", "[?", "{?", ".?", "é", "\u{0}", "'''",
    ]

    private func answer(_ source: String, checksTypes: Bool) {
        let json: JSONValue = ["path": "/etc/x", "n": 4, "a": [1, 2, ["b": nil]]]
        let result = evaluated(
            source,
            ["args": CELValue(json)],
            checksTypes: checksTypes,
            budget: Budget(20_000)
        )
        #expect(!result.isEmpty)
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `mutated expressions have an answer`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for round in 0..<4_000 {
            var bytes = Array(Self.seeds[Int.random(in: 0..<Self.seeds.count, using: &random)].utf8)
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where place < bytes.count: bytes.remove(at: place)
                case 1:
                    let other = Array(
                        Self.seeds[Int.random(in: 0..<Self.seeds.count, using: &random)].utf8
                    )
                    let start = Int.random(in: 0..<other.count, using: &random)
                    bytes.insert(contentsOf: other[start...].prefix(12), at: place)
                case 2 where place < bytes.count:
                    bytes[place] = UInt8.random(in: 0...255, using: &random)
                default:
                    let fragment = Self.fragments[
                        Int.random(in: 0..<Self.fragments.count, using: &random)
                    ]
                    bytes.insert(contentsOf: fragment.utf8, at: place)
                }
            }
            answer(String(decoding: bytes, as: UTF8.self), checksTypes: round % 2 == 0)
        }
    }

    @Test func `random bytes have an answer`() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<4_000 {
            let count = Int.random(in: 0...60, using: &random)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            answer(String(decoding: bytes, as: UTF8.self), checksTypes: true)
            _ = ExpressionRow.answer(bytes)
        }
    }

    @Test func `random patterns have an answer`() {
        var random = SeededGenerator(seed: 11)
        let parts = [
            "a", "b", ".", "*", "+", "?", "{2}", "{0,3}", "(", ")", "|", "[", "]", "^", "$", "\\",
            "\\d", "\\b",
            "(?i)", "(?:", "[^a]", "\\pL", "-", "é", "[[:alpha:]]", "\\x{41}", "{", ",", "}", "\\Q",
            "\\E",
        ]
        for _ in 0..<6_000 {
            let count = Int.random(in: 1...12, using: &random)
            let pattern = (0..<count).map { _ in
                parts[Int.random(in: 0..<parts.count, using: &random)]
            }.joined()
            let result = evaluated(
                "text.matches(pattern)",
                ["text": .string("ab aé\nbba"), "pattern": .string(pattern)]
            )
            #expect(
                result == "true" || result == "false" || result.hasPrefix("error"),
                "\(pattern)"
            )
        }
    }

    @Test func `random rows have an answer`() {
        var random = SeededGenerator(seed: 13)
        let row =
            #"{"id": 1, "expr": "x + 1", "bindings": {"x": {"t": "int", "v": "1"}}, "#
            + #""type_env": [{"name": "x", "kind": "ident", "type": {"list": "int"}}]}"#
        for _ in 0..<4_000 {
            var bytes = Array(row.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
                    in: 32...126,
                    using: &random
                )
            }
            let answer = ExpressionRow.answer(bytes)
            #expect(answer["error"] != nil || answer["value"] != nil)
        }
    }
}
