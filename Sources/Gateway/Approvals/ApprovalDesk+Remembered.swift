package import Domain
package import Firewall
import Store

/// Approvals of the same call that are remembered: found when it is made again, listed, taken back.
extension ApprovalDesk {
    /// An approval that is remembered, as people are shown it.
    package struct Remembered: Sendable, Equatable {
        /// The approved request.
        package var request: ApprovalRequest
        /// Whether the same call would run by it now, in its session where it is for one.
        package var isInForce: Bool
    }

    /// Of one call, of all sessions, within a day; of more the oldest are asked about again.
    private static let rememberedCount = 100
    /// Approvals that are taken back in one transaction.
    private static let forgottenCount = 100

    // MARK: - Using

    /// The approval of the same call by the same workflows that its approvers wanted remembered,
    /// for a time or for this session; nil when there is none, or who approved may not any more.
    func remembered(
        _ digest: [UInt8],
        by workflows: [ApprovalWorkflow],
        session: String?
    ) async throws -> ApprovalRequest? {
        let now = store.clock.now()
        let kept = try storedDigest(of: digest)
        let names = ApprovalRequest.names(workflows)
        return try await store.read { connection, account -> ApprovalRequest? in
            let rows = try ApprovalTable.remembered(
                digest: kept,
                workflow: names,
                at: now,
                limit: Self.rememberedCount,
                account: account,
                on: connection
            )
            for row in rows {
                let request = try ApprovalRequest(row)
                let isMeant = !request.isForSession || sessions.has(session, made: request.id)
                guard isMeant else { continue }
                if try Self.isInForce(request, by: workflows, account, connection) {
                    return request
                }
            }
            return nil
        }
    }

