package import Domain
import Gateway
import HTTPTypes
package import Store

extension AccountDesk {
    /// What is asked of a new user.
    package struct Draft: Sendable {
        package var name: String
        package var password: String
        package var email: String?
        package var role: Role

        package init(name: String, password: String, email: String? = nil, role: Role) {
            self.name = name
            self.password = password
            self.email = email
            self.role = role
        }
    }

    private static let maximumNameBytes = 128
    /// As RFC 5321 has it.
    private static let maximumEmailBytes = 254

    /// Adds a user to an account.
    ///
    /// - Parameters:
    ///   - draft: The user.
    ///   - account: Whose.
    ///   - authority: By whose word; nil for the operator's.
    /// - Returns: The user with the identifier.
    /// - Throws: ``Problem`` for a name that is taken or is none, a password that is weak, and what
    ///   ``Authority/verify(about:becoming:at:account:on:)`` says.
    package func add(
        _ draft: Draft,
        to account: AccountID,
        by authority: Authority? = nil
    ) async throws -> User {
        if let authority {
            // Who may not is told so before a hash is spent on it, or anything said of the draft.
            let (role, early) = (draft.role, store.clock.now())
            try await store.viewed(by: account).read { connection, account in
                try authority.verify(
                    about: nil,
                    becoming: role,
                    at: early,
                    account: account,
                    on: connection
                )
            }
        }
        let (user, hash) = try await checked(draft)
        let (now, author) = (store.clock.now(), authorName(of: authority))
        return try await store.viewed(by: account).write { connection, account in
            try authority?.verify(
                about: nil,
                becoming: user.role,
                at: now,
                account: account,
                on: connection
            )
            let written = try Self.insert(user, hash, account, on: connection)
            let origin: Origin = authority == nil ? .command : .administrator
            let added = Self.added(written, origin, by: author)
            try self.record([added], at: now, account: account, on: connection)
            return written
        }
    }

    /// Makes an account whose owner is a new user.
    ///
    /// - Parameters:
    ///   - draft: The user.
    ///   - address: Where whoever asks for it is, who may ask for a few an hour; nil for the
    ///     operator, who may ask for any number.
    /// - Returns: The user with the account.
    /// - Throws: ``Problem`` for a name that is taken or is none, a password that is weak, and 429
    ///   when the address has asked for too many.
    package func register(
        _ draft: Draft,
        from address: String? = nil
    ) async throws -> (User, AccountID) {
        var draft = draft
        draft.role = .owner
        let (user, hash) = try await checked(draft, from: address)
        let now = store.clock.now()
        return try await store.database.write { connection in
            let account: AccountID
            do {
                account = try AccountTable.create(
                    name: "\(user.name)'s organization",
                    createdAt: now,
                    on: connection
                )
            } catch StoreError.constraint {
                throw Self.taken
            }
            let written = try Self.insert(user, hash, account, on: connection)
            let added = Self.added(written, .registration, by: written.author)
            try self.record([added], at: now, account: account, on: connection)
            return (written, account)
        }
    }

    private static let taken: Problem = {
        var problem = Problem(.conflict, "the name is taken", code: "name_taken")
        problem.fields = [Problem.Field("username", "is taken")]
        return problem
    }()

