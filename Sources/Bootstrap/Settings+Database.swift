package import Domain
package import Store

extension Settings {
    /// What a process takes of a PostgreSQL server at most; nil leaves it to the defaults.
    package struct DatabaseLimits: Sendable, Equatable {
        /// Connections for transactions; one more listens.
        package var connections: Int?
        /// After that the server gives a statement up.
        package var statementTimeout: Duration?
        /// So long a transaction waits for a row that another one holds.
        package var lockTimeout: Duration?

        /// Reads the variables; those of a store that is a file are checked all the same.
        init(_ value: (String) -> String?) throws(CommandFailure) {
            connections = try Settings.number(value, "PRELOOP_DATABASE_CONNECTIONS", 2...1_000)
            statementTimeout = try Self.seconds(
                value,
                "PRELOOP_DATABASE_STATEMENT_TIMEOUT",
                1...86_400
            )
            lockTimeout = try Self.seconds(value, "PRELOOP_DATABASE_LOCK_TIMEOUT", 1...3_600)
        }

        private static func seconds(
            _ value: (String) -> String?,
            _ name: String,
            _ range: ClosedRange<Int>
        ) throws(CommandFailure) -> Duration? {
            try Settings.number(value, name, range).map { .seconds($0) }
        }
    }

    /// How the database at an address is reached.
    package func configuration(of address: Secret) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(address: address)
        if let connections = databaseLimits.connections {
            configuration.maximumConnections = connections
        }
        if let time = databaseLimits.statementTimeout { configuration.statementTimeout = time }
        if let time = databaseLimits.lockTimeout { configuration.lockTimeout = time }
        return configuration
    }
}
