package import Domain
import Firewall
import HTTPClient
package import Store

/// Adding, changing and removing servers.
extension UpstreamDesk {
    /// A server with its tools.
    package struct Entry: Sendable {
        package var server: UpstreamServer
        /// With what the server says to models, where it says anything.
        package var tools: [UpstreamTool]
        /// Whether a credential or variables are kept for it.
        package var hasSecret: Bool
        /// What each callable tool is called here, by the bytes of the name it has at its server;
        /// tools whose name is taken are missing.
        var names: [[UInt8]: String]
        /// Resources and templates that another server lists, too, so that nobody gets a request
        /// for them; as far as they were listed since the process began.
        package var sharedResources: [String] = []

        /// What a tool is called here; nil where it cannot be called.
        package func name(of tool: UpstreamTool) -> String? { names[Array(tool.name.utf8)] }

        /// What somebody should know of how it is reached; nil for nothing.
        package var warning: String? {
            let isSecret = hasSecret || server.authentication != .none
            guard isSecret, let origin = HTTPOrigin(of: server.url), origin.scheme == "http",
                !Self.loopbackHosts.contains(origin.host)
            else { return nil }
            return "its credential goes over plain http, where others can read it; use https"
        }

        /// What goes there leaves the machine by no wire.
        private static let loopbackHosts = ["127.0.0.1", "localhost", "[::1]"]

        /// Accepted tools whose name is another's, so that they cannot be called.
        package var collisions: [String] {
            tools.filter {
                $0.state == .accepted && !$0.isInstructions && name(of: $0) == nil
            }.map(\.name)
        }

        /// How many tools were accepted.
        package var acceptedCount: Int {
            tools.count { $0.state == .accepted && !$0.isInstructions }
        }
    }

    /// The time of the store, for what is added.
    package nonisolated var now: Timestamp { means.store.clock.now() }

    /// The servers, by name.
    package func entries() async throws -> [Entry] {
        let catalogue = try await catalogue(refreshed: true)
        return catalogue.servers.map { server in
            var entry = Self.entry(of: server, in: catalogue)
            entry.sharedResources = directory.shared(of: server.id)
            return entry
        }
    }

    private static func entry(of server: UpstreamServer, in catalogue: Catalogue) -> Entry {
        var names: [[UInt8]: String] = [:]
        for assignment in catalogue.assignments
        where haveEqualBytes(assignment.candidate.server, server.name) {
            names[Array(assignment.candidate.tool.utf8)] = assignment.name
        }
        return Entry(
            server: server,
            tools: catalogue.tools[server.id] ?? [],
            hasSecret: catalogue.credentials[server.id] != nil,
            names: names
        )
    }

    /// Asked in the transaction that writes, with the server as it is then; throws when it is not
    /// what the change was made for.
    package typealias Check = @Sendable (Entry?) throws -> Void

    /// Asked in the transaction that writes, about what nobody is shown; throws when nothing may be
    /// written.
    package typealias Condition = @Sendable (any SQLConnection, AccountID) throws -> Void

    nonisolated private func ask(
        _ check: Check,
        about id: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        var catalogue = try Self.rows(of: account, on: connection)
        fill(&catalogue)
        try check(catalogue.server(id).map { Self.entry(of: $0, in: catalogue) })
    }

    /// Adds a server; nothing is sent to it yet.
    ///
    /// - Parameters:
    ///   - server: What it is to be.
    ///   - secret: What it wants to see.
    ///   - author: Who adds it, for the record.
    /// - Returns: The server, with its identifier.
    /// - Throws: ``UpstreamError/misconfigured(reason:)`` for what it cannot be reached by, and
    ///   `StoreError.constraint` when there is one of that name.
    package func add(
        _ server: UpstreamServer,
        secret: UpstreamSecret,
        by author: String
    ) async throws -> UpstreamServer {
        try check(server, secret)
        let box = try means.box()
        let added = try await means.store.write { [self] connection, account in
            var server = server
            let ids: [UpstreamServerID] = try AccountTable.nextIDs(
                1,
                account: account,
                on: connection
            )
            server.id = ids[0]
            let sealed =
                secret.isEmpty
                ? nil
                : try box.seal(secret.sealable, for: .upstream(server.id, account: account))
            try UpstreamServerTable.insert(
                server,
                credential: sealed,
                account: account,
                on: connection
            )
            try record([.added], of: server, by: author, account: account, on: connection)
            return server
        }
        invalidate()
        return added
    }

