import Domain

/// The few JQL queries a scan asks.
///
/// Instants are milliseconds since the epoch without quotes: Jira reads quoted dates to the minute
/// and in the time zone of the token's owner, which has cost other readers hours of changes.
enum JQL {
    /// Every issue after one, in the order of identifiers.
    ///
    /// The anchor is the last row's identifier whether Jira compares identifiers or, as some
    /// versions do, the keys behind them: filter and order agree in both.
    static func issues(ofProject id: String, after last: Int64) -> String {
        let anchor = last > 0 ? " AND id > \(last)" : ""
        return "project = \(doubleQuoted(id))\(anchor) ORDER BY id ASC"
    }

    /// The issues changed at or after an instant, oldest change first.
    static func issues(ofProject id: String, changedSince since: Timestamp) -> String {
        "project = \(doubleQuoted(id)) AND updated >= \(max(0, since.milliseconds))"
            + " ORDER BY updated ASC, key ASC"
    }

    /// The issues changed within one second after an issue of that second, by identifier.
    static func issues(
        ofProject id: String,
        changedInSecond second: Timestamp,
        after last: Int64
    ) -> String {
        let start = second.milliseconds
        let anchor = last > 0 ? " AND id > \(last)" : ""
        return "project = \(doubleQuoted(id)) AND updated >= \(start) AND updated < \(start + 1000)"
            + "\(anchor) ORDER BY id ASC"
    }

    /// All issues, the last changed first.
    static func newestFirst(ofProject id: String) -> String {
        "project = \(doubleQuoted(id)) ORDER BY updated DESC, key DESC"
    }

    /// The issues created at or after an instant, the newest first.
    static func issues(ofProject id: String, createdSince since: Timestamp) -> String {
        "project = \(doubleQuoted(id)) AND created >= \(max(0, since.milliseconds))"
            + " ORDER BY id DESC"
    }
}
