import Domain
import Firewall
import HTTPTypes
import Store
import StoreTestSupport
import Testing

@testable import API
@testable import Gateway

/// What becomes of a request about users when something about them changes between its arrival and
/// its write.
@Suite struct AuthorityTests {
    /// What somebody does about a user.
    enum Deed: CaseIterable {
        case add, change, remove, addKey, removeKey
    }

    /// What becomes of whoever does it meanwhile.
    enum Fate: CaseIterable {
        case demotion, deactivation, removal, endOfKey

        var status: HTTPResponse.Status { self == .demotion ? .forbidden : .unauthorized }
    }

    /// What an account has, but for one user.
    private struct Shown: Equatable {
        var users: [User]
        var hashes: [String?]
        var keys: [APIKeyTable.Row]
    }

    /// The routes over a database that lets things happen before a write.
    private struct Office {
        let scratch: ScratchStore
        let database: WatchedDatabase
        let desk: AccountDesk
        let routes: [Route]
        let account = AccountTable.defaultID
        let hash = "not the hash of any password"

        init(hasher: PasswordHasher = PasswordHasher()) async throws {
            scratch = try await Engine.current.store()
            database = WatchedDatabase(scratch.store.database)
            desk = AccountDesk(
                store: try await Store.open(database),
                signingKey: RunningServer.signingKey,
                audit: RunningServer.audit(),
                hasher: hasher
            )
            let own = AuthRoutes(desk: desk, allowsRegistration: false)
            routes = own.routes + UserRoutes(desk: desk, own: own).routes
        }

        /// Adds a user whose password nobody knows: to hash one takes its time.
        func add(_ name: String, _ role: Role) async throws -> User {
            let hash = hash
            return try await scratch.store.write { connection, account in
                let ids: [UserID] = try AccountTable.nextIDs(1, account: account, on: connection)
                let user = User(id: ids[0], name: name, role: role, createdAt: World.start)
                try UserTable.insert(user, passwordHash: hash, account: account, on: connection)
                return user
            }
        }

        /// An owner, an administrator, and a viewer with a key.
        func populate() async throws -> (Principal, User, APIKeyID) {
            _ = try await add("olga", .owner)
            let administrator = try await principal(try await add("adam", .admin))
            let viewer = try await add("vera", .viewer)
            let key = try await desk.addKey(
                name: "laptop",
                scopes: [],
                expiresAt: nil,
                for: viewer.id,
                of: account
            )
            return (administrator, viewer, key.row.id)
        }

        /// Adds a user whose password is that of all tests.
        func addSigningIn(_ name: String, _ role: Role) async throws -> User {
            let draft = AccountDesk.Draft(
                name: name,
                password: RunningServer.password,
                role: role
            )
            return try await desk.add(draft, to: account)
        }

        /// Gives somebody another password before the next write.
        func changePassword(of user: User) {
            let (account, hash) = (account, hash)
            database.beforeNextWrite { database in
                try await database.write { connection in
                    try UserTable.setPassword(
                        hash,
                        of: user.id,
                        account: account,
                        on: connection
                    )
                }
            }
        }

        /// The page of a call that waits for approval, over the database that lets things happen.
        func page() async throws -> (path: String, pages: ApprovalPages, request: String) {
            let box = try RunningServer.box()
            let waiting = ApprovalDesk(store: scratch.store, box: { box })
            let (request, _) = try await waiting.open(
                ApprovalDesk.Draft(
                    tool: "echo",
                    arguments: JSONObject([("text", "hello")]),
                    caller: Caller(name: "local:zed", channel: .rest),
                    digest: Array(repeating: 7, count: 32),
                    demand: ApprovalDemand(policyVersion: 0)
                )
            )
            let store = desk.store
            let pages = ApprovalPages(
                calls: { account in
                    GuardedCall(
                        tools: ToolSet([EchoTool()]),
                        policy: PolicyBook(store: store, staleness: .zero),
                        journal: StoreJournal(
                            store: store,
                            keys: try RunningServer.auditKeys(of: account)
                        ),
                        approvals: ApprovalDesk(store: store, box: { box })
                    )
                },
                desk: desk,
                store: store
            )
            return ("/approval/{id}", pages, request.id)
        }

