import Domain

/// SQLite's own check of its file, for `preloop doctor`.
package enum SQLiteCheck {
    /// Compares every index with its table and every page with its neighbours.
    ///
    /// It reads the whole file. At most ten problems come back; none for a sound file and on
    /// PostgreSQL, which looks after itself.
    package static func problems(on connection: any SQLConnection) throws(StoreError) -> [String] {
        switch connection.dialect {
        case .postgres: return []
        case .sqlite:
            var problems: [String] = []
            for row in try connection.rows("PRAGMA integrity_check(10)") {
                let text = try row.text("integrity_check")
                if !haveEqualBytes(text, "ok") { problems.append(text) }
            }
            return problems
        }
    }

}