    /// Changes a server; its secret stays where none is given.
    ///
    /// Another address with the same secret is refused: whoever may change an address must not
    /// learn the secret by it.
    ///
    /// - Parameters:
    ///   - server: What it is to be.
    ///   - secret: Its new secret; nil for the one that is there.
    ///   - author: Who changes it, for the record.
    ///   - expected: Whether it is still what the change was made for; nil for whatever is there.
    ///   - condition: What has to hold besides; nil for nothing.
    /// - Throws: ``UpstreamError``, what `expected` and `condition` throw, and what the store
    ///   refuses.
    package func change(
        _ server: UpstreamServer,
        secret: UpstreamSecret?,
        by author: String,
        expected: Check? = nil,
        under condition: Condition? = nil
    ) async throws {
        guard let before = try await entries().first(where: { $0.server.id == server.id }) else {
            throw UpstreamError.misconfigured(reason: "it was removed")
        }
        if before.hasSecret, secret == nil { try Self.requireAddress(of: before.server, server) }
        try check(server, secret ?? UpstreamSecret(token: before.hasSecret ? "kept" : nil))
        let sealed = try secret.map { secret in
            try means.box().seal(
                secret.sealable,
                for: .upstream(server.id, account: means.store.account)
            )
        }
        // Under the account's lock: of two who have seen the same the second finds the first's.
        try await means.store.write { [self] connection, account in
            if let expected {
                try ask(expected, about: server.id, account: account, on: connection)
            }
            try condition?(connection, account)
            let old = try UpstreamServerTable.find(server.id, account: account, on: connection)
            // Both may have come since the server was looked at above.
            if let old, sealed == nil,
                try UpstreamServerTable.credential(of: server.id, account: account, on: connection)
                    != nil
            {
                try Self.requireAddress(of: old, server)
            }
            try UpstreamServerTable.update(
                server,
                credential: sealed,
                account: account,
                on: connection
            )
            guard let old else { return }
            try record(
                [.updated(from: old, isNewSecret: sealed != nil)],
                of: server,
                by: author,
                account: account,
                on: connection
            )
        }
        invalidate()
    }

    /// Makes sure that a server is where another one is: the secret that stays goes there.
    private static func requireAddress(
        of old: UpstreamServer,
        _ server: UpstreamServer
    ) throws(UpstreamError) {
        let isThere =
            haveEqualBytes(old.url, server.url) && old.transport == server.transport
            && old.command.elementsEqual(server.command, by: haveEqualBytes)
        guard isThere else {
            throw .misconfigured(reason: "another address needs its credential again")
        }
    }

    /// Removes a server with what was accepted of it.
    ///
    /// - Parameters:
    ///   - id: Which one.
    ///   - author: Who removes it, for the record.
    ///   - expected: Whether it is still what was seen; nil for whatever is there.
    /// - Throws: What `expected` throws, and what the store refuses.
    package func remove(
        _ id: UpstreamServerID,
        by author: String,
        expected: Check? = nil
    ) async throws {
        try await means.store.write { [self] connection, account in
            if let expected { try ask(expected, about: id, account: account, on: connection) }
            let old = try UpstreamServerTable.find(id, account: account, on: connection)
            try UpstreamServerTable.remove(id, account: account, on: connection)
            guard let old else { return }
            try record([.removed], of: old, by: author, account: account, on: connection)
        }
        invalidate()
        await drop(id)
    }

    /// Longer commands and URLs are none.
    private static let maximumBytes = 8_192

    private func check(
        _ server: UpstreamServer,
        _ secret: UpstreamSecret
    ) throws(UpstreamError) {
        guard Self.isName(server.name) else {
            throw .misconfigured(
                reason: "a name has 1 to 48 lower-case letters, digits, `-` and `_`, and begins "
                    + "with a letter or digit"
            )
        }
        // A rule on `builtin/…` or `mcp/…` would be one on its tools, or on none.
        guard !ToolIdentity.reservedServers.contains(server.name) else {
            throw .misconfigured(reason: "policies mean something else by `\(server.name)`")
        }
        switch server.transport {
        case .stdio:
            guard let program = server.command.first, !program.isEmpty, server.url.isEmpty,
                server.command.reduce(0, { $0 + $1.utf8.count }) <= Self.maximumBytes,
                server.command.allSatisfy({ !$0.utf8.contains(0) })
            else { throw .misconfigured(reason: "a program needs a command, and no URL") }
            guard server.authentication == .none else {
                throw .misconfigured(reason: "a program takes its secrets as variables")
            }
        case .streamableHTTP, .sse:
            guard server.command.isEmpty, secret.environment.isEmpty else {
                throw .misconfigured(reason: "an address has no command and no variables")
            }
            do throws(EgressRefusal) {
                try means.settings.egress.check(server.url)
            } catch {
                throw .forbiddenAddress(error)
            }
            // Whoever signs in does so when the server is there.
            guard
                server.authentication == .oauth
                    || (server.authentication == .none) == (secret.token == nil)
            else { throw .misconfigured(reason: "authentication and a token belong together") }
            guard secret.oauth == nil || server.authentication == .oauth else {
                throw .misconfigured(reason: "somebody has signed in; that is authentication oauth")
            }
        }
        guard (1...UpstreamServer.longestTimeLimitSeconds).contains(server.timeLimitSeconds) else {
            throw .misconfigured(
                reason: "a call may take 1 to \(UpstreamServer.longestTimeLimitSeconds) seconds"
            )
        }
        let isHeader =
            (1...64).contains(server.headerName.utf8.count)
            && server.headerName.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "-")
            }
        let reserved = ["host", "content-length", "content-type", "transfer-encoding", "accept"]
        guard isHeader, !reserved.contains(server.headerName.lowercased()),
            !server.headerName.lowercased().hasPrefix("mcp-")
        else { throw .misconfigured(reason: "the header's name cannot be used") }
        for (name, value) in secret.environment {
            guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")), !name.utf8.contains(0),
                !value.utf8.contains(0)
            else { throw .misconfigured(reason: "`\(name)` is no variable") }
        }
    }

    private static func isName(_ name: String) -> Bool {
        (1...48).contains(name.utf8.count)
            && name.utf8.enumerated().allSatisfy { place, byte in
                (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte)
                    || (place > 0 && (byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")))
            }
    }
}