        /// How many links to pages of approvals there are.
        func linkCount() async throws -> Int {
            try await scratch.store.read { connection, account in
                try connection.rows(
                    "SELECT request_id FROM approval_tokens WHERE account_id = \(account)"
                ).count
            }
        }

        /// Somebody with a key, as a request of theirs is let in.
        func principal(_ user: User) async throws -> Principal {
            let made = try await desk.addKey(
                name: user.name,
                scopes: [],
                expiresAt: nil,
                for: user.id,
                of: account
            )
            return Principal(
                account: account,
                user: user.id,
                name: user.name,
                role: user.role,
                credential: .apiKey(made.row.id, scopes: [])
            )
        }

        /// Gives somebody another role before the next write.
        func setRole(_ role: Role, of user: User) {
            let account = account
            database.beforeNextWrite { database in
                try await database.write { connection in
                    try UserTable.update(
                        user.id,
                        email: nil,
                        role: role,
                        isActive: nil,
                        account: account,
                        on: connection
                    )
                }
            }
        }

        /// Lets something become of somebody before the next write.
        func befall(_ principal: Principal, _ fate: Fate) {
            let (account, user) = (account, principal.user)
            guard case .apiKey(let key, _) = principal.credential else { return }
            database.beforeNextWrite { database in
                try await database.write { connection in
                    switch fate {
                    case .demotion, .deactivation:
                        try UserTable.update(
                            user,
                            email: nil,
                            role: fate == .demotion ? .editor : nil,
                            isActive: fate == .demotion ? nil : false,
                            account: account,
                            on: connection
                        )
                    case .removal: try UserTable.remove(user, account: account, on: connection)
                    case .endOfKey:
                        _ = try APIKeyTable.remove(
                            key,
                            of: user,
                            account: account,
                            on: connection
                        )
                    }
                }
            }
        }

        /// The status of what a route answers with, past the checks that come before its handler.
        func send(
            _ method: HTTPRequest.Method,
            _ path: String,
            _ parameters: [String: String] = [:],
            _ content: [(String, JSONValue)] = [],
            by principal: Principal
        ) async throws -> HTTPResponse.Status {
            let route = try #require(routes.first { $0.method == method && $0.path == path })
            guard case .answer(let handler) = route.action else { return .notImplemented }
            var request = APIRequest(
                id: "r1",
                method: method,
                path: path,
                query: QueryItems(""),
                headers: [:],
                peer: "test"
            )
            request.principal = principal
            request.parameters = parameters
            for (name, value) in content { request.content[name] = value }
            do {
                return try await handler(request).status
            } catch let problem as Problem {
                return problem.status
            }
        }

        func does(
            _ deed: Deed,
            about user: User,
            key: APIKeyID,
            by principal: Principal
        ) async throws -> HTTPResponse.Status {
            let path = "/api/v1/users"
            let named = ["id": "\(user.id)", "key": "\(key)"]
            let password = ("password", JSONValue.string("another good one"))
            switch deed {
            case .add:
                let content: [(String, JSONValue)] = [
                    ("username", "zoe"), password, ("role", "viewer"),
                ]
                return try await send(.post, path, [:], content, by: principal)
            case .change:
                return try await send(.put, "\(path)/{id}", named, [password], by: principal)
            case .remove: return try await send(.delete, "\(path)/{id}", named, by: principal)
            case .addKey:
                let content = [("name", JSONValue.string("ci"))]
                let place = "\(path)/{id}/api-keys"
                return try await send(.post, place, named, content, by: principal)
            case .removeKey:
                let place = "\(path)/{id}/api-keys/{key}"
                return try await send(.delete, place, named, by: principal)
            }
        }

