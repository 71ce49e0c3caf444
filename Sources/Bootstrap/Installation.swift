package import Domain
import Gateway
package import Store

/// One opened installation: what commands are made of.
package struct Installation: Sendable {
    /// What the environment says.
    package let settings: Settings
    /// Where its files are.
    package let home: HomeDirectory
    /// The default account's store.
    package let store: Store

    /// Whether the call that gave this made its database.
    package let isNew: Bool

    /// The writers of the audit, the same for all accounts of the process.
    let audits: AuditWriters

    /// Opens the installation; one that does not exist yet is an error.
    package static func open(_ settings: Settings) async throws(CommandFailure) -> Installation {
        let home = HomeDirectory(settings.home)
        guard settings.databaseAddress != nil || home.exists else { throw nothing(in: home) }
        let installation = try await open(home, settings: settings, isNewAllowed: false)
        // Beside a database server it holds only what is made anew: every host may have one.
        if settings.databaseAddress != nil { try home.create() }
        return installation
    }

    /// Opens the installation of this process's environment.
    package static func open() async throws(CommandFailure) -> Installation {
        try await open(Settings.read())
    }

    /// Makes what is missing: directory, key file (unless `SECRET_KEY` is set), database.
    package static func create(_ settings: Settings) async throws(CommandFailure) -> Installation {
        let home = HomeDirectory(settings.home)
        try home.create()
        let file = SecretKeyFile(home: home.path)
        guard settings.secretKey == nil, !file.exists else {
            return try await open(home, settings: settings, isNewAllowed: true)
        }
        guard home.exists || settings.databaseAddress != nil else {
            // The key comes first: two processes at once both seal with the one that is kept.
            try await attempt("cannot make the key file") { try file.create() }
            return try await open(home, settings: settings, isNewAllowed: true)
        }
        let installation = try await open(home, settings: settings, isNewAllowed: true)
        try await attempt("cannot make the key file") {
            guard try await !installation.hasCredentials(orKey: file) else {
                throw CommandFailure(
                    .failure,
                    "the key file `\(file.path)` is missing",
                    reason: "the database holds credentials that only the lost key opens",
                    hint: "put back the key or set SECRET_KEY, or enter each tracker's token again "
                        + "with `preloop trackers update`"
                )
            }
            try file.create()
        }
        return installation
    }

    /// Whether a sealed credential is stored while there is no key file.
    private func hasCredentials(orKey file: SecretKeyFile) async throws -> Bool {
        let isFound = try await store.read { connection, account in
            let ofTrackers = try TrackerTable.list(account: account, on: connection).contains {
                let sealed = try TrackerTable.credential(
                    of: $0.id,
                    account: account,
                    on: connection
                )
                return sealed?.bytes.isEmpty == false
            }
            if ofTrackers { return true }
            return try UpstreamServerTable.list(account: account, on: connection).contains {
                try UpstreamServerTable.credential(of: $0.id, account: account, on: connection)
                    != nil
            }
        }
        // Another process may have made the key and stored a credential at this moment.
        return isFound && !file.exists
    }

    /// The same installation as another account, which exists, sees it.
    package func viewed(by account: AccountID) -> Installation {
        Installation(
            settings: settings,
            home: home,
            store: store.viewed(by: account),
            isNew: isNew,
            audits: audits
        )
    }

    private static func open(
        _ home: HomeDirectory,
        settings: Settings,
        isNewAllowed: Bool
    ) async throws(CommandFailure) -> Installation {
        let isServer = settings.databaseAddress != nil
        let what = isServer ? "the database of `DATABASE_URL`" : "`\(home.database)`"
        let (store, isNew) = try await attempt(
            isServer ? "cannot open \(what)" : "cannot open the store \(what)"
        ) {
            let database = try database(home, settings)
            let isMade = try await database.read { connection in
                try SchemaTable.exists(on: connection)
            }
            guard isMade || isNewAllowed else {
                try await database.close()
                throw CommandFailure(
                    .failure,
                    "\(what) is empty",
                    reason: "it has none of the tables of an installation",
                    hint: "put back a backup of it with `preloop db restore`, fill it from another "
                        + "database with `preloop db copy`, or begin anew with `preloop init`"
                )
            }
            return (try await Store.open(database), !isMade)
        }
        return Installation(
            settings: settings,
            home: home,
            store: store,
            isNew: isNew,
            audits: AuditWriters()
        )
    }

    /// The database that the environment names, as it is: neither looked at nor migrated.
    package static func database(_ settings: Settings) throws(StoreError) -> any Database {
        try database(HomeDirectory(settings.home), settings)
    }

    /// The database of an installation that is there, for who only looks at it; no file is made.
    ///
    /// - Throws: ``CommandFailure`` when there is no file, and ``StoreError``.
    package static func existingDatabase(_ settings: Settings) throws -> any Database {
        let home = HomeDirectory(settings.home)
        guard settings.databaseAddress != nil || home.exists else { throw nothing(in: home) }
        return try database(home, settings)
    }

    private static func nothing(in home: HomeDirectory) -> CommandFailure {
        // A second installation, begun beside the key of the first, would look like data lost.
        if SecretKeyFile(home: home.path).exists {
            return CommandFailure(
                .failure,
                "the database of the installation in `\(home.path)` is not there",
                reason: "its secret.key is there and no preloop.db: the database is elsewhere, and "
                    + "`DATABASE_URL` is probably missing",
                hint: "set `DATABASE_URL` as its other programs have it; if preloop.db was lost, "
                    + "put back a backup with `preloop db restore`, or begin anew with "
                    + "`preloop init`"
            )
        }
        return CommandFailure(
            .failure,
            "there is no installation in `\(home.path)`",
            hint: "make one with `preloop init`, or set `PRELOOP_HOME`"
        )
    }

    /// The database at a PostgreSQL address or a file's path; of a server no more is taken than the
    /// environment allows for its own.
    package static func database(
        at address: String,
        _ settings: Settings
    ) throws(StoreError) -> any Database {
        guard PostgresConfiguration.isAddress(address) else {
            return try SQLiteDatabase(path: address)
        }
        return PostgresDatabase(settings.configuration(of: Secret(address)))
    }

    private static func database(
        _ home: HomeDirectory,
        _ settings: Settings
    ) throws(StoreError) -> any Database {
        guard let address = settings.databaseAddress else {
            return try SQLiteDatabase(path: home.database)
        }
        return PostgresDatabase(settings.configuration(of: address))
    }

    /// The key that seals credentials: `SECRET_KEY`, else the key file.
    ///
    /// - Throws: ``CommandFailure`` that says how to get over a lost key.
    package func secretBox() throws(CommandFailure) -> SecretBox {
        do throws(StoreError) {
            if let key = settings.secretKey { return try SecretBox(keyMaterial: key) }
            return try SecretBox(keyMaterial: SecretKeyFile(home: home.path).read())
        } catch {
            throw CommandFailure(
                .authentication,
                "the stored tokens cannot be read",
                reason: "\(error)",
                hint: Self.keyAdvice(for: nil, isDamaged: keyFile.exists)
            )
        }
    }

    private var keyFile: SecretKeyFile { SecretKeyFile(home: home.path) }

    /// What to do about a token that the present key does not open.
    ///
    /// - Parameters:
    ///   - name: The tracker's; nil when any may be meant.
    ///   - isDamaged: Whether the key file is there and no key; a new one is made only where there
    ///     is none.
    /// - Returns: One line of advice.
    static func keyAdvice(for name: String?, isDamaged: Bool = false) -> String {
        "put back from a backup the secret.key or SECRET_KEY it was stored with, or "
            + (isDamaged ? "move the key file away and " : "")
            + (name.map { "enter the token again with `preloop trackers update \($0)`" }
                ?? "enter each tracker's token again with `preloop trackers update`")
    }

    /// Makes a key for a token that is stored anew, when the key file was lost.
    ///
    /// - Returns: Whether the key is new, so that what the lost one sealed stays shut.
    package func replaceLostKey() throws -> Bool {
        guard settings.secretKey == nil, !keyFile.exists else { return false }
        try keyFile.create()
        return true
    }

    /// Brings the store's log into its file; called by commands that wrote.
    package func close() async throws {
        try await store.database.close()
    }
}
