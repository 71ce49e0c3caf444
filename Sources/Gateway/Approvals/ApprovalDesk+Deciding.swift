import Domain
package import Firewall
package import Store

extension ApprovalDesk {
    /// What somebody says about a request.
    package struct Word: Sendable, Equatable {
        package var decision: ApprovalState.Decision
        package var reason: String?
        /// For how long the same call may run again; within what the workflow allows.
        package var rememberedFor: Duration?
        /// Whether the same call may run again as long as the session lasts that asked, where the
        /// workflow allows that; ``rememberedFor`` says nothing then.
        package var isForSession = false
        /// The workflow that it is said to; may be nil only where one alone has to approve.
        package var workflow: String?
        /// The place of that workflow, where the name is not what tells.
        var place: Int?

        package init(
            _ decision: ApprovalState.Decision,
            reason: String? = nil,
            rememberedFor: Duration? = nil,
            isForSession: Bool = false
        ) {
            self.decision = decision
            self.reason = reason
            self.rememberedFor = rememberedFor
            self.isForSession = isForSession
        }
    }

    // MARK: - Looking

    /// A request as it stands now, time counted; without what it keeps sealed where only its life
    /// is asked for.
    ///
    /// - Throws: ``ApprovalRefusal/unknownRequest``.
    package func find(_ id: String, withSealed: Bool = true) async throws -> ApprovalRequest {
        let row = try await store.read { connection, account in
            try ApprovalTable.find(
                id,
                withSealed: withSealed,
                account: account,
                on: connection
            )
        }
        guard let row else { throw ApprovalRefusal.unknownRequest }
        let request = try ApprovalRequest(row)
        let isDue = request.state.isPending && store.clock.now() >= request.state.expiresAt
        guard isDue else { return request }
        return try await change(id) { _, _ in [] }.request
    }

    /// What has happened to a request, earliest first.
    package func events(of id: String) async throws -> [ApprovalEventTable.Event] {
        try await store.read { connection, account in
            try ApprovalEventTable.list(of: id, account: account, on: connection)
        }
    }

    /// Requests, latest first, time counted.
    package func list(
        status: ApprovalState.Status?,
        before: String? = nil,
        skip: Int = 0,
        limit: Int
    ) async throws -> [ApprovalRequest] {
        let rows = try await store.read { connection, account in
            try ApprovalTable.list(
                status: status?.rawValue,
                before: before,
                skip: skip,
                limit: limit,
                account: account,
                on: connection
            )
        }
        var requests: [ApprovalRequest] = []
        for row in rows {
            var request = try ApprovalRequest(row)
            if request.state.isPending, store.clock.now() >= request.state.expiresAt {
                request = try await change(request.id) { _, _ in [] }.request
            }
            if status == nil || request.status == status { requests.append(request) }
        }
        return requests
    }

    // MARK: - Deciding

    /// Takes somebody's decision.
    ///
    /// - Parameters:
    ///   - id: Of the request.
    ///   - approver: Who decides.
    ///   - credential: By which key or session.
    ///   - isUser: Whether that is a user of the account, who has to be one still, and may still
    ///     decide, when the decision is written.
    ///   - word: What is said.
    /// - Returns: The request after that; still pending where the quorum wants more.
    /// - Throws: ``ApprovalRefusal``; whoever comes too late hears who decided.
    @discardableResult
    package func decide(
        _ id: String,
        by approver: Approver,
        credential: String? = nil,
        isUser: Bool = false,
        _ word: Word
    ) async throws -> ApprovalRequest {
        let now = store.clock.now()
        let result = try await change(id, user: isUser ? approver : nil) { row, state in
            if let credential, row.request.credential == credential {
                throw ApprovalRefusal.sameCredential
            }
            return try Self.vote(word, approver, now, &state)
        }
        if let refusal = result.refusal { throw refusal }
        return result.request
    }

    /// Takes the decision of whoever has a link, which is used up by it.
    ///
    /// A link that does not count – the reason is missing, the request is decided – stays good. It
    /// answers the workflow that it was made for, whichever is asked when it is followed.
    @discardableResult
    package func decide(
        _ id: String,
        linkDigest: [UInt8],
        _ word: Word
    ) async throws -> ApprovalRequest {
        let now = store.clock.now()
        let result = try await change(id, link: linkDigest) { row, state in
            guard let approver = row.approver else { throw ApprovalRefusal.unknownLink }
            var word = word
            word.place = row.place
            return try Self.vote(word, approver, now, &state)
        }
        if let refusal = result.refusal { throw refusal }
        return result.request
    }

