import API
import Bootstrap
import Domain
import Store

/// Where users and their keys are: in the installation of this machine, or at a server.
///
/// Both give the same documents: those of REST.
enum AccountSource: Sendable {
    case local(Installation)
    case remote(RemoteServer)

    private static let path = "/api/v1/users"

    /// The server of `--url`, else the installation.
    static func open(_ remote: RemoteOptions, _ settings: Settings) async throws -> AccountSource {
        if let server = try remote.server(settings) { return .remote(server) }
        return .local(try await Installation.open(settings))
    }

    /// Brings what was written into the store's file.
    func close() async throws {
        if case .local(let installation) = self { try await installation.close() }
    }

    // MARK: - Users

    /// The users, by name.
    func users() async throws -> [JSONValue] {
        switch self {
        case .local(let installation):
            return try await installation.desk().users(of: installation.store.account)
                .map(\.output)
        case .remote(let server): return try await server.all(Self.path)
        }
    }

    /// Adds a user.
    func add(_ draft: AccountDesk.Draft) async throws -> JSONValue {
        switch self {
        case .local(let installation):
            return try await installation.desk().add(draft, to: installation.store.account).output
        case .remote(let server):
            var body = JSONObject()
            body.append(key: "username", value: .string(draft.name))
            body.append(key: "password", value: .string(draft.password))
            body.append(key: "role", value: .string(draft.role.rawValue))
            if let email = draft.email { body.append(key: "email", value: .string(email)) }
            return try await server.call("POST", Self.path, .object(body))
        }
    }

    /// Changes a user.
    func change(_ name: String, _ change: AccountDesk.Change) async throws -> JSONValue {
        switch self {
        case .local(let installation):
            let user = try await installation.user(named: name)
            let account = installation.store.account
            return try await installation.desk().change(user.id, of: account, change).output
        case .remote(let server):
            var body = JSONObject()
            if let email = change.email { body.append(key: "email", value: .string(email)) }
            if let role = change.role { body.append(key: "role", value: .string(role.rawValue)) }
            if let isActive = change.isActive {
                body.append(key: "is_active", value: .bool(isActive))
            }
            if let password = change.password {
                body.append(key: "password", value: .string(password))
            }
            let path = try await Self.path(of: name, at: server)
            return try await server.call("PUT", path, .object(body))
        }
    }

    /// Removes a user with all sessions and keys.
    func remove(_ name: String) async throws {
        switch self {
        case .local(let installation):
            let user = try await installation.user(named: name)
            try await installation.desk().remove(user.id, of: installation.store.account)
        case .remote(let server):
            _ = try await server.call("DELETE", try await Self.path(of: name, at: server))
        }
    }

    // MARK: - Keys

    /// What a key is made of.
    struct KeyDraft {
        var name: String
        var scopes: Set<KeyScope>
        /// For how long it is good; nil for ever.
        var lifetime: Duration?
    }

    /// A user's keys, newest first.
    func keys(of user: String) async throws -> [JSONValue] {
        switch self {
        case .local(let installation):
            return try await installation.desk().keys(
                of: try await installation.user(named: user).id,
                in: installation.store.account
            ).map(\.output)
        case .remote(let server):
            return try await server.all("\(try await Self.path(of: user, at: server))/api-keys")
        }
    }

    /// Makes a key for a user; gives its secret, which is told once, and what lists tell of it.
    func addKey(_ draft: KeyDraft, for user: String) async throws -> (String, JSONValue) {
        switch self {
        case .local(let installation):
            let now = installation.store.clock.now()
            let made = try await installation.desk().addKey(
                name: draft.name,
                scopes: draft.scopes,
                expiresAt: draft.lifetime.map { now.advanced(by: $0) },
                for: try await installation.user(named: user).id,
                of: installation.store.account
            )
            return (made.key, made.row.output)
        case .remote(let server):
            var body = JSONObject()
            body.append(key: "name", value: .string(draft.name))
            let scopes = draft.scopes.map(\.rawValue).sorted()
            if !scopes.isEmpty { body.append(key: "scopes", value: JSONValue(scopes)) }
            if let lifetime = draft.lifetime {
                let end = WallClock.system.now().advanced(by: lifetime)
                body.append(key: "expires_at", value: .string(end.iso8601))
            }
            let path = try await Self.path(of: user, at: server)
            let made = try await server.call("POST", "\(path)/api-keys", .object(body))
            guard let key = made["key"]?.string, var row = made.object else {
                throw CommandFailure(.failure, "`\(server.url)` gave no key")
            }
            row["key"] = nil
            return (key, .object(row))
        }
    }

    /// Removes the key of that name.
    func removeKey(_ name: String, of user: String) async throws {
        let key = try await keys(of: user).first { $0["name"]?.string == name }
        guard let id = key?["id"]?.integer else {
            throw CommandFailure(
                .notFound,
                "there is no key `\(name)` of `\(user)`",
                hint: "`preloop keys list` shows the names"
            )
        }
        switch self {
        case .local(let installation):
            try await installation.desk().removeKey(
                APIKeyID(id),
                of: try await installation.user(named: user).id,
                in: installation.store.account
            )
        case .remote(let server):
            let path = try await Self.path(of: user, at: server)
            _ = try await server.call("DELETE", "\(path)/api-keys/\(id)")
        }
    }

    // MARK: - At a server

    /// Where the server has the user of that name.
    private static func path(of name: String, at server: RemoteServer) async throws -> String {
        let wanted = name.lowercased()
        let user = try await server.all(path).first { $0["username"]?.string == wanted }
        guard let id = user?["id"]?.integer else { throw Installation.noUser(named: name) }
        return "\(path)/\(id)"
    }
}
