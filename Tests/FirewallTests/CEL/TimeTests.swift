import Domain
import Firewall
import Testing

struct TimeTests {
    @Test(arguments: [
        ("timestamp('2009-02-13T23:31:30.5+01:00')", "\"2009-02-13T22:31:30.5Z\""),
        ("timestamp('0001-01-01T00:00:00Z')", "\"0001-01-01T00:00:00Z\""),
        ("timestamp('2000-02-29T00:00:00Z') + duration('24h')", "\"2000-03-01T00:00:00Z\""),
        ("timestamp(0) - duration('1ns')", "\"1969-12-31T23:59:59.999999999Z\""),
        ("timestamp(5) - timestamp(7)", "\"-2s\""), ("duration('1h1m1.5s')", "\"3661.5s\""),
        ("duration('-.5s') + duration('250ms')", "\"-0.25s\""), ("duration('1.5h')", "\"5400s\""),
    ])
    func `times and spans are written shortest`(source: String, value: String) {
        #expect(evaluated("string(\(source))") == value)
    }

    @Test(arguments: [
        "timestamp('2009-2-13T23:31:30Z')", "timestamp('2009-02-13T24:00:00Z')",
        "timestamp('2009-02-13 23:31:30Z')", "timestamp('2009-02-13T23:31:30')",
        "timestamp('10000-01-01T00:00:00Z')", "timestamp('1900-02-29T00:00:00Z')",
        "timestamp('0001-01-01T00:00:00+00:01')", "timestamp(253402300800)",
        "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
        "duration('320000000000s')", "duration('-9223372036854775808s')", "duration('')",
        "duration('1')", "duration('1h-1m')",
        "duration('99999999999999999999999999999999h')", "duration('9223372036s') + duration('1s')",
        "timestamp(0).getHours('Nowhere/Land')", "timestamp(0).getHours('../../etc/passwd')",
        "timestamp(0).getHours('/etc/localtime')", "timestamp(0).getHours('Europe')",
    ])
    func `what is no time is an error`(source: String) {
        #expect(evaluated(source).hasPrefix("error: 1:"), "\(evaluated(source))")
    }

    @Test func `a typed span out of range is none`() {
        for seconds in ["-9223372036854775808", "9223372036854775807", "315576000001"] {
            let span: JSONValue = ["seconds": .string(seconds), "nanos": 999_999_999]
            #expect(TypedValue.value(["t": "duration", "v": span]) == nil, "\(seconds)")
        }
    }

    /// Offsets from the IANA database, on both sides of changes, before the first and after the
    /// last one that is listed.
    @Test(arguments: [
        ("2021-03-28T00:59:59Z", "Europe/Berlin", 1), ("2021-03-28T01:00:00Z", "Europe/Berlin", 3),
        ("2021-10-31T00:59:59Z", "Europe/Berlin", 2), ("2021-10-31T01:00:00Z", "Europe/Berlin", 2),
        ("2060-07-01T12:00:00Z", "Europe/Berlin", 14),
        ("2060-01-01T12:00:00Z", "Europe/Berlin", 13),
        ("2060-01-01T12:00:00Z", "Australia/Sydney", 23),
        ("2060-07-01T12:00:00Z", "Australia/Sydney", 22),
        ("2021-07-01T00:00:00Z", "America/New_York", 20), ("2021-07-01T00:00:00Z", "Asia/Tokyo", 9),
        ("2021-07-01T00:00:00Z", "-09:30", 14), ("2021-07-01T00:00:00Z", "02:00", 2),
        ("2021-07-01T00:00:00Z", "UTC", 0),
    ])
    func `places have their wall time`(time: String, zone: String, hour: Int) {
        #expect(evaluated("timestamp('\(time)').getHours('\(zone)')") == "\(hour)")
    }

    @Test func `parts of a date`() {
        let time = "timestamp('2024-12-31T23:59:58.007Z')"
        let parts = [
            "getFullYear": 2024, "getMonth": 11, "getDate": 31, "getDayOfMonth": 30,
            "getDayOfWeek": 2, "getDayOfYear": 365, "getHours": 23, "getMinutes": 59,
            "getSeconds": 58, "getMilliseconds": 7,
        ]
        for (name, value) in parts { #expect(evaluated("\(time).\(name)()") == "\(value)") }
        #expect(evaluated("duration('3661.25s').getMinutes()") == "61")
        #expect(evaluated("duration('-1.25s').getMilliseconds()") == "-250")
    }
}
