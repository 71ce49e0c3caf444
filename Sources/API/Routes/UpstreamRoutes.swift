import Domain
import Gateway
import HTTPTypes
import Store

/// Other MCP servers behind the gateway.
struct UpstreamRoutes: Sendable {
    let desk: @Sendable (AccountID) async throws -> UpstreamDesk
    /// Whether users may add programs of this machine.
    let allowsPrograms: Bool

    private static let tag = "MCP servers"
    private static let path = "/api/v1/mcp-servers"
    private static let transports =
        UpstreamServer.Transport.allCases.map(\.rawValue) + ["http-streaming"]
    private static let authentications = UpstreamServer.Authentication.allCases.map(\.rawValue)
    private static let timeLimits = 1...UpstreamServer.longestTimeLimitSeconds
    private static let prefixes = UpstreamServer.PrefixMode.allCases.map(\.rawValue)

    private static let shape = Shape.object([
        "id": Shape.identifier, "name": Shape.text, "transport": Shape.text, "url": Shape.text,
        "command": Shape.list(of: Shape.text), "auth_type": Shape.choice(authentications),
        "auth_header": Shape.text, "has_credential": Shape.flag,
        "prefix": Shape.choice(prefixes), "hold_new_tools": Shape.flag,
        "trust_hints": Shape.flag,
        "status": Shape.choice(UpstreamServer.Status.allCases.map(\.rawValue)),
        "last_scan_at": Shape.optionalInstant, "last_error": Shape.optionalText,
        "created_at": Shape.instant, "tools": Shape.count, "held": Shape.count,
        "collisions": Shape.list(of: Shape.text),
        "shared_resources": Shape.list(of: Shape.text),
        "timeout_seconds": Shape.integer(timeLimits), "warning": Shape.optionalText,
    ])
    private static let toolShape = Shape.object([
        "name": Shape.text, "exposed_as": Shape.optionalText,
        "state": Shape.choice(UpstreamTool.State.allCases.map(\.rawValue)),
        "flags": Shape.list(of: Shape.text),
        "definition": ["type": ["object", "null"]], "proposed": ["type": ["object", "null"]],
        "digest": [
            "type": ["string", "null"],
            "description": "Of what waits, to accept it by; null where nothing can be accepted.",
        ],
        "discovered_at": Shape.instant,
    ])
    private static let scanShape = Shape.object([
        "tools": Shape.list(of: toolShape), "changed": Shape.list(of: Shape.text),
        "unusable": Shape.list(of: Shape.text), "warnings": Shape.list(of: Shape.text),
    ])
    /// What can be set, with the secrets that are never shown.
    private static func settings(isNew: Bool) -> JSONValue {
        Shape.object([
            isNew ? "name" : "name?": Shape.text(48, minimum: 1),
            "transport?": Shape.choice(transports),
            "url?": Shape.text(2_048, minimum: 1),
            "command?": Shape.list(of: Shape.text(4_096), atMost: 100),
            "auth_type?": Shape.choice(authentications),
            "auth_config?": Shape.object([
                "token?": Shape.text(16_384, "Or key; `${NAME}` for a variable.", minimum: 1),
                "header?": Shape.text(64, minimum: 1),
                "environment?": ["type": "object"],
            ]),
            "prefix?": Shape.choice(prefixes),
            "hold_new_tools?": Shape.flag, "trust_hints?": Shape.flag,
            "timeout_seconds?": Shape.integer(timeLimits, "What a call may take."),
        ])
    }

    /// The routes.
    var routes: [Route] { readingRoutes + writingRoutes + toolRoutes }

    // MARK: - Reading

    private var readingRoutes: [Route] {
        let access = Route.Access.permission(.viewServers)
        return [
            .on(.get, Self.path, access, tag: Self.tag, "The MCP servers, by name") { request in
                let page = try PageRequest(request)
                let entries = try await desk(try request.user().account).entries()
                let slice = try page.slice(of: entries)
                return page.answer(slice.items.map(Self.json), next: slice.next, to: request)
            }.paged.answers(.ok, Shape.list(of: Self.shape)),
            .on(.get, "\(Self.path)/{id}", access, tag: Self.tag, "An MCP server") { request in
                Versioned.answer(Self.json(try await entry(request)), to: request)
            }.answers(.ok, Self.shape).revalidated,
            .on(
                .get,
                "\(Self.path)/{id}/tools",
                access,
                tag: Self.tag,
                "The tools of an MCP server, with what waits to be accepted"
            ) { request in
                let page = try PageRequest(request, standard: PageRequest.maximumLimit)
                let entry = try await entry(request)
                let slice = try page.slice(of: entry.tools)
                let tools = slice.items.map { Self.json($0, of: entry) }
                return page.answer(tools, next: slice.next, to: request)
            }.paged(standard: PageRequest.maximumLimit)
                .answers(.ok, Shape.list(of: Self.toolShape)),
        ]
    }

