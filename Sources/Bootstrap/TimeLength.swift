/// A length of time as it is typed: `90s`, `15m`, `6h`, `1d`.
package enum TimeLength {
    private static let units: [Character: Int] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]

    /// Reads a number with its unit; nil for anything else and for what is out of `range`.
    package static func parse(_ text: String, in range: ClosedRange<Duration>) -> Duration? {
        guard let unit = text.last, let factor = units[unit],
            let count = Int(text.dropLast()), (0...10_000_000).contains(count)
        else { return nil }
        let length = Duration.seconds(count * factor)
        return range.contains(length) ? length : nil
    }

    /// The form that is typed, in the largest unit that leaves a whole number.
    package static func text(_ length: Duration) -> String {
        let seconds = Int(length.components.seconds)
        for (unit, factor) in [("d", 86_400), ("h", 3_600), ("m", 60)]
        where seconds >= factor && seconds % factor == 0 {
            return "\(seconds / factor)\(unit)"
        }
        return "\(seconds)s"
    }
}
