package import Domain
import Firewall
import Store

/// Calls on record, decided again by another policy.
package struct RecordedCalls: Sendable {
    /// Decided in some milliseconds each thousand; more take the memory of their rows.
    package static let maximumCount = 100_000
    /// How many of the latest calls are decided again when nobody says how many.
    package static let standardCount = 1_000

    /// Calls that would be decided differently.
    private struct Change: Sendable, Equatable {
        var tool: String
        var before: String
        var after: String
    }

    private var total = 0
    /// By tool and decisions, with how many calls.
    private var changes: [(change: Change, count: Int)] = []
    /// How many would depend on what the records do not tell.
    private var undecided = 0
    /// The rules those depend on.
    private var rules: [RuleIdentity] = []
    /// Calls of tools that are not there any more, or were never.
    private var unknown = 0

    /// Decides the latest calls again.
    ///
    /// - Parameters:
    ///   - policy: By what.
    ///   - calls: Knows the tools there are.
    ///   - store: Of the account whose calls they are.
    ///   - limit: How many calls, ``maximumCount`` at most.
    /// - Returns: What would be decided differently, and what nobody can tell.
    /// - Throws: What the store refuses.
    static func replay(
        _ policy: CompiledPolicy,
        _ calls: GuardedCall,
        in store: Store,
        limit: Int
    ) async throws -> RecordedCalls {
        let count = max(0, min(limit, maximumCount))
        let rows = try await store.read { connection, account in
            try ToolCallTable.list(limit: count, account: account, on: connection)
        }
        var replay = RecordedCalls()
        var isThere: [String: Bool] = [:]
        for row in rows {
            let tool = ToolIdentity(server: row.server, name: row.tool)
            let known: Bool
            if let found = isThere[tool.description] {
                known = found
            } else {
                known = await calls.definition(of: tool) != nil
                isThere[tool.description] = known
            }
            replay.add(row, policy, isThere: known)
        }
        return replay
    }

    private mutating func add(
        _ row: ToolCallTable.Call,
        _ policy: CompiledPolicy,
        isThere: Bool
    ) {
        guard row.decision != .undecided else { return }
        total += 1
        guard isThere else {
            unknown += 1
            return
        }
        var context = PolicyContext(
            tool: ToolIdentity(server: row.server, name: row.tool),
            now: row.startedAt
        )
        context.user = String(row.caller.split(separator: ":", maxSplits: 1).last ?? "")
        context.channel = row.channel
        let client = row.client ?? ""
        if let space = client.lastIndex(of: " ") {
            context.agent = String(client[..<space])
            context.agentVersion = String(client[client.index(after: space)...])
        } else {
            context.agent = client
        }
        context.session = row.session ?? ""
        context.traceParent = row.traceParent ?? ""
        let arguments = row.arguments.map(RecordedArguments.decided)
        // What was redacted or cut is not what rules would have seen.
        let isWhole = arguments.map(RecordedArguments.areWhole) ?? false
        if isWhole { context.arguments = arguments?.object ?? JSONObject() }
        switch policy.replay(context, knowsArguments: isWhole) {
        case .decided(let action):
            let change = Change(
                tool: row.server.map { "\($0)/\(row.tool)" } ?? row.tool,
                before: row.decision.rawValue,
                after: action.rawValue
            )
            guard change.before != change.after else { return }
            if let place = changes.firstIndex(where: { $0.change == change }) {
                changes[place].count += 1
            } else {
                changes.append((change, 1))
            }
        case .depends(let rules):
            undecided += 1
            for rule in rules where !self.rules.contains(rule) { self.rules.append(rule) }
        }
    }

    /// As commands and routes show them.
    package var json: JSONValue {
        [
            "total": .integer(Int64(total)),
            "changes": .array(
                changes.map { entry in
                    [
                        "tool": .string(entry.change.tool),
                        "before": .string(entry.change.before),
                        "after": .string(entry.change.after),
                        "count": .integer(Int64(entry.count)),
                    ]
                }
            ),
            "undecided": .integer(Int64(undecided)),
            "undecided_by": .array(rules.map(\.json)), "unknown_tools": .integer(Int64(unknown)),
        ]
    }
}
