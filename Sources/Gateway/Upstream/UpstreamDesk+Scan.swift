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
        /// What somebody should know of texts besides the tools' that reach models.
        package var warnings: [String] = []
        /// What each of its tools is in this session.
        var advertised: AdvertisedTools
    }

    /// Asks a server for its tools and compares them with what was accepted.
    ///
    /// The first scan that somebody asks for accepts what is not suspicious; nothing else does.
    ///
    /// - Parameters:
    ///   - id: Which one.
    ///   - author: Who wants to know, for the record of what is accepted.
    /// - Returns: What there is, and what has changed.
    /// - Throws: ``UpstreamError``, which is kept as the server's error too.
    package func scan(_ id: UpstreamServerID, by author: String) async throws -> Report {
        try await scan(id, askedBy: author)
    }

    /// The same; nobody has asked for one that the server itself has brought about.
    func scan(_ id: UpstreamServerID, askedBy author: String?) async throws -> Report {
        do {
            return try await pool(of: id).perform(
                for: "",
                capabilities: JSONObject(),
                isRepeatable: true
            ) { connection -> Report in
                var report = try await self.listTools(
                    on: connection,
                    of: id,
                    author.map { .asked(by: $0) } ?? .noticed
                )
                if author != nil { report.warnings = await TextWarnings.of(connection) }
                return report
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

    /// Why a server is asked for its tools.
    enum Occasion {
        /// A session begins, or its list is an old one.
        case session
        /// The server has told of a change.
        case noticed
        /// Somebody wants to know.
        case asked(by: String)

        /// Who has asked; nil for nobody.
        var author: String? {
            guard case .asked(let author) = self else { return nil }
            return author
        }

        /// Whether it is any session's beginning.
        var isSession: Bool {
            guard case .session = self else { return false }
            return true
        }
    }

    /// Asks for the tools of a session and keeps what is new about them.
    func listTools(
        on connection: UpstreamConnection,
        of id: UpstreamServerID,
        _ occasion: Occasion = .session
    ) async throws -> Report {
        let (generation, askedAt) = (changesTold(by: id), ContinuousClock.now)
        let profile = await connection.profile
        // A server without tools need not know the question.
        let found =
            profile?.offers("tools") == false
            ? [] : try await connection.list("tools/list", "tools")
        var digests: [[UInt8]: [UInt8]] = [:]
        for definition in found {
            guard let name = ToolPins.name(of: definition) else { continue }
            digests[Array(name.utf8)] = UpstreamToolTable.digest(definition.withoutRepeatedKeys)
        }
        let advertised = AdvertisedTools(
            digests: digests,
            generation: generation,
            askedAt: askedAt
        )
        let report = try await keep(found, advertised, of: id, profile, occasion)
        await connection.setAdvertised(advertised)
        return report
    }

    private func keep(
        _ found: [JSONObject],
        _ advertised: AdvertisedTools,
        of id: UpstreamServerID,
        _ profile: ServerProfile?,
        _ occasion: Occasion
    ) async throws -> Report {
        let catalogue = try await catalogue(refreshed: true)
        guard let server = catalogue.servers.first(where: { $0.id == id }) else {
            throw UpstreamError.misconfigured(reason: "it was removed")
        }
        let others = catalogue.tools.filter { $0.key != id }.values.flatMap { $0.map(\.name) }
        let pins = ToolPins(
            // Whoever asks for the first scan trusts what is there then; a server that shows it
            // later, or takes all of it away and brings other tools, is not trusted again.
            isKnown: occasion.author == nil || !server.awaitsFirstScan,
            holdsNew: server.holdsNewTools,
            otherNames: means.reserved + others
        )
        let now = means.store.clock.now()
        let (usable, reasons) = Self.parted(found)
        let instructions = ServerInstructions.definition(of: profile)
        var outcome = pins.compare(
            usable + (instructions.map { [$0] } ?? []),
            with: catalogue.tools[id] ?? [],
            at: now
        )
        outcome.unusable += reasons
        if !occasion.isSession || !outcome.changed.isEmpty || server.status != .active {
            let changed = outcome.changed
            let accepted = Self.accepted(changed, knowing: catalogue.tools[id] ?? [])
            let author = occasion.author
            try await means.store.writeOutsideFeed { [self] connection, account in
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
                if author != nil {
                    try UpstreamServerTable.setLookedAt(id, account: account, on: connection)
                }
                try record(
                    accepted,
                    of: server,
                    by: author ?? AuditTable.Event.ownName,
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
            unusable: outcome.unusable,
            advertised: advertised
        )
    }

    /// What a list has that can be accepted, and why the rest of it cannot.
    private static func parted(
        _ found: [JSONObject]
    ) -> (usable: [JSONObject], reasons: [String]) {
        var (usable, reasons): ([JSONObject], [String]) = ([], [])
        for definition in found {
            let name = definition["name"]?.string ?? "?"
            if haveEqualBytes(name, ServerInstructions.name) {
                reasons.append("`\(name)` is no name of a tool")
            } else if ParameterHeaders.areUsable(in: definition["inputSchema"] ?? [:]) {
                usable.append(definition)
            } else {
                reasons.append("`\(name)` has headers that cannot be made")
            }
        }
        return (usable, reasons)
    }

    /// Accepts what waits: definitions that are new or changed become those that can be called,
    /// and tools that are gone are forgotten.
    ///
    /// - Parameters:
    ///   - names: Which tools; nil for all.
    ///   - id: Whose.
    ///   - author: Who accepts them, for the record.
    /// - Returns: The names of those that were accepted or forgotten.
    /// - Throws: `StoreError`, and why it cannot be recorded; nothing is accepted then.
    package func accept(
        _ names: [String]?,
        of id: UpstreamServerID,
        by author: String
    ) async throws -> [String] {
        let accepted = try await means.store.writeOutsideFeed { [self] connection, account in
            guard let server = try UpstreamServerTable.find(id, account: account, on: connection)
            else { throw UpstreamError.misconfigured(reason: "it was removed") }
            var (accepted, changes): ([String], [UpstreamChange]) = ([], [])
            // Somebody has looked: no later scan is a first one.
            try UpstreamServerTable.setLookedAt(id, account: account, on: connection)
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
                    changes.append(.forgotten(tool: tool.name))
                case .held:
                    tool.accepted = tool.proposed ?? tool.accepted
                    tool.proposed = nil
                    tool.state = .accepted
                    try UpstreamToolTable.put(tool, of: id, account: account, on: connection)
                    changes.append(
                        .accepted(tool: tool.name, definition: tool.accepted ?? JSONObject())
                    )
                }
                accepted.append(tool.name)
            }
            try record(changes, of: server, by: author, account: account, on: connection)
            return accepted
        }
        invalidate()
        return accepted
    }
}
