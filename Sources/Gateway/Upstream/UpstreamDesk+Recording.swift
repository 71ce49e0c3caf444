import Domain
import Firewall
import Store

/// What somebody has changed about a server.
enum UpstreamChange {
    case added
    /// With what it was, and whether its secret is another one.
    case updated(from: UpstreamServer, isNewSecret: Bool)
    case removed
    /// This definition of a tool can be called from now on.
    case accepted(tool: String, definition: JSONObject)
    /// A tool that its server does not list any more.
    case forgotten(tool: String)
}

extension UpstreamDesk {
    /// Writes changes of a server into the audit.
    ///
    /// Called in the transaction of the changes: what cannot be recorded is not done.
    ///
    /// - Parameters:
    ///   - changes: What was done, in its order.
    ///   - server: The server, as it is now.
    ///   - author: Who did it.
    ///   - account: Whose server it is.
    ///   - connection: Of the transaction.
    /// - Throws: Why it cannot be recorded.
    nonisolated func record(
        _ changes: [UpstreamChange],
        of server: UpstreamServer,
        by author: String,
        account: AccountID,
        on connection: any SQLConnection
    ) throws {
        guard !changes.isEmpty, let audit = try means.audit?() else { return }
        let now = means.store.clock.now()
        let events = changes.map { change in
            AuditTable.Event(change, of: server, by: author, at: now, audit.keys.redactor)
        }
        try audit.append(events, at: now, account: account, on: connection)
    }

    /// Definitions that a scan has put in force by itself.
    static func accepted(
        _ changed: [UpstreamTool],
        knowing known: [UpstreamTool]
    ) -> [UpstreamChange] {
        let before = Dictionary(
            known.map { (Array($0.name.utf8), $0) },
            uniquingKeysWith: { first, _ in first }
        )
        return changed.compactMap { tool in
            guard tool.state == .accepted, let definition = tool.accepted,
                !UpstreamTool.areSame(before[Array(tool.name.utf8)]?.accepted, definition)
            else { return nil }
            return .accepted(tool: tool.name, definition: definition)
        }
    }
}

extension AuditTable.Event {
    /// A server, or what is accepted of it, was changed.
    init(
        _ change: UpstreamChange,
        of server: UpstreamServer,
        by author: String,
        at now: Timestamp,
        _ redactor: Redactor
    ) {
        self.init(.change, at: now, caller: author)
        self.server = server.name
        var settings = server.settings
        switch change {
        case .added: decision = "server_added"
        case .removed: decision = "server_removed"
        case .updated(let before, let isNewSecret):
            decision = "server_updated"
            let old = before.settings
            let names = settings.members.map(\.key).filter { settings[$0] != old[$0] }
            settings = JSONObject(names.map { ($0, settings[$0] ?? .null) })
            let all = names + (isNewSecret ? ["credential"] : [])
            reason = all.isEmpty ? "nothing" : "changed: \(all.joined(separator: ", "))"
        case .accepted(let tool, let definition):
            let digest = UpstreamToolTable.digest(definition)
            decision = "tool_accepted"
            self.tool = redactor.redact(text: tool).text
            // Of what is no secret, so that anybody can compare it.
            reason = "definition sha256:\(hexadecimal(digest))"
            argumentsDigest = redactor.digest(of: digest)
            return
        case .forgotten(let tool):
            decision = "tool_forgotten"
            self.tool = redactor.redact(text: tool).text
            return
        }
        // Commands and addresses may hold secrets.
        arguments = AuditArguments.text(of: redactor.redact(.object(settings)).value)
        argumentsDigest = redactor.digest(
            of: UpstreamToolTable.digest(server.settings)
        )
    }
}

extension UpstreamServer {
    /// What people set about it, without its secret.
    fileprivate var settings: JSONObject {
        JSONObject([
            ("name", .string(name)), ("transport", .string(transport.rawValue)),
            ("url", .string(url)), ("command", JSONValue(command)),
            ("auth_type", .string(authentication.rawValue)), ("auth_header", .string(headerName)),
            ("prefix", .string(prefix.rawValue)), ("hold_new_tools", .bool(holdsNewTools)),
            ("trust_hints", .bool(trustsHints)),
            ("timeout_seconds", .integer(Int64(timeLimitSeconds))),
        ])
    }
}
