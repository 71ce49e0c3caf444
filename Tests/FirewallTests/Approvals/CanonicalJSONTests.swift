import Domain
import TestSupport
import Testing

@testable import Firewall

struct CanonicalJSONTests {
    private func text(_ json: String) throws -> String {
        String(decoding: try CanonicalJSON.bytes(of: JSONParser.parse(json)), as: UTF8.self)
    }

    /// RFC 8785, appendix B.
    @Test(
        arguments: [
            (0x0000_0000_0000_0000, "0"), (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"), (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] as [(UInt64, String)]
    )
    func `numbers are written as the standard's table has them`(bits: UInt64, expected: String)
        throws
    {
        #expect(try CanonicalJSON.text(of: Double(bitPattern: bits)) == expected)
    }

    @Test func `what is no number has no canonical form`() {
        for number in [Double.nan, .infinity, -.infinity] {
            #expect(throws: CanonicalJSONError.notFinite) {
                try CanonicalJSON.bytes(of: ["a": .double(number)])
            }
        }
    }

    /// RFC 8785, section 3.2.2 and 3.2.3.
    @Test func `the standard's document has its canonical form`() throws {
        let document = #"""
            {"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
             "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
             "literals": [null, true, false]}
            """#
        let expected =
            #"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
            + #""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        #expect(try text(document) == expected)
    }

    /// RFC 8785, section 3.2.3.
    @Test func `members are in the order of UTF-16 code units`() throws {
        let document = #"""
            {"\u20ac": "Euro Sign", "\r": "Carriage Return",
             "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
             "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
             "\u00f6": "Latin Small Letter O With Diaeresis"}
            """#
        let canonical = try JSONParser.parse(text(document))
        #expect(
            canonical.object?.members.compactMap(\.value.string) == [
                "Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis",
                "Euro Sign", "Emoji: Grinning Face", "Hebrew Letter Dalet With Dagesh",
            ]
        )
    }

    @Test func `control characters have the short escapes where there are some`() throws {
        let all = String(String.UnicodeScalarView((0..<0x21).compactMap(Unicode.Scalar.init)))
        let written = String(decoding: try CanonicalJSON.bytes(of: .string(all)), as: UTF8.self)
        #expect(written.hasPrefix(#""\u0000\u0001\u0002"#))
        #expect(written.contains(#"\u0007\b\t\n\u000b\f\r\u000e"#))
        #expect(written.hasSuffix(#"\u001f ""#))
    }

    @Test func `a repeated key has no canonical form, but look-alike keys are two`() throws {
        #expect(throws: CanonicalJSONError.repeatedKey(key: "a")) {
            try text(#"{"a": 1, "b": 2, "a": 3}"#)
        }
        // Composed and decomposed: equal to Swift, not to a program that reads bytes.
        #expect(try text("{\"e\u{301}\": 1, \"\u{e9}\": 2}").utf8.count == 16)
    }

    @Test func `great integers keep the digits that tell them apart`() throws {
        #expect(try text("9007199254740993") == "9007199254740993")
        #expect(try text("-9223372036854775808") == "-9223372036854775808")
        #expect(try text("9007199254740992.0") == "9007199254740992")
        #expect(try text("10.0") == "10" && text("1e1") == "10")
    }

    @Test func `too deep a document has no canonical form`() throws {
        var value = JSONValue.null
        for _ in 0..<CanonicalJSON.maximumDepth { value = .array([value]) }
        _ = try CanonicalJSON.bytes(of: value)
        #expect(throws: CanonicalJSONError.tooDeep) {
            try CanonicalJSON.bytes(of: .array([value]))
        }
    }

    @Test func `a form reads back as the same document and has the same form again`() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<500 {
            let value = Self.document(&random, depth: 0)
            let form = try CanonicalJSON.bytes(of: value)
            let again = try JSONParser.parse(form)
            #expect(try CanonicalJSON.bytes(of: again) == form, "seed 1, \(value)")
        }
    }

    private static func document(_ random: inout SeededGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 4 ? 5 : 7), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64.random(in: .min...(.max), using: &random))
        case 3:
            let number = Double(bitPattern: UInt64.random(in: 0...(.max), using: &random))
            return .double(number.isFinite ? number : 0.5)
        case 4: return .string(Self.text(&random))
        case 5:
            return .array((0..<3).map { _ in document(&random, depth: depth + 1) })
        default:
            var object = JSONObject()
            for index in 0..<3 {
                object.append(
                    key: "\(index)" + Self.text(&random),
                    value: document(&random, depth: depth + 1)
                )
            }
            return .object(object)
        }
    }

    private static func text(_ random: inout SeededGenerator) -> String {
        let scalars = (0..<Int.random(in: 0..<6, using: &random)).compactMap { _ in
            Unicode.Scalar(UInt32.random(in: 1..<0x11_0000, using: &random))
        }
        return String(String.UnicodeScalarView(scalars))
    }
}

struct CallBindingTests {
    private let binding = CallBinding(
        tool: "github/delete_branch",
        definition: ["name": "delete_branch", "description": "deletes"],
        arguments: members(["branch": "main", "count": 1]),
        principal: "user:ann",
        policyVersion: 7
    )

    @Test func `a digest holds for its call alone`() throws {
        let digest = try binding.digest()
        #expect(digest.count == 32)
        let changes: [(inout CallBinding) -> Void] = [
            { $0.tool = "github/delete_branch " }, { $0.definition = ["name": "delete_branch"] },
            { $0.arguments["branch"] = "main2" }, { $0.arguments["count"] = "1" },
            { $0.arguments["force"] = true }, { $0.principal = "user:bob" },
            { $0.policyVersion = 8 }, { $0.arguments["branch"] = nil },
            { $0.destination = ["url": "https://a.example"] },
            { $0.destination = ["url": "https://b.example"] },
            { $0.answers["who"] = "ann" }, { $0.arguments["answers"] = ["who": "ann"] },
            { $0.meta["who"] = "ann" }, { $0.arguments["meta"] = ["who": "ann"] },
        ]
        var digests: Set<[UInt8]> = [digest]
        for change in changes {
            var other = binding
            change(&other)
            #expect(digests.insert(try other.digest()).inserted)
        }
    }

    @Test func `the order of arguments changes nothing`() throws {
        var other = binding
        other.arguments = members(["count": 1.0, "branch": "main"])
        #expect(try other.digest() == binding.digest())
    }
}

private func members(_ json: JSONValue) -> JSONObject { json.object ?? JSONObject() }