    private func entry(_ request: APIRequest) async throws -> UpstreamDesk.Entry {
        let id: UpstreamServerID = try request.identifier("id")
        let entries = try await desk(try request.user().account).entries()
        guard let entry = entries.first(where: { $0.server.id == id }) else {
            throw Problem.notFound()
        }
        return entry
    }

    private static func json(_ entry: UpstreamDesk.Entry) -> JSONValue {
        let server = entry.server
        return [
            "id": .integer(server.id.rawValue), "name": .string(server.name),
            "transport": .string(server.transport.rawValue), "url": .string(server.url),
            "command": JSONValue(server.command),
            "auth_type": .string(server.authentication.rawValue),
            "auth_header": .string(server.headerName), "has_credential": .bool(entry.hasSecret),
            "prefix": .string(server.prefix.rawValue),
            "hold_new_tools": .bool(server.holdsNewTools),
            "trust_hints": .bool(server.trustsHints),
            "status": .string(server.status.rawValue),
            "last_scan_at": JSONValue(server.lastScanAt?.iso8601),
            "last_error": JSONValue(server.lastError),
            "created_at": .string(server.createdAt.iso8601),
            "tools": .integer(Int64(entry.acceptedCount)),
            "held": .integer(Int64(entry.tools.count { $0.state == .held })),
            "collisions": JSONValue(entry.collisions),
            "shared_resources": JSONValue(entry.sharedResources),
            "timeout_seconds": .integer(Int64(server.timeLimitSeconds)),
            "warning": JSONValue(entry.warning),
        ]
    }

    private static func json(_ tool: UpstreamTool, of entry: UpstreamDesk.Entry) -> JSONValue {
        [
            "name": .string(tool.name), "exposed_as": JSONValue(entry.name(of: tool)),
            "state": .string(tool.state.rawValue), "flags": JSONValue(tool.flags),
            "definition": tool.accepted.map(JSONValue.object) ?? .null,
            "proposed": tool.proposed.map(JSONValue.object) ?? .null,
            "digest": JSONValue(tool.pendingDigest),
            "discovered_at": .string(tool.seenAt.iso8601),
        ]
    }

    // MARK: - Writing

    private var writingRoutes: [Route] {
        let access = Route.Access.permission(.manageServers)
        return [
            .on(.post, Self.path, access, tag: Self.tag, "Add an MCP server") { request in
                try await add(request)
            }.body(Self.settings(isNew: true)).answers(.created, Self.shape)
                .tagged.problems(.conflict),
            .on(
                .put,
                "\(Self.path)/{id}",
                access,
                tag: Self.tag,
                "Change an MCP server; another address needs its credential again"
            ) { request in
                try await change(request)
            }.body(Self.settings(isNew: false)).answers(.ok, Self.shape)
                .tagged.guarded.problems(.conflict),
            .on(
                .delete,
                "\(Self.path)/{id}",
                access,
                tag: Self.tag,
                "Remove an MCP server with what was accepted of it"
            ) { request in
                let entry = try await entry(request)
                let desk = try await desk(try request.user().account)
                try await desk.remove(
                    entry.server.id,
                    by: try Self.author(of: request),
                    expected: Self.check(request)
                )
                return .noContent
            }.answers(.noContent).guarded,
        ]
    }

    private func add(_ request: APIRequest) async throws -> APIResponse {
        let desk = try await desk(try request.user().account)
        var server = UpstreamServer(
            id: UpstreamServerID(0),
            name: "",
            transport: .streamableHTTP,
            createdAt: desk.now
        )
        try fill(&server, request.content, by: try request.user().account)
        let secret = try Self.secret(request.content) ?? UpstreamSecret()
        let added = try await desk.add(
            server,
            secret: secret,
            by: try Self.author(of: request)
        )
        let entries = try await desk.entries()
        guard let entry = entries.first(where: { $0.server.id == added.id }) else {
            throw Problem.notFound()
        }
        return Versioned.answer(Self.json(entry), to: request, status: .created)
    }

    private func change(_ request: APIRequest) async throws -> APIResponse {
        var server = try await entry(request).server
        try fill(&server, request.content, by: try request.user().account)
        let desk = try await desk(try request.user().account)
        try await desk.change(
            server,
            secret: try Self.secret(request.content),
            by: try Self.author(of: request),
            expected: Self.check(request)
        )
        return Versioned.answer(Self.json(try await entry(request)), to: request)
    }

    /// Who changes something, for the record.
    private static func author(of request: APIRequest) throws -> String {
        try request.user().author
    }

