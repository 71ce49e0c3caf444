import ArgumentParser
import Bootstrap
import Domain
import Gateway
import Store

/// `preloop audit query`: calls, restricted and page by page.
struct AuditQueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "List calls of tools, latest first.",
        discussion: """
            preloop audit query --since 7d --outcome denied
            preloop audit query --tool create_issue --caller user:ann --json
            preloop audit query --changes --server docs
            preloop audit query --changes --decision user_added

            A call that began and has no end is `running` for ten minutes, then `unknown`: the \
            process ended before the call did.
            """
    )

    @Option(
        help: "Only calls from then on: a date, an instant, or 7d, 12h, 4w.",
        transform: SinceOption.init
    )
    var since: SinceOption?

    @Option(help: "Only calls before then, in the same forms.", transform: SinceOption.init)
    var until: SinceOption?

    @Option(help: "Only calls of this tool.")
    var tool: String?

    @Option(help: "Only calls of tools of this MCP server.")
    var server: String?

    @Option(help: "Only calls of this caller, such as user:ann.")
    var caller: String?

    @Option(help: "allow, deny, none or what else was decided; of changes such as user_added.")
    var decision: String?

    @Option(
        help: ArgumentHelp(
            "How they ended: \(AuditLog.endings.joined(separator: ", ")).",
            valueName: "outcome"
        )
    )
    var outcome: String?

    @Option(help: "Only the call of this identifier.")
    var call: String?

    @Option(help: "How many; 20.")
    var limit = 20

    @Option(help: "Only calls before this one: `next` of the page before.")
    var cursor: Int64?

    @Flag(
        help: """
            Changes of policies, MCP servers, users, keys, sessions and trackers in place of calls.
            """
    )
    var changes = false

    @Flag(help: "Calls of before there was an audit, which are in no chain.")
    var unchained = false

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...100).contains(limit) else { throw ValidationError("--limit is from 1 to 100") }
        guard outcome.map({ AuditLog.endings.contains($0) }) ?? true else {
            throw ValidationError("--outcome is one of \(AuditLog.endings.joined(separator: ", "))")
        }
        guard !unchained || remote.url == nil else {
            throw ValidationError("--unchained reads the installation of this machine")
        }
        guard !changes || (outcome == nil && call == nil && !unchained) else {
            throw ValidationError("--changes goes without --outcome, --call and --unchained")
        }
    }

    func run() async throws {
        let settings = try Settings.read()
        if let server = try remote.server(settings) {
            let answer = try await server.call("GET", "/api/v1/audit?\(query())")
            let calls = answer.array ?? []
            guard !changes else { return try report(changes: calls) }
            return try report(calls, isFull: calls.count == limit)
        }
        let installation = try await Installation.open(settings)
        let log = try installation.auditLog()
        let now = installation.store.clock.now()
        let filter = filter(at: now)
        guard !changes else {
            let found = try await attempt("cannot read the audit") { try await log.changes(filter) }
            return try report(changes: found.map(\.json))
        }
        let calls = try await attempt("cannot read the audit") {
            guard unchained else { return try await log.calls(filter) }
            return try await log.unchained(limit: limit)
        }
        try report(calls.map { $0.json(at: now) }, isFull: !unchained && calls.count == limit)
    }

    private func filter(at now: Timestamp) -> ToolCallTable.Filter {
        var filter = ToolCallTable.Filter()
        filter.since = since?.instant(before: now)
        filter.until = until?.instant(before: now)
        filter.tool = tool
        filter.server = server
        filter.caller = caller
        filter.decision = decision
        filter.outcome = outcome.flatMap { AuditLog.ending($0, at: now) }
        filter.callID = call
        filter.before = cursor
        filter.limit = limit
        return filter
    }

    /// The same for a server.
    private func query() -> String {
        let now = WallClock.system.now()
        let values: [(String, String?)] = [
            ("kind", changes ? "change" : nil),
            ("since", since?.instant(before: now).iso8601),
            ("until", until?.instant(before: now).iso8601), ("tool", tool), ("server", server),
            ("caller", caller), ("decision", decision), ("outcome", outcome), ("call_id", call),
            ("before", cursor.map { "\($0)" }), ("limit", "\(limit)"),
        ]
        return values.compactMap { name, value in
            value.map { "\(name)=\(Self.escaped($0))" }
        }.joined(separator: "&")
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if byte < 128,
                scalar.properties.isAlphabetic || "-._~0123456789".unicodeScalars.contains(scalar)
            {
                result.unicodeScalars.append(scalar)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return result
    }

    private func report(changes: [JSONValue]) throws {
        let next = changes.count == limit ? changes.last?["sequence"] : nil
        guard !output.isJSON else {
            try Output.result(["changes": .array(changes), "next": next ?? .null])
            return
        }
        let more = next?.integer.map { ["More with --cursor \($0)."] } ?? []
        let lines = changes.map(AuditText.line)
        try Output.text((lines.isEmpty ? ["No such change is on record."] : lines) + more)
    }

    private func report(_ calls: [JSONValue], isFull: Bool) throws {
        let next = isFull ? calls.last?["sequence"] : nil
        guard !output.isJSON else {
            try Output.result(["calls": .array(calls), "next": next ?? .null])
            return
        }
        guard !calls.isEmpty else {
            try Output.text(["No such call is on record."])
            return
        }
        var table = TextTable([
            "EVENT", "AT", "CALLER", "TOOL", "DECISION", "OUTCOME", "TOOK", "ARGUMENTS",
        ])
        for call in calls {
            func text(_ name: String) -> String { call[name]?.string ?? "" }
            let took = call["duration_ms"]?.double
            table.append([
                "\(call["sequence"]?.integer ?? 0)", text("at"), text("caller"),
                text("server").isEmpty ? text("tool") : "\(text("server"))/\(text("tool"))",
                text("decision"),
                call["unreadable"] == true ? "\(text("outcome")) (altered?)" : text("outcome"),
                took.flatMap(AuditText.milliseconds) ?? "",
                AuditText.cut(call["arguments"].map { $0.isNull ? "" : $0.serializedText() } ?? ""),
            ])
        }
        let more = next?.integer.map { ["More with --cursor \($0)."] } ?? []
        try Output.text(table.lines + more)
    }
}
