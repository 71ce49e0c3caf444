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

    /// More reasons than that are counted as others.
    private static let maximumReasons = 20

    private var total = 0
    /// By tool and decisions, with how many calls.
    private var changes: [(change: Change, count: Int)] = []
    /// How many would depend on what the records do not tell.
    private var undecided = 0
    /// The rules those depend on.
    private var rules: [RuleIdentity] = []
    /// The rules about sensitive values those depend on.
    private var sensitiveRules: [String] = []
    /// Of the undecided, those that no rule of a policy had refused, by why they were.
    private var refusals: [(reason: String, count: Int)] = []
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
            var filter = ToolCallTable.Filter()
            filter.limit = count
            return try ToolCallTable.entries(filter, account: account, on: connection)
        }
        var replay = RecordedCalls()
        var isThere: [String: Bool] = [:]
        for row in rows {
            let tool = ToolIdentity(server: row.call.server, name: row.call.tool)
            // No policy is asked about those.
            if tool.isOfGateway { continue }
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
        _ entry: ToolCallTable.Entry,
        _ policy: CompiledPolicy,
        isThere: Bool
    ) {
        let row = entry.call
        guard row.decision != .undecided else { return }
        total += 1
        guard isThere else {
            unknown += 1
            return
        }
        if let reason = Self.otherRefusal(of: row) {
            count(refusal: reason)
            return
        }
        var context = Self.context(of: row)
        let arguments = row.arguments.map(RecordedArguments.decided)
        // What was redacted or cut is not what rules would have seen.
        let isWhole = arguments.map(RecordedArguments.areWhole) ?? false
        if isWhole { context.arguments = arguments?.object ?? JSONObject() }
        let ruling = policy.replay(
            context,
            knowsArguments: isWhole,
            RecordedArguments.traces(of: entry),
            by: row.caller
        )
        guard let action = ruling.action else {
            undecided += 1
            for rule in ruling.rules where !rules.contains(rule) { rules.append(rule) }
            for id in ruling.sensitiveRules where !sensitiveRules.contains(id) {
                sensitiveRules.append(id)
            }
            return
        }
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
    }

    private static func context(of row: ToolCallTable.Call) -> PolicyContext {
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
        return context
    }

    /// Why a call was refused that no rule refused which can be asked again; nil for all others.
    ///
    /// A `requestState` that was not given here, arguments that were not right without what was
    /// redacted, a policy that could not be read.
    private static func otherRefusal(of row: ToolCallTable.Call) -> String? {
        // Where rules for tools were asked, the version that they are of is on record.
        guard row.decision == .deny, row.policyVersion == nil else { return nil }
        let reason = row.reason ?? "nobody has recorded why"
        // What stood in the arguments is looked through again; other things may be told before it.
        let found = "the arguments contain "
        let isFound = reason.hasPrefix(found) || reason.contains("; \(found)")
        return row.rule != nil && isFound ? nil : reason
    }

    private mutating func count(refusal reason: String) {
        undecided += 1
        let isKnown = refusals.contains { $0.reason == reason }
        let told = isKnown || refusals.count < Self.maximumReasons ? reason : "other reasons"
        if let place = refusals.firstIndex(where: { $0.reason == told }) {
            refusals[place].count += 1
        } else {
            refusals.append((told, 1))
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
            "undecided_by": .array(rules.map(\.json)),
            "undecided_by_sensitive_data": JSONValue(sensitiveRules),
            "undecided_for": .array(
                refusals.map { entry in
                    [
                        "reason": .string(entry.reason),
                        "count": .integer(Int64(entry.count)),
                    ]
                }
            ),
            "unknown_tools": .integer(Int64(unknown)),
        ]
    }
}
