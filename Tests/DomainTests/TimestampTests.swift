import Testing

@testable import Domain

@Suite
struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0),
            ("2025-03-03T03:03:03Z", 1_740_970_983_000),
            ("2025-03-03T03:03:03.001Z", 1_740_970_983_001),
            ("2025-03-03T03:03:03.123456Z", 1_740_970_983_123),
            ("2025-03-03T04:03:03.000+0100", 1_740_970_983_000),
            ("2025-03-02T22:03:03-05:00", 1_740_970_983_000),
            ("2025-03-03 03:03:03 UTC", 1_740_970_983_000),
            ("2025-03-03", 1_740_960_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2099-12-31T23:59:59Z", 4_102_444_799_000),
        ] as [(String, Int64)]
    )
    func `every form a tracker writes is read to the millisecond`(text: String, value: Int64) {
        #expect(Timestamp(parsing: text)?.milliseconds == value)
    }

    @Test(arguments: [
        "", "yesterday", "2025-13-01", "2025-02-29", "2025-03-03T25:00:00Z", "2025-03-03T03:60:00Z",
        "2025-03-03T03:03:03X", "2025-03-03T03:03:03 GMT", "2025-3-3", "2025-03-03T03:03:03.Z",
    ])
    func `what names no instant is refused`(text: String) {
        #expect(Timestamp(parsing: text) == nil)
    }

    @Test(arguments: [0, -1, 1, -86_400_000, 1_740_970_983_123, 253_402_300_799_999] as [Int64])
    func `the written form reads back`(milliseconds: Int64) {
        let instant = Timestamp(milliseconds: milliseconds)
        #expect(Timestamp(parsing: instant.iso8601) == instant)
    }

    @Test
    func `moving past the end saturates`() {
        #expect(Timestamp(milliseconds: .max).advanced(by: .seconds(1)).milliseconds == .max)
        #expect(Timestamp(milliseconds: 5000).advanced(by: .seconds(-2)).milliseconds == 3000)
        let now = Timestamp(milliseconds: 5000)
        #expect(now.advanced(by: .seconds(Int64.max)).milliseconds == .max)
        #expect(now.advanced(by: .seconds(Int64.min)).milliseconds == .min)
        #expect(now.advanced(by: .seconds(Int64.max / 1000)).milliseconds == .max)
    }

    @Test
    func `the span between instants saturates`() {
        let (first, last) = (Timestamp(milliseconds: .min), Timestamp(milliseconds: .max))
        let now = Timestamp(milliseconds: 1_740_970_983_000)
        let before = Timestamp(milliseconds: -5)
        #expect(first.milliseconds(since: now) == .min)
        #expect(first.milliseconds(since: last) == .min)
        #expect(last.milliseconds(since: before) == .max)
        #expect(last.milliseconds(since: first) == .max)
        #expect(first.milliseconds(since: first) == 0)
        #expect(now.milliseconds(since: before) == 1_740_970_983_005)
        #expect(before.milliseconds(since: now) == -1_740_970_983_005)
    }
}

@Suite
struct TextTests {
    @Test
    func `only NUL is replaced`() {
        #expect(sanitized("a\0b\u{FFFE}\u{1}") == "a\u{FFFD}b\u{FFFE}\u{1}")
    }

    @Test
    func `texts that differ only in composition differ`() {
        #expect("e\u{301}" == "é")
        #expect(!haveEqualBytes("e\u{301}", "é"))
    }
}
