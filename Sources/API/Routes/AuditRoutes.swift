import Domain
import Firewall
import Gateway
import HTTPTypes
import Store

/// What was called, decided and done, and whether the record of it is as it was written.
struct AuditRoutes: Sendable {
    let store: Store
    /// Whose signatures count; nil where nobody signs.
    let key: AuditKey?

    private static let tag = "Audit"
    private static let path = "/api/v1/audit"

    /// The routes.
    var routes: [Route] {
        let access = Route.Access.permission(.viewAudit)
        return [
            .on(
                .get,
                Self.path,
                access,
                tag: Self.tag,
                "Calls of tools, latest first",
                handler: list
            )
            .query(
                "kind",
                Shape.choice(
                    ["call", "change"],
                    "`change`: of policies, MCP servers, users, keys, sessions and trackers."
                )
            )
            .query("since", Shape.text(64, "RFC 3339; calls from then on."))
            .query("until", Shape.text(64, "RFC 3339; calls before then."))
            .query("tool", Shape.text(256))
            .query("server", Shape.text(256, "The MCP server that the tool is of."))
            .query("caller", Shape.text(256, "Such as `user:ann`."))
            .query(
                "decision",
                Shape.text(64, "`allow`, `deny`, `none` and others; `user_added` of changes.")
            )
            .query(
                "outcome",
                Shape.choice(AuditLog.endings, "`unknown`: begun, and never ended.")
            )
            .query("call_id", Shape.text(256))
            .query("before", Shape.identifier).paged
            .answers(.ok, Shape.list(of: ["type": "object"])),
            .on(
                .get,
                "\(Self.path)/events",
                access,
                tag: Self.tag,
                "Events with their hashes, in their order",
                handler: events
            ).query("after", ["type": "integer", "minimum": 0]).paged
                .answers(
                    .ok,
                    Shape.object([
                        "last": Shape.count, "events": Shape.list(of: ["type": "object"]),
                    ])
                ),
            .on(
                .get,
                "\(Self.path)/verify",
                access,
                tag: Self.tag,
                "Read the whole chain of hashes and tell what is wrong with it",
                handler: verify
            ).query("anchor", Shape.text(128, "`SEQUENCE:HASH`, noted earlier."))
                .answers(.ok, ["type": "object"]),
        ]
    }

    private func log(_ request: APIRequest) throws -> AuditLog {
        guard let key else {
            throw Problem(.serviceUnavailable, "this server has no key for its audit")
        }
        return AuditLog(store: store.viewed(by: try request.user().account), key: key)
    }

    @Sendable private func list(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let now = store.clock.now()
        var filter = ToolCallTable.Filter()
        func text(_ name: String) -> String? { request.arguments[name]?.string }
        func instant(_ name: String) throws(Problem) -> Timestamp? {
            guard let text = text(name) else { return nil }
            guard let instant = Timestamp(parsing: text) else {
                throw Problem.invalid(name, "must be an instant such as 2026-01-31T12:00:00Z")
            }
            return instant
        }
        filter.since = try instant("since")
        filter.until = try instant("until")
        filter.tool = text("tool")
        filter.server = text("server")
        filter.caller = text("caller")
        filter.decision = text("decision")
        filter.callID = text("call_id")
        filter.outcome = text("outcome").flatMap { AuditLog.ending($0, at: now) }
        filter.before = request.arguments["before"]?.integer
        if let cursor = page.cursor {
            guard let sequence = Int64(cursor) else { throw PageRequest.invalidCursor }
            // The cursor leads on below where the list began.
            filter.before = min(filter.before ?? sequence, sequence)
        } else {
            filter.offset = page.skip
        }
        filter.limit = page.limit + 1
        if text("kind") == "change" {
            let found = try await log(request).changes(filter)
            let shown = found.prefix(page.limit)
            let next = found.count > page.limit ? shown.last.map { String($0.sequence) } : nil
            return page.answer(shown.map(\.json), next: next, to: request)
        }
        let found = try await log(request).calls(filter)
        let shown = found.prefix(page.limit)
        let next = found.count > page.limit ? shown.last.map { String($0.sequence) } : nil
        return page.answer(shown.map { $0.json(at: now) }, next: next, to: request)
    }

    @Sendable private func events(_ request: APIRequest) async throws -> APIResponse {
        let page = try PageRequest(request)
        let log = try log(request)
        var after = request.arguments["after"]?.integer ?? 0
        if let cursor = page.cursor {
            guard let sequence = Int64(cursor) else { throw PageRequest.invalidCursor }
            after = max(after, sequence)
        }
        let found = try await log.events(
            after: after,
            skip: page.cursor == nil ? page.skip : 0,
            limit: page.limit + 1
        )
        let last = try await log.lastSequence()
        let shown = found.prefix(page.limit)
        let next = found.count > page.limit ? shown.last.map { String($0.sequence) } : nil
        return .json(
            ["last": .integer(last), "events": .array(shown.map(\.json))],
            headers: page.headers(next: next, to: request)
        )
    }

    @Sendable private func verify(_ request: APIRequest) async throws -> APIResponse {
        var anchor: AuditChain.Point?
        if let text = request.arguments["anchor"]?.string {
            guard let point = AuditChain.Point(parsing: text) else {
                throw Problem.invalid("anchor", "must be a number, a colon and 64 digits of a hash")
            }
            anchor = point
        }
        return .json(try await log(request).verify(anchor: anchor).json)
    }
}