        /// All users but one, with their passwords and keys.
        func shown(except user: UserID? = nil) async throws -> Shown {
            try await scratch.store.read { connection, account in
                let users = try UserTable.list(account: account, on: connection)
                    .filter { $0.id != user }
                return Shown(
                    users: users,
                    hashes: try users.map { user in
                        try UserTable.login(name: user.name, account: account, on: connection)?
                            .passwordHash
                    },
                    keys: try users.flatMap { user in
                        try APIKeyTable.list(of: user.id, account: account, on: connection)
                    }
                )
            }
        }
    }

    /// The role was that of the request's arrival.
    @Test(arguments: Deed.allCases, Fate.allCases)
    func `who is demoted or out when it is written changes nothing`(
        _ deed: Deed,
        _ fate: Fate
    ) async throws {
        let office = try await Office()
        let (adam, vera, key) = try await office.populate()
        let before = try await office.shown(except: adam.user)
        office.befall(adam, fate)
        let status = try await office.does(deed, about: vera, key: key, by: adam)
        #expect(status == fate.status)
        #expect(try await office.shown(except: adam.user) == before)
        // Who still is an administrator may.
        let anna = try await office.principal(try await office.add("anna", .admin))
        #expect(try await office.does(deed, about: vera, key: key, by: anna).kind == .successful)
    }

    /// That it was no owner had been read in another transaction.
    @Test(arguments: Deed.allCases.filter { $0 != .add })
    func `a user who has become an owner meanwhile is none of an administrator's business`(
        _ deed: Deed
    ) async throws {
        let office = try await Office()
        let (adam, vera, key) = try await office.populate()
        var expected = try await office.shown()
        office.setRole(.owner, of: vera)
        let status = try await office.does(deed, about: vera, key: key, by: adam)
        #expect(status == .forbidden)
        for place in expected.users.indices where expected.users[place].id == vera.id {
            expected.users[place].role = .owner
        }
        #expect(try await office.shown() == expected)
    }

    @Test func `who is an owner no more makes none`() async throws {
        let office = try await Office()
        _ = try await office.add("olga", .owner)
        let orla = try await office.add("orla", .owner)
        let principal = try await office.principal(orla)
        let vera = try await office.add("vera", .viewer)
        let role = ("role", JSONValue.string("owner"))
        office.setRole(.admin, of: orla)
        let changed = try await office.send(
            .put,
            "/api/v1/users/{id}",
            ["id": "\(vera.id)"],
            [role],
            by: principal
        )
        #expect(changed == .forbidden)
        let added = try await office.send(
            .post,
            "/api/v1/users",
            [:],
            [("username", "zoe"), ("password", "another good one"), role],
            by: principal
        )
        #expect(added == .forbidden)
        let owners = try await office.shown().users.filter { $0.role == .owner }
        #expect(owners.map(\.name) == ["olga"])
    }

    /// Whoever had stolen a key made another one at the moment in which it was revoked.
    @Test func `a key that is revoked makes no other one, and changes nothing of its user`()
        async throws
    {
        let office = try await Office()
        let vera = try await office.add("vera", .viewer)
        let own = "/api/v1/auth"
        for (method, path, content) in [
            (.post, "\(own)/api-keys", [("name", "ci")]),
            (.put, "\(own)/users/me", [("email", "eve@example.com")]),
        ] as [(HTTPRequest.Method, String, [(String, JSONValue)])] {
            let principal = try await office.principal(vera)
            office.befall(principal, .endOfKey)
            let status = try await office.send(method, path, [:], content, by: principal)
            #expect(status == .unauthorized, "\(path)")
        }
        let shown = try await office.shown()
        #expect(shown.keys.isEmpty && shown.users == [vera])
    }

