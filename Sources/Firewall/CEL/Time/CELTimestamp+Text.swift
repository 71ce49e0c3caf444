extension CELTimestamp {
    /// Reads `2009-02-13T23:31:30.5Z` (RFC 3339): a date, `T`, a time, at most nine decimals that
    /// count, an offset.
    package init?(_ text: String) {
        var reader = DigitReader(text)
        guard let year = reader.number(4), reader.take("-"),
            let month = reader.number(2), (1...12).contains(month), reader.take("-"),
            let day = reader.number(2), day >= 1,
            day <= CivilTime.days(in: month, of: year), reader.take("T"),
            let hour = reader.number(2), hour < 24, reader.take(":"),
            let minute = reader.number(2), minute < 60, reader.take(":"),
            let second = reader.number(2), second < 60,
            let nanoseconds = reader.fraction(), let offset = reader.offset(), reader.isAtEnd
        else { return nil }
        var civil = CivilTime(year: year, month: month, day: day)
        civil.hour = hour
        civil.minute = minute
        civil.second = second
        self.init(seconds: civil.seconds - offset, nanoseconds: nanoseconds)
    }
}

extension CELTimestamp: CustomStringConvertible {
    /// The time in UTC (RFC 3339) with as many decimals as are needed.
    package var description: String {
        let civil = CivilTime(seconds: seconds)
        let date =
            "\(padded(civil.year, 4))-\(padded(civil.month, 2))-\(padded(civil.day, 2))"
        let clock =
            "\(padded(civil.hour, 2)):\(padded(civil.minute, 2)):\(padded(civil.second, 2))"
        return "\(date)T\(clock)\(fractionText(nanoseconds.magnitude))Z"
    }

    private func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

/// Reads fixed forms of digits and marks.
struct DigitReader {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    var isAtEnd: Bool { index == bytes.count }

    /// A number of exactly so many digits.
    mutating func number(_ digits: Int) -> Int64? {
        guard bytes.count - index >= digits else { return nil }
        var value: Int64 = 0
        for byte in bytes[index..<index + digits] {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - 48)
        }
        index += digits
        return value
    }

    mutating func take(_ mark: Unicode.Scalar) -> Bool {
        guard index < bytes.count, UInt32(bytes[index]) == mark.value else { return false }
        index += 1
        return true
    }

    /// Nanoseconds of a fraction, 0 without one; places beyond the ninth are cut off.
    mutating func fraction() -> Int32? {
        guard take(".") else { return 0 }
        var value: Int32 = 0
        var digits = 0
        while index < bytes.count, (48...57).contains(bytes[index]) {
            if digits < 9 { value = value * 10 + Int32(bytes[index] - 48) }
            digits += 1
            index += 1
        }
        guard digits > 0 else { return nil }
        while digits < 9 {
            value *= 10
            digits += 1
        }
        return value
    }

    /// Seconds east of UTC: `Z`, `+01:00`.
    mutating func offset() -> Int64? {
        if take("Z") { return 0 }
        let isWest = take("-")
        guard isWest || take("+") else { return nil }
        guard let seconds = clock() else { return nil }
        return isWest ? -seconds : seconds
    }

    /// Seconds of `01:00`.
    mutating func clock() -> Int64? {
        guard let hours = number(2), hours < 24, take(":"), let minutes = number(2), minutes < 60
        else { return nil }
        return hours * 3_600 + minutes * 60
    }
}