    private static func vote(
        _ word: Word,
        _ approver: Approver,
        _ now: Timestamp,
        _ state: inout ApprovalState
    ) throws -> [ApprovalState.Event] {
        do throws(ApprovalError) {
            try state.checkAnswer(to: word.workflow, at: word.place)
            var vote = ApprovalState.Vote(approver, word.decision, reason: word.reason, at: now)
            if word.decision == .approve {
                vote.isForSession = word.isForSession
                vote.rememberedSeconds = word.rememberedFor?.components.seconds
            }
            return approver.kind == .model ? try state.judge(vote) : try state.vote(vote)
        } catch {
            throw ApprovalRefusal.refused(error)
        }
    }

    /// Takes back a request that its caller wants no more.
    ///
    /// An approval that came first is spent unused. Nothing changes when the call runs or has run,
    /// or somebody declined.
    @discardableResult
    package func cancel(_ id: String) async throws -> ApprovalRequest {
        let now = store.clock.now()
        let request = try await change(id) { _, state in state.cancel(at: now) }.request
        guard request.status == .approved, request.row.execution == .none else { return request }
        return try await relinquish(id, now)
    }

    private func relinquish(_ id: String, _ now: Timestamp) async throws -> ApprovalRequest {
        let request = try await store.writeOutsideFeed { connection, account in
            let isOurs = try ApprovalTable.relinquish(id, account: account, on: connection)
            guard let row = try ApprovalTable.find(id, account: account, on: connection)
            else { throw ApprovalRefusal.unknownRequest }
            if isOurs {
                let event = ApprovalEventTable.Event(
                    "cancelled",
                    actor: row.request.requester,
                    detail: "the approval is not used",
                    at: now
                )
                try record(event, of: row.request, account, connection)
            }
            return try ApprovalRequest(row)
        }
        room.wake(id)
        return request
    }

    /// Writes something that happened around a request.
    package func note(_ event: ApprovalEventTable.Event, of id: String) async throws {
        try await store.writeOutsideFeed { connection, account in
            // Locked, so that events get numbers one after the other.
            guard
                let row = try ApprovalTable.find(
                    id,
                    locked: true,
                    account: account,
                    on: connection
                )
            else { return }
            try record(event, of: row.request, account, connection)
        }
    }

    // MARK: - Links

    /// Keeps a new link to a request, by SHA-256 of its token; it decides in the name of
    /// `approver`.
    ///
    /// It answers the workflow of one place, the one that is asked now where none is given, and is
    /// good as long as that may be asked where no `lifetime` is given. `check` is made by the
    /// transaction that keeps it, and may throw.
    package func addLink(
        digest: [UInt8],
        to id: String,
        for approver: Approver,
        at place: Int? = nil,
        lifetime: Duration? = nil,
        check: (@Sendable (any SQLConnection) throws -> Void)? = nil
    ) async throws {
        let request = try await find(id)
        let now = store.clock.now()
        let place = place ?? request.state.place
        let terms = request.state.workflows[place]
        let windows = terms.escalation.isEmpty ? 1 : 2
        let longest = Duration.seconds(windows * terms.timeoutSeconds)
        var token = ApprovalTokenTable.Token(
            digest: digest,
            request: id,
            approver: approver.text,
            issuedAt: now,
            expiresAt: now.advanced(by: lifetime ?? longest)
        )
        token.place = place
        let made = token
        guard let check else {
            return try await store.writeOutsideFeed { connection, account in
                try ApprovalTokenTable.insert(made, account: account, on: connection)
            }
        }
        // With the feed locked: what was checked stays true until the link is there.
        try await store.write { connection, account in
            try check(connection)
            try ApprovalTokenTable.insert(made, account: account, on: connection)
        }
    }

    /// The link of a digest to a request, and whether it is still good: not once another workflow
    /// is asked than the one that it was made for.
    ///
    /// - Throws: ``ApprovalRefusal/unknownLink``, also where its user may not decide any more.
    package func link(
        digest: [UInt8],
        to id: String
    ) async throws -> (token: ApprovalTokenTable.Token, isGood: Bool) {
        let now = store.clock.now()
        return try await store.read { connection, account in
            let token = try Self.token(digest, id, account, connection).token
            let row = try ApprovalTable.find(
                id,
                withSealed: false,
                account: account,
                on: connection
            )
            let state = try row.map { row in try ApprovalRequest(row).state }
            let isPassed = state.map { $0.isPending && $0.place != token.place } ?? false
            return (token, token.usedAt == nil && token.expiresAt > now && !isPassed)
        }
    }

    // MARK: - Changing

