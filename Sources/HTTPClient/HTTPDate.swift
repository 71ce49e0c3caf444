/// Reads an HTTP date in any of the three forms a recipient must accept (RFC 9110, section 5.6.7).
///
/// - Returns: Seconds since the epoch; nil when the text is no such date.
package func secondsSinceEpoch(httpDate text: String) -> Int64? {
    // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`
    var words: [String] = []
    for word in text.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x2C || $0 == 0x2D }) {
        words.append(String(decoding: word, as: UTF8.self))
        guard words.count <= 6 else { return nil }
    }
    if words.count == 6, words[5] == "GMT" {
        return seconds(day: words[1], month: words[2], year: words[3], time: words[4])
    }
    guard words.count == 5 else { return nil }
    return seconds(day: words[2], month: words[1], year: words[4], time: words[3])
}

extension HTTPHeaders {
    /// How long `Retry-After` asks to stay away, whether in seconds or as a date.
    ///
    /// A date counts from the answer's own `Date` where it has one, so that a wrong clock on either
    /// side does no harm.
    ///
    /// - Parameter now: Seconds since the epoch.
    /// - Returns: nil when the header is missing, broken, or names more than a day.
    package func retryAfter(now: Int64) -> Duration? {
        guard let text = self["Retry-After"] else { return nil }
        let wait: Int64
        if let seconds = decimal(text) {
            wait = seconds
        } else if let date = secondsSinceEpoch(httpDate: text) {
            wait = max(0, date - (self["Date"].flatMap(secondsSinceEpoch(httpDate:)) ?? now))
        } else {
            return nil
        }
        // No service's window is longer than a day; a larger figure is a broken header.
        return wait <= 86_400 ? .seconds(wait) : nil
    }
}

private func seconds(day: String, month: String, year: String, time: String) -> Int64? {
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    let parts = time.utf8.split(separator: 0x3A).map {
        decimal(String(decoding: $0, as: UTF8.self))
    }
    guard let day = decimal(day), let month = months.firstIndex(of: month),
        var year = decimal(year), (1...31).contains(day), parts.count == 3,
        let hour = parts[0], hour < 24, let minute = parts[1], minute < 60,
        let second = parts[2], second <= 60
    else { return nil }
    // The two-digit years of RFC 850; those of this protocol begin in 1970.
    if year < 70 { year += 2000 } else if year < 100 { year += 1900 }
    guard (1970...9999).contains(year) else { return nil }
    return days(year: year, month: Int64(month) + 1, day: day) * 86_400
        + hour * 3600 + minute * 60 + second
}

/// Days since the epoch of a civil date, after Howard Hinnant's `days_from_civil`, from 1970 on.
private func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}

/// A number of ASCII digits alone: `Int64` would also read a sign.
private func decimal(_ text: String) -> Int64? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil
}
