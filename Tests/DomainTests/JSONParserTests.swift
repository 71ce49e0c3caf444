import TestSupport
import Testing

@testable import Domain

@Suite
struct JSONParserTests {
    @Test(
        arguments: [
            (#"null"#, JSONValue.null),
            (
                #" [ 1 , -2.5e3 , "a" , true , false , null ] "#,
                [1, -2500.0, "a", true, false, nil]
            ),
            (#"{"a":{"b":[{}]}}"#, ["a": ["b": [[:]]]]),
            (#""\u00e9\n\/\ud83d\ude00""#, "é\n/😀"),
            (#"9223372036854775807"#, .integer(.max)),
            (#"9223372036854775808"#, .double(9_223_372_036_854_775_808)),
        ] as [(String, JSONValue)]
    )
    func `documents become the values they write`(text: String, value: JSONValue) throws {
        #expect(try JSONParser.parse(text) == value)
    }

    @Test(arguments: [
        #""\ud83d and text""#, #""tail \udc00 here""#, #""\ud83d\u0041""#, #""\ud83d\ud83d\ude00""#,
    ])
    func `an unpaired surrogate becomes one replacement character`(text: String) throws {
        let value = try #require(try JSONParser.parse(text).string)
        #expect(value.unicodeScalars.filter { $0 == "\u{FFFD}" }.count == 1)
    }

    @Test
    func `invalid UTF-8 is replaced, not refused`() throws {
        let bytes: [UInt8] = [0x22, 0x61, 0xFF, 0x62, 0x22]
        #expect(try JSONParser.parse(bytes) == "a\u{FFFD}b")
    }

    @Test(arguments: [
        "", "[1,]", "{\"a\":}", "{\"a\" 1}", "[1 2]", "01", "1.", "-", "tru", "nul1", "\"a",
        "\"\n\"",
        "\"\\x\"", "\"\\u12\"", "[", "{", "1 1", "{1:2}", "+1", "'a'",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try JSONParser.parse(text) }
    }

    @Test
    func `nesting is limited`() throws {
        let deep = { (count: Int) in
            String(repeating: "[", count: count) + String(repeating: "]", count: count)
        }
        _ = try JSONParser.parse(deep(JSONParser.maximumDepth))
        #expect(throws: JSONError.self) { try JSONParser.parse(deep(100_000)) }
    }

    @Test
    func `elements are found one by one although one of them is not JSON`() throws {
        let text = #"{"n":3,"issues":[{"a":"]"}, {"b":nonsense}, 7 ],"x":1}"#
        let bytes = Array(text.utf8)
        let ranges = try JSONParser.elementRanges(in: bytes, at: ["issues"])
        let pieces = ranges.map { String(decoding: bytes[$0], as: UTF8.self) }
        #expect(pieces == [#"{"a":"]"}"#, #"{"b":nonsense}"#, "7"])
    }

    @Test
    func `a cut array is truncated, not short`() {
        let text = #"[{"a":1},{"b":2}"#
        #expect(throws: JSONError.truncated(offset: 16)) {
            try JSONParser.elementRanges(in: Array(text.utf8))
        }
    }

    @Test
    func `writing and parsing again gives the same value`() throws {
        let value: JSONValue = [
            "text": "quote \" slash \\ control \u{1} \u{1f} line\r\n emoji 😀 zero \0",
            "numbers": [0, -1, 1.5, 1e300, .integer(.min)], "nested": [["a": nil], [], [:]],
        ]
        #expect(try JSONParser.parse(value.serialized()) == value)
        #expect(try JSONParser.parse(value.serialized(sortedKeys: true))["text"] == value["text"])
    }

    @Test(arguments: 0..<20)
    func `hostile bytes give a value or an error, never a trap`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let sample = #"{"a":[1,2.5e-3,"x\u00e9\ud83d\ude00",{"b":null,"c":[true,false]}],"d":"\\"}"#
        for _ in 0..<2000 {
            var bytes = Array(sample.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(contentsOf: Array("[{\"\\u".utf8), at: place)
                }
            }
            guard let value = try? JSONParser.parse(bytes) else { continue }
            #expect((try? JSONParser.parse(value.serialized())) == value, "seed \(seed)")
            _ = try? JSONParser.elementRanges(in: bytes, at: ["a"])
        }
    }
}
