package import Domain

/// How a PostgreSQL database is reached and how long we wait for it.
package struct PostgresConfiguration: Sendable {
    /// A URL or `key=value` text as libpq reads them; secret, for it may hold a password.
    ///
    /// What it leaves open comes from the `PG*` variables, the service file and `~/.pgpass`.
    package var address: Secret
    /// Connections of this process to the database, the listening one apart: a scan writes and
    /// indexes side by side and a server answers from few threads, while a database allows a
    /// hundred connections of all processes together unless told otherwise.
    package var maximumConnections = 8
    /// The server gives up a statement after this; the longest, the removal of a tracker of a
    /// hundred thousand issues, takes seconds.
    package var statementTimeout = Duration.seconds(120)
    /// The server's own limit plus this without an answer, and the connection counts as lost.
    var graceTime = Duration.seconds(10)
    /// How long a transaction waits for one of the connections: a statement's time, for when all of
    /// them are that busy, more callers only make it worse.
    package var turnTimeout = Duration.seconds(120)
    /// How long a writer waits for another one, as on SQLite.
    package var lockTimeout = Duration.seconds(20)
    /// How long one attempt to reach a host may take unless the address has a `connect_timeout`.
    ///
    /// A host that does not answer is left out, and those behind it in the address have their own
    /// time.
    package var connectTimeout = Duration.seconds(10)
    /// For how long a lost server is waited for from the moment of the loss, and one that says that
    /// it is starting up from the first time it says so: longer than a restart with recovery takes.
    package var reconnectTimeout = Duration.seconds(60)
    /// Whether statements are prepared under names and kept; false for PgBouncer before 1.21.
    ///
    /// The first sign that names do not survive turns it off by itself.
    package var usesNamedStatements = true
    /// For how long a connection uses the plans of its prepared statements.
    ///
    /// The server keeps a plan that was made before anything was known of a table, also when
    /// statistics come that tell no other number of rows: 50,000 issues were walked for each search
    /// as long as a connection lived. Planning all statements anew takes some ten milliseconds.
    package var planLifetime = Duration.seconds(2)

    /// The defaults for an address.
    package init(address: Secret) {
        self.address = address
    }

    /// Whether a text can be the address of a PostgreSQL database: a URL, or `key=value` settings.
    package static func isAddress(_ text: String) -> Bool {
        text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
            || text.prefixMatch(of: /\s*[A-Za-z_]+\s*=/) != nil
    }

    /// How long one attempt to reach a host may take.
    ///
    /// - Parameter text: The operator's `connect_timeout`: seconds, and no limit where they are 0
    ///   or fewer, as for libpq; nil where nothing was said.
    /// - Returns: The time.
    /// - Throws: ``PostgresFailure`` where the text is no number.
    func connectTime(saying text: String?) throws(PostgresFailure) -> Duration {
        guard let text, !text.isEmpty else { return connectTimeout }
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 1, let seconds = Int(words[0]) else {
            throw PostgresFailure(state: "28000", message: "`connect_timeout` is `\(text)`")
        }
        return .seconds(seconds > 0 ? seconds : Int(Int32.max))
    }

    /// What libpq is told, in order: a later keyword takes the place of an earlier one.
    var parameters: [(keyword: String, value: String)] {
        [
            // Anything but such a fallback would take the place of what a service file says.
            ("fallback_application_name", "preloop"),
            ("dbname", address.reveal()),
            // All that follows is not the operator's to choose.
            ("client_encoding", "UTF8"),
        ]
    }
}
