import API
import ArgumentParser
import Bootstrap
import Domain
import Store

/// `preloop keys …`: API keys for programs and agents.
struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Make, list and remove API keys for `preloop serve`.",
        subcommands: [KeysAddCommand.self, KeysListCommand.self, KeysRemoveCommand.self]
    )
}

extension KeyScope: ExpressibleByArgument {}

extension APIKeyTable.Row {
    /// As commands print one.
    fileprivate var output: JSONValue {
        [
            "id": .integer(id.rawValue), "name": .string(name), "prefix": .string(prefix),
            "scopes": JSONValue(scopes), "created_at": .string(createdAt.iso8601),
            "expires_at": JSONValue(expiresAt?.iso8601),
            "last_used_at": JSONValue(lastUsedAt?.iso8601),
        ]
    }
}

/// `preloop keys add`.
struct KeysAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Make a key; it is printed once and stored as a digest."
    )

    @Argument(help: "A name for the key, such as the agent's.")
    var name: String

    @Option(help: "The user on whose behalf it is used.")
    var user: String

    @Option(
        parsing: .upToNextOption,
        help: "read, write, mcp:read, mcp:write, metrics; all the user may do when none is given."
    )
    var scope: [KeyScope] = []

    @Option(help: "For how many days it is good; for ever when not given.")
    var days: Int?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard days.map({ (1...3_650).contains($0) }) ?? true else {
            throw ValidationError("--days is a number from 1 to 3650")
        }
    }

    func run() async throws {
        let installation = try await Installation.open()
        let end = days.map { installation.store.clock.now().advanced(by: .seconds(86_400 * $0)) }
        let made = try await attemptAccounts("cannot make the key") {
            try await installation.desk().addKey(
                name: name,
                scopes: Set(scope),
                expiresAt: end,
                for: try await installation.user(named: user).id,
                of: installation.store.account
            )
        }
        try await installation.close()
        guard !output.isJSON else {
            try Output.result(["key": .string(made.key), "details": made.row.output])
            return
        }
        try Output.text([made.key])
    }
}

/// `preloop keys list`.
struct KeysListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List a user's keys, newest first."
    )

    @Option(help: "Whose keys.")
    var user: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        let keys = try await attemptAccounts("cannot list the keys") {
            try await installation.desk().keys(
                of: try await installation.user(named: user).id,
                in: installation.store.account
            )
        }
        guard !output.isJSON else {
            try Output.result(["keys": .array(keys.map(\.output))])
            return
        }
        var table = TextTable(["NAME", "KEY", "SCOPES", "EXPIRES", "LAST USED"])
        for key in keys {
            table.append([
                key.name, "\(key.prefix)…",
                key.scopes.isEmpty ? "everything" : key.scopes.joined(separator: " "),
                key.expiresAt?.iso8601 ?? "never", key.lastUsedAt?.iso8601 ?? "never",
            ])
        }
        try Output.text(table.lines)
    }
}

/// `preloop keys remove`.
struct KeysRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a key; what uses it is refused within seconds."
    )

    @Argument(help: "The key's name.")
    var name: String

    @Option(help: "Whose key.")
    var user: String

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let installation = try await Installation.open()
        try await attemptAccounts("cannot remove the key") {
            let (desk, account) = (try installation.desk(), installation.store.account)
            let owner = try await installation.user(named: user).id
            let keys = try await desk.keys(of: owner, in: account)
            guard let key = keys.first(where: { $0.name == name }) else {
                throw CommandFailure(
                    .notFound,
                    "there is no key `\(name)` of `\(user)`",
                    hint: "`preloop keys list` shows the names"
                )
            }
            try await desk.removeKey(key.id, of: owner, in: account)
        }
        try await installation.close()
        guard !output.isJSON else {
            try Output.result(["name": .string(name)])
            return
        }
        try Output.text(["Removed \(name)."])
    }
}
