package import Domain

/// The MCP servers behind the gateway.
package enum UpstreamServerTable {
    /// Adds a server whose identifier has been drawn, so that its credential can be sealed for it.
    ///
    /// - Throws: ``StoreError/constraint(detail:)`` when the account has a server of that name.
    package static func insert(
        _ server: UpstreamServer,
        credential: SealedSecret?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            INSERT INTO upstream_servers
                (account_id, id, name, transport, url, command, auth_type, auth_header, credential,
                    prefix_mode, holds_new_tools, time_limit_seconds, status, awaits_first_scan,
                    last_scan_at, last_error, created_at)
            VALUES
                (\(account), \(server.id), \(server.name), \(server.transport.rawValue),
                    \(server.url), \(commandText(server)), \(server.authentication.rawValue),
                    \(server.headerName), \(credential?.bytes ?? []), \(server.prefix.rawValue),
                    \(server.holdsNewTools), \(server.timeLimitSeconds),
                    \(server.status.rawValue), \(server.awaitsFirstScan), \(server.lastScanAt),
                    \(server.lastError), \(server.createdAt))
            """
        )
    }

    /// Stores what a person may change; the credential stays where none is given.
    package static func update(
        _ server: UpstreamServer,
        credential: SealedSecret?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE upstream_servers
            SET name = \(server.name), transport = \(server.transport.rawValue),
                url = \(server.url), command = \(commandText(server)),
                auth_type = \(server.authentication.rawValue), auth_header = \(server.headerName),
                credential = COALESCE(\(credential?.bytes), credential),
                prefix_mode = \(server.prefix.rawValue), holds_new_tools = \(server.holdsNewTools),
                time_limit_seconds = \(server.timeLimitSeconds)
            WHERE account_id = \(account) AND id = \(server.id)
            """
        )
    }

    /// The account's servers, by name; an operator adds them one by one, 1,000 is beyond any.
    package static func list(
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [UpstreamServer] {
        try servers(
            connection.rows(
                """
                SELECT id, name, transport, url, command, auth_type, auth_header, prefix_mode,
                    holds_new_tools, time_limit_seconds, status, awaits_first_scan,
                    last_scan_at, last_error, created_at
                FROM upstream_servers
                WHERE account_id = \(account)
                ORDER BY name, id
                LIMIT 1000
                """
            )
        )
    }

    /// The server of that identifier.
    ///
    /// Where it is `locked` nobody else may change it until the transaction ends: who compares its
    /// tools with what is kept, or accepts them, does so alone.
    package static func find(
        _ id: UpstreamServerID,
        locked: Bool = false,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> UpstreamServer? {
        let lock: SQL = locked && connection.dialect == .postgres ? "FOR UPDATE" : ""
        return try servers(
            connection.rows(
                """
                SELECT id, name, transport, url, command, auth_type, auth_header, prefix_mode,
                    holds_new_tools, time_limit_seconds, status, awaits_first_scan,
                    last_scan_at, last_error, created_at
                FROM upstream_servers
                WHERE account_id = \(account) AND id = \(id)
                \(lock)
                """
            )
        ).first
    }

    /// The server of that name.
    package static func find(
        name: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> UpstreamServer? {
        try servers(
            connection.rows(
                """
                SELECT id, name, transport, url, command, auth_type, auth_header, prefix_mode,
                    holds_new_tools, time_limit_seconds, status, awaits_first_scan,
                    last_scan_at, last_error, created_at
                FROM upstream_servers
                WHERE account_id = \(account) AND name = \(name)
                """
            )
        ).first
    }

    /// Stores another credential of a server.
    package static func setCredential(
        _ credential: SealedSecret,
        of server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE upstream_servers SET credential = \(credential.bytes)
            WHERE account_id = \(account) AND id = \(server)
            """
        )
    }

    /// A server's sealed credential; nil when it has none, or there is no such server.
    package static func credential(
        of server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> SealedSecret? {
        let rows = try connection.rows(
            """
            SELECT credential FROM upstream_servers
            WHERE account_id = \(account) AND id = \(server)
            """
        )
        guard let row = rows.first else { return nil }
        let bytes = try row.blob("credential")
        return bytes.isEmpty ? nil : SealedSecret(bytes: bytes)
    }

    /// Writes how a scan ended; `error` is nil for one that did not fail.
    package static func setScanned(
        _ server: UpstreamServerID,
        at instant: Timestamp,
        error: String?,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let status: UpstreamServer.Status = error == nil ? .active : .error
        try connection.execute(
            """
            UPDATE upstream_servers
            SET status = \(status.rawValue), last_scan_at = \(instant), last_error = \(error)
            WHERE account_id = \(account) AND id = \(server)
            """
        )
    }

    /// Notes that somebody has looked at what a server offers: no later scan is the first one.
    package static func setLookedAt(
        _ server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            UPDATE upstream_servers SET awaits_first_scan = \(false)
            WHERE account_id = \(account) AND id = \(server)
            """
        )
    }

    /// Removes a server with its tools.
    package static func remove(
        _ server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        // The server first, as everybody who changes its tools takes them: two who take them the
        // other way round wait for each other.
        try connection.execute(
            """
            DELETE FROM upstream_servers WHERE account_id = \(account) AND id = \(server)
            """
        )
        try connection.execute(
            """
            DELETE FROM upstream_tools WHERE account_id = \(account) AND server_id = \(server)
            """
        )
    }

    /// The program and its arguments as a list.
    ///
    /// What is not usual about a server stands behind them as one object: whoever reads the words
    /// alone, as older programs do, passes it over.
    private static func commandText(_ server: UpstreamServer) -> String {
        var members = server.command.map(JSONValue.string)
        if server.trustsHints { members.append(.object(JSONObject([(trustKey, .bool(true))]))) }
        return JSONValue.array(members).serializedText()
    }

    private static let trustKey = "trusts_hints"

    private static func servers(_ rows: [SQLRow]) throws(StoreError) -> [UpstreamServer] {
        try rows.map { row throws(StoreError) in
            guard
                let transport = UpstreamServer.Transport(rawValue: try row.text("transport")),
                let authentication = UpstreamServer.Authentication(
                    rawValue: try row.text("auth_type")
                ),
                let prefix = UpstreamServer.PrefixMode(rawValue: try row.text("prefix_mode")),
                let status = UpstreamServer.Status(rawValue: try row.text("status")),
                let command = try? JSONParser.parse(try row.text("command"))
            else { throw .unexpectedValue(column: "upstream_servers.transport") }
            var server = UpstreamServer(
                id: try row.identifier("id"),
                name: try row.text("name"),
                transport: transport,
                url: try row.text("url"),
                command: command.array?.compactMap(\.string) ?? [],
                createdAt: try row.timestamp("created_at")
            )
            server.authentication = authentication
            server.headerName = try row.text("auth_header")
            server.prefix = prefix
            server.holdsNewTools = try row.bool("holds_new_tools")
            server.trustsHints = command.array?.last?[trustKey]?.bool ?? false
            server.timeLimitSeconds = Int(try row.integer("time_limit_seconds"))
            server.status = status
            server.awaitsFirstScan = try row.bool("awaits_first_scan")
            server.lastScanAt = try row.optionalTimestamp("last_scan_at")
            server.lastError = try row.optionalText("last_error")
            return server
        }
    }
}
