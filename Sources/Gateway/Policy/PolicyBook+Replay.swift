import Firewall
import Store

/// What a policy would have decided about the calls on record.
extension PolicyBook {
    /// What applying a text would change, also for the calls on record; nothing is changed.
    ///
    /// - Parameters:
    ///   - text: The policy.
    ///   - prunes: Whether what the text lacks would be removed.
    ///   - calls: The account's way to call tools.
    ///   - limit: How many of the latest calls are decided again.
    /// - Returns: The changes, and the calls.
    /// - Throws: ``PolicyError`` for a text that cannot be applied.
    package func plan(
        _ text: String,
        prunes: Bool,
        calls: GuardedCall,
        limit: Int
    ) async throws -> (proposal: PolicyProposal, calls: RecordedCalls) {
        let proposal = try await propose(text, prunes: prunes)
        let policy = try await compiled(proposal.after, version: proposal.base + 1)
        let replay = try await RecordedCalls.replay(policy, calls, in: store, limit: limit)
        return (proposal, replay)
    }

    /// Decides the calls on record again.
    ///
    /// - Parameters:
    ///   - text: The policy by which; nil for the one in force.
    ///   - calls: The account's way to call tools.
    ///   - limit: How many of the latest calls.
    /// - Returns: The calls.
    /// - Throws: ``PolicyError/none`` when no policy is in force, or what is wrong with the text.
    package func replay(
        _ text: String?,
        calls: GuardedCall,
        limit: Int
    ) async throws -> RecordedCalls {
        let policy: CompiledPolicy
        if let text {
            let document = try await propose(text, prunes: true).after
            policy = try await compiled(document, version: 0)
        } else {
            guard let current = try await current() else { throw PolicyError.none }
            let known = current.row.knownTools
            policy = try await compiled(current.document, version: 0, knownTools: known)
        }
        return try await RecordedCalls.replay(policy, calls, in: store, limit: limit)
    }
}
