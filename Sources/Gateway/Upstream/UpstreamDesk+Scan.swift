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
        /// Whether the server has answered for it; one that has no tools is not asked.
        var isAnswer: Bool
    }

    /// Asks a server for its tools and compares them with what was accepted.
    ///
    /// The first scan that somebody asks for accepts what is not suspicious; nothing else does.
    ///
    /// - Parameters:
    ///   - id: Which one.
    ///   - author: Who wants to know, for the record of what is accepted.
    /// - Returns: What there is, and what has changed.
    /// - Throws: ``UpstreamError``, which is kept as the server's error too, and ``ToolFailure``
    ///   where others have written about the server each time that it was asked.
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
        } catch is Contention {
            // The server has answered each time: nothing is wrong with it.
            throw ToolFailure(
                "others go on writing what the server has, so that nobody knows what is newest; "
                    + "nothing was kept",
                hint: "try again later",
                kind: .busy
            )
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

    /// So often a list is asked for that others have contradicted meanwhile: of those that look at
    /// the same time one goes on in each round, and a server must not be asked without end.
    private static let maximumLists = 8

    /// Others have written about a server each time that a scan had asked it.
    private struct Contention: Error {}

    /// What a server has listed, and why it was asked.
    private struct Listing: Sendable {
        var server: UpstreamServerID
        var found: [JSONObject]
        var profile: ServerProfile?
        var advertised: AdvertisedTools
        var occasion: Occasion
        /// Whether the server has answered for it.
        var isAnswer: Bool
    }

    /// What a list comes to beside what was kept of the server.
    private struct Comparison: Sendable {
        var server: UpstreamServer
        var known: [UpstreamTool]
        var outcome: ToolPins.Outcome
        /// Whether others have written something else since the server was asked, so that nobody
        /// knows which of both is newer, and nothing was kept.
        var isOutdated = false
    }

    /// Asks for the tools of a session and keeps what is new about them.
    ///
    /// What others go on contradicting is not kept, and good for the session all the same: what it
    /// has listed is compared with what was accepted, whoever has written what. Servers that tell
    /// each session something else would not serve many that begin at a time otherwise.
    ///
    /// - Parameters:
    ///   - connection: The session.
    ///   - id: Whose it is.
    ///   - occasion: Why it is asked.
    /// - Returns: What there is, and what has changed.
    /// - Throws: ``UpstreamError``; ``UpstreamPool/LocalFailure`` where something else than the
    ///   server is in the way, such as others who go on contradicting what a scan has found.
    func listTools(
        on connection: UpstreamConnection,
        of id: UpstreamServerID,
        _ occasion: Occasion = .session
    ) async throws -> Report {
        var isAnswer = false
        for round in 1...Self.maximumLists {
            // Read before the server is asked: whatever others write from here on may be newer
            // than its answer.
            let before = try await catalogue(refreshed: round > 1)
            let listing = try await self.listing(of: id, on: connection, occasion)
            isAnswer = listing.isAnswer
            let found: Comparison
            do {
                found = try await keep(listing, since: before)
            } catch {
                throw UpstreamPool.LocalFailure(reason: error, isAnswered: isAnswer)
            }
            let isGoodForSession = occasion.isSession && round == Self.maximumLists
            guard !found.isOutdated || isGoodForSession else { continue }
            await connection.setAdvertised(listing.advertised)
            return Report(
                server: found.server,
                profile: listing.profile,
                tools: found.outcome.tools,
                changed: found.outcome.changed,
                unusable: found.outcome.unusable,
                advertised: listing.advertised,
                isAnswer: isAnswer
            )
        }
        throw UpstreamPool.LocalFailure(reason: Contention(), isAnswered: isAnswer)
    }

    private func listing(
        of id: UpstreamServerID,
        on connection: UpstreamConnection,
        _ occasion: Occasion
    ) async throws -> Listing {
        let (generation, askedAt) = (changesTold(by: id), ContinuousClock.now)
        let profile = await connection.profile
        // A server without tools need not know the question.
        let isAsked = profile?.offers("tools") != false
        let found = isAsked ? try await connection.list("tools/list", "tools") : []
        var digests: [[UInt8]: [UInt8]] = [:]
        for definition in found {
            guard let name = ToolPins.name(of: definition) else { continue }
            let digest = UpstreamToolTable.digest(definition.withoutRepeatedKeys)
            // One that is listed twice is no definition that somebody has accepted.
            digests[Array(name.utf8)] = digests[Array(name.utf8)] == nil ? digest : []
        }
        return Listing(
            server: id,
            found: found,
            profile: profile,
            advertised: AdvertisedTools(
                digests: digests,
                generation: generation,
                askedAt: askedAt
            ),
            occasion: occasion,
            isAnswer: isAsked
        )
    }

    /// Compares a list with what is kept, and keeps what differs, in one transaction that has the
    /// server to itself.
    ///
    /// - Parameters:
    ///   - listing: What the server has listed.
    ///   - before: What was kept before it was asked.
    /// - Returns: What it comes to; nothing was kept where it is outdated.
    /// - Throws: ``UpstreamError`` where the server was removed, and what the store refuses.
    private func keep(_ listing: Listing, since before: Catalogue) async throws -> Comparison {
        let id = listing.server
        let others = before.tools.filter { $0.key != id }.values.flatMap { $0.map(\.name) }
        let now = means.store.clock.now()
        if listing.occasion.isSession {
            let current = try await catalogue(refreshed: true)
            let known = current.tools[id] ?? []
            let found = try compare(listing, current.server(id), known, others, at: now)
            // Nothing is written then, and so nothing of anybody's overwritten.
            if found.outcome.changed.isEmpty, found.server.status == .active { return found }
        }
        let kept = try await means.store.writeOutsideFeed {
            [self] connection, account -> Comparison in
            // Whoever else compares or accepts waits here, and finds what this one has written.
            let server = try UpstreamServerTable.find(
                id,
                locked: true,
                account: account,
                on: connection
            )
            let known = try UpstreamToolTable.list(of: id, account: account, on: connection)
            var found = try compare(listing, server, known, others, at: now)
            found.isOutdated = !found.outcome.changed.isEmpty && !Self.isSame(found, as: before)
            if !found.isOutdated {
                try write(found, of: listing, at: now, account: account, on: connection)
            }
            return found
        }
        invalidate()
        return kept
    }

    /// Compares a list with what is kept of its server.
    nonisolated private func compare(
        _ listing: Listing,
        _ server: UpstreamServer?,
        _ known: [UpstreamTool],
        _ others: [String],
        at now: Timestamp
    ) throws(UpstreamError) -> Comparison {
        guard let server else { throw .misconfigured(reason: "it was removed") }
        let pins = ToolPins(
            // Whoever asks for the first scan trusts what is there then; a server that shows it
            // later, or takes all of it away and brings other tools, is not trusted again.
            isKnown: listing.occasion.author == nil || !server.awaitsFirstScan,
            holdsNew: server.holdsNewTools,
            otherNames: means.reserved + others
        )
        let (usable, reasons) = Self.parted(listing.found)
        let instructions = ServerInstructions.definition(of: listing.profile)
        var outcome = pins.compare(
            usable + (instructions.map { [$0] } ?? []),
            with: known,
            at: now
        )
        outcome.unusable += reasons
        return Comparison(server: server, known: known, outcome: outcome)
    }

    /// Whether what a list was compared with is what was kept before it was asked for.
    private static func isSame(_ found: Comparison, as before: Catalogue) -> Bool {
        guard let server = before.server(found.server.id) else { return false }
        let known = before.tools[server.id] ?? []
        return server.lastScanAt == found.server.lastScanAt
            && server.awaitsFirstScan == found.server.awaitsFirstScan
            && known.elementsEqual(found.known) { $0.isSame(as: $1) }
    }

    nonisolated private func write(
        _ found: Comparison,
        of listing: Listing,
        at now: Timestamp,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        let (id, author) = (found.server.id, listing.occasion.author)
        for tool in found.outcome.changed {
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
            Self.accepted(found.outcome.changed, knowing: found.known),
            of: found.server,
            by: author ?? AuditTable.Event.ownName,
            account: account,
            on: connection
        )
    }

    /// What a list has that can be accepted, and why the rest of it cannot.
    private static func parted(
        _ found: [JSONObject]
    ) -> (usable: [JSONObject], reasons: [String]) {
        var (usable, reasons): ([JSONObject], [String]) = ([], [])
        let repeated = ToolPins.repeatedNames(of: found)
        for definition in found {
            let name = definition["name"]?.string ?? "?"
            if haveEqualBytes(name, ServerInstructions.name) {
                reasons.append("`\(name)` is no name of a tool")
            } else if repeated.contains(Array(name.utf8))
                || ParameterHeaders.areUsable(in: definition["inputSchema"] ?? [:])
            {
                // One of two of a name that were left out would leave the other one alone.
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
    ///   - digests: What somebody has looked at, each by its `pendingDigest`; what has come in its
    ///     place since is not meant.
    ///   - id: Whose.
    ///   - author: Who accepts them, for the record.
    /// - Returns: The names of those that were accepted or forgotten; none without digests, for
    ///   nobody has looked at anything then.
    /// - Throws: ``UpstreamError/notAsShown`` where one of the digests is of nothing that waits,
    ///   `StoreError`, and why it cannot be recorded; nothing is accepted then.
    package func accept(
        digests: [String],
        of id: UpstreamServerID,
        by author: String
    ) async throws -> [String] {
        let wanted = Set(digests.map { Array($0.utf8) })
        // What leaves no trace in the audit must not end the trust in a first scan either.
        guard !wanted.isEmpty else { return [] }
        let accepted = try await means.store.writeOutsideFeed { [self] connection, account in
            guard
                let server = try UpstreamServerTable.find(
                    id,
                    locked: true,
                    account: account,
                    on: connection
                )
            else { throw UpstreamError.misconfigured(reason: "it was removed") }
            let tools = try UpstreamToolTable.list(of: id, account: account, on: connection)
            let meant = tools.filter { tool in
                tool.pendingDigest.map { wanted.contains(Array($0.utf8)) } ?? false
            }
            guard meant.count == wanted.count else { throw UpstreamError.notAsShown }
            // Somebody has looked: no later scan is a first one.
            try UpstreamServerTable.setLookedAt(id, account: account, on: connection)
            var changes: [UpstreamChange] = []
            for tool in meant {
                changes.append(
                    try Self.accept(tool, of: id, account: account, on: connection)
                )
            }
            try record(changes, of: server, by: author, account: account, on: connection)
            return meant.map(\.name)
        }
        invalidate()
        return accepted
    }

    private static func accept(
        _ tool: UpstreamTool,
        of id: UpstreamServerID,
        account: AccountID,
        on connection: any SQLConnection
    ) throws(StoreError) -> UpstreamChange {
        guard let definition = tool.proposed else {
            try UpstreamToolTable.remove(tool.name, of: id, account: account, on: connection)
            return .forgotten(tool: tool.name)
        }
        var tool = tool
        (tool.accepted, tool.proposed, tool.state) = (definition, nil, .accepted)
        try UpstreamToolTable.put(tool, of: id, account: account, on: connection)
        return .accepted(tool: tool.name, definition: definition)
    }
}