    /// Whether a server is still what the client has seen, for the transaction that writes.
    private static func check(_ request: APIRequest) -> UpstreamDesk.Check? {
        guard request.headers[.ifMatch] != nil else { return nil }
        return { entry in
            guard let entry else { throw Problem.notFound() }
            try Versioned.check(request, against: json(entry))
        }
    }

    private func fill(
        _ server: inout UpstreamServer,
        _ content: JSONObject,
        by account: AccountID
    ) throws(Problem) {
        server.name = content["name"]?.string ?? server.name
        if let command = content["command"]?.array {
            server.command = command.compactMap(\.string)
            server.transport = .stdio
            server.url = ""
        }
        if let url = content["url"]?.string {
            server.url = url
            server.command = []
            if server.transport == .stdio { server.transport = .streamableHTTP }
        }
        if let text = content["transport"]?.string {
            // The older name of the same.
            let name = text == "http-streaming" ? "streamable-http" : text
            server.transport = UpstreamServer.Transport(rawValue: name) ?? server.transport
        }
        // Accounts that strangers made never run anything here.
        let mayRun = allowsPrograms && account == AccountTable.defaultID
        if server.transport == .stdio, !mayRun {
            throw Problem.invalid(
                "transport",
                "programs are added on the server's machine with `preloop servers add`, or where "
                    + "PRELOOP_UPSTREAM_PROGRAMS is `allow`"
            )
        }
        if let text = content["auth_type"]?.string {
            server.authentication =
                UpstreamServer.Authentication(rawValue: text) ?? server.authentication
        }
        server.headerName = content["auth_config"]?["header"]?.string ?? server.headerName
        if let text = content["prefix"]?.string {
            server.prefix = UpstreamServer.PrefixMode(rawValue: text) ?? server.prefix
        }
        server.holdsNewTools = content["hold_new_tools"]?.bool ?? server.holdsNewTools
        server.trustsHints = content["trust_hints"]?.bool ?? server.trustsHints
        if let seconds = content["timeout_seconds"]?.integer {
            server.timeLimitSeconds = Int(seconds)
        }
    }

    /// What is to be kept sealed; nil when nothing is said about it.
    private static func secret(_ content: JSONObject) throws(Problem) -> UpstreamSecret? {
        if content["auth_type"] == "none", content["auth_config"] == nil {
            return UpstreamSecret()
        }
        guard let configuration = content["auth_config"]?.object,
            configuration["token"] != nil || configuration["environment"] != nil
        else { return nil }
        var secret = UpstreamSecret(token: configuration["token"]?.string)
        for member in configuration["environment"]?.object?.members ?? [] {
            guard let value = member.value.string else {
                throw Problem.invalid("auth_config.environment", "must hold texts")
            }
            secret.environment[member.key] = value
        }
        return secret
    }

    // MARK: - Tools

    private func scan(_ request: APIRequest) async throws -> APIResponse {
        let entry = try await entry(request)
        let desk = try await desk(try request.user().account)
        let author = try Self.author(of: request)
        let report: UpstreamDesk.Report
        do {
            report = try await desk.scan(entry.server.id, by: author)
        } catch let error as UpstreamError {
            throw Problem.scan(error)
        }
        let scanned = try await self.entry(request)
        return .json([
            "tools": .array(report.tools.map { Self.json($0, of: scanned) }),
            "changed": JSONValue(report.changed.map(\.name)),
            "unusable": JSONValue(report.unusable),
            "warnings": JSONValue(report.warnings),
        ])
    }

    private var toolRoutes: [Route] {
        let access = Route.Access.permission(.manageServers)
        return [
            .on(
                .post,
                "\(Self.path)/{id}/scan",
                access,
                tag: Self.tag,
                "Ask an MCP server for its tools, and compare them with what was accepted"
            ) { request in
                try await scan(request)
            }.answers(.ok, Self.scanShape).problems(.serviceUnavailable),
            .on(
                .post,
                "\(Self.path)/{id}/tools/accept",
                access,
                tag: Self.tag,
                "Accept what waits, each by the digest of what was looked at; all of it or nothing"
            ) { request in
                let entry = try await entry(request)
                let digests = request.content["digests"]?.array?.compactMap(\.string) ?? []
                let desk = try await desk(try request.user().account)
                let accepted = try await desk.accept(
                    digests: digests,
                    of: entry.server.id,
                    by: try Self.author(of: request)
                )
                return .json(["accepted": JSONValue(accepted)])
            }.body(
                Shape.object([
                    // Without any nothing would be accepted, and nothing recorded.
                    "digests": [
                        "type": "array", "items": Shape.text(64, minimum: 1), "minItems": 1,
                        "maxItems": 2_000,
                    ]
                ])
            ).answers(.ok, Shape.object(["accepted": Shape.list(of: Shape.text)]))
                .problems(.conflict),
        ]
    }
}
