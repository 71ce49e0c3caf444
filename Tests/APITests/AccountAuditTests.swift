import Domain
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What is done about users, passwords, keys and sessions is on record, or is not done.
@Suite struct AccountAuditTests {
    private let users = "/api/v1/users"
    private let me = "/api/v1/auth/users/me"
    private let other = "another good one"

    /// What the audit says, in its order.
    private func rows(
        _ store: Store,
        of account: AccountID = AccountTable.defaultID
    ) async throws -> [AuditTable.Row] {
        try await store.viewed(by: account).read { connection, account in
            try AuditTable.rows(after: 0, limit: 1_000, account: account, on: connection)
        }
    }

    /// The same in lines: what was done, by whom, to whom.
    private func lines(
        _ store: Store,
        of account: AccountID = AccountTable.defaultID
    ) async throws -> [String] {
        try await rows(store, of: account).compactMap(\.event).map { event in
            "\(event.decision ?? "") by \(event.caller): \(event.reason ?? "")"
        }
    }

    /// What was set by the events of a decision, in their order.
    private func settings(
        _ decision: AuditedChange.Deed,
        _ store: Store,
        of account: AccountID = AccountTable.defaultID
    ) async throws -> [JSONValue] {
        try await rows(store, of: account).compactMap(\.event).filter {
            $0.decision == decision.rawValue
        }.map { try JSONParser.parse($0.arguments ?? "null") }
    }

    /// Expects that an account's chain is whole, and that it holds none of some texts.
    private func expectSound(
        _ store: Store,
        of account: AccountID = AccountTable.defaultID,
        without secrets: [String]
    ) async throws {
        let key = try RunningServer.auditKeys(of: account).publicKey
        let report = try await AuditLog(store: store.viewed(by: account), key: key).verify()
        #expect(report.isSound && report.count > 0, "\(report.faults)")
        let all = try await rows(store, of: account).map { $0.json.serializedText() }
            .joined(separator: "\n")
        for secret in secrets + [RunningServer.password, other] {
            #expect(!secret.isEmpty && !all.contains(secret), "\(secret) is in \(all)")
        }
    }

