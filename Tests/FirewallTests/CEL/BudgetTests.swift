import Domain
import Firewall
import Testing

/// Expressions and arguments that are built to take long or to fill the memory.
@Suite(.timeLimit(.minutes(1)))
struct BudgetTests {
    private static let digits = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"

    @Test(arguments: [
        digits + String(repeating: ".map(x, \(digits))", count: 1) + ".map(a, "
            + (0..<8).map { "\(digits).map(x\($0), " }.joined()
            + "1" + String(repeating: ")", count: 9),
        (0..<9).map { "\(digits).all(x\($0), " }.joined() + "true"
            + String(repeating: ")", count: 9),
        (0..<40).map { "cel.bind(b\($0), \($0 == 0 ? "'aaaaaaaa'" : "b\($0 - 1) + b\($0 - 1)"), " }
            .joined() + "b39" + String(repeating: ")", count: 40),
        (0..<40).map { "cel.bind(b\($0), \($0 == 0 ? "[1]" : "b\($0 - 1) + b\($0 - 1)"), " }
            .joined() + "b39" + String(repeating: ")", count: 40),
        // Sharing makes these small in memory and endless to look at.
        (0..<60).map { "cel.bind(b\($0), \($0 == 0 ? "[1]" : "[b\($0 - 1), b\($0 - 1)]"), " }
            .joined() + "b59 == [b58, b58]" + String(repeating: ")", count: 60),
        (0..<60).map { "cel.bind(b\($0), \($0 == 0 ? "[1]" : "[b\($0 - 1), b\($0 - 1)]"), " }
            .joined() + "'%s'.format([b59])" + String(repeating: ")", count: 60),
        (0..<60).map { "cel.bind(b\($0), \($0 == 0 ? "[1]" : "[b\($0 - 1), b\($0 - 1)]"), " }
            .joined() + "b59" + String(repeating: ")", count: 60),
        "'\(String(repeating: "a", count: 3_000))'"
            + String(repeating: ".replace('a', 'aaaaaaaaaaaaaaaa')", count: 12),
        "'\(String(repeating: "a", count: 900))'"
            + String(repeating: ".split('').join('aaaaaaaaaaaaaaaa')", count: 12),
    ])
    func `a bomb ends with an error`(source: String) {
        #expect(
            evaluated(source).contains("costs more than it may"),
            "\(evaluated(source).prefix(200))"
        )
    }

    @Test func `an error of the budget is not outweighed`() {
        let source = "\(Self.digits).exists(x, \(Self.digits).map(y, y).size() == 99) || true"
        #expect(evaluated(source, budget: Budget(60)).contains("costs more"))
        #expect(evaluated(source) == "true")
    }

    @Test func `looking through large arguments is paid for`() {
        var object = JSONObject()
        for index in 0..<50_000 { object.append(key: "key\(index)", value: .integer(1)) }
        let bindings: KeyValuePairs<String, CELValue> = [
            "args": CELValue(.object(object)),
            "list": CELValue(
                .array(Array(repeating: .string("aaaaaaaaaaaaaaaaaaaa"), count: 50_000))
            ),
        ]
        #expect(evaluated("args.key3", bindings) == "1")
        #expect(evaluated("'b' in list", bindings) == "false")
        #expect(evaluated("list.exists(x, 'b' in list)", bindings).contains("costs more"))
        #expect(evaluated("list.all(x, has(args.key0))", bindings).contains("costs more"))
        #expect(evaluated("list.all(x, args.size() > 0)", bindings).contains("costs more"))
    }

    @Test func `looking through a list of optionals is paid for`() {
        let list = CELValue(.array(Array(repeating: .integer(1), count: 2_000)))
        let held = "cel.bind(l, list.map(x, optional.of(x)), list.all(x, BODY))"
        #expect(evaluated(held.replacing("BODY", with: "l.size() > 0"), ["list": list]) == "true")
        for body in ["l.unwrapOpt().size() > 0", "optional.unwrap(l).size() > 0"] {
            let source = held.replacing("BODY", with: body)
            #expect(evaluated(source, ["list": list]).contains("costs more"), "\(body)")
        }
    }

    /// Texts that nearly match everywhere make a naive search quadratic.
    @Test func `search in text stays linear`() {
        let text = String(repeating: "a", count: 400_000)
        let part = String(repeating: "a", count: 100_000) + "b"
        let bindings: KeyValuePairs<String, CELValue> = ["t": .string(text), "p": .string(part)]
        #expect(evaluated("t.contains(p)", bindings) == "false")
        #expect(evaluated("(t + 'b').contains(p)", bindings) == "true")
        #expect(evaluated("t.indexOf(p)", bindings).contains("costs more"))
    }
}