    /// What a change sees besides the state.
    struct Seen: Sendable {
        var request: ApprovalTable.Request
        /// In whose name the link decides; nil without one.
        var approver: Approver?
        /// The place of the workflow that the link answers; nil without one.
        var place: Int?
    }

    /// What came of a change.
    struct Change: Sendable {
        var request: ApprovalRequest
        var refusal: ApprovalRefusal?
    }

    /// Lets time pass, then changes a request, in one transaction with its events and jobs.
    ///
    /// What time did is kept also when the change is refused.
    func change(
        _ id: String,
        link: [UInt8]? = nil,
        user: Approver? = nil,
        _ body:
            @escaping @Sendable (Seen, inout ApprovalState) throws -> [ApprovalState.Event]
    ) async throws -> Change {
        let now = store.clock.now()
        let result = try await store.writeOutsideFeed { connection, account in
            guard
                let row = try ApprovalTable.find(
                    id,
                    locked: true,
                    account: account,
                    on: connection
                )
            else { throw ApprovalRefusal.unknownRequest }
            var seen = Seen(request: row.request)
            if let link {
                let found = try Self.goodToken(link, id, now, account, connection)
                (seen.approver, seen.place) = (found.approver, found.token.place)
            }
            // Who was let in may have lost the right until the row was free.
            if let user, try !Self.mayDecide(user, account, connection) {
                throw ApprovalRefusal.refused(.notAnApprover(approver: user.text))
            }
            var state = try ApprovalRequest(row).state
            var events = state.pass(to: now)
            var refusal: ApprovalRefusal?
            do {
                let added = try body(seen, &state)
                if let link, !added.isEmpty {
                    let isUsed = try ApprovalTokenTable.use(
                        digest: link,
                        at: now,
                        account: account,
                        on: connection
                    )
                    guard isUsed else { throw ApprovalRefusal.usedLink }
                }
                events += added
            } catch let error as ApprovalRefusal {
                // A link that is used up takes its vote back; the state's own refusals leave none.
                if case .usedLink = error { throw error }
                refusal = error
            }
            // Neither a question nor an answer comes a second time.
            let isCall = row.request.kind == .call
            let kept = isCall ? Self.rememberedUntil(state, now) : nil
            try write(row, state, events, kept, now, account, connection)
            guard let after = try ApprovalTable.find(id, account: account, on: connection)
            else { throw ApprovalRefusal.unknownRequest }
            return Change(request: try ApprovalRequest(after), refusal: refusal)
        }
        // Where another workflow is asked now, its model may be, by the call that waits.
        let state = result.request.state
        if !state.isPending || state.workflows.count > 1 { room.wake(id) }
        return result
    }

