import Domain
package import Firewall
package import MCP
package import Store
import Synchronization

/// The policy of an account as calls are decided by it: compiled once, and read anew when there is
/// a newer version.
///
/// A call is decided by one version from beginning to end. What another process applies holds here
/// after ``staleness`` at the latest, what this one applies at once. A policy that cannot be read
/// or compiled denies every call; where none was ever applied, ``OpenPolicy`` holds.
package final class PolicyBook: CallPolicy {
    /// What is in force.
    package enum State: Sendable {
        /// No policy was ever applied.
        case open
        case compiled(CompiledPolicy, PolicyTable.Version)
        /// There is one that cannot be used.
        case unusable(version: Int64, reason: String)

        var version: Int64 {
            switch self {
            case .open: 0
            case .compiled(_, let version): version.number
            case .unusable(let version, _): version
            }
        }
    }

    /// How long a version counts as the newest without a look: one read a second costs nothing,
    /// and nobody expects a policy to hold sooner on another machine.
    package static let staleness: Duration = .seconds(1)

    package let store: Store
    /// What the account has besides its policy.
    let surroundings: @Sendable () async throws -> PolicySurroundings
    /// The tools there are, for those that are new later.
    let tools: @Sendable () async -> [ToolIdentity]
    /// Records changes; nil where nobody does.
    let audit: (@Sendable () throws -> AuditWriter)?
    private let held = Mutex<Held?>(nil)
    private let staleness: Duration

    private struct Held: Sendable {
        var state: State
        /// Nil when the next call has to look.
        var lookedAt: ContinuousClock.Instant?
    }

    /// - Parameters:
    ///   - store: Where the versions are.
    ///   - staleness: How long a version counts as the newest without a look.
    ///   - surroundings: What the account has besides its policy.
    ///   - tools: The tools there are.
    ///   - audit: Records changes; what it throws keeps them from being made.
    package init(
        store: Store,
        staleness: Duration = PolicyBook.staleness,
        surroundings: @escaping @Sendable () async throws -> PolicySurroundings = {
            PolicySurroundings()
        },
        tools: @escaping @Sendable () async -> [ToolIdentity] = { [] },
        audit: (@Sendable () throws -> AuditWriter)? = nil
    ) {
        self.store = store
        self.staleness = staleness
        self.surroundings = surroundings
        self.tools = tools
        self.audit = audit
    }

    // MARK: - Deciding

    /// As the policy says, but never more than the credential may.
    package func isVisible(
        _ tool: ToolDefinition,
        _ identity: ToolIdentity,
        to caller: Caller
    ) async -> Bool {
        guard await OpenPolicy().isVisible(tool, identity, to: caller) else { return false }
        guard case .compiled(let policy, _)? = try? await state() else {
            // Why its calls are denied, each of them says.
            return true
        }
        let call = ProposedCall(
            tool: tool,
            identity: identity,
            arguments: JSONObject(),
            caller: caller
        )
        return policy.isVisible(context(of: call))
    }

    /// What the policy says about sensitive values.
    ///
    /// - Throws: ``StoreError`` when it cannot be read, and
    ///   ``PolicyError/unusable(version:reason:)`` when it cannot be used: nothing may pass then.
    package func redaction() async throws -> RedactionPolicy {
        switch try await state() {
        case .open: return RedactionPolicy()
        case .compiled(let policy, _): return policy.redaction
        case .unusable(let version, let reason):
            throw PolicyError.unusable(version: version, reason: reason)
        }
    }

    /// As the policy says, but never more than the credential may.
    package func decide(_ call: ProposedCall) async -> CallRuling {
        let open = await OpenPolicy().decide(call)
        guard case .allow = open.decision else { return open }
        let state: State
        do {
            state = try await self.state()
        } catch {
            return CallRuling(.deny(reason: "the policy cannot be read: \(error)"))
        }
        switch state {
        case .open: return open
        case .unusable(let version, let reason):
            let error = PolicyError.unusable(version: version, reason: reason)
            return CallRuling(.deny(reason: "\(error)"), policyVersion: version)
        case .compiled(let policy, _):
            return CallRuling(policy.decide(context(of: call)), version: policy.version)
        }
    }

    /// What a call is judged by.
    func context(of call: ProposedCall) -> PolicyContext {
        var context = PolicyContext(tool: call.identity, now: store.clock.now())
        let annotations = call.tool.annotations
        context.title = call.tool.title
        context.isReadOnly = annotations.isReadOnly
        context.isDestructive = annotations.isDestructive
        context.isIdempotent = annotations.isIdempotent
        context.isOpenWorld = annotations.isOpenWorld
        context.arguments = call.arguments
        context.user = call.caller.userName
        context.role = call.caller.role
        context.mayWrite = call.caller.mayWrite
        context.agent = call.client?.name ?? ""
        context.agentVersion = call.client?.version ?? ""
        context.session = call.session ?? ""
        context.channel = call.caller.channel.rawValue
        context.traceParent = call.traceParent ?? ""
        return context
    }

    // MARK: - What is in force

    /// The policy in force, newer than the staleness.
    ///
    /// - Throws: ``StoreError`` when the store does not say which version that is.
    package func state() async throws -> State {
        let now = ContinuousClock.now
        let known = held.withLock { $0 }
        if let known, let lookedAt = known.lookedAt, lookedAt.duration(to: now) < staleness {
            return known.state
        }
        let version = try await store.read { connection, account in
            try PolicyTable.current(account: account, on: connection)
        }
        if let known, known.state.version == version {
            guard case .unusable = known.state else {
                hold(known.state, lookedAt: now)
                return known.state
            }
        }
        let state = try await load(version)
        hold(state, lookedAt: now)
        return state
    }

    /// The number of the policy in force; 0 for none, and nil while the store does not answer.
    package func versionInForce() async -> Int64? {
        // Whoever asks goes on with what was known.
        (try? await state())?.version
    }

    /// Makes the next call look for a newer version.
    package func refresh() {
        held.withLock { $0?.lookedAt = nil }
    }

    /// Keeps a state unless a newer one is there already.
    func hold(_ state: State, lookedAt: ContinuousClock.Instant) {
        held.withLock { held in
            guard (held?.state.version ?? 0) <= state.version else { return }
            held = Held(state: state, lookedAt: lookedAt)
        }
    }

    private func load(_ version: Int64) async throws -> State {
        guard version > 0 else { return .open }
        let row = try await store.read { connection, account in
            try PolicyTable.find(version, account: account, on: connection)
        }
        guard let row else { return .unusable(version: version, reason: "its text is missing") }
        return compile(row, try await surroundings())
    }

    /// A version as it decides.
    func compile(_ row: PolicyTable.Row, _ surroundings: PolicySurroundings) -> State {
        let number = row.version.number
        // What was good when it was applied is not refused for what has gone from the account
        // since: demands for a workflow that is gone cannot be answered, which denies.
        let reading = PolicyDocument.read(row.text, outside: .trusting(surroundings))
        guard let document = reading.document else {
            let reason = reading.errors.first?.description ?? "it cannot be read"
            return .unusable(version: number, reason: reason)
        }
        do throws(PolicyProblem) {
            let policy = try CompiledPolicy(
                document,
                version: number,
                surroundings: surroundings,
                knownTools: row.knownTools
            )
            return .compiled(policy, row.version)
        } catch {
            return .unusable(version: number, reason: error.description)
        }
    }
}

extension PolicySurroundings {
    /// The same, with any workflow taken for one that is there.
    fileprivate static func trusting(_ surroundings: PolicySurroundings) -> PolicySurroundings {
        var trusting = surroundings
        trusting.trustsNames = true
        return trusting
    }
}

extension Caller {
    /// The name without how it came: `ann` of `user:ann`.
    var userName: String {
        guard let colon = name.firstIndex(of: ":") else { return name }
        return String(name[name.index(after: colon)...])
    }
}

extension CallRuling {
    /// What a policy says, as calls are decided.
    init(_ ruling: PolicyRuling, version: Int64) {
        let decision: CallDecision =
            switch ruling.outcome {
            case .allow: .allow
            case .deny(let reason): .deny(reason: reason)
            case .requireApproval(let demand): .requireApproval(demand)
            }
        self.init(decision, rule: ruling.rule, policyVersion: version)
        noted = ruling.noted.map { Note(rule: $0.rule, action: $0.action.rawValue) }
    }
}
