import Domain
import Firewall
import Foundation
import TestSupport
import Testing

/// Rows of the language's own conformance suite.
struct ConformanceTests {
    private struct Score {
        var passed = 0
        var total = 0
        var failures: [String] = []
        var unsupported = 0
    }

    @Test(
        .enabled(
            if: SharedData.has("cel/open.jsonl"),
            "needs the conformance rows beside the checkout"
        )
    )
    func `every core row passes, and nearly all of the extensions`() throws {
        let file = try #require(SharedData.file("cel/open.jsonl"))
        var core = Score()
        var rest = Score()
        for line in try Data(contentsOf: file).split(separator: 10) {
            let row = try JSONParser.parse(Array(line))
            let answer = ExpressionRow.answer(Array(line))
            if row["group"]?.string == "core" {
                Self.count(row, answer, in: &core)
            } else {
                Self.count(row, answer, in: &rest)
            }
        }
        #expect(core.total > 700)
        #expect(core.failures == [])
        #expect(core.unsupported == 0)
        #expect(rest.total > 400)
        #expect(Double(rest.passed) >= 0.98 * Double(rest.total), "\(rest.failures)")
    }

    private static func count(_ row: JSONValue, _ answer: JSONValue, in score: inout Score) {
        score.total += 1
        if answer["unsupported"] != nil { score.unsupported += 1 }
        let expected = row["expect"] ?? .null
        let isRight: Bool
        if row["check_only"]?.bool == true {
            isRight = answer["type"] == expected["deduced_type"]
        } else if let value = expected["value"] {
            isRight = answer["value"].map { normal($0) == normal(value) } ?? false
        } else {
            isRight = answer["error"] != nil
        }
        if isRight {
            score.passed += 1
        } else {
            score.failures.append("\(row["id"]?.string ?? "?"): \(answer.serializedText())")
        }
    }

    /// A typed value as text in which map entries have an order and doubles one spelling.
    private static func normal(_ value: JSONValue) -> String {
        switch value["t"]?.string {
        case "double":
            let text = value["v"]?.string ?? ""
            guard let number = Double(text) else { return text }
            return number.isNaN ? "double nan" : "double \(number) \(number.sign)"
        case "list":
            return "[" + (value["v"]?.array ?? []).map(normal).joined(separator: ",") + "]"
        case "map":
            let entries = (value["v"]?.array ?? []).map { pair in
                (pair.array ?? []).map(normal).joined(separator: ":")
            }
            return "{" + entries.sorted().joined(separator: ",") + "}"
        default: return value.serializedText(sortedKeys: true)
        }
    }
}
