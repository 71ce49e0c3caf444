package import Domain

/// One account's view of a database: what the use cases hold.
package struct Store: Sendable {
    /// The engine.
    package let database: any Database
    /// Whose rows every statement binds.
    package let account: AccountID
    /// The time that rows are stamped with.
    package let clock: WallClock
    /// What every write asks for first; nil where nothing has to be held.
    private let fence: Fence?

    /// Migrates the database, makes the account when it is new, and gives its store.
    ///
    /// - Throws: ``StoreError/newerSchema(found:supported:)`` and what the engine refuses.
    package static func open(
        _ database: any Database,
        account: AccountID = AccountTable.defaultID,
        clock: WallClock = .system,
        migrator: Migrator = Migrator()
    ) async throws -> Store {
        try await migrator.migrate(database)
        let exists = try await database.read { connection in
            try AccountTable.exists(account, on: connection)
        }
        if !exists {
            try await database.write { connection in
                try AccountTable.create(
                    account,
                    name: account == AccountTable.defaultID ? "default" : "\(account)",
                    createdAt: clock.now(),
                    on: connection
                )
            }
        }
        return Store(database: database, account: account, clock: clock)
    }

    private init(
        database: any Database,
        account: AccountID,
        clock: WallClock,
        fence: Fence? = nil
    ) {
        self.database = database
        self.account = account
        self.clock = clock
        self.fence = fence
    }

    /// The same store, whose every write makes sure first that a lease is still held.
    package func fenced(by fence: Fence?) -> Store {
        Store(database: database, account: account, clock: clock, fence: fence)
    }

    /// The same database as another account, which exists, sees it.
    package func viewed(by account: AccountID) -> Store {
        Store(database: database, account: account, clock: clock)
    }

    /// Reads on one snapshot; the closure gets the connection and the account to bind.
    package func read<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Value
    ) async throws -> Value {
        let account = account
        return try await database.read { connection in try body(connection, account) }
    }

    /// Writes in one transaction; the closure gets the connection and the account to bind.
    ///
    /// The account's feed is locked first, so that what the closure reads stays true until it ends.
    package func write<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Value
    ) async throws -> Value {
        let (account, fence) = (account, fence)
        return try await database.write { connection in
            try AccountTable.lockFeed(of: account, on: connection)
            try fence?.verify(account: account, on: connection)
            return try body(connection, account)
        }
    }

    /// Writes in one transaction without the feed lock, for tables that no follower reads.
    ///
    /// It neither waits for who writes pages nor keeps them waiting, and on PostgreSQL two such
    /// transactions run side by side: what the closure reads may change before it ends unless it
    /// locks the rows. What draws revisions or identifiers takes the feed lock at that moment.
    package func writeOutsideFeed<Value: Sendable>(
        _ body: @escaping @Sendable (any SQLConnection, AccountID) throws -> Value
    ) async throws -> Value {
        let (account, fence) = (account, fence)
        return try await database.write { connection in
            try fence?.verify(account: account, on: connection)
            return try body(connection, account)
        }
    }
}
