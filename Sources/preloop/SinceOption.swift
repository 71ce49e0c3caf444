import ArgumentParser
import Domain

/// `--since`: an instant, or a time before now.
struct SinceOption {
    private enum Value {
        case instant(Timestamp)
        case hoursAgo(Int)
    }

    private let value: Value

    /// Reads a date, an instant, or a number of hours, days or weeks such as `7d`.
    init(_ text: String) throws {
        if let instant = Timestamp(parsing: text) {
            value = .instant(instant)
            return
        }
        let hours: [Character: Int] = ["h": 1, "d": 24, "w": 168]
        guard let unit = text.last, let factor = hours[unit], let count = Int(text.dropLast()),
            (0...100_000).contains(count)
        else { throw ValidationError("--since is a date (2026-01-31), an instant, or 7d, 12h, 4w") }
        value = .hoursAgo(count * factor)
    }

    /// The instant that is meant.
    func instant(before now: Timestamp) -> Timestamp {
        switch value {
        case .instant(let instant): instant
        case .hoursAgo(let hours): now.advanced(by: .seconds(-3600 * hours))
        }
    }
}
