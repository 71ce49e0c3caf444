package import Domain

/// Where a request for an approval is in its life, as a value: no clock, no store.
///
/// `pending` leads to `approved`, `declined`, `expired` or `cancelled`; from those nothing leads
/// anywhere. While pending, time may move the end once, by the escalation.
package struct ApprovalState: Sendable, Equatable {
    /// What has become of a request.
    package enum Status: String, Sendable, CaseIterable {
        /// Waits for people; can become any other.
        case pending
        /// Final: the call may run, once.
        case approved
        /// Final: somebody said no.
        case declined
        /// Final: nobody said enough in time.
        case expired
        /// Final: the caller wants it no more.
        case cancelled
    }

    /// What somebody says.
    package enum Decision: String, Sendable, CaseIterable {
        case approve
        case decline
    }

    /// One person's word.
    package struct Vote: Sendable, Equatable {
        package var approver: Approver
        package var decision: Decision
        package var reason: String?
        package var at: Timestamp
        /// Whether it is meant for the session that asked, as often as that calls.
        package var isForSession = false
        /// For how many seconds the same call may run again; nil for none.
        package var rememberedSeconds: Int64?

        package init(
            _ approver: Approver,
            _ decision: Decision,
            reason: String? = nil,
            at: Timestamp
        ) {
            self.approver = approver
            self.decision = decision
            self.reason = reason
            self.at = at
        }
    }

    /// Something that happened to a request.
    package enum Event: Sendable, Equatable {
        case voted(Vote)
        /// More people are asked, and it ends later.
        case escalated(at: Timestamp)
        case resolved(Status, at: Timestamp)
    }

    /// A page of text; what is longer is no reason.
    package static let maximumReasonCharacters = 2_000

    /// The workflow as it was when the request was made: changing it changes no open request.
    package let terms: ApprovalWorkflow
    /// On whose behalf the call was made.
    package let requester: Approver
    package let requestedAt: Timestamp
    package private(set) var status = Status.pending
    package private(set) var expiresAt: Timestamp
    package private(set) var escalatedAt: Timestamp?
    package private(set) var resolvedAt: Timestamp?
    /// Whose word decided, as ``Approver/text``; nil for time.
    package private(set) var resolvedBy: String?
    /// What was said with it.
    package private(set) var resolution: String?
    /// In the order they came.
    package private(set) var votes: [Vote] = []

    /// A request that has just been made.
    package init(terms: ApprovalWorkflow, requester: Approver, at now: Timestamp) {
        self.terms = terms
        self.requester = requester
        requestedAt = now
        expiresAt = now.advanced(by: .seconds(terms.timeoutSeconds))
    }

    /// A request as it was stored.
    package init(
        terms: ApprovalWorkflow,
        requester: Approver,
        requestedAt: Timestamp,
        stored: Stored
    ) {
        self.terms = terms
        self.requester = requester
        self.requestedAt = requestedAt
        status = stored.status
        expiresAt = stored.expiresAt
        escalatedAt = stored.escalatedAt
        resolvedAt = stored.resolvedAt
        resolvedBy = stored.resolvedBy
        resolution = stored.resolution
        votes = stored.votes
    }

    /// What changes in the life of a request.
    package struct Stored: Sendable, Equatable {
        package var status: Status
        package var expiresAt: Timestamp
        package var escalatedAt: Timestamp?
        package var resolvedAt: Timestamp?
        package var resolvedBy: String?
        package var resolution: String?
        package var votes: [Vote]

        package init(status: Status, expiresAt: Timestamp, votes: [Vote] = []) {
            self.status = status
            self.expiresAt = expiresAt
            self.votes = votes
        }
    }

    /// Whether nobody and nothing has decided.
    package var isPending: Bool { status == .pending }

    /// How many have approved.
    package var approvalCount: Int { votes.count { $0.decision == .approve } }

    /// Names of users who are asked now; empty for whoever may decide.
    package var askedNames: [String] {
        guard !terms.approvers.isEmpty else { return [] }
        return terms.approvers + (escalatedAt == nil ? [] : terms.escalation)
    }

    // MARK: - Transitions

    /// Lets time pass until `now`: escalates, expires.
    package mutating func pass(to now: Timestamp) -> [Event] {
        guard isPending, now >= expiresAt else { return [] }
        guard escalatedAt == nil, !terms.escalation.isEmpty else {
            return [resolve(.expired, by: nil, reason: nil, at: expiresAt)]
        }
        let instant = expiresAt
        escalatedAt = instant
        expiresAt = instant.advanced(by: .seconds(terms.timeoutSeconds))
        return [.escalated(at: instant)] + pass(to: now)
    }

    /// Counts a vote; ``pass(to:)`` comes first.
    ///
    /// - Throws: ``ApprovalError`` when it does not count; nothing has changed then.
    package mutating func vote(_ vote: Vote) throws(ApprovalError) -> [Event] {
        try check(vote)
        var vote = vote
        // A reason of white space is none.
        vote.reason = Self.trimmed(vote.reason)
        votes.append(vote)
        let events = [Event.voted(vote)]
        if vote.decision == .decline { return events + [resolve(.declined, vote)] }
        guard approvalCount >= terms.quorum else { return events }
        return events + [resolve(.approved, vote)]
    }

    /// Takes a model's word, which needs no quorum: the workflow says that it may decide.
    ///
    /// - Throws: ``ApprovalError`` when the request is decided, or no model may.
    package mutating func judge(_ vote: Vote) throws(ApprovalError) -> [Event] {
        guard isPending else { throw decided }
        guard terms.judge != nil, vote.approver.kind == .model else {
            throw .notAnApprover(approver: vote.approver.text)
        }
        votes.append(vote)
        return [.voted(vote), resolve(vote.decision == .approve ? .approved : .declined, vote)]
    }

    /// The caller wants it no more; nothing when it is decided.
    package mutating func cancel(at now: Timestamp) -> [Event] {
        guard isPending else { return [] }
        return [resolve(.cancelled, by: requester.text, reason: nil, at: now)]
    }

    private var decided: ApprovalError {
        .alreadyDecided(status: status, by: resolvedBy, at: resolvedAt)
    }

    private func check(_ vote: Vote) throws(ApprovalError) {
        guard isPending else { throw decided }
        let approver = vote.approver
        guard approver.kind != .model else { throw .notAnApprover(approver: approver.text) }
        guard isAsked(approver) else { throw .notAnApprover(approver: approver.text) }
        if vote.decision == .approve, approver.isSamePerson(as: requester) {
            guard terms.permitsSelfApproval else { throw .ownCall }
        }
        guard !votes.contains(where: { $0.approver.isSamePerson(as: approver) }) else {
            throw .alreadyVoted(approver: approver.text)
        }
        let reason = Self.trimmed(vote.reason)
        guard reason != nil || !terms.requiresReason else { throw .reasonRequired }
        guard reason?.count ?? 0 <= Self.maximumReasonCharacters else { throw .reasonTooLong }
    }

    private func isAsked(_ approver: Approver) -> Bool {
        let names = askedNames
        guard !names.isEmpty else {
            return approver.person != nil || terms.permitsChannelLinks
        }
        guard let person = approver.person else { return false }
        return names.contains { $0.utf8.elementsEqual(person.utf8) }
    }

    private mutating func resolve(_ status: Status, _ vote: Vote) -> Event {
        resolve(status, by: vote.approver.text, reason: vote.reason, at: vote.at)
    }

    private mutating func resolve(
        _ status: Status,
        by: String?,
        reason: String?,
        at now: Timestamp
    ) -> Event {
        self.status = status
        resolvedAt = now
        resolvedBy = by
        resolution = reason
        return .resolved(status, at: now)
    }

    private static func trimmed(_ reason: String?) -> String? {
        guard let reason else { return nil }
        let scalars = reason.unicodeScalars
        let isBlank = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace }
        guard let first = scalars.firstIndex(where: { !isBlank($0) }),
            let last = scalars.lastIndex(where: { !isBlank($0) })
        else { return nil }
        return String(scalars[first...last])
    }
}