    private static func goodToken(
        _ digest: [UInt8],
        _ id: String,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (token: ApprovalTokenTable.Token, approver: Approver) {
        let found = try Self.token(digest, id, account, connection)
        guard found.token.usedAt == nil, found.token.expiresAt > now else {
            throw ApprovalRefusal.usedLink
        }
        return found
    }

    /// The link of a digest to a request, and in whose name it decides.
    ///
    /// A user is looked up each time: a link must not outlive what its reader may do.
    private static func token(
        _ digest: [UInt8],
        _ id: String,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> (token: ApprovalTokenTable.Token, approver: Approver) {
        let found = try ApprovalTokenTable.find(digest: digest, account: account, on: connection)
        guard let found, haveEqualBytes(found.request, id), let approver = Approver(found.approver)
        else { throw ApprovalRefusal.unknownLink }
        if approver.kind == .user, try !mayDecide(approver, account, connection) {
            throw ApprovalRefusal.unknownLink
        }
        return (found, approver)
    }

    /// Whether a user may decide approvals now.
    private static func mayDecide(
        _ user: Approver,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Bool {
        let login = try UserTable.login(name: user.name, account: account, on: connection)
        return login?.user.mayDecideApprovals ?? false
    }

    /// Lets time pass over a request alone; nil when there is none.
    func passTime(
        _ id: String,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> ApprovalRequest? {
        guard
            let row = try ApprovalTable.find(id, locked: true, account: account, on: connection)
        else { return nil }
        var state = try ApprovalRequest(row).state
        let events = state.pass(to: now)
        try write(row, state, events, nil, now, account, connection)
        return try ApprovalTable.find(id, account: account, on: connection)
            .map { row in try ApprovalRequest(row) }
    }

    /// Until when the same call may run again; nil for once only.
    ///
    /// INVARIANT: of several who approve, by one workflow or by several, all have to want it, each
    /// within what their own workflow allows, and the shortest time counts. Nobody who has said
    /// yes to one run has said it to more by the word of whoever comes last.
    private static func rememberedUntil(_ state: ApprovalState, _ now: Timestamp) -> Timestamp? {
        guard state.status == .approved else { return nil }
        var times: [Duration] = []
        for (workflow, votes) in zip(state.workflows, state.ballots) {
            for vote in votes where vote.decision == .approve {
                guard let time = rememberedTime(of: vote, workflow) else { return nil }
                times.append(time)
            }
        }
        return times.min().map { now.advanced(by: $0) }
    }

    private static func rememberedTime(
        of vote: ApprovalState.Vote,
        _ terms: ApprovalWorkflow
    ) -> Duration? {
        guard !vote.isForSession else { return terms.remembersSession ? longestSession : nil }
        let seconds = min(vote.rememberedSeconds ?? 0, Int64(terms.rememberedSeconds))
        return seconds > 0 ? Duration.seconds(seconds) : nil
    }

    /// Nobody remembers for longer than a day what they said yes to, however long a session is.
    private static let longestSession =
        Duration.seconds(ApprovalWorkflow.rememberedRange.upperBound)

    private func write(
        _ row: ApprovalTable.Row,
        _ state: ApprovalState,
        _ events: [ApprovalState.Event],
        _ remembered: Timestamp?,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        guard !events.isEmpty else { return }
        let life = ApprovalTable.Life(state, rememberedUntil: remembered)
        // Nobody will see an answer that was not allowed.
        let isOver = !state.isPending && state.status != .approved
        let nothing =
            isOver && row.request.kind == .answer ? try sealedNothing(of: row.request.id) : nil
        let isWritten = try ApprovalTable.update(
            row,
            to: life,
            sealing: nothing,
            account: account,
            on: connection
        )
        guard isWritten else { throw StoreError.busy }
        for event in events {
            try record(event.stored(of: state), of: row.request, account, connection)
        }
        if events.contains(where: \.isAdvance) {
            for job in ApprovalJobs.advance(of: row.request, state, now: now) {
                try JobTable.enqueue(job, account: account, on: connection)
            }
        } else if events.contains(where: \.isEscalation) {
            for job in ApprovalJobs.escalation(of: row.request, state, now: now) {
                try JobTable.enqueue(job, account: account, on: connection)
            }
        }
        if events.contains(where: \.isEnd) {
            for job in ApprovalJobs.ended(row.request, state, now: now) {
                try JobTable.enqueue(job, account: account, on: connection)
            }
        }
    }
}

extension ApprovalState.Event {
    fileprivate var isEnd: Bool {
        if case .resolved = self { true } else { false }
    }

    fileprivate var isEscalation: Bool {
        if case .escalated = self { true } else { false }
    }

    fileprivate var isAdvance: Bool {
        if case .advanced = self { true } else { false }
    }

    /// As it is kept of a request.
    func stored(of state: ApprovalState) -> ApprovalEventTable.Event {
        switch self {
        case .voted(let vote):
            let asked = state.ballots.lastIndex { $0.last == vote }
            let name = asked.flatMap { state.name(at: $0) }.map { " for `\($0)`" } ?? ""
            let word = (vote.decision == .approve ? "approves" : "declines") + name
            return .init(
                "vote",
                actor: vote.approver.text,
                detail: vote.reason.map { "\(word): \($0)" } ?? word,
                at: vote.at
            )
        case .advanced(let from, let to, let at):
            return .init("advanced", detail: "`\(from)` has approved, `\(to)` is asked", at: at)
        case .escalated(let at):
            return .init("escalated", detail: state.askedWords, at: at)
        case .resolved(let status, let at):
            let detail: String? =
                switch status {
                // That of one workflow stands where it was asked.
                case .approved: state.workflows.count > 1 ? state.words : nil
                case .declined, .expired: state.askedWords
                case .pending, .cancelled: nil
                }
            return .init(status.rawValue, detail: detail, at: at)
        }
    }
}

extension ApprovalState {
    /// Who has to approve, for records: all of the workflows, in the order they are asked.
    var words: String {
        let names = workflows.map { "`\($0.name)`" }.joined(separator: ", then ")
        return workflows.count == 1 ? "workflow \(names)" : "workflows \(names)"
    }

    /// The workflow that is asked now, or was asked last; nil where there is one alone, which
    /// stands where it was asked.
    fileprivate var askedWords: String? { name(at: place).map { "workflow `\($0)`" } }

    /// The name of the workflow at a place; nil where there is one alone.
    fileprivate func name(at place: Int) -> String? {
        workflows.count > 1 ? workflows[place].name : nil
    }
}
