import ArgumentParser
import Bootstrap
import Domain
import Gateway

/// `preloop servers`: other MCP servers behind the gateway.
struct ServersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "servers",
        abstract: "Put other MCP servers behind Preloop, and see what they offer.",
        subcommands: [
            ServersAddCommand.self, ServersLoginCommand.self, ServersListCommand.self,
            ServersShowCommand.self,
            ServersScanCommand.self, ServersDiffCommand.self, ServersAcceptCommand.self,
            ServersUpdateCommand.self, ServersTestCommand.self, ServersRemoveCommand.self,
        ]
    )
}

extension Installation {
    /// Whoever changes servers on this machine, for the record.
    static var localAuthor: String { "local:\(LocalUser.name)" }

    /// Does something with the MCP servers of the installation.
    ///
    /// - Parameters:
    ///   - what: What did not happen when it fails, such as `the server was not added`.
    ///   - isNewAllowed: Whether the installation may be made.
    ///   - body: What to do.
    /// - Returns: What the body gives.
    /// - Throws: Why there is no installation, or what the body throws, behind `what`.
    static func withServers<Value: Sendable>(
        _ what: String,
        isNewAllowed: Bool = false,
        _ body: @Sendable (UpstreamDesk) async throws -> Value
    ) async throws -> Value {
        let settings = try Settings.read()
        let installation =
            isNewAllowed
            ? try await Installation.create(settings) : try await Installation.open(settings)
        let desk = try await attempt("cannot open the MCP servers") {
            try installation.upstreamDesk()
        }
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(desk))
        } catch {
            result = .failure(error)
        }
        await desk.close()
        try await attempt("cannot close the store") { try await installation.close() }
        return try await attempt(what) { try result.get() }
    }
}

extension UpstreamDesk {
    /// The server of a name.
    func entry(named name: String) async throws -> Entry {
        guard
            let entry = try await entries().first(where: { haveEqualBytes($0.server.name, name) })
        else {
            throw CommandFailure(
                .notFound,
                "there is no MCP server `\(name)`",
                hint: "`preloop servers list` shows the names"
            )
        }
        return entry
    }
}

extension UpstreamDesk.Entry {
    /// As `--json` shows it.
    var json: JSONValue {
        [
            "name": .string(server.name), "transport": .string(server.transport.rawValue),
            "url": .string(server.url), "command": JSONValue(server.command),
            "auth_type": .string(server.authentication.rawValue),
            "prefix": .string(server.prefix.rawValue),
            "hold_new_tools": .bool(server.holdsNewTools),
            "trust_hints": .bool(server.trustsHints),
            "status": .string(server.status.rawValue),
            "last_scan_at": JSONValue(server.lastScanAt?.iso8601),
            "last_error": JSONValue(server.lastError),
            "created_at": .string(server.createdAt.iso8601),
            "collisions": JSONValue(collisions),
            "timeout_seconds": .integer(Int64(server.timeLimitSeconds)),
            "warning": JSONValue(warning),
            "tools": .array(
                tools.map { tool in
                    [
                        "name": .string(tool.name), "exposed_as": JSONValue(name(of: tool)),
                        "state": .string(tool.state.rawValue), "flags": JSONValue(tool.flags),
                        "digest": JSONValue(tool.pendingDigest),
                    ]
                }
            ),
        ]
    }

    /// Where it is, in one cell.
    var place: String {
        server.transport == .stdio ? server.command.joined(separator: " ") : server.url
    }
}

/// A choice for the command line.
extension UpstreamServer.Transport: ExpressibleByArgument {}
extension UpstreamServer.Authentication: ExpressibleByArgument {}
extension UpstreamServer.PrefixMode: ExpressibleByArgument {}
