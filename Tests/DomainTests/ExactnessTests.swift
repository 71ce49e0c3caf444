import Testing

@testable import Domain

/// Keys and numbers that one program reads as another does not.
@Suite struct ExactnessTests {
    @Test(arguments: [
        "18446744073709551615", "-9223372036854775809", "9223372036854775808",
        "0.1000000000000000055511151231257827", "3.14159265358979323846", "1e400", "1e-400",
        "123456789012345678901234567890.5", "1e99999999999999999999", "1.00000000000000000001",
    ])
    func `a number that would lose digits is found wherever it stands`(_ number: String) {
        let document = #"{"a":[1,{"é\"5":-2.5e3,"b":"99999999999999999999"}],"c":[\#(number)]}"#
        #expect(InexactNumbers.first(in: Array(document.utf8)) == number)
    }

    @Test(arguments: [
        "0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993", "0.1",
        "1.50", "-0.0", "0e5", "1E+2", "100e-2", "1.7976931348623157e308", "5e-324", "1e19",
        "0.30000000000000004", "1e22", "123456.789",
    ])
    func `others keep theirs`(_ number: String) {
        #expect(InexactNumbers.first(in: Array("{\"a\": \(number) }".utf8)) == nil)
        #expect(InexactNumbers.first(in: Array(number.utf8)) == nil)
    }

    /// The kelvin sign and K are equal to `==`, and two keys to rules and to every other program.
    @Test(arguments: [("K", "\u{212A}"), ("\u{E9}", "e\u{301}")])
    func `keys are told apart by their bytes`(_ one: String, _ other: String) {
        #expect(one == other)
        var object = JSONObject([(one, 1), (other, 2)])
        #expect(object[one] == 1 && object[other] == 2)
        object[one] = 3
        #expect(object.members.map(\.value) == [3, 2])
        object[other] = nil
        #expect(object.members.count == 1 && object[one] == 3 && object[other] == nil)
        #expect(JSONValue.object(object)[other] == nil)
    }
}
