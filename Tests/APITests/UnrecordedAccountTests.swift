import Domain
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What cannot be recorded about users, keys and sessions is not done.
@Suite struct UnrecordedAccountTests {
    /// What is there of users, keys, sessions, links and accounts.
    private struct State: Equatable {
        var accounts: [AccountID]
        var users: [User]
        var hashes: [String?]
        var keys: [APIKeyTable.Row]
        var openSessions: Int
        var tokens: Int
        var usedTokens: Int
        var links: Int
        var events: Int
    }

    private let server: RunningServer
    private let ann: User
    private let vera: User
    /// A key of vera's.
    private let key: APIKeyID
    private let empty: AccountID

    init() async throws {
        server = try await RunningServer()
        ann = try await server.add("ann", .owner)
        vera = try await server.add("vera", .viewer)
        key = try await server.application.desk.addKey(
            name: "laptop",
            scopes: [],
            expiresAt: nil,
            for: vera.id,
            of: AccountTable.defaultID
        ).row.id
        empty = try await server.scratch.store.database.write { connection in
            try AccountTable.create(name: "empty", createdAt: World.start, on: connection)
        }
    }

    /// Over the same database, whose audit cannot be written.
    private func unrecording(_ error: StoreError) -> AccountDesk {
        AccountDesk(
            store: server.scratch.store,
            signingKey: RunningServer.signingKey,
            audit: { _ in throw error }
        )
    }

    private func state() async throws -> State {
        try await server.scratch.store.read { connection, account in
            func count(_ query: SQL) throws -> Int { try connection.rows(query).count }
            let users = try UserTable.list(account: account, on: connection)
            return State(
                accounts: try AccountTable.list(on: connection),
                users: users,
                hashes: try users.map { user in
                    try UserTable.login(name: user.name, account: account, on: connection)?
                        .passwordHash
                },
                keys: try users.flatMap { user in
                    try APIKeyTable.list(of: user.id, account: account, on: connection)
                },
                openSessions: try count("SELECT id FROM sessions WHERE revoked_at IS NULL"),
                tokens: try count("SELECT digest FROM refresh_tokens"),
                usedTokens: try count(
                    "SELECT digest FROM refresh_tokens WHERE used_at IS NOT NULL"
                ),
                links: try count("SELECT digest FROM setup_links"),
                events: try count("SELECT sequence FROM audit_events")
            )
        }
    }

    /// Something that is done at a desk, by its name.
    private typealias Deed = (name: String, perform: @Sendable () async throws -> Void)

    /// What is done about users and their keys.
    private func aboutUsers(_ desk: AccountDesk) -> [Deed] {
        let (account, ann, vera, key) = (AccountTable.defaultID, ann, vera, key)
        let draft = AccountDesk.Draft(
            name: "zoe",
            password: RunningServer.password,
            role: .viewer
        )
        return [
            ("add", { _ = try await desk.add(draft, to: account) }),
            ("register", { _ = try await desk.register(draft) }),
            ("role", { _ = try await desk.change(vera.id, of: account, .init(role: .editor)) }),
            (
                "password",
                { _ = try await desk.change(ann.id, of: account, .init(password: "another one")) }
            ),
            ("off", { _ = try await desk.change(vera.id, of: account, .init(isActive: false)) }),
            ("remove", { try await desk.remove(vera.id, of: account) }),
            (
                "add a key",
                {
                    _ = try await desk.addKey(
                        name: "ci",
                        scopes: [],
                        expiresAt: nil,
                        for: vera.id,
                        of: account
                    )
                }
            ),
            ("remove a key", { try await desk.removeKey(key, of: vera.id, in: account) }),
        ]
    }

    @Test func `nothing is done about users, keys and sessions that cannot be recorded`()
        async throws
    {
        let (own, account) = (server.application.desk, AccountTable.defaultID)
        let (vera, empty) = (vera, empty)
        let password = RunningServer.password
        let link = try #require(try await own.setupToken(of: empty))
        let tokens = try await own.signIn(name: "vera", password: password, address: "test")
        _ = try await own.refresh(tokens.refresh)
        let sessions = try await server.scratch.store.read { connection, account in
            try connection.rows("SELECT id FROM sessions WHERE account_id = \(account)").map {
                try $0.identifier("id") as SessionID
            }
        }
        let principal = Principal(
            account: account,
            user: vera.id,
            name: "vera",
            role: .viewer,
            credential: .session(try #require(sessions.first))
        )
        let before = try await state()
        let desk = unrecording(.unavailable(detail: "there is no key"))
        let sessionDeeds: [Deed] = [
            (
                "sign in",
                { _ = try await desk.signIn(name: "ann", password: password, address: "test") }
            ),
            ("sign out", { try await desk.signOut(principal) }),
            ("come again", { _ = try await desk.refresh(tokens.refresh) }),
            ("make a link", { _ = try await desk.setupToken(of: empty) }),
            ("use a link", { _ = try await desk.setUp(link, name: "zoe", password: password) }),
        ]
        for deed in aboutUsers(desk) + sessionDeeds {
            await #expect(throws: StoreError.self, "\(deed.name)") { try await deed.perform() }
            #expect(try await state() == before, "\(deed.name)")
        }
        // The link that there was is the one that is good.
        #expect(try await own.isSetupToken(link))
        try await server.stop()
    }

    /// To the database both are constraints.
    @Test func `an event that the database refuses is no name that is taken`() async throws {
        let (account, vera) = (AccountTable.defaultID, vera)
        let before = try await state()
        let desk = unrecording(.constraint(detail: "there is an event of that number"))
        let draft = AccountDesk.Draft(
            name: "zoe",
            password: RunningServer.password,
            role: .viewer
        )
        await #expect(throws: StoreError.self) { try await desk.add(draft, to: account) }
        await #expect(throws: StoreError.self) { try await desk.register(draft) }
        await #expect(throws: StoreError.self) {
            try await desk.addKey(
                name: "ci",
                scopes: [],
                expiresAt: nil,
                for: vera.id,
                of: account
            )
        }
        #expect(try await state() == before)
        // A name that is taken is told as that.
        let taken = AccountDesk.Draft(
            name: "vera",
            password: RunningServer.password,
            role: .viewer
        )
        let refusal = await #expect(throws: Problem.self) {
            try await desk.add(taken, to: account)
        }
        #expect(refusal?.code == "name_taken")
        try await server.stop()
    }

    @Test func `without a table for events a server signs nobody in`() async throws {
        let before = try await state()
        _ = try await server.scratch.store.database.write { connection in
            try connection.execute("ALTER TABLE audit_events RENAME TO elsewhere")
        }
        let body: JSONValue = [
            "username": "ann", "password": .string(RunningServer.password),
        ]
        let answer = try await server.send("POST", "/api/v1/auth/token", body)
        #expect(answer.status >= 500, "\(answer.text)")
        #expect(!answer.text.contains("access_token"))
        _ = try await server.scratch.store.database.write { connection in
            try connection.execute("ALTER TABLE elsewhere RENAME TO audit_events")
        }
        #expect(try await state() == before)
        try await server.stop()
    }
}
