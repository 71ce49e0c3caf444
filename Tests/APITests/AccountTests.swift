import Crypto
import Domain
import HTTPClient
import Store
import StoreTestSupport
import Synchronization
import Testing

@testable import API

/// Signing in, sessions, keys, roles.
@Suite struct AccountTests {
    private let token = "/api/v1/auth/token"
    private let me = "/api/v1/auth/users/me"

    private func credentials(_ name: String, _ password: String) -> JSONValue {
        ["username": .string(name), "password": .string(password)]
    }

    @Test func `somebody signs in with JSON or a form, and is known by the token`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("Ann", .editor)
        let json = try await server.send(
            "POST",
            token,
            credentials("ANN", RunningServer.password)
        )
        #expect(json.status == 200)
        #expect(try json.json["token_type"] == "bearer")
        #expect(try json.json["expires_in"] == 900)
        let access = try json.json["access_token"]?.string ?? ""
        let who = try await server.send("GET", me, token: access)
        #expect(try who.json["username"] == "ann" && who.json["role"] == "editor")
        #expect(try who.json["last_login_at"]?.isNull == false)
        let form = try await server.sendForm(
            token,
            "grant_type=password&username=ann&password=correct+horse%20battery"
        )
        #expect(form.status == 200)
        #expect(try await server.send("GET", me).status == 401)
        #expect(try await server.send("GET", me).headers["WWW-Authenticate"] != nil)
        for forged in [access + "x", String(access.dropLast()), "nonsense"] {
            #expect(try await server.send("GET", me, token: forged).status == 401)
        }
        try await server.stop()
    }

    @Test func `a wrong name is answered like a wrong password, and guessing is stopped`()
        async throws
    {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let unknown = try await server.send("POST", token, credentials("bob", "wrong password"))
        let wrong = try await server.send("POST", token, credentials("ann", "wrong password"))
        #expect(unknown.status == 401 && wrong.status == 401)
        #expect(try unknown.json["detail"] == wrong.json["detail"])
        for _ in 0..<9 {
            _ = try await server.send("POST", token, credentials("ann", "wrong password"))
        }
        // Now also the right one is not looked at.
        let right = credentials("ann", RunningServer.password)
        let stopped = try await server.send("POST", token, right)
        #expect(stopped.status == 429 && stopped.headers["Retry-After"] != nil)
        var throttle = LoginThrottle()
        let now = Timestamp(milliseconds: 0)
        for _ in 0..<10 { throttle.fail(name: "ann", address: "a", now: now) }
        #expect(throttle.delay(name: "ann", address: "a", now: now) == .seconds(900))
        #expect(throttle.delay(name: "ann", address: "b", now: now) == nil)
        #expect(throttle.delay(name: "bob", address: "a", now: now) == nil)
        let later = Timestamp(milliseconds: 900_001)
        #expect(throttle.delay(name: "ann", address: "a", now: later) == nil)
        throttle.succeed(name: "ann", address: "a")
        #expect(throttle.delay(name: "ann", address: "a", now: now) == nil)
        for number in 0..<50_000 { throttle.fail(name: "n\(number)", address: "c", now: now) }
        #expect(throttle.delay(name: "x", address: "c", now: now) != nil)
        try await server.stop()
    }

    @Test func `a refresh token is good once, and a second use ends the session`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let first = try await server.signIn("ann")
        func refresh(_ token: JSONValue?) async throws -> RunningServer.Answer {
            try await server.send(
                "POST",
                "/api/v1/auth/refresh",
                ["refresh_token": token ?? ""]
            )
        }
        let second = try await refresh(first["refresh_token"])
        #expect(second.status == 200)
        let access = try second.json["access_token"]?.string ?? ""
        #expect(try await server.send("GET", me, token: access).status == 200)
        // Whoever comes with the used one, the thief or the owner, ends it for both.
        #expect(try await refresh(first["refresh_token"]).status == 401)
        #expect(try await refresh(second.json["refresh_token"]).status == 401)
        #expect(try await server.send("GET", me, token: access).status == 401)
        #expect(try await refresh("plr_1_nonsense").status == 401)
        try await server.stop()
    }

    @Test func `an access token is over with its session`() async throws {
        var setup = RunningServer.Setup()
        setup.lifetimes.session = .zero
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .viewer)
        let access = try await server.signIn("ann")["access_token"]?.string ?? ""
        #expect(try await server.send("GET", me, token: access).status == 401)
        try await server.stop()
    }

    @Test func `a key may do over MCP what its scopes for MCP say`() {
        func principal(_ role: Role, _ scopes: Set<KeyScope>) -> Principal {
            Principal(
                account: AccountID(1),
                user: UserID(1),
                name: "ann",
                role: role,
                credential: .apiKey(APIKeyID(1), scopes: scopes)
            )
        }
        #expect(principal(.editor, []).mayWriteByTools)
        #expect(principal(.editor, [.mcpWrite]).mayWriteByTools)
        #expect(!principal(.editor, [.mcpRead]).mayWriteByTools)
        #expect(!principal(.editor, [.mcpRead, .write]).mayWriteByTools)
        #expect(!principal(.viewer, []).mayWriteByTools)
        // Whoever has another role now does not go on with a session of the one before.
        #expect(principal(.editor, []).identity != principal(.viewer, []).identity)
    }

    @Test func `a change of a user that is refused changes nothing`() async throws {
        let server = try await RunningServer()
        let ann = try await server.add("ann", .owner)
        let key = try await server.key("ann")
        let refused = try await server.send(
            "PUT",
            "/api/v1/users/\(ann.id)",
            ["password": "another good one", "role": "viewer"],
            token: key
        )
        #expect(try refused.status == 409 && refused.json["code"] == "last_owner")
        let right = credentials("ann", RunningServer.password)
        #expect(try await server.send("POST", token, right).status == 200)
        try await server.stop()
    }

    @Test func `signing out and a new password end sessions`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let access = try await server.signIn("ann")["access_token"]?.string ?? ""
        #expect(try await server.send("POST", "/api/v1/auth/logout", token: access).status == 204)
        #expect(try await server.send("GET", me, token: access).status == 401)
        let again = try await server.signIn("ann")["access_token"]?.string ?? ""
        func change(_ current: String, _ new: String) async throws -> Int {
            try await server.send(
                "PUT",
                "\(me)/password",
                ["current_password": .string(current), "new_password": .string(new)],
                token: again
            ).status
        }
        #expect(try await change("wrong", "another good one") == 422)
        #expect(try await change(RunningServer.password, "short") == 422)
        #expect(try await change(RunningServer.password, "another good one") == 204)
        #expect(try await server.send("GET", me, token: again).status == 401)
        let old = try await server.send("POST", token, credentials("ann", RunningServer.password))
        let new = try await server.send("POST", token, credentials("ann", "another good one"))
        #expect(old.status == 401 && new.status == 200)
        try await server.stop()
    }

    @Test func `strangers register only where that is switched on, each into an account`()
        async throws
    {
        let body: JSONValue = ["username": "bob", "password": "a good password"]
        let closed = try await RunningServer()
        #expect(try await closed.send("POST", "/api/v1/auth/register", body).status == 403)
        try await closed.stop()
        var setup = RunningServer.Setup()
        setup.allowsRegistration = true
        let server = try await RunningServer(setup)
        _ = try await server.add("ann", .owner)
        let made = try await server.send("POST", "/api/v1/auth/register", body)
        #expect(made.status == 201)
        #expect(try made.json["role"] == "owner")
        #expect(try await server.send("POST", "/api/v1/auth/register", body).status == 409)
        let tokens = try await server.send("POST", token, body).json
        let access = tokens["access_token"]?.string ?? ""
        let users = try await server.send("GET", "/api/v1/users", token: access).json
        #expect(users.array?.compactMap { $0["username"]?.string } == ["bob"])
        try await server.stop()
    }

    @Test func `a key is shown once, works until its end or removal, and within its scopes`()
        async throws
    {
        let now = Mutex(Timestamp(milliseconds: 1_800_000_000_000))
        let clock = WallClock { now.withLock { $0 } }
        let server = try await RunningServer(clock: clock)
        _ = try await server.add("ann", .admin)
        let access = try await server.signIn("ann")["access_token"]?.string ?? ""
        let path = "/api/v1/auth/api-keys"
        let made = try await server.send(
            "POST",
            path,
            ["name": "ci", "expires_at": "2027-01-16T00:00:00Z"],
            token: access
        )
        #expect(made.status == 201)
        let key = try made.json["key"]?.string ?? ""
        #expect(key.hasPrefix("plk_1_"))
        #expect(try await server.send("POST", path, ["name": "ci"], token: access).status == 409)
        let wrong: JSONValue = ["name": "x", "scopes": ["everything"]]
        #expect(try await server.send("POST", path, wrong, token: access).status == 422)
        let listed = try await server.send("GET", path, token: access)
        #expect(!listed.text.contains(key))
        #expect(try listed.json[0]?["prefix"]?.string.map(key.hasPrefix) == true)
        #expect(try await server.send("GET", me, token: key).status == 200)
        // A key with scopes can do what they say and nothing else, but for saying whose it is.
        let reader = try await server.key("ann", scopes: [.read])
        #expect(try await server.send("GET", me, token: reader).json["username"] == "ann")
        let refused = try await server.send("GET", "/api/v1/users", token: reader)
        #expect(refused.status == 403)
        #expect(try refused.json["code"] == "api_key_scope_denied")
        // No scope includes it.
        let challenge = #"Bearer realm="preloop", error="insufficient_scope""#
        #expect(refused.headers["WWW-Authenticate"] == challenge)
        for (method, path, scope) in [
            ("POST", "/api/v1/sync", "write"), ("GET", "/metrics", "metrics"),
            ("GET", "/api/v1/tools", "mcp:read"),
        ] {
            let denied = try await server.send(method, path, token: reader)
            let wanted = #"\#(challenge), scope="\#(scope)""#
            #expect(denied.status == 403 && denied.headers["WWW-Authenticate"] == wanted)
        }
        let viewer = try await server.add("vera", .viewer)
        let role = try await server.send("POST", "/api/v1/sync", token: server.key(viewer.name))
        #expect(role.status == 403 && role.headers["WWW-Authenticate"] == nil)
        let id = try made.json["id"]?.integer ?? 0
        now.withLock { $0 = Timestamp(milliseconds: 1_800_057_600_000) }
        #expect(try await server.send("GET", me, token: key).status == 401)
        #expect(try await server.send("DELETE", "\(path)/\(id)", token: access).status == 401)
        let later = try await server.signIn("ann")["access_token"]?.string ?? ""
        #expect(try await server.send("DELETE", "\(path)/\(id)", token: later).status == 204)
        #expect(try await server.send("DELETE", "\(path)/\(id)", token: later).status == 404)
        try await server.stop()
    }

    @Test func `the store holds no password, key or token`() async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let tokens = try await server.signIn("ann")
        let key = try await server.key("ann")
        let store = server.scratch.store
        let kept = try await store.read { connection, account in
            let texts = try connection.rows(
                """
                SELECT u.password_hash AS hash, k.prefix AS prefix, k.digest AS digest
                FROM users u JOIN api_keys k ON k.account_id = u.account_id
                WHERE u.account_id = \(account)
                """
            )
            return (
                try texts[0].text("hash"), try texts[0].text("prefix"), try texts[0].blob("digest")
            )
        }
        #expect(kept.0.hasPrefix("scrypt$15$8$1$"))
        #expect(kept.1.utf8.count < 12 && key.hasPrefix(kept.1))
        #expect(kept.2.count == 32)
        #expect(tokens["refresh_token"]?.string?.hasPrefix("plr_1_") == true)
        try await server.stop()
    }

    @Test func `an account keeps an owner, and administrators do not make owners`() async throws {
        let server = try await RunningServer()
        let owner = try await server.add("olga", .owner)
        let admin = try await server.add("adam", .admin)
        let (olga, adam) = (try await server.key("olga"), try await server.key("adam"))
        let path = "/api/v1/users"
        func put(_ user: User, _ body: JSONValue, _ key: String) async throws -> Int {
            try await server.send("PUT", "\(path)/\(user.id)", body, token: key).status
        }
        #expect(try await put(owner, ["role": "admin"], olga) == 409)
        #expect(try await put(owner, ["is_active": false], adam) == 403)
        #expect(try await put(admin, ["role": "owner"], adam) == 403)
        #expect(try await put(admin, ["role": "owner"], olga) == 200)
        #expect(try await put(owner, ["role": "viewer"], adam) == 200)
        let draft: JSONValue = [
            "username": "vera", "password": "a good password", "role": "viewer",
        ]
        #expect(try await server.send("POST", path, draft, token: adam).status == 201)
        #expect(try await server.send("POST", path, draft, token: adam).status == 409)
        let vera = try await server.key("vera")
        #expect(try await server.send("GET", path, token: vera).status == 403)
        // Who is switched off is out at once, with every key.
        let users = try await server.send("GET", path, token: adam).json
        let id = users.array?.first { $0["username"] == "vera" }?["id"]?.integer ?? 0
        #expect(try await server.send("GET", me, token: vera).status == 200)
        let off = try await server.send("PUT", "\(path)/\(id)", ["is_active": false], token: adam)
        #expect(off.status == 200)
        #expect(try await server.send("GET", me, token: vera).status == 401)
        #expect(try await server.send("DELETE", "\(path)/\(id)", token: adam).status == 204)
        #expect(try await server.send("GET", "\(path)/\(id)", token: adam).status == 404)
        try await server.stop()
    }

    @Test func `administrators make, see and remove the keys of others, but not owners'`()
        async throws
    {
        let server = try await RunningServer()
        let owner = try await server.add("olga", .owner)
        _ = try await server.add("adam", .admin)
        let vera = try await server.add("vera", .viewer)
        let (olga, adam) = (try await server.key("olga"), try await server.key("adam"))
        func path(_ user: User) -> String { "/api/v1/users/\(user.id)/api-keys" }
        let draft: JSONValue = ["name": "ci", "scopes": ["read"]]
        let made = try await server.send("POST", path(vera), draft, token: adam)
        #expect(made.status == 201, "\(made.text)")
        let key = try made.json["key"]?.string ?? ""
        let who = try await server.send("GET", "/api/v1/issues", token: key)
        #expect(who.status == 200)
        #expect(try await server.send("POST", path(vera), draft, token: adam).status == 409)
        let listed = try await server.send("GET", path(vera), token: adam)
        #expect(try listed.json.array?.compactMap { $0["name"]?.string } == ["ci"])
        #expect(!listed.text.contains(key))
        // An owner's keys are as good as the owner's password.
        #expect(try await server.send("POST", path(owner), draft, token: adam).status == 403)
        let own = try await server.send("POST", path(owner), draft, token: olga)
        #expect(own.status == 201)
        let ownID = try own.json["id"]?.integer ?? 0
        let id = try made.json["id"]?.integer ?? 0
        func remove(_ id: Int64, of user: User, _ token: String) async throws -> Int {
            try await server.send("DELETE", "\(path(user))/\(id)", token: token).status
        }
        #expect(try await remove(ownID, of: owner, adam) == 403)
        // A key is that user's whose path names it.
        #expect(try await remove(ownID, of: vera, adam) == 404)
        #expect(try await remove(id, of: vera, adam) == 204)
        #expect(try await server.send("GET", "/api/v1/issues", token: key).status == 401)
        // The secret of an answer is nowhere kept for a second one.
        let kept = try await server.send(
            "POST",
            path(vera),
            draft,
            token: adam,
            headers: [("Idempotency-Key", "one")]
        )
        #expect(kept.status == 400)
        try await server.stop()
    }

    /// It was SHA-256 of the request: who stole the table guessed passwords by it, past scrypt.
    @Test func `what is kept of a request with a password tells nobody which it was`() async throws
    {
        let server = try await RunningServer()
        let ann = try await server.add("ann", .owner)
        let body: JSONValue = [
            "username": "bob", "password": .string(RunningServer.password), "role": "viewer",
        ]
        let path = "/api/v1/users"
        let added = try await server.send(
            "POST",
            path,
            body,
            token: try await server.key("ann"),
            headers: [("Idempotency-Key", "one")]
        )
        #expect(added.status == 201, "\(added.text)")
        let row = try await server.scratch.store.read { connection, account in
            try IdempotencyTable.find("one", of: ann.id, account: account, on: connection)
        }
        let kept = try #require(row?.requestDigest)
        let request = Array("POST \(path)\n".utf8) + body.serialized()
        #expect(kept.count == 32 && kept != Array(SHA256.hash(data: request)))
        #expect(kept != Array(SHA256.hash(data: body.serialized())))
        try await server.stop()
    }

    @Test func `the set-up link makes the first user, once`() async throws {
        let server = try await RunningServer()
        let desk = server.application.desk
        let account = AccountTable.defaultID
        let first = try #require(try await desk.setupToken(of: account))
        let link = try #require(try await desk.setupToken(of: account))
        #expect(try await server.send("GET", "/setup?token=\(first)").status == 403)
        let page = try await server.send("GET", "/setup?token=\(link)")
        #expect(page.status == 200 && page.text.contains(link))
        #expect(page.headers["Content-Security-Policy"]?.contains("default-src 'none'") == true)
        let weak = try await server.sendForm("/setup", "token=\(link)&username=ann&password=short")
        #expect(weak.status == 422 && weak.text.contains("characters"))
        let form = "token=\(link)&username=ann&password=a+good+password"
        #expect(try await server.sendForm("/setup", form).status == 201)
        #expect(try await server.sendForm("/setup", form).status == 403)
        let body = credentials("ann", "a good password")
        #expect(try await server.send("POST", token, body).status == 200)
        #expect(try await desk.setupToken(of: account) == nil)
        try await server.stop()
    }

    /// The page was shown, and its form refused.
    @Test func `a link to set up is over when there is a user`() async throws {
        let server = try await RunningServer()
        let link = try await server.application.desk.setupToken(of: AccountTable.defaultID)
        let token = try #require(link)
        _ = try await server.add("ann", .owner)
        #expect(try await server.send("GET", "/setup?token=\(token)").status == 403)
        let form = "token=\(token)&username=bob&password=a+good+password"
        #expect(try await server.sendForm("/setup", form).status == 403)
        try await server.stop()
    }
}
