package import Store

/// One opened installation: what commands are made of.
package struct Installation: Sendable {
    /// What the environment says.
    package let settings: Settings
    /// Where its files are.
    package let home: HomeDirectory
    /// The default account's store.
    package let store: Store

    /// Opens the installation; one that does not exist yet is an error.
    package static func open(_ settings: Settings) async throws(CommandFailure) -> Installation {
        let home = HomeDirectory(settings.home)
        guard home.exists else {
            throw CommandFailure(
                .failure,
                "there is no installation in `\(home.path)`",
                hint: "make one with `preloop init`, or set `PRELOOP_HOME`"
            )
        }
        return try await open(home, settings: settings)
    }

    /// Opens the installation of this process's environment.
    package static func open() async throws(CommandFailure) -> Installation {
        try await open(Settings.read())
    }

    /// Makes what is missing: directory, key file (unless `SECRET_KEY` is set), database.
    package static func create(_ settings: Settings) async throws(CommandFailure) -> Installation {
        let home = HomeDirectory(settings.home)
        try home.create()
        if settings.secretKey == nil {
            try await attempt("cannot make the key file") {
                try SecretKeyFile(home: home.path).create()
            }
        }
        return try await open(home, settings: settings)
    }

    private static func open(
        _ home: HomeDirectory,
        settings: Settings
    ) async throws(CommandFailure) -> Installation {
        let store = try await attempt("cannot open the store `\(home.database)`") {
            try await Store.open(SQLiteDatabase(path: home.database))
        }
        return Installation(settings: settings, home: home, store: store)
    }

    /// The key that seals credentials: `SECRET_KEY`, else the key file.
    package func secretBox() throws(StoreError) -> SecretBox {
        if let key = settings.secretKey { return try SecretBox(keyMaterial: key) }
        return try SecretBox(keyMaterial: SecretKeyFile(home: home.path).read())
    }

    /// Brings the store's log into its file; called by commands that wrote.
    package func close() async throws {
        try await store.database.close()
    }
}
