package import Domain

/// When a tracker is scanned, and how its last scans went.
package struct ScanSchedule: Sendable, Equatable {
    package var tracker: TrackerID
    /// The tracker's name.
    package var name: String
    /// Nil for the scheduler's own; zero for never.
    package var interval: Duration?
    /// Nil until a scheduler has seen the tracker.
    package var nextAt: Timestamp?
    /// Scans that failed one after the other.
    package var failures: Int
    /// Why the last one failed; nil when it did not.
    package var lastError: String?
    package var lastStartedAt: Timestamp?
    package var lastEndedAt: Timestamp?

    package init(tracker: TrackerID, name: String) {
        self.tracker = tracker
        self.name = name
        failures = 0
    }
}

/// The schedules of an account's trackers; one that has none yet is shown as a new one.
package enum ScanScheduleTable {
    private static let errorCharacters = 1_000

    /// Lets one scheduler of an account at a time plan, until its transaction ends.
    ///
    /// - Returns: False when another one is planning. SQLite's write lock has made it wait instead.
    package static func lock(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> Bool {
        switch connection.dialect {
        case .sqlite: return true
        case .postgres:
            // Numbers of ours within the database; each schema and each account has its own.
            let rows = try connection.rows(
                """
                SELECT pg_try_advisory_xact_lock(
                    1886351983, hashtext(current_schema() || \("/\(account)")::text)
                ) AS is_ours
                """
            )
            return try rows.first?.bool("is_ours") ?? false
        }
    }

    /// The schedules of all trackers that can be scanned, by name.
    package static func list(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [ScanSchedule] {
        let trackers = try TrackerTable.list(account: account, on: connection)
            .filter(\.isRemote)
        let rows = try connection.rows(
            """
            SELECT tracker_id, interval_s, next_at, failures, last_error, last_started_at,
                last_ended_at
            FROM scan_schedules WHERE account_id = \(account) ORDER BY tracker_id
            """
        )
        var stored: [TrackerID: SQLRow] = [:]
        for row in rows { stored[try row.identifier("tracker_id")] = row }
        var schedules: [ScanSchedule] = []
        for tracker in trackers {
            var schedule = ScanSchedule(tracker: tracker.id, name: tracker.name)
            if let row = stored[tracker.id] { try fill(&schedule, from: row) }
            schedules.append(schedule)
        }
        return schedules
    }

    private static func fill(
        _ schedule: inout ScanSchedule,
        from row: SQLRow
    ) throws(StoreError) {
        schedule.interval = try row.optionalInteger("interval_s").map { .seconds($0) }
        schedule.nextAt = try row.optionalTimestamp("next_at")
        schedule.failures = Int(try row.integer("failures"))
        schedule.lastError = try row.optionalText("last_error")
        schedule.lastStartedAt = try row.optionalTimestamp("last_started_at")
        schedule.lastEndedAt = try row.optionalTimestamp("last_ended_at")
    }

    /// Stores how often a tracker is scanned: nil for the scheduler's own interval, zero for never.
    ///
    /// The next scan is planned anew.
    package static func setInterval(
        _ interval: Duration?,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let seconds = interval.map { Int64($0.components.seconds) }
        try connection.execute(
            """
            INSERT INTO scan_schedules (account_id, tracker_id, interval_s)
            VALUES (\(account), \(tracker), \(seconds))
            ON CONFLICT (account_id, tracker_id)
            DO UPDATE SET interval_s = excluded.interval_s, next_at = NULL
            """
        )
    }

    /// Stores when a tracker is due next.
    package static func setNext(
        _ instant: Timestamp,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO scan_schedules (account_id, tracker_id, next_at)
            VALUES (\(account), \(tracker), \(instant))
            ON CONFLICT (account_id, tracker_id) DO UPDATE SET next_at = excluded.next_at
            """
        )
    }

    /// Notes how a scan went, and when the next one is due; failures are counted.
    package static func note(
        _ end: ScanScheduleEnd,
        of tracker: TrackerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let failed: Int64 = end.error == nil ? 0 : 1
        let error = end.error.map { String($0.prefix(errorCharacters)) }
        try connection.execute(
            """
            INSERT INTO scan_schedules (account_id, tracker_id, next_at, failures, last_error,
                last_started_at, last_ended_at)
            VALUES (\(account), \(tracker), \(end.nextAt), \(failed), \(error),
                \(end.startedAt), \(end.endedAt))
            ON CONFLICT (account_id, tracker_id)
            DO UPDATE SET next_at = excluded.next_at,
                failures = CASE WHEN excluded.failures = 0 THEN 0
                    ELSE scan_schedules.failures + 1 END,
                last_error = excluded.last_error, last_started_at = excluded.last_started_at,
                last_ended_at = excluded.last_ended_at
            """
        )
    }
}

/// How a scheduled scan went.
package struct ScanScheduleEnd: Sendable, Equatable {
    package var startedAt: Timestamp
    package var endedAt: Timestamp
    /// Nil when everything was read.
    package var error: String?
    /// Nil leaves it to the scheduler.
    package var nextAt: Timestamp?

    package init(
        startedAt: Timestamp,
        endedAt: Timestamp,
        error: String?,
        nextAt: Timestamp?
    ) {
        self.startedAt = startedAt
        self.endedAt = endedAt
        self.error = error
        self.nextAt = nextAt
    }
}
