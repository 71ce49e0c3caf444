import Domain
import Firewall
import Foundation
import Testing

/// Expressions that would make values, types or steps of an evaluation too deep for a stack.
@Suite(.timeLimit(.minutes(1)))
struct NestingTests {
    /// What threads get where the limit of stacks is called unlimited (glibc on x86-64).
    private static let stackSize = 2 << 20

    /// What `body` gives on a thread with a small stack; an overflow ends the process.
    private static func onSmallStack(_ body: @escaping @Sendable () -> String) async -> String {
        await withCheckedContinuation { continuation in
            let thread = Thread { continuation.resume(returning: body()) }
            thread.stackSize = stackSize
            thread.start()
        }
    }

    /// `inner` in so many lists.
    private static func list(_ count: Int, _ inner: String) -> String {
        nest(count, "[", inner, "]")
    }

    /// A name bound to what is made of the one before it, so many times, then the body.
    private static func binds(_ count: Int, _ body: String, _ value: (String) -> String) -> String {
        (0..<count).map { "cel.bind(b\($0), \($0 == 0 ? "1" : value("b\($0 - 1)")), " }.joined()
            + body + String(repeating: ")", count: count)
    }

    /// `cel.block` of lists of the one before, with so many names.
    private static func block(_ count: Int, _ body: String) -> String {
        let values = ["1"] + (0..<count - 1).map { "[cel.index(\($0))]" }
        return "cel.block([\(values.joined(separator: ", "))], \(body))"
    }

    /// `count` times `before`, then `inner`, then as often `after`.
    private static func nest(
        _ count: Int,
        _ before: String,
        _ inner: String,
        _ after: String
    ) -> String {
        String(repeating: before, count: count) + inner + String(repeating: after, count: count)
    }

    /// A macro over what the one before made, thirty times.
    private static func chain(_ start: String, _ macro: String) -> String {
        start + String(repeating: macro, count: 30)
    }

    private static let tooDeep: [String] = [
        binds(40, "b39") { list(6, $0) },
        binds(40, "b39 == b39") { list(6, $0) },
        binds(80, "b79") { "{'a': {'a': {'a': \($0)}}}" },
        binds(80, "b79") { "optional.of(optional.of(\($0)))" },
        binds(80, "b79") { "optional.of(\($0)).optMap(x, [[x]])" },
        binds(80, "b79") { "dyn([\($0)]).map(x, [[x]])" },
        block(3_000, "cel.index(2999)"),
        block(3_000, "cel.index(2999) == cel.index(2999)"),
        chain("[1]", ".map(v, \(list(10, "v")))"),
        chain("[1]", ".transformList(i, v, \(list(10, "v")))"),
        chain("{'a': 1}", ".transformMap(k, v, \(list(10, "v")))"),
        chain("{'a': 1}", ".transformMapEntry(k, v, {k: \(list(10, "v"))})"),
        chain("optional.of(1)", ".optMap(v, \(list(10, "v")))"),
        chain("optional.of(1)", ".optFlatMap(v, optional.of(\(list(10, "v"))))"),
    ]

    @Test(arguments: tooDeep)
    func `no name makes a value deeper than an expression may be`(source: String) async {
        for checksTypes in [true, false] {
            let result = await Self.onSmallStack { evaluated(source, checksTypes: checksTypes) }
            #expect(
                result.hasPrefix("refused") && result.contains("nested more than 200 deep"),
                "\(result.prefix(200))"
            )
        }
    }

    @Test func `a name is as deep as what it stands for`() {
        // The literal is one deep, each list one more, the block itself the last.
        #expect(evaluated(Self.block(199, "cel.index(198)")).hasPrefix("[[[["))
        #expect(evaluated(Self.block(200, "cel.index(199)")).contains("nested more than"))
        #expect(evaluated(Self.block(198, "cel.index(197) == cel.index(197)")) == "true")
        #expect(evaluated(Self.block(199, "cel.index(198) == [1]")).contains("nested more than"))
        let deep = Self.list(150, "1")
        #expect(evaluated("cel.bind(x, \(deep), \(Self.list(100, "x")))").contains("nested"))
        // Names that hide others, and those of macros that are over, count no further.
        let inner = Self.list(150, "x")
        #expect(evaluated("cel.bind(x, \(deep), cel.bind(x, 1, \(inner)) == x)") == "true")
        let over = "\(deep).all(x, x == x) && [1].all(x, \(inner) == \(deep))"
        #expect(evaluated(over) == "true")
        let steps = String(repeating: ".map(v, v + 1)", count: 90)
        #expect(evaluated("[1]\(steps) == [91]") == "true")
    }

    private static let deepest: [(source: String, start: String)] = [
        (list(198, "1"), "[[[["),
        (list(190, "1") + " == " + list(190, "1"), "true"),
        (block(198, "cel.index(197) == cel.index(197)"), "true"),
        (block(190, "'%s'.format([cel.index(180)])"), "\"[[[["),
        (nest(198, "{1: ", "1", "}"), "{1: {1"),
        (nest(190, "[1].all(x, ", "true", ")"), "true"),
        (nest(190, "optional.of(", "1", ")"), "optional(optional("),
        (list(190, "args") + " == " + list(190, "args"), "true"),
        (list(190, "args"), "[[[["),
    ]

    @Test(arguments: deepest)
    func `what may be compiled fits a small stack`(source: String, start: String) async {
        var document = JSONValue.integer(1)
        // Twice as deep as messages may be.
        for _ in 0..<128 { document = .array([document]) }
        let value = CELValue(document)
        for checksTypes in [true, false] {
            let result = await Self.onSmallStack {
                evaluated(source, ["args": value], checksTypes: checksTypes)
            }
            #expect(result.hasPrefix(start), "\(result.prefix(200))")
        }
    }

    @Test func `types of names that refer to one another stay small`() async {
        // Twice as large with each name: the whole would have more parts than there is memory.
        let doubled = Self.binds(64, "true || b63.size() == 0") { "{\($0): \($0)}" }
        #expect(await Self.onSmallStack { evaluated(doubled) } == "true")
        // What is compared makes each empty list's type a hundred deeper than the one before.
        let names = (0..<60).map { "cel.bind(n\($0), [], " }.joined()
        let places = String(repeating: "[0]", count: 100)
        let compared = (1..<60).map { "n\($0)\(places) == n\($0 - 1)" }.joined(separator: " || ")
        let deepened = "\(names)true || \(compared)" + String(repeating: ")", count: 60)
        let result = await Self.onSmallStack { evaluated(deepened) }
        #expect(result == "true" || result.contains("no overload of"), "\(result)")
        // Small ones are told as ever.
        #expect(evaluated("cel.bind(a, [], a == [[1]])") == "false")
        #expect(evaluated("cel.bind(a, [1], a == ['a'])").contains("no overload"))
    }
}
