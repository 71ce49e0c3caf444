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
        discussion: """
            On the store of this machine, whether a server runs or not, or with --url on that of \
            a server, as an owner or administrator of it.
            """,
        subcommands: [KeysAddCommand.self, KeysListCommand.self, KeysRemoveCommand.self]
    )
}

extension KeyScope: ExpressibleByArgument {}

extension APIKeyTable.Row {
    /// As commands print one.
    var output: JSONValue {
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
        help: ArgumentHelp(
            KeyScope.allCases.map(\.rawValue).joined(separator: ", ")
                + "; all the user may do when none is given."
        )
    )
    var scope: [KeyScope] = []

    @Option(help: "For how many days it is good; for ever when not given.")
    var days: Int?

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard days.map({ (1...3_650).contains($0) }) ?? true else {
            throw ValidationError("--days is a number from 1 to 3650")
        }
    }

    func run() async throws {
        let source = try await AccountSource.open(remote, try Settings.read())
        let draft = AccountSource.KeyDraft(
            name: name,
            scopes: Set(scope),
            lifetime: days.map { .seconds(86_400 * $0) }
        )
        let (key, details) = try await attemptAccounts("cannot make the key") {
            try await source.addKey(draft, for: user)
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["key": .string(key), "details": details])
            return
        }
        try Output.text([singleLine(key)])
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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await AccountSource.open(remote, try Settings.read())
        let keys = try await attemptAccounts("cannot list the keys") {
            try await source.keys(of: user)
        }
        guard !output.isJSON else {
            try Output.result(["keys": .array(keys)])
            return
        }
        var table = TextTable(["NAME", "KEY", "SCOPES", "EXPIRES", "LAST USED"])
        for key in keys {
            let scopes = (key["scopes"]?.array ?? []).compactMap(\.string)
            table.append([
                key["name"]?.string ?? "", "\(key["prefix"]?.string ?? "")…",
                scopes.isEmpty ? "everything" : scopes.joined(separator: " "),
                key["expires_at"]?.string ?? "never", key["last_used_at"]?.string ?? "never",
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

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let source = try await AccountSource.open(remote, try Settings.read())
        try await attemptAccounts("cannot remove the key") {
            try await source.removeKey(name, of: user)
        }
        try await attempt("cannot close the store") { try await source.close() }
        guard !output.isJSON else {
            try Output.result(["name": .string(name)])
            return
        }
        try Output.text(["Removed \(name)."])
    }
}