    /// Whether all who have approved a request may still decide, and are among those that its
    /// workflows ask.
    ///
    /// Users are looked up each time: what is remembered must not outlive what its approvers may
    /// do. Who came later is somebody else, of the same name too.
    private static func isInForce(
        _ request: ApprovalRequest,
        by workflows: [ApprovalWorkflow],
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Bool {
        let ballots = request.state.ballots
        guard request.status == .approved, ballots.count == workflows.count else { return false }
        for (workflow, votes) in zip(workflows, ballots) {
            for vote in votes {
                guard vote.decision == .approve, workflow.mayAsk(vote.approver) else {
                    return false
                }
            }
        }
        return try lostApprover(of: request, account, connection) == nil
    }

    /// Who has approved a request and may not decide any more: a user who was disabled, removed or
    /// made a viewer.
    ///
    /// Nil when there is nobody; who is at the machine, a model, and whoever reads a
    /// channel have no account that could be lost.
    static func lostApprover(
        of request: ApprovalRequest,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Approver? {
        for vote in request.state.votes
        where vote.decision == .approve && vote.approver.kind == .user {
            let login = try UserTable.login(
                name: vote.approver.name,
                account: account,
                on: connection
            )
            guard let user = login?.user, user.mayDecideApprovals, user.createdAt <= vote.at
            else { return vote.approver }
        }
        return nil
    }

    // MARK: - Looking

    /// What is remembered, latest request first.
    ///
    /// - Parameters:
    ///   - policyVersion: In force, so that those of another one are told apart; nil when unknown.
    ///   - before: An identifier that the page before ended with; nil for the first page.
    ///   - skip: How many are left out at the beginning.
    ///   - limit: How many at most.
    /// - Returns: The approvals, each with whether it counts.
    /// - Throws: What the store refuses.
    package func remembered(
        policyVersion: Int64?,
        before: String? = nil,
        skip: Int = 0,
        limit: Int
    ) async throws -> [Remembered] {
        let now = store.clock.now()
        return try await store.read { connection, account in
            let rows = try ApprovalTable.remembered(
                at: now,
                before: before,
                skip: skip,
                limit: limit,
                account: account,
                on: connection
            )
            return try rows.map { row in
                let request = try ApprovalRequest(row)
                let isSamePolicy = policyVersion.map { $0 == row.request.policyVersion } ?? true
                let isInForce = try Self.isInForce(
                    request,
                    by: request.state.workflows,
                    account,
                    connection
                )
                return Remembered(request: request, isInForce: isSamePolicy && isInForce)
            }
        }
    }

    // MARK: - Taking back

    /// Takes a remembered approval back: the same call is asked about again.
    ///
    /// What was approved itself may still run, once, where it has not: `preloop approvals` and the
    /// caller see that it was, and a decision is final.
    ///
    /// - Parameters:
    ///   - id: Of the approved request.
    ///   - person: Who takes it back.
    /// - Returns: The request.
    /// - Throws: ``ApprovalRefusal/notRemembered`` when there is nothing to take back.
    @discardableResult
    package func forget(_ id: String, by person: Approver) async throws -> ApprovalRequest {
        let now = store.clock.now()
        return try await store.writeOutsideFeed { connection, account in
            let row = try ApprovalTable.find(
                id,
                locked: true,
                withSealed: false,
                account: account,
                on: connection
            )
            guard let row, try forget(row, by: person, now, account, connection) else {
                throw ApprovalRefusal.notRemembered
            }
            return try ApprovalRequest(row)
        }
    }

    /// Takes back everything that is remembered.
    ///
    /// - Parameter person: Who takes it back.
    /// - Returns: How many approvals that were.
    /// - Throws: What the store refuses; some may have been taken back then.
    package func forgetAll(by person: Approver) async throws -> Int {
        // Those too that are made meanwhile would have no end.
        let start = store.clock.now()
        var (count, before): (Int, String?) = (0, nil)
        while true {
            let last = before
            let page = try await store.writeOutsideFeed { connection, account in
                let rows = try ApprovalTable.remembered(
                    at: start,
                    before: last,
                    skip: 0,
                    limit: Self.forgottenCount,
                    account: account,
                    on: connection
                )
                var forgotten = 0
                for row in rows {
                    let isForgotten = try forget(row, by: person, start, account, connection)
                    forgotten += isForgotten ? 1 : 0
                }
                return (forgotten: forgotten, count: rows.count, last: rows.last?.request.id)
            }
            count += page.forgotten
            guard page.count == Self.forgottenCount else { return count }
            before = page.last
        }
    }

    private func forget(
        _ row: ApprovalTable.Row,
        by person: Approver,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Bool {
        let id = row.request.id
        guard try ApprovalTable.forget(id, at: now, account: account, on: connection) else {
            return false
        }
        let detail = row.life.rememberedUntil.map { "was remembered until \($0.iso8601)" }
        try record(
            .init("forgotten", actor: person.text, detail: detail, at: now),
            of: row.request,
            account,
            connection
        )
        return true
    }
}

extension ApprovalWorkflow {
    /// Whether somebody is among those that it asks, at once or later; links show no person, and a
    /// model's word is never remembered.
    fileprivate func mayAsk(_ approver: Approver) -> Bool {
        guard approver.kind != .model else { return false }
        guard !approvers.isEmpty else { return approver.person != nil || permitsChannelLinks }
        guard let person = approver.person else { return false }
        return (approvers + escalation).contains { haveEqualBytes($0, person) }
    }
}

extension ApprovalDesk.Remembered {
    /// As people and programs are shown it.
    package var json: JSONValue {
        let (row, state) = (request.row, request.state)
        let approvers = state.votes.filter { $0.decision == .approve }.map(\.approver.text)
        return [
            "request_id": .string(request.id), "tool_name": .string(request.tool),
            "policy_name": .string(row.request.identity ?? request.tool),
            "arguments": row.request.shown, "requester": .string(row.request.requester),
            "workflow": .string(row.request.workflow),
            "policy_version": .integer(row.request.policyVersion),
            "approved_by": JSONValue(approvers),
            "approved_at": JSONValue(state.resolvedAt?.iso8601),
            "remembered_until": JSONValue(row.life.rememberedUntil?.iso8601),
            "for_session": .bool(request.isForSession), "is_in_force": .bool(isInForce),
        ]
    }
}