    @Test func `of two owners who go at once one stays`() async throws {
        let office = try await Office()
        let (desk, account) = (office.desk, office.account)
        @Sendable func isDone(_ deed: @Sendable () async throws -> Void) async throws -> Bool {
            do {
                try await deed()
                return true
            } catch let problem as Problem {
                #expect(problem.code == "last_owner")
                return false
            }
        }
        for round in 0..<10 {
            let olga = try await office.add("olga\(round)", .owner).id
            let orla = try await office.add("orla\(round)", .owner).id
            async let first = isDone { try await desk.remove(olga, of: account) }
            async let second = isDone {
                let change =
                    round.isMultiple(of: 2)
                    ? AccountDesk.Change(role: .viewer) : AccountDesk.Change(isActive: false)
                _ = try await desk.change(orla, of: account, change)
            }
            let done = try await [first, second]
            #expect(done.filter { $0 }.count == 1, "round \(round)")
            let owners = try await office.shown().users.filter { $0.role == .owner && $0.isActive }
            #expect(owners.count == 1, "round \(round)")
            // The next round has its own.
            try await office.scratch.store.write { connection, account in
                for user in try UserTable.list(account: account, on: connection) {
                    try UserTable.remove(user.id, account: account, on: connection)
                }
            }
        }
    }

    /// Its session outlived the change, which ends every session.
    @Test func `a password that is changed while it is looked at signs nobody in`() async throws {
        let office = try await Office()
        let desk = office.desk
        let ann = try await office.addSigningIn("ann", .owner)
        @Sendable func signIn() async throws -> AccountDesk.Tokens {
            try await desk.signIn(name: "ann", password: RunningServer.password, address: "test")
        }
        _ = try await signIn()
        office.changePassword(of: ann)
        let refusal = await #expect(throws: Problem.self) { try await signIn() }
        #expect(refusal?.status == .unauthorized)
        let sessions = try await office.scratch.store.read { connection, account in
            try connection.rows("SELECT id FROM sessions WHERE account_id = \(account)").count
        }
        #expect(sessions == 1)
    }

    /// Whoever had the old one and a key wrote theirs over the new one, and kept the user out.
    @Test func `a password that is changed while it is looked at sets no other one`() async throws {
        let office = try await Office()
        let ann = try await office.addSigningIn("ann", .owner)
        let principal = try await office.principal(ann)
        func change() async throws -> HTTPResponse.Status {
            try await office.send(
                .put,
                "/api/v1/auth/users/me/password",
                [:],
                [
                    ("current_password", .string(RunningServer.password)),
                    ("new_password", "another good one"),
                ],
                by: principal
            )
        }
        office.changePassword(of: ann)
        #expect(try await change() == .unprocessableContent)
        #expect(try await office.shown().hashes == [office.hash])
        // It is not the old one's turn any more.
        #expect(try await change() == .unprocessableContent)
        #expect(try await office.shown().hashes == [office.hash])
    }

    /// It was good for a quarter of an hour, and for one decision.
    @Test func `a password that is changed while it is looked at makes no link to an approval`()
        async throws
    {
        let office = try await Office()
        let ann = try await office.addSigningIn("ann", .owner)
        let (path, pages, id) = try await office.page()
        let route = try #require(pages.routes.first { $0.method == .post && $0.path == path })
        guard case .answer(let handler) = route.action else { throw CancellationError() }
        let password = RunningServer.password.replacing(" ", with: "+")
        var request = APIRequest(
            id: "r1",
            method: .post,
            path: "/approval/\(id)",
            query: QueryItems(""),
            headers: [.contentType: FormFields.mediaType],
            body: Array("username=ann&password=\(password)".utf8),
            peer: "test"
        )
        request.parameters = ["id": id]
        #expect(try await handler(request).status == .ok)
        #expect(try await office.linkCount() == 1)
        office.changePassword(of: ann)
        #expect(try await handler(request).status == .unauthorized)
        #expect(try await office.linkCount() == 1)
    }