    /// A new user who may be written, with the hash of the password.
    func checked(
        _ draft: Draft,
        from address: String? = nil
    ) async throws -> (User, String) {
        let name = Self.normalized(draft.name)
        let isName = name.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (97...122).contains(byte) || "._-@+".utf8.contains(byte)
        }
        guard isName, (1...Self.maximumNameBytes).contains(name.utf8.count) else {
            throw Problem.invalid("username", "must be letters, digits and . _ - @ +")
        }
        if let email = draft.email {
            try Self.check(email)
        }
        try Self.checkStrength(of: draft.password)
        // What was wrong so far cost nothing, and is not counted; a hash does.
        if let address { try noteRegistration(from: address) }
        let hash = try await hash(draft.password)
        let user = User(
            id: UserID(0),
            name: name,
            email: draft.email,
            role: draft.role,
            createdAt: store.clock.now()
        )
        return (user, hash)
    }

    private static func check(_ email: String) throws(Problem) {
        let parts = email.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), !email.contains(" "),
            email.utf8.count <= maximumEmailBytes
        else { throw .invalid("email", "must be an address such as ann@example.com") }
    }

    /// Writes a new user; a name that somebody has is told as that.
    static func insert(
        _ user: User,
        _ hash: String,
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws -> User {
        var user = user
        let ids: [UserID] = try AccountTable.nextIDs(1, account: account, on: connection)
        user.id = ids[0]
        do {
            try UserTable.insert(user, passwordHash: hash, account: account, on: connection)
        } catch StoreError.constraint {
            throw taken
        }
        return user
    }

    /// The users of an account.
    package func users(of account: AccountID) async throws -> [User] {
        try await store.viewed(by: account).read { connection, account in
            try UserTable.list(account: account, on: connection)
        }
    }

    /// One user of an account; a 404 when there is none.
    package func user(_ id: UserID, of account: AccountID) async throws -> User {
        let user = try await store.viewed(by: account).read { connection, account in
            try UserTable.find(id, account: account, on: connection)
        }
        guard let user else { throw Problem.notFound() }
        return user
    }

    /// What is to change about a user; nil stays.
    package struct Change: Sendable {
        package var email: String?
        package var role: Role?
        package var isActive: Bool?
        package var password: String?

        package init(
            email: String? = nil,
            role: Role? = nil,
            isActive: Bool? = nil,
            password: String? = nil
        ) {
            self.email = email
            self.role = role
            self.isActive = isActive
            self.password = password
        }
    }

    /// Changes a user; an account keeps one active owner.
    ///
    /// A new password ends every session of the user. `check` looks at the user before anything
    /// costly is done, and again as the transaction that changes it finds it, and may throw;
    /// `authority` is by whose word, nil for the operator's; `login` is what the user has shown a
    /// password for, which has to be the same one still.
    package func change(
        _ id: UserID,
        of account: AccountID,
        _ change: Change,
        by authority: Authority? = nil,
        knowing login: UserTable.Login? = nil,
        check: @escaping @Sendable (User) throws -> Void = { _ in }
    ) async throws -> User {
        try await lookAhead(id, of: account, change.role, by: authority, check)
        if let email = change.email { try Self.check(email) }
        var hash: String?
        if let password = change.password { hash = try await self.hash(password) }
        let (newHash, now, author) = (hash, store.clock.now(), authorName(of: authority))
        let user = try await store.viewed(by: account).write { connection, account in
            let user = try Self.subject(
                id,
                becoming: change.role,
                by: authority,
                check,
                at: now,
                account,
                on: connection
            )
            if let login {
                guard login.user.id == id, try login.isCurrent(on: connection) else {
                    throw Self.wrongPassword
                }
            }
            let losesOwner = change.role.map { $0 != .owner } ?? false || change.isActive == false
            if user.role == .owner, user.isActive, losesOwner {
                try Self.requireOwner(besides: id, account, on: connection)
            }
            return try self.write(
                change,
                newHash,
                to: user,
                by: author,
                at: now,
                account,
                on: connection
            )
        }
        authenticator.forget()
        return user
    }

    /// Writes what is changed of a user, with its record; gives the user as they are then.
    private func write(
        _ change: Change,
        _ newHash: String?,
        to user: User,
        by author: String,
        at now: Timestamp,
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws -> User {
        var done: [AuditedChange] = []
        let settings = change.settings(changing: user)
        if !settings.isEmpty {
            try UserTable.update(
                user.id,
                email: change.email,
                role: change.role,
                isActive: change.isActive,
                account: account,
                on: connection
            )
            done.append(AuditedChange(.userUpdated, of: user.auditSubject, settings, by: author))
        }
        if let newHash {
            try UserTable.setPassword(newHash, of: user.id, account: account, on: connection)
            done.append(AuditedChange(.passwordChanged, of: user.auditSubject, by: author))
        }
        if change.isActive == false || newHash != nil {
            let open = try SessionTable.openCount(
                of: user.id,
                at: now,
                account: account,
                on: connection
            )
            try SessionTable.revoke(
                nil,
                of: user.id,
                because: newHash == nil ? .user : .password,
                at: now,
                account: account,
                on: connection
            )
            let ending: Ending = newHash == nil ? .userDeactivated : .passwordChanged
            done += Self.ended(open, of: user, ending, by: author)
        }
        try record(done, at: now, account: account, on: connection)
        return try UserTable.find(user.id, account: account, on: connection) ?? user
    }

    /// Looks at a change before it is made.
    ///
    /// Who may not make it is told so before a hash is spent on it, or anything said of the change.
    private func lookAhead(
        _ id: UserID,
        of account: AccountID,
        _ role: Role?,
        by authority: Authority?,
        _ check: @escaping @Sendable (User) throws -> Void
    ) async throws {
        let now = store.clock.now()
        try await store.viewed(by: account).read { connection, account in
            _ = try Self.subject(
                id,
                becoming: role,
                by: authority,
                check,
                at: now,
                account,
                on: connection
            )
        }
    }

    /// Removes a user; an account keeps one active owner.
    ///
    /// `check` looks at the user as the transaction that removes it finds it, and may throw;
    /// `authority` is by whose word, nil for the operator's.
    package func remove(
        _ id: UserID,
        of account: AccountID,
        by authority: Authority? = nil,
        check: @escaping @Sendable (User) throws -> Void = { _ in }
    ) async throws {
        let (now, author) = (store.clock.now(), authorName(of: authority))
        try await store.viewed(by: account).write { connection, account in
            let user = try Self.subject(id, by: authority, check, at: now, account, on: connection)
            if user.role == .owner, user.isActive {
                try Self.requireOwner(besides: id, account, on: connection)
            }
            let keys = try APIKeyTable.list(of: id, account: account, on: connection).map(\.name)
            let open = try SessionTable.openCount(
                of: id,
                at: now,
                account: account,
                on: connection
            )
            try UserTable.remove(id, account: account, on: connection)
            let removed = AuditedChange(
                .userRemoved,
                of: user.auditSubject,
                [("role", .string(user.role.rawValue)), ("keys", JSONValue(keys))],
                by: author
            )
            let ended = Self.ended(open, of: user, .userRemoved, by: author)
            try self.record([removed] + ended, at: now, account: account, on: connection)
        }
        authenticator.forget()
    }

    /// The user that something is to be done about, where whoever asks may do that.
    private static func subject(
        _ id: UserID,
        becoming role: Role? = nil,
        by authority: Authority?,
        _ check: (User) throws -> Void,
        at now: Timestamp,
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws -> User {
        let found = try UserTable.find(id, account: account, on: connection)
        try authority?.verify(
            about: found,
            becoming: role,
            at: now,
            account: account,
            on: connection
        )
        guard let user = found else { throw Problem.notFound() }
        try check(user)
        return user
    }

    private static func requireOwner(
        besides id: UserID,
        _ account: AccountID,
        on connection: any SQLConnection
    ) throws {
        guard try UserTable.ownerCount(besides: id, account: account, on: connection) > 0 else {
            throw Problem(.conflict, "the account needs an owner", code: "last_owner")
        }
    }
}
