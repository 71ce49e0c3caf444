import Crypto
package import Domain

/// The tools of upstream servers: what was accepted, and what waits to be.
package enum UpstreamToolTable {
    /// More than any server has; a scan takes no more.
    package static let maximumTools = 2_000

    /// The tools of a server, by name.
    package static func list(
        of server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> [UpstreamTool] {
        try tools(
            connection.rows(
                """
                SELECT name, definition, digest, proposed, state, flags, seen_at
                FROM upstream_tools
                WHERE account_id = \(account) AND server_id = \(server)
                ORDER BY name
                LIMIT 10000
                """
            )
        )
    }

    /// Stores a tool as it is now.
    package static func put(
        _ tool: UpstreamTool,
        of server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        let accepted = tool.accepted.map { JSONValue.object($0).serializedText() }
        let proposed = tool.proposed.map { JSONValue.object($0).serializedText() }
        try connection.execute(
            """
            INSERT INTO upstream_tools
                (account_id, server_id, name, definition, digest, proposed, state, flags, seen_at)
            VALUES
                (\(account), \(server), \(tool.name), \(accepted),
                    \(tool.accepted.map(digest)), \(proposed), \(tool.state.rawValue),
                    \(JSONValue(tool.flags).serializedText()), \(tool.seenAt))
            ON CONFLICT (account_id, server_id, name) DO UPDATE SET
                definition = excluded.definition, digest = excluded.digest,
                proposed = excluded.proposed, state = excluded.state, flags = excluded.flags,
                seen_at = excluded.seen_at
            """
        )
    }

    /// Forgets a tool that its server does not list any more.
    package static func remove(
        _ name: String,
        of server: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) {
        try connection.execute(
            """
            DELETE FROM upstream_tools
            WHERE account_id = \(account) AND server_id = \(server) AND name = \(name)
            """
        )
    }

    /// SHA-256 of a definition with its keys in order: the same for the same definition.
    package static func digest(_ definition: JSONObject) -> [UInt8] {
        Array(SHA256.hash(data: JSONValue.object(definition).serialized(sortedKeys: true)))
    }

    private static func tools(_ rows: [SQLRow]) throws(StoreError) -> [UpstreamTool] {
        try rows.map { row throws(StoreError) in
            guard let state = UpstreamTool.State(rawValue: try row.text("state")) else {
                throw .unexpectedValue(column: "upstream_tools.state")
            }
            let accepted = try definition(row, "definition")
            // A row that was changed outside is not what somebody accepted.
            if let accepted, case .blob(let kept) = try row.value("digest"),
                kept != digest(accepted)
            {
                throw .unexpectedValue(column: "upstream_tools.digest")
            }
            let flags = try? JSONParser.parse(try row.text("flags"))
            return UpstreamTool(
                name: try row.text("name"),
                accepted: accepted,
                proposed: try definition(row, "proposed"),
                state: state,
                flags: flags?.array?.compactMap(\.string) ?? [],
                seenAt: try row.timestamp("seen_at")
            )
        }
    }

    private static func definition(
        _ row: SQLRow,
        _ column: String
    ) throws(StoreError) -> JSONObject? {
        guard let text = try row.optionalText(column) else { return nil }
        guard case .object(let object) = try? JSONParser.parse(text) else {
            throw .unexpectedValue(column: "upstream_tools.definition")
        }
        return object
    }
}
