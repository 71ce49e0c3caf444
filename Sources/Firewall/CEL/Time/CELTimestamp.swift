/// A point in time between the years 1 and 9999, to the nanosecond.
package struct CELTimestamp: Hashable, Sendable {
    /// Seconds since 1970 in UTC.
    package let seconds: Int64
    /// What goes beyond, 0 to 999,999,999, also before 1970.
    package let nanoseconds: Int32

    /// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z (google.protobuf.Timestamp).
    private static let range: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    /// A point in time; nil when it is outside of the years 1 to 9999.
    package init?(seconds: Int64, nanoseconds: Int32 = 0) {
        guard Self.range.contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else {
            return nil
        }
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// The time a duration later; nil when that is out of range.
    func adding(_ duration: CELDuration) -> CELTimestamp? {
        let nanoseconds = Int64(nanoseconds) + Int64(duration.nanoseconds)
        let carried = seconds + duration.seconds + nanoseconds.flooredQuotient(by: 1_000_000_000)
        return CELTimestamp(
            seconds: carried,
            nanoseconds: Int32(nanoseconds.flooredRemainder(by: 1_000_000_000))
        )
    }

    /// How long it is from `other` to this; nil when a duration cannot be so long.
    func since(_ other: CELTimestamp) -> CELDuration? {
        CELDuration(
            seconds: seconds - other.seconds,
            nanoseconds: Int64(nanoseconds) - Int64(other.nanoseconds),
            isComputed: true
        )
    }
}

extension Int64 {
    /// The quotient rounded towards negative infinity.
    func flooredQuotient(by divisor: Int64) -> Int64 {
        let (quotient, rest) = quotientAndRemainder(dividingBy: divisor)
        return rest < 0 ? quotient - 1 : quotient
    }

    /// The remainder that belongs to it, never negative.
    func flooredRemainder(by divisor: Int64) -> Int64 {
        let rest = self % divisor
        return rest < 0 ? rest + divisor : rest
    }
}

/// A date and time of day on a wall.
struct CivilTime {
    var year: Int64
    /// 1 to 12.
    var month: Int64
    /// 1 to 31.
    var day: Int64
    var hour: Int64 = 0
    var minute: Int64 = 0
    var second: Int64 = 0

    /// The wall time of so many seconds since 1970, without an offset.
    ///
    /// The civil calendar from days and back: "chrono-Compatible Low-Level Date Algorithms",
    /// civil_from_days and days_from_civil, Howard Hinnant 2014.
    init(seconds: Int64) {
        let days = seconds.flooredQuotient(by: 86_400)
        let clock = seconds.flooredRemainder(by: 86_400)
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(by: 146_097)
        let dayOfEra = shifted.flooredRemainder(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        hour = clock / 3_600
        minute = clock / 60 % 60
        second = clock % 60
    }

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// Days since 1970-01-01.
    var days: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear.flooredQuotient(by: 400)
        let yearOfEra = shiftedYear - era * 400
        let shiftedMonth = month > 2 ? month - 3 : month + 9
        let dayOfYear = (153 * shiftedMonth + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// Seconds since 1970 without an offset.
    var seconds: Int64 { days * 86_400 + hour * 3_600 + minute * 60 + second }

    /// 0 on 1 January.
    var dayOfYear: Int64 { days - CivilTime(year: year, month: 1, day: 1).days }

    /// 0 on Sunday.
    var dayOfWeek: Int64 { (days + 4).flooredRemainder(by: 7) }

    /// How many days the month has.
    static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }
}
