import API
import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop users …`: who can sign in to the server.
struct UsersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "users",
        abstract: "Add, list, change and remove those who sign in to `preloop serve`.",
        discussion: """
            On the store of this machine, whether a server runs or not, or with --url on that of \
            a server, as an owner or administrator of it.
            """,
        subcommands: [
            UsersListCommand.self, UsersAddCommand.self, UsersUpdateCommand.self,
            UsersRemoveCommand.self,
        ]
    )
}

extension Role: ExpressibleByArgument {}

extension Installation {
    /// What is done about users, sessions and keys, by whoever runs the command.
    func desk() throws(CommandFailure) -> AccountDesk {
        AccountDesk(
            store: store,
            signingKey: try secretBox().signingKey,
            audit: { account in try auditWriter(of: account) },
            author: Self.localAuthor
        )
    }

    /// The user of that name.
    func user(named name: String) async throws -> User {
        let wanted = name.lowercased()
        guard
            let user = try await desk().users(of: store.account).first(where: {
                $0.name == wanted
            })
        else { throw Self.noUser(named: name) }
        return user
    }

    /// What is said when nobody has the name.
    static func noUser(named name: String) -> CommandFailure {
        CommandFailure(
            .notFound,
            "there is no user `\(name)`",
            hint: "`preloop users list` shows the names"
        )
    }
}

/// Runs `body`; a refusal of the accounts becomes a failure in the operator's terms.
func attemptAccounts<Value>(
    _ what: String,
    _ body: () async throws -> Value
) async throws(CommandFailure) -> Value {
    try await attempt(what) {
        do {
            return try await body()
        } catch let problem as Problem {
            let status: ExitStatus = problem.isNotFound ? .notFound : .failure
            throw CommandFailure(status, what, reason: problem.detail)
        }
    }
}

extension User {
    /// As commands print one.
    var output: JSONValue {
        [
            "id": .integer(id.rawValue), "username": .string(name), "email": JSONValue(email),
            "role": .string(role.rawValue), "is_active": .bool(isActive),
            "created_at": .string(createdAt.iso8601),
            "last_login_at": JSONValue(lastLoginAt?.iso8601),
        ]
    }
}

/// `preloop users list`.
struct UsersListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the users."
    )

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await AccountSource.open(remote, try Settings.read())
        let users = try await attemptAccounts("cannot list the users") {
            try await source.users()
        }
        guard !output.isJSON else {
            try Output.result(["users": .array(users)])
            return
        }
        guard !users.isEmpty else {
            try Output.text(["There are no users. Add one with `preloop users add`."])
            return
        }
        var table = TextTable(["NAME", "ROLE", "EMAIL", "LAST LOGIN"])
        for user in users {
            let state = user["is_active"] == false ? " (inactive)" : ""
            table.append([
                user["username"]?.string ?? "", (user["role"]?.string ?? "") + state,
                user["email"]?.string ?? "-", user["last_login_at"]?.string ?? "never",
            ])
        }
        try Output.text(table.lines)
    }
}

/// `preloop users add`.
struct UsersAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "add", abstract: "Add a user.")

    @Argument(help: "The name to sign in with.")
    var name: String

    @Option(help: "owner, admin, editor or viewer.")
    var role = Role.viewer

    @Option(help: "The user's e-mail address.")
    var email: String?

    @OptionGroup var password: PasswordSource
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try Settings.read()
        let source = try await AccountSource.open(remote, settings)
        let text = try password.read(
            environment: settings.environment,
            for: name,
            isNew: true
        )
        let user = try await attemptAccounts("cannot add the user") {
            try await source.add(.init(name: name, password: text, email: email, role: role))
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["user": user])
            return
        }
        let (added, itsRole) = (user["username"]?.string ?? "", user["role"]?.string ?? "")
        try Output.text([singleLine("Added \(added), \(itsRole).")])
    }
}

/// `preloop users update`.
struct UsersUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Change a user's role, e-mail address or password, or switch a user off or on."
    )

    @Argument(help: "The user's name.")
    var name: String

    @Option(help: "owner, admin, editor or viewer.")
    var role: Role?

    @Option(help: "The user's e-mail address.")
    var email: String?

    @Flag(inversion: .prefixedNo, help: "Whether signing in and keys work.")
    var active: Bool?

    @Flag(help: "Set a new password; every session of the user ends.")
    var setPassword = false

    @OptionGroup var password: PasswordSource
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard role != nil || email != nil || active != nil || setPassword else {
            throw ValidationError("say what to change")
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        let source = try await AccountSource.open(remote, settings)
        let environment = settings.environment
        let text =
            setPassword
            ? try password.read(environment: environment, for: name, isNew: true) : nil
        let user = try await attemptAccounts("cannot change the user") {
            try await source.change(
                name,
                .init(email: email, role: role, isActive: active, password: text)
            )
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["user": user])
            return
        }
        try Output.text([singleLine("Changed \(user["username"]?.string ?? "").")])
    }
}

/// `preloop users remove`.
struct UsersRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a user with all sessions and keys."
    )

    @Argument(help: "The user's name.")
    var name: String

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await AccountSource.open(remote, try Settings.read())
        try await attemptAccounts("cannot remove the user") { try await source.remove(name) }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["username": .string(name)])
            return
        }
        try Output.text(["Removed \(name)."])
    }
}