    @Test func `what is done to a user and the user's keys is on record, and by whom`()
        async throws
    {
        let server = try await RunningServer()
        let store = server.scratch.store
        _ = try await server.add("olga", .owner)
        let olga = try await server.key("olga")
        let before = try await lines(store).count
        #expect(before == 2)
        func send(
            _ method: String,
            _ path: String,
            _ body: JSONValue? = nil
        ) async throws -> JSONValue {
            let answer = try await server.send(method, path, body, token: olga)
            #expect((200...204).contains(answer.status), "\(path): \(answer.text)")
            guard !answer.body.isEmpty else { return .null }
            return try answer.json
        }
        let draft: JSONValue = [
            "username": "bob", "password": .string(RunningServer.password), "role": "viewer",
            "email": "bob@example.com",
        ]
        let id = try await send("POST", users, draft)["id"]?.integer ?? 0
        let path = "\(users)/\(id)"
        // What is so already is no change.
        for _ in 0..<2 { _ = try await send("PUT", path, ["role": "editor"]) }
        _ = try await send("PUT", path, ["email": "bob@example.com"])
        _ = try await send("PUT", path, ["password": .string(other), "role": "editor"])
        let sign: JSONValue = ["username": "bob", "password": .string(other)]
        let tokens = try await server.send("POST", "/api/v1/auth/token", sign).json
        for _ in 0..<2 { _ = try await send("PUT", path, ["is_active": false]) }
        let made = try await send("POST", path + "/api-keys", ["name": "ci", "scopes": ["read"]])
        _ = try await send("DELETE", path + "/api-keys/\(made["id"]?.integer ?? 0)")
        let left = try await send("POST", path + "/api-keys", ["name": "left"])
        _ = try await send("DELETE", path)
        #expect(
            try await Array(lines(store).dropFirst(before)) == [
                "user_added by user:olga: user bob",
                "user_updated by user:olga: user bob",
                "password_changed by user:olga: user bob",
                "session_begun by user:bob: user bob",
                "user_updated by user:olga: user bob",
                "session_ended by user:olga: user bob",
                "key_added by user:olga: key ci of user bob",
                "key_removed by user:olga: key ci of user bob",
                "key_added by user:olga: key left of user bob",
                "user_removed by user:olga: user bob",
            ]
        )
        let added = try #require(try await settings(.userAdded, store).last)
        #expect(added["role"] == "viewer" && added["origin"] == "administrator")
        #expect(added["email"]?.string?.hasPrefix("[redacted:email:") == true)
        let updated = try await settings(.userUpdated, store)
        #expect(updated == [["role": "editor"], ["is_active": false]])
        let ended = try await settings(.sessionEnded, store)
        #expect(ended == [["sessions": 1, "because": "user_deactivated"]])
        let keys = try await settings(.keyAdded, store).suffix(2)
        #expect(keys.first == ["scopes": ["read"], "expires_at": nil])
        let removed = try await settings(.userRemoved, store)
        #expect(removed == [["role": "editor", "keys": ["left"]]])
        let secrets = ["key", "access_token", "refresh_token"].flatMap { name in
            [made, left, tokens].compactMap { $0[name]?.string }
        }
        try await expectSound(store, without: secrets + [olga, "bob@example.com"])
        try await server.stop()
    }

    @Test func `what users do about themselves is on record, whatever their role`() async throws {
        let server = try await RunningServer()
        let store = server.scratch.store
        _ = try await server.add("vera", .viewer)
        let first = try await server.signIn("vera")["access_token"]?.string ?? ""
        _ = try await server.signIn("vera")
        func status(
            _ method: String,
            _ path: String,
            _ body: JSONValue?,
            _ token: String
        ) async throws -> Int {
            try await server.send(method, path, body, token: token).status
        }
        #expect(try await status("PUT", me, ["email": "v@example.com"], first) == 200)
        let made = try await server.send(
            "POST",
            "/api/v1/auth/api-keys",
            ["name": "laptop"],
            token: first
        )
        let key = "/api/v1/auth/api-keys/\(try made.json["id"]?.integer ?? 0)"
        #expect(try await status("DELETE", key, nil, first) == 204)
        #expect(try await status("DELETE", key, nil, first) == 404)
        let passwords: JSONValue = [
            "current_password": .string(RunningServer.password), "new_password": .string(other),
        ]
        #expect(try await status("PUT", me + "/password", passwords, first) == 204)
        let again = try await server.application.desk.signIn(
            name: "vera",
            password: other,
            address: "test"
        )
        let logout = "/api/v1/auth/logout"
        #expect(try await status("POST", logout, nil, again.access) == 204)
        #expect(try await status("POST", logout, nil, again.access) == 401)
        #expect(
            try await lines(store) == [
                "user_added by preloop: user vera",
                "session_begun by user:vera: user vera",
                "session_begun by user:vera: user vera",
                "user_updated by user:vera: user vera",
                "key_added by user:vera: key laptop of user vera",
                "key_removed by user:vera: key laptop of user vera",
                "password_changed by user:vera: user vera",
                "session_ended by user:vera: user vera",
                "session_begun by user:vera: user vera",
                "session_ended by user:vera: user vera",
            ]
        )
        #expect(
            try await settings(.sessionEnded, store) == [
                ["sessions": 2, "because": "password_changed"],
                ["sessions": 1, "because": "signed_out"],
            ]
        )
        let secrets = [first, again.access, again.refresh, try made.json["key"]?.string ?? ""]
        try await expectSound(store, without: secrets)
        try await server.stop()
    }

    @Test func `a refresh token that comes again is on record, once`() async throws {
        let server = try await RunningServer()
        let (store, desk) = (server.scratch.store, server.application.desk)
        _ = try await server.add("ann", .viewer)
        let tokens = try await desk.signIn(
            name: "ann",
            password: RunningServer.password,
            address: "test"
        )
        let next = try await desk.refresh(tokens.refresh)
        for token in [tokens.refresh, tokens.refresh, next.refresh, next.refresh] {
            await #expect(throws: Problem.self) { try await desk.refresh(token) }
        }
        #expect(
            try await lines(store) == [
                "user_added by preloop: user ann", "session_begun by user:ann: user ann",
                "token_reused by user:ann: user ann",
            ]
        )
        // It is the session that was begun.
        let begun = try await settings(.sessionBegun, store)
        #expect(begun[0]["session"]?.integer != nil)
        #expect(try await settings(.tokenReused, store) == begun)
        try await expectSound(store, without: [tokens.refresh, next.refresh])
        try await server.stop()
    }

    @Test func `whoever registers, or uses the set-up link, is on record as who did it`()
        async throws
    {
        var setup = RunningServer.Setup()
        setup.allowsRegistration = true
        let server = try await RunningServer(setup)
        let store = server.scratch.store
        let made = try await server.application.desk.setupToken(of: AccountTable.defaultID)
        let link = try #require(made)
        let form = "token=\(link)&username=ann&password=another+good+one"
        #expect(try await server.sendForm("/setup", form).status == 201)
        // There is nobody to set up for any more.
        let none = try await server.application.desk.setupToken(of: AccountTable.defaultID)
        #expect(none == nil)
        let draft: JSONValue = ["username": "bob", "password": .string(RunningServer.password)]
        let registered = try await server.send("POST", "/api/v1/auth/register", draft)
        #expect(registered.status == 201, "\(registered.text)")
        #expect(
            try await lines(store) == [
                "setup_link_made by preloop: set-up link", "user_added by user:ann: user ann",
            ]
        )
        #expect(try await settings(.userAdded, store)[0]["origin"] == "setup_link")
        // The other account has a chain of its own, by its own keys.
        let found = try await store.database.read { connection in
            try UserTable.account(ofName: "bob", on: connection)
        }
        let account = try #require(found)
        #expect(try await lines(store, of: account) == ["user_added by user:bob: user bob"])
        #expect(try await settings(.userAdded, store, of: account)[0]["origin"] == "registration")
        try await expectSound(store, without: [link])
        try await expectSound(store, of: account, without: [link])
        try await server.stop()
    }

    /// Else whoever knows no password could fill the record.
    @Test func `what is refused writes nothing`() async throws {
        var setup = RunningServer.Setup()
        setup.allowsRegistration = true
        let server = try await RunningServer(setup)
        let store = server.scratch.store
        let owner = try await server.add("olga", .owner)
        _ = try await server.add("vera", .viewer)
        let (olga, vera) = (try await server.key("olga"), try await server.key("vera"))
        let before = try await lines(store)
        func status(
            _ method: String,
            _ path: String,
            _ body: JSONValue,
            _ token: String? = nil
        ) async throws -> Int {
            try await server.send(method, path, body, token: token).status
        }
        let token = "/api/v1/auth/token"
        for name in ["olga", "nobody"] {
            let wrong: JSONValue = ["username": .string(name), "password": "not this one"]
            #expect(try await status("POST", token, wrong) == 401)
        }
        let refresh: JSONValue = ["refresh_token": "plr_1_nonsense"]
        #expect(try await status("POST", "/api/v1/auth/refresh", refresh) == 401)
        let taken: JSONValue = [
            "username": "vera", "password": .string(RunningServer.password), "role": "viewer",
        ]
        #expect(try await status("POST", users, taken, olga) == 409)
        #expect(try await status("POST", users, taken, vera) == 403)
        let stranger: JSONValue = [
            "username": "vera", "password": .string(RunningServer.password),
        ]
        #expect(try await status("POST", "/api/v1/auth/register", stranger) == 409)
        let path = "\(users)/\(owner.id)"
        #expect(try await status("PUT", path, ["role": "viewer"], olga) == 409)
        let passwords: JSONValue = [
            "current_password": "not this one", "new_password": .string(other),
        ]
        #expect(try await status("PUT", me + "/password", passwords, vera) == 422)
        #expect(try await lines(store) == before)
        try await server.stop()
    }

    @Test func `sessions whose time is over do not end once more`() async throws {
        var setup = RunningServer.Setup()
        setup.lifetimes.session = .zero
        let server = try await RunningServer(setup)
        let ann = try await server.add("ann", .owner)
        _ = try await server.signIn("ann")
        let desk = server.application.desk
        _ = try await desk.change(ann.id, of: AccountTable.defaultID, .init(password: other))
        let decisions = try await rows(server.scratch.store).map { $0.event?.decision }
        #expect(decisions == ["user_added", "session_begun", "password_changed"])
        try await server.stop()
    }

    @Test func `changes are listed by who made them and what they are`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("olga", .owner)
        let olga = try await server.key("olga")
        _ = try await server.signIn("olga")
        func changes(_ query: String) async throws -> [JSONValue] {
            let path = "/api/v1/audit?kind=change&\(query)"
            return try await server.send("GET", path, token: olga).json.array ?? []
        }
        let own = try await changes("caller=user:olga")
        #expect(own.map { $0["decision"] } == ["session_begun"])
        let begun = try #require(own.first)
        #expect(begun["reason"] == "user olga" && begun["kind"] == "change")
        #expect(begun["arguments"]?.string?.hasPrefix(#"{"session":"#) == true)
        let decisions = try await changes("caller=preloop").map { $0["decision"] }
        #expect(decisions == ["key_added", "user_added"])
        #expect(try await changes("decision=user_added").count == 1)
        #expect(try await changes("decision=user_removed").isEmpty)
        try await server.stop()
    }
}
