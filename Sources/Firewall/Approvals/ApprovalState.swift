package import Domain

/// Where a request for an approval is in its life, as a value: no clock, no store.
///
/// `pending` leads to `approved`, `declined`, `expired` or `cancelled`; from those nothing leads
/// anywhere. Where several workflows have to approve they are asked one after the other: while
/// pending, the yes of each but the last leads to the next one, which has a time of its own. Time
/// may move the end of each once, by the escalation.
///
/// INVARIANT: `approved` only where each of the workflows has approved; whoever declines, and
/// whichever time is over, ends all of it.
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
        /// A workflow has approved, and the one behind it is asked.
        case advanced(from: String, to: String, at: Timestamp)
        /// More people are asked, and it ends later.
        case escalated(at: Timestamp)
        case resolved(Status, at: Timestamp)
    }

    /// A page of text; what is longer is no reason.
    package static let maximumReasonCharacters = 2_000

    /// The workflows that have to approve, in the order they are asked, as they were when the
    /// request was made: changing one changes no open request.
    package let workflows: [ApprovalWorkflow]
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

    /// A request that has just been made, by one workflow at least.
    package init(workflows: [ApprovalWorkflow], requester: Approver, at now: Timestamp) {
        precondition(!workflows.isEmpty, "somebody is asked")
        self.workflows = workflows.count == 1 ? workflows : workflows.map(\.besideOthers)
        self.requester = requester
        requestedAt = now
        expiresAt = now.advanced(by: .seconds(workflows[0].timeoutSeconds))
    }

    /// A request of one workflow that has just been made.
    package init(terms: ApprovalWorkflow, requester: Approver, at now: Timestamp) {
        self.init(workflows: [terms], requester: requester, at: now)
    }

    /// A request as it was stored, with one workflow at least.
    package init(
        workflows: [ApprovalWorkflow],
        requester: Approver,
        requestedAt: Timestamp,
        stored: Stored
    ) {
        precondition(!workflows.isEmpty, "somebody is asked")
        self.workflows = workflows
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

    /// What was said to each workflow that was asked, in their order: the one that is asked now, or
    /// was asked last, is the last.
    ///
    /// Found from the votes alone, so that what is stored cannot say otherwise.
    package var ballots: [[Vote]] {
        var ballots: [[Vote]] = [[]]
        for vote in votes {
            let place = ballots.count - 1
            ballots[place].append(vote)
            let isLast = place == workflows.count - 1
            if !isLast, Self.isApproved(ballots[place], by: workflows[place]) { ballots.append([]) }
        }
        return ballots
    }

    /// How many workflows have approved before the one that is asked now.
    package var place: Int { ballots.count - 1 }

    /// The workflow that is asked now; of what is decided the one that was asked last.
    package var terms: ApprovalWorkflow { workflows[place] }

    /// What was said to it.
    package var ballot: [Vote] { ballots[place] }

    /// How many have approved of those whom ``terms`` asks.
    package var approvalCount: Int { ballot.count { $0.decision == .approve } }

    /// Whether whoever follows a link that was sent to a channel may decide.
    ///
    /// Not where several workflows have to approve: a link shows no person, and who reads the
    /// channel of one of them is not who reads that of the next.
    package var permitsChannelLinks: Bool { workflows.count == 1 && terms.permitsChannelLinks }

    /// Names of users who are asked now; empty for whoever may decide.
    package var askedNames: [String] {
        let terms = terms
        guard !terms.approvers.isEmpty else { return [] }
        return terms.approvers + (escalatedAt == nil ? [] : terms.escalation)
    }

    /// Makes sure that an answer is for the workflow that is asked now: whoever has answered one of
    /// several has said nothing to the next one.
    ///
    /// - Parameters:
    ///   - name: The workflow that the answer is for; nil where it does not say.
    ///   - asked: Its place; nil where nobody knows.
    /// - Throws: ``ApprovalError`` when another one is asked, or neither is known where several
    ///   have to approve.
    package func checkAnswer(to name: String?, at asked: Int?) throws(ApprovalError) {
        // Whoever comes too late hears who decided.
        guard isPending else { return }
        let current = terms.name
        if let asked, asked != place { throw .otherWorkflow(asked: current) }
        if let name, !haveEqualBytes(name, current) { throw .otherWorkflow(asked: current) }
        guard name != nil || asked != nil || workflows.count == 1 else {
            throw .workflowMissing(asked: current)
        }
    }

    // MARK: - Transitions

    /// Lets time pass until `now`: escalates, expires.
    package mutating func pass(to now: Timestamp) -> [Event] {
        guard isPending, now >= expiresAt else { return [] }
        let terms = terms
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
        return count(vote)
    }

    /// Takes a model's word, which needs no quorum: the workflow says that it may decide.
    ///
    /// - Throws: ``ApprovalError`` when the request is decided, or no model may.
    package mutating func judge(_ vote: Vote) throws(ApprovalError) -> [Event] {
        guard isPending else { throw decided }
        guard terms.judge != nil, vote.approver.kind == .model else {
            throw .notAnApprover(approver: vote.approver.text)
        }
        return count(vote)
    }

    /// The caller wants it no more; nothing when it is decided.
    package mutating func cancel(at now: Timestamp) -> [Event] {
        guard isPending else { return [] }
        return [resolve(.cancelled, by: requester.text, reason: nil, at: now)]
    }

    /// Adds a vote of somebody who is asked, and goes where it leads.
    private mutating func count(_ vote: Vote) -> [Event] {
        let asked = place
        votes.append(vote)
        let events = [Event.voted(vote)]
        guard vote.decision == .approve else { return events + [resolve(.declined, vote)] }
        let ballots = ballots
        guard ballots.count - 1 == asked else {
            let next = workflows[asked + 1]
            escalatedAt = nil
            expiresAt = vote.at.advanced(by: .seconds(next.timeoutSeconds))
            return events + [.advanced(from: workflows[asked].name, to: next.name, at: vote.at)]
        }
        guard Self.isApproved(ballots[asked], by: workflows[asked]) else { return events }
        return events + [resolve(.approved, vote)]
    }

    /// Whether votes are enough for a workflow: so many people, or the word of its model.
    private static func isApproved(_ votes: [Vote], by workflow: ApprovalWorkflow) -> Bool {
        guard let last = votes.last, last.decision == .approve else { return false }
        if last.approver.kind == .model { return workflow.judge != nil }
        return votes.count { $0.decision == .approve } >= workflow.quorum
    }

    private var decided: ApprovalError {
        .alreadyDecided(status: status, by: resolvedBy, at: resolvedAt)
    }

    private func check(_ vote: Vote) throws(ApprovalError) {
        guard isPending else { throw decided }
        let (approver, terms) = (vote.approver, terms)
        guard approver.kind != .model else { throw .notAnApprover(approver: approver.text) }
        guard isAsked(approver) else { throw .notAnApprover(approver: approver.text) }
        if vote.decision == .approve, approver.isSamePerson(as: requester) {
            guard terms.permitsSelfApproval else { throw .ownCall }
        }
        // Who is asked by two workflows answers each.
        guard !ballot.contains(where: { $0.approver.isSamePerson(as: approver) }) else {
            throw .alreadyVoted(approver: approver.text)
        }
        let reason = Self.trimmed(vote.reason)
        guard reason != nil || !terms.requiresReason else { throw .reasonRequired }
        guard reason?.count ?? 0 <= Self.maximumReasonCharacters else { throw .reasonTooLong }
    }

    private func isAsked(_ approver: Approver) -> Bool {
        let names = askedNames
        guard !names.isEmpty else {
            return approver.person != nil || permitsChannelLinks
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
