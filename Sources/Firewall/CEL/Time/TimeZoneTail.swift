/// The rule after the last moment a time zone's file lists, written as POSIX's `TZ` variable:
/// `CET-1CEST,M3.5.0,M10.5.0/3`.
struct TimeZoneTail: Sendable {
    private let standard: Int64
    private let summer: Summer?

    private struct Summer: Sendable {
        let offset: Int64
        let start: Rule
        let end: Rule
    }

    /// A day of the year with the wall time of the change.
    private struct Rule: Sendable {
        enum Day: Sendable {
            /// Day 1 to 365; 29 February is not counted.
            case julian(Int64)
            /// Day 0 to 365.
            case ordinal(Int64)
            /// The weekday's `week`-th occurrence in a month; the fifth is the last.
            case weekday(month: Int64, week: Int64, day: Int64)
        }

        let day: Day
        let time: Int64

        /// The change's wall time as seconds since 1970 without an offset.
        func seconds(in year: Int64) -> Int64 {
            let first = CivilTime(year: year, month: 1, day: 1).days
            let days: Int64
            switch day {
            case .ordinal(let count):
                days = first + count
            case .julian(let count):
                let isLeap = CivilTime.days(in: 2, of: year) == 29
                days = first + count - (isLeap && count >= 60 ? 0 : 1)
            case .weekday(let month, let week, let weekday):
                let monthStart = CivilTime(year: year, month: month, day: 1)
                let shift = (weekday - monthStart.dayOfWeek).flooredRemainder(by: 7)
                var date = 1 + shift + (week - 1) * 7
                while date > CivilTime.days(in: month, of: year) { date -= 7 }
                days = monthStart.days + date - 1
            }
            return days * 86_400 + time
        }
    }

    /// Seconds to add to UTC at a moment.
    func offset(at seconds: Int64) -> Int64 {
        guard let summer else { return standard }
        let year = CivilTime(seconds: seconds + standard).year
        let start = summer.start.seconds(in: year) - standard
        let end = summer.end.seconds(in: year) - summer.offset
        let isSummer =
            start < end
            ? seconds >= start && seconds < end : seconds < end || seconds >= start
        return isSummer ? summer.offset : standard
    }

    /// Reads a rule; nil when it is not one.
    init?(_ text: String) {
        var reader = Reader(text)
        guard reader.name(), let west = reader.time() else { return nil }
        standard = -west
        guard !reader.isAtEnd else {
            summer = nil
            return
        }
        guard reader.name() else { return nil }
        var offset = standard + 3_600
        if reader.peek() != UInt8(ascii: ",") {
            guard let west = reader.time() else { return nil }
            offset = -west
        }
        guard let start = reader.rule(), let end = reader.rule(), reader.isAtEnd else {
            return nil
        }
        summer = Summer(
            offset: offset,
            start: Rule(day: start.day, time: start.time),
            end: Rule(day: end.day, time: end.time)
        )
    }

    private struct Reader {
        private let bytes: [UInt8]
        private var index = 0

        init(_ text: String) {
            bytes = Array(text.utf8)
        }

        var isAtEnd: Bool { index == bytes.count }

        func peek() -> UInt8? { index < bytes.count ? bytes[index] : nil }

        /// Passes over a name of letters, or of anything in angle brackets.
        mutating func name() -> Bool {
            let start = index
            if take("<") {
                while let byte = peek(), byte != UInt8(ascii: ">") { index += 1 }
                return take(">")
            }
            while let byte = peek(), (97...122).contains(byte | 0x20) { index += 1 }
            return index > start
        }

        /// A signed time `[+-]hh[:mm[:ss]]` in seconds.
        mutating func time() -> Int64? {
            let isNegative = take("-")
            if !isNegative { _ = take("+") }
            guard let hours = number(), hours <= 167 else { return nil }
            var seconds = hours * 3_600
            if take(":") {
                guard let minutes = number(), minutes < 60 else { return nil }
                seconds += minutes * 60
                if take(":") {
                    guard let rest = number(), rest < 60 else { return nil }
                    seconds += rest
                }
            }
            return isNegative ? -seconds : seconds
        }

        mutating func rule() -> Rule? {
            guard take(","), let day = day() else { return nil }
            guard take("/") else { return Rule(day: day, time: 7_200) }
            return time().map { Rule(day: day, time: $0) }
        }

        private mutating func day() -> Rule.Day? {
            if take("J") {
                return number().flatMap { (1...365).contains($0) ? .julian($0) : nil }
            }
            guard take("M") else {
                return number().flatMap { $0 <= 365 ? .ordinal($0) : nil }
            }
            guard let month = number(), (1...12).contains(month), take("."),
                let week = number(), (1...5).contains(week), take("."),
                let weekday = number(), weekday <= 6
            else { return nil }
            return .weekday(month: month, week: week, day: weekday)
        }

        private mutating func number() -> Int64? {
            var value: Int64 = 0
            let start = index
            while let byte = peek(), (48...57).contains(byte), index - start < 4 {
                value = value * 10 + Int64(byte - 48)
                index += 1
            }
            return index > start ? value : nil
        }

        private mutating func take(_ mark: Unicode.Scalar) -> Bool {
            guard let byte = peek(), UInt32(byte) == mark.value else { return false }
            index += 1
            return true
        }
    }
}