    /// A place that others wait for was taken, and what was wrong with the password told.
    @Test func `who may not do it hears so before a password is looked at`() async throws {
        // Whatever comes to a hash finds no place.
        let office = try await Office(hasher: PasswordHasher(running: 0, waiting: 0))
        let olga = try await office.add("olga", .owner)
        let adam = try await office.principal(try await office.add("adam", .admin))
        let vera = try await office.add("vera", .viewer)
        let before = try await office.shown()
        let path = "/api/v1/users"
        let (good, weak) = (JSONValue.string("another good one"), JSONValue.string("weak"))
        func add(_ role: Role, _ password: JSONValue) async throws -> HTTPResponse.Status {
            let content: [(String, JSONValue)] = [
                ("username", "zoe"), ("role", .string(role.rawValue)), ("password", password),
            ]
            return try await office.send(.post, path, [:], content, by: adam)
        }
        func change(
            _ id: String,
            _ content: [(String, JSONValue)]
        ) async throws -> HTTPResponse.Status {
            try await office.send(.put, "\(path)/{id}", ["id": id], content, by: adam)
        }
        for password in [good, weak] {
            #expect(try await add(.owner, password) == .forbidden)
            #expect(try await change("\(olga.id)", [("password", password)]) == .forbidden)
            #expect(try await change("999", [("password", password)]) == .notFound)
        }
        #expect(try await change("\(olga.id)", [("email", "nowhere")]) == .forbidden)
        #expect(try await change("999", [("email", "nowhere")]) == .notFound)
        // What they may do comes to the hash, when there is nothing wrong with it.
        #expect(try await add(.viewer, weak) == .unprocessableContent)
        #expect(try await add(.viewer, good) == .serviceUnavailable)
        let own = "\(vera.id)"
        #expect(try await change(own, [("password", weak)]) == .unprocessableContent)
        #expect(try await change(own, [("password", good)]) == .serviceUnavailable)
        #expect(try await office.shown() == before)
    }

    /// Each of them took the lock of the store, which has one writer.
    @Test func `a refresh token that nobody was given begins no write`() async throws {
        let office = try await Office()
        let (desk, account) = (office.desk, office.account)
        let draft = AccountDesk.Draft(name: "ann", password: RunningServer.password, role: .owner)
        _ = try await desk.add(draft, to: account)
        let password = RunningServer.password
        let tokens = try await desk.signIn(name: "ann", password: password, address: "test")
        let before = office.database.writes
        for forged in [
            OpaqueToken(.refresh, account: account).text,
            OpaqueToken(.refresh, account: AccountID(7_000)).text,
            String(tokens.refresh.dropLast()) + (tokens.refresh.hasSuffix("x") ? "y" : "x"),
            "plr_1_nonsense", "",
        ] {
            let refusal = await #expect(throws: Problem.self) { try await desk.refresh(forged) }
            #expect(refusal?.status == .unauthorized)
        }
        #expect(office.database.writes == before)
        // One that was given is used up, and its second use is noticed.
        let next = try await desk.refresh(tokens.refresh)
        #expect(office.database.writes == before + 1)
        await #expect(throws: Problem.self) { try await desk.refresh(tokens.refresh) }
        await #expect(throws: Problem.self) { try await desk.refresh(next.refresh) }
    }

    /// What is read before may be over when the lock comes.
    @Test func `of two who come with one refresh token at once one is renewed`() async throws {
        let office = try await Office()
        let (desk, account) = (office.desk, office.account)
        let draft = AccountDesk.Draft(name: "ann", password: RunningServer.password, role: .owner)
        _ = try await desk.add(draft, to: account)
        let password = RunningServer.password
        let tokens = try await desk.signIn(name: "ann", password: password, address: "test")
        // Between the look and the write of one, the other has used it up.
        let (rival, text) = (
            AccountDesk(
                store: office.scratch.store,
                signingKey: RunningServer.signingKey,
                audit: RunningServer.audit()
            ),
            tokens.refresh
        )
        office.database.beforeNextWrite { _ in _ = try await rival.refresh(text) }
        let refusal = await #expect(throws: Problem.self) { try await desk.refresh(text) }
        #expect(refusal?.status == .unauthorized)
    }
}
