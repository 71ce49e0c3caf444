package import Domain
package import MCP
import Store

/// Looking at what servers offer, and accepting it.
extension UpstreamDesk {
    /// What a scan found.
    package struct Report: Sendable {
        package var server: UpstreamServer
        /// The server as it introduced itself.
        package var profile: ServerProfile?
        /// Every tool as it is now, by name.
        package var tools: [UpstreamTool]
        /// Those that the scan changed.
        package var changed: [UpstreamTool]
        /// What was listed and cannot be used, with the reason.
        package var unusable: [String]
    }

    /// Asks a server for its tools and compares them with what was accepted.
    ///
    /// - Throws: ``UpstreamError``, which is kept as the server's error too.
    package func scan(_ id: UpstreamServerID) async throws -> Report {
        do {
            return try await pool(of: id).perform(
                for: "",
                capabilities: JSONObject(),
                isRepeatable: true
            ) { connection in
                try await self.listTools(on: connection, of: id, isScan: true)
            }
        } catch {
            let text = String(decoding: "\(error)".utf8.prefix(1_000), as: UTF8.self)
            let now = means.store.clock.now()
            try await means.store.writeOutsideFeed { connection, account in
                try UpstreamServerTable.setScanned(
                    id,
                    at: now,
                    error: text,
                    account: account,
                    on: connection
                )
            }
            invalidate()
            throw error
        }
    }

    /// Asks for the tools of a session and keeps what is new about them.
    func listTools(
        on connection: UpstreamConnection,
        of id: UpstreamServerID,
        isScan: Bool = false
    ) async throws -> Report {
        let profile = await connection.profile
        // A server without tools need not know the question.
        let found =
            profile?.offers("tools") == false
            ? [] : try await connection.list("tools/list", "tools")
        let report = try await keep(found, of: id, profile, isScan: isScan)
        var digests: [[UInt8]: [UInt8]] = [:]
        for definition in found {
            guard let name = ToolPins.name(of: definition) else { continue }
            digests[Array(name.utf8)] = UpstreamToolTable.digest(definition.withoutRepeatedKeys)
        }
        await connection.setAdvertised(digests)
        return report
    }

    private func keep(
        _ found: [JSONObject],
        of id: UpstreamServerID,
        _ profile: ServerProfile?,
        isScan: Bool
    ) async throws -> Report {
        let catalogue = try await catalogue(refreshed: true)
        guard let server = catalogue.servers.first(where: { $0.id == id }) else {
            throw UpstreamError.misconfigured(reason: "it was removed")
        }
        let others = catalogue.tools.filter { $0.key != id }.values.flatMap { $0.map(\.name) }
        let pins = ToolPins(
            isKnown: server.lastScanAt != nil && catalogue.tools[id]?.isEmpty == false,
            holdsNew: server.holdsNewTools,
            otherNames: means.reserved + others
        )
        let now = means.store.clock.now()
        var outcome = pins.compare(
            found.filter { ParameterHeaders.areUsable(in: $0["inputSchema"] ?? [:]) },
            with: catalogue.tools[id] ?? [],
            at: now
        )
        outcome.unusable += found.filter {
            !ParameterHeaders.areUsable(in: $0["inputSchema"] ?? [:])
        }.map { "`\($0["name"]?.string ?? "?")` has headers that cannot be made" }
        if isScan || !outcome.changed.isEmpty || server.status != .active {
            let changed = outcome.changed
            try await means.store.writeOutsideFeed { connection, account in
                for tool in changed {
                    try UpstreamToolTable.put(tool, of: id, account: account, on: connection)
                }
                try UpstreamServerTable.setScanned(
                    id,
                    at: now,
                    error: nil,
                    account: account,
                    on: connection
                )
            }
            invalidate()
        }
        return Report(
            server: server,
            profile: profile,
            tools: outcome.tools,
            changed: outcome.changed,
            unusable: outcome.unusable
        )
    }

    /// Accepts what waits: definitions that are new or changed become those that can be called,
    /// and tools that are gone are forgotten.
    ///
    /// - Parameters:
    ///   - names: Which tools; nil for all.
    ///   - id: Whose.
    /// - Returns: The names of those that were accepted or forgotten.
    /// - Throws: `StoreError`; nothing is accepted then.
    package func accept(_ names: [String]?, of id: UpstreamServerID) async throws -> [String] {
        let accepted = try await means.store.writeOutsideFeed { connection, account in
            var accepted: [String] = []
            for var tool in try UpstreamToolTable.list(of: id, account: account, on: connection) {
                if let names, !names.contains(where: { haveEqualBytes($0, tool.name) }) { continue }
                switch tool.state {
                case .accepted: continue
                case .gone:
                    try UpstreamToolTable.remove(
                        tool.name,
                        of: id,
                        account: account,
                        on: connection
                    )
                case .held:
                    tool.accepted = tool.proposed ?? tool.accepted
                    tool.proposed = nil
                    tool.state = .accepted
                    try UpstreamToolTable.put(tool, of: id, account: account, on: connection)
                }
                accepted.append(tool.name)
            }
            return accepted
        }
        invalidate()
        return accepted
    }
}
