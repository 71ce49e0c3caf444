/// An instant in milliseconds since 1970-01-01T00:00:00Z.
///
/// Trackers write instants in at least four forms; ``init(parsing:)`` reads them all and keeps
/// milliseconds, which Foundation's ISO 8601 formatters do only when told the exact form.
package struct Timestamp: Hashable, Sendable, Comparable {
    /// Milliseconds since the epoch; negative before it.
    package let milliseconds: Int64

    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    /// Orders instants, earliest first.
    package static func < (left: Self, right: Self) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// The instant `duration` later; saturates instead of overflowing.
    package func advanced(by duration: Duration) -> Timestamp {
        let parts = duration.components
        let (whole, isTooLong) = parts.seconds.multipliedReportingOverflow(by: 1000)
        let fraction = parts.attoseconds / 1_000_000_000_000_000
        let (shift, isOver) = whole.addingReportingOverflow(fraction)
        let (sum, overflow) = milliseconds.addingReportingOverflow(shift)
        guard isTooLong || isOver || overflow else { return Timestamp(milliseconds: sum) }
        return Timestamp(milliseconds: duration > .zero ? .max : .min)
    }

    /// Milliseconds from `earlier` to this instant, negative when it is later; saturates instead of
    /// overflowing, for a database may hold any instant.
    package func milliseconds(since earlier: Timestamp) -> Int64 {
        let (span, isOver) = milliseconds.subtractingReportingOverflow(earlier.milliseconds)
        guard isOver else { return span }
        return milliseconds < earlier.milliseconds ? .min : .max
    }
}

extension Timestamp {
    /// Reads `2025-03-03T03:03:03Z`, fractions, offsets `+01:00` and `+0100`, a space for `T`, a
    /// bare date, and GitLab's webhook form `2025-03-03 03:03:03 UTC`.
    ///
    /// - Returns: nil when the text has none of these forms or names an impossible instant.
    package init?(parsing text: String) {
        var reader = DigitReader(text.utf8)
        guard let year = reader.number(digits: 4), reader.skip("-"),
            let month = reader.number(digits: 2), reader.skip("-"),
            let day = reader.number(digits: 2),
            let days = Self.daysSinceEpoch(year: year, month: month, day: day)
        else { return nil }
        guard !reader.isAtEnd else {
            self.init(milliseconds: days * 86_400_000)
            return
        }
        guard reader.skip("T") || reader.skip("t") || reader.skip(" "),
            let hour = reader.number(digits: 2), hour < 24, reader.skip(":"),
            let minute = reader.number(digits: 2), minute < 60
        else { return nil }
        var second: Int64 = 0
        var fraction: Int64 = 0
        if reader.skip(":") {
            // 60 is a leap second, which we fold into the next minute.
            guard let value = reader.number(digits: 2), value <= 60 else { return nil }
            second = value
            if reader.skip(".") || reader.skip(",") {
                guard let value = reader.milliseconds() else { return nil }
                fraction = value
            }
        }
        guard let offset = reader.offsetMinutes(), reader.isAtEnd else { return nil }
        let minutes = hour * 60 + minute - offset
        self.init(milliseconds: days * 86_400_000 + (minutes * 60 + second) * 1000 + fraction)
    }

    /// `2025-03-03T03:03:03.000Z`, always UTC with milliseconds.
    package var iso8601: String {
        var (day, rest) = milliseconds.quotientAndRemainder(dividingBy: 86_400_000)
        if rest < 0 { (day, rest) = (day - 1, rest + 86_400_000) }
        let (year, month, dayOfMonth) = Self.civil(daysSinceEpoch: day)
        let fraction = rest % 1000
        rest /= 1000
        let date = "\(pad(year, 4))-\(pad(month, 2))-\(pad(dayOfMonth, 2))"
        let time = "\(pad(rest / 3600, 2)):\(pad(rest / 60 % 60, 2)):\(pad(rest % 60, 2))"
        return "\(date)T\(time).\(pad(fraction, 3))Z"
    }

    /// Days from the civil date, after Howard Hinnant's `days_from_civil`.
    private static func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64? {
        guard (1...12).contains(month), (1...31).contains(day) else { return nil }
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        // A day the month does not have comes back as another date.
        return civil(daysSinceEpoch: days) == (year, month, day) ? days : nil
    }

    /// The civil date of a day, after Howard Hinnant's `civil_from_days`.
    private static func civil(
        daysSinceEpoch days: Int64
    ) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let position = (5 * dayOfYear + 2) / 153
        let month = position < 10 ? position + 3 : position - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * position + 2) / 5 + 1)
    }
}

extension Timestamp: CustomStringConvertible {
    /// The ISO 8601 form.
    package var description: String { iso8601 }
}

private func pad(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// Reads the fixed-width fields of a date from bytes.
private struct DigitReader {
    private var rest: Substring.UTF8View

    init(_ text: String.UTF8View) {
        rest = text[...]
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard let first = rest.first, UInt32(first) == character.value else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number(digits: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<digits {
            guard let digit = digit() else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    /// Reads any number of fraction digits and keeps the first three.
    mutating func milliseconds() -> Int64? {
        guard var value = digit() else { return nil }
        var count = 1
        while let next = digit() {
            if count < 3 {
                value = value * 10 + next
                count += 1
            }
        }
        for _ in count..<3 { value *= 10 }
        return value
    }

    /// Reads `Z`, ` UTC`, `+hh:mm`, `+hhmm`, `+hh` or nothing, which means UTC.
    mutating func offsetMinutes() -> Int64? {
        if isAtEnd || skip("Z") || skip("z") { return 0 }
        if skip(" ") { return skip("U") && skip("T") && skip("C") ? 0 : nil }
        let sign: Int64
        if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return nil }
        guard let hours = number(digits: 2) else { return nil }
        guard !isAtEnd else { return sign * hours * 60 }
        _ = skip(":")
        guard let minutes = number(digits: 2), minutes < 60 else { return nil }
        return sign * (hours * 60 + minutes)
    }

    private mutating func digit() -> Int64? {
        guard let first = rest.first, (48...57).contains(first) else { return nil }
        rest.removeFirst()
        return Int64(first) - 48
    }
}
