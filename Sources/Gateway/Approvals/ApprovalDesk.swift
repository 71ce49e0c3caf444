import Crypto
package import Domain
package import Firewall
package import Store

/// Makes requests for approvals, takes decisions, and hands out the right to run: once.
///
/// Every change is one transaction that names what it saw, so that of two deciders one wins and the
/// other hears who did; what tells people of it is a job of the same transaction.
package struct ApprovalDesk: Sendable {
    /// What is bounded, and by how much.
    package struct Limits: Sendable, Equatable {
        /// More than anybody decides.
        package var pending = 10_000
        /// Of one caller: a loop in an agent ends here, before it has written to people for hours
        /// and taken the places of the others.
        package var pendingOfOne = 100
        /// Bytes of one caller's answers that are kept sealed and have not been given out.
        package var answerBytes = 64 << 20
        /// How long a yes is good for a call that has not begun.
        package var grant: Duration = .seconds(3_600)
        /// Longer than any call may take: a claim older than that tells of a process that died.
        package var run: Duration = .seconds(300)
        /// How long decided requests are kept.
        package var retention: Duration = .seconds(90 * 86_400)

        package init() {}
    }

    package let store: Store
    package let limits: Limits
    /// Where people reach the server, without a final slash; nil where nobody has said.
    let pageAddress: String?
    let room: ApprovalWaitingRoom
    let sessions = ApprovalSessions()
    /// Decides where a workflow says so; nil where no model is configured.
    let judge: ApprovalJudge?
    let box: @Sendable () throws -> SecretBox
    private let audits: AuditWriters
    private let workflows: @Sendable (String?) async throws -> ApprovalWorkflow?
    private let holder: LeaseHolder

    /// - Parameters:
    ///   - store: Of the account.
    ///   - box: Seals what waits.
    ///   - workflows: The workflow of a name, nil for one there is not; the account's default for
    ///     nil.
    ///   - model: Decides where a workflow says so.
    ///   - audits: The writers of the process's audit.
    ///   - pageAddress: Where people reach the server, without a final slash; nil when unknown.
    ///   - limits: What is bounded.
    ///   - pacing: Measures how long calls wait.
    package init(
        store: Store,
        box: @escaping @Sendable () throws -> SecretBox,
        workflows: @escaping @Sendable (String?) async throws -> ApprovalWorkflow? = { name in
            name == nil ? .standard : nil
        },
        model: LanguageModel? = nil,
        audits: AuditWriters = AuditWriters(),
        pageAddress: String? = nil,
        limits: Limits = Limits(),
        pacing: any Clock<Duration> = ContinuousClock()
    ) {
        self.store = store
        self.box = box
        self.audits = audits
        self.workflows = workflows
        self.limits = limits
        self.pageAddress = pageAddress
        room = ApprovalWaitingRoom(store, pacing: pacing)
        judge = model.map(ApprovalJudge.init)
        holder = .current()
    }

    /// How many calls wait in this process.
    package var parkedCount: Int { room.count }

    // MARK: - Asking

    /// What is asked for.
    struct Draft: Sendable {
        var kind: ApprovalTable.Request.Kind = .call
        var tool: String
        /// Of another server's tool; nil for Preloop's own.
        var identity: ToolIdentity?
        /// What would run, or what the question says.
        var arguments: JSONObject
        var caller: Caller
        var digest: [UInt8]
        var demand: ApprovalDemand
        var justification: String?
        /// Of the call; nil where there is none.
        var session: String?
    }

    /// The workflow of a demand, with the people of its escalation workflow where a model judges.
    func workflow(named name: String?) async throws(ApprovalRefusal) -> ApprovalWorkflow {
        let found: ApprovalWorkflow?
        do {
            found = try await workflows(name)
        } catch {
            throw .unavailable(reason: "the approval workflows cannot be read: \(error)")
        }
        guard var workflow = found else { throw .unknownWorkflow(name: name ?? "default") }
        if let next = workflow.escalationWorkflow, workflow.judge != nil {
            guard let people = try? await workflows(next) else {
                // Which of both went wrong, the name says.
                throw .unknownWorkflow(name: next)
            }
            let (name, judge) = (workflow.name, workflow.judge)
            workflow = people
            workflow.name = name
            workflow.judge = judge
        }
        return workflow
    }

    /// The workflows of a demand, each once, in the order they are asked: all of them have to
    /// approve.
    ///
    /// - Throws: ``ApprovalRefusal`` when one of them is not there, or they are too many to be
    ///   asked.
    func askedWorkflows(
        of demand: ApprovalDemand
    ) async throws(ApprovalRefusal) -> [ApprovalWorkflow] {
        var found: [ApprovalWorkflow] = []
        for name in demand.workflows {
            let next = try await workflow(named: name)
            // One that is named, and is the default one as well, is asked once.
            let isThere = found.contains { haveEqualBytes($0.name, next.name) && $0 == next }
            if !isThere { found.append(next) }
        }
        // Answers, digests and records know a workflow by its name.
        let names = Set(found.map { Array($0.name.utf8) })
        guard names.count == found.count else {
            throw .unavailable(reason: "two workflows of one name would have to approve")
        }
        guard found.count <= Self.maximumWorkflows else {
            throw .unavailable(
                reason: "\(found.count) workflows would have to approve, more than can be asked"
            )
        }
        return found
    }

    /// Workflows that are asked about one call: each has minutes of its own.
    static let maximumWorkflows = 10

    /// Writes a request, or gives the one that is open about the same call.
    func open(
        _ draft: Draft
    ) async throws(ApprovalRefusal) -> (request: ApprovalRequest, isNew: Bool) {
        let asked = try await askedWorkflows(of: draft.demand)
        let now = store.clock.now()
        let id = TimeOrderedIdentifier.make(at: now)
        let requester = Approver(draft.caller.name) ?? Approver(.local, draft.caller.name)
        let state = ApprovalState(workflows: asked, requester: requester, at: now)
        do {
            let box = try self.box()
            let redactor = Redactor(key: box.redactionKey(of: store.account))
            var request = ApprovalTable.Request(
                id: id,
                kind: draft.kind,
                tool: draft.tool,
                requester: requester.text,
                channel: draft.caller.channel.rawValue,
                digest: box.bindingDigest(of: draft.digest, account: store.account),
                sealedCall: try box.seal(
                    bytes: JSONValue.object(draft.arguments).serialized(),
                    for: .heldCall(id, account: store.account)
                ),
                requestedAt: now
            )
            request.identity = draft.identity?.description
            request.credential = draft.caller.credential
            request.workflow = ApprovalRequest.names(asked)
            request.terms = ApprovalRequest.terms(state.workflows)
            request.rule = draft.demand.rule.map { "\($0.selector)[\($0.index)]" }
            request.message = draft.demand.message
            request.justification = draft.justification.map { redactor.redact(text: $0).text }
            request.policyVersion = draft.demand.policyVersion
            request.shown = ShownArguments.cut(
                ShownArguments.redacted(draft.arguments, redactor)
            )
            let written = try await write(request, state)
            if written.id == id { sessions.note(draft.session, of: id) }
            return (written, written.id == id)
        } catch let refusal as ApprovalRefusal {
            throw refusal
        } catch {
            throw .unavailable(reason: "the request cannot be kept: \(error)")
        }
    }

    private func write(
        _ request: ApprovalTable.Request,
        _ state: ApprovalState
    ) async throws -> ApprovalRequest {
        let (limits, now) = (limits, request.requestedAt)
        let life = ApprovalTable.Life(state)
        let jobs = ApprovalJobs.drafts(for: request, state)
        return try await store.writeOutsideFeed { connection, account in
            let open = try ApprovalTable.open(
                digest: request.digest,
                requester: request.requester,
                workflow: request.workflow,
                approvedSince: now.advanced(by: .zero - limits.grant),
                account: account,
                on: connection
            )
            if let open {
                let found = try ApprovalRequest(open)
                if !found.state.isPending || found.state.expiresAt > now { return found }
                // Its end may be that of its first window alone: more people are asked then.
                let passed = try passTime(found.id, now, account, connection)
                if let passed, passed.state.isPending { return passed }
            }
            try makeSure(thereIsRoomFor: request, account, connection)
            try ApprovalTable.insert(request, life, account: account, on: connection)
            try record(
                .init(
                    "approval_requested",
                    actor: request.requester,
                    detail: state.words,
                    at: now
                ),
                of: request,
                account,
                connection
            )
            for job in jobs { try JobTable.enqueue(job, account: account, on: connection) }
            guard
                let row = try ApprovalTable.find(request.id, account: account, on: connection)
            else { throw StoreError.unexpectedValue(column: "approval_requests.id") }
            return try ApprovalRequest(row)
        }
    }

    private func makeSure(
        thereIsRoomFor request: ApprovalTable.Request,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        let bounds: [(String?, Int)] = [
            (nil, limits.pending), (request.requester, limits.pendingOfOne),
        ]
        for (requester, limit) in bounds {
            let count = try ApprovalTable.pendingCount(
                of: requester,
                at: request.requestedAt,
                account: account,
                on: connection
            )
            guard count < limit else {
                throw ApprovalRefusal.crowded(limit: limit, isOfRequester: requester != nil)
            }
        }
        guard request.kind == .answer else { return }
        let bytes = try ApprovalTable.answerBytes(
            of: request.requester,
            account: account,
            on: connection
        )
        guard bytes + request.sealedCall.bytes.count <= limits.answerBytes else {
            throw ApprovalRefusal.unavailable(
                reason: "the caller's answers that wait have \(bytes) bytes already"
            )
        }
    }

    /// The digest of a binding as it is stored: under the installation's key, so that nobody who
    /// reads the database finds out by trying what the call holds.
    func storedDigest(of binding: [UInt8]) throws -> [UInt8] {
        try box().bindingDigest(of: binding, account: store.account)
    }

    /// The call that waits, opened.
    func heldArguments(of request: ApprovalRequest) throws -> JSONObject {
        let bytes = try box().openBytes(
            request.row.request.sealedCall,
            for: .heldCall(request.id, account: store.account)
        )
        guard case .object(let arguments) = try JSONParser.parse(bytes) else {
            throw StoreError.unexpectedValue(column: "approval_requests.sealed_call")
        }
        return arguments
    }

    /// A request as it is stored, without letting time pass over it; nil when there is none.
    func stored(_ id: String) async throws -> ApprovalRequest? {
        try await store.read { connection, account in
            try ApprovalTable.find(id, account: account, on: connection)
                .map { row in try ApprovalRequest(row) }
        }
    }

    /// Whether this process has the key that a request was sealed with.
    func opens(_ request: ApprovalRequest) -> Bool {
        // Why not, whoever wants the call hears; here it is another process's in any case.
        (try? heldArguments(of: request)) != nil
    }

    /// Everything that the call holds but its secrets, for whoever decides about it; of an answer
    /// that is over, what was kept to be shown.
    package func wholeArguments(of request: ApprovalRequest) throws -> JSONValue {
        let redactor = Redactor(key: try box().redactionKey(of: store.account))
        let held = try heldArguments(of: request)
        let isOver = request.row.request.kind == .answer && held.members.isEmpty
        return isOver ? request.row.request.shown : ShownArguments.redacted(held, redactor)
    }

    /// The same for a model elsewhere: of an answer, which nobody has allowed to go anywhere,
    /// without anything that a rule could find.
    func argumentsForModels(of request: ApprovalRequest) throws -> JSONValue {
        let whole = try wholeArguments(of: request)
        guard request.row.request.kind == .answer else { return whole }
        let redactor = Redactor(key: try box().redactionKey(of: store.account))
        return redactor.redact(whole, kinds: Set(SensitiveKind.allCases)).value
    }

    /// What came of the call; nil when nothing has.
    func heldResult(of request: ApprovalRequest) throws -> JSONValue? {
        guard let sealed = request.row.sealedResult else { return nil }
        let bytes = try box().openBytes(
            sealed,
            for: .heldResult(request.id, account: store.account)
        )
        return try JSONParser.parse(bytes)
    }

    // MARK: - Recording

    /// Writes what happened to a request into its history and into the audit.
    ///
    /// Inside the transaction of what happened: a decision that cannot be recorded is none.
    func record(
        _ event: ApprovalEventTable.Event,
        of request: ApprovalTable.Request,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws {
        try ApprovalEventTable.append(event, to: request.id, account: account, on: connection)
        let audit = try audit()
        try audit.append(
            [AuditTable.Event(event, of: request, audit.keys.redactor)],
            at: event.at,
            account: account,
            on: connection
        )
    }

    private func audit() throws -> AuditWriter {
        try audits.writer(of: store.account) {
            try AuditKeys(box(), account: store.account)
        }
    }

    // MARK: - Running

    /// Takes the right to run what was approved; true once for each request, whatever dies.
    ///
    /// INVARIANT: nothing runs by the word of a user who has lost the right to say it meanwhile.
    /// Such an approval is spent, so that the same call is asked about anew.
    ///
    /// - Returns: Whether it was there to be taken.
    /// - Throws: ``ApprovalRefusal/lostApprover(_:)``, and what the store refuses.
    func claim(_ id: String) async throws -> Bool {
        let (now, grant, holder) = (store.clock.now(), limits.grant, holder.text)
        let found = try await store.writeOutsideFeed { connection, account -> (Bool, Approver?) in
            if let lost = try spendLost(id, now, account, connection) { return (false, lost) }
            let isOurs = try ApprovalTable.claim(
                id,
                by: holder,
                at: now,
                approvedSince: now.advanced(by: .zero - grant),
                account: account,
                on: connection
            )
            guard isOurs, let row = try ApprovalTable.find(id, account: account, on: connection)
            else { return (false, nil) }
            try record(.init("execution_started", at: now), of: row.request, account, connection)
            return (true, nil)
        }
        guard let lost = found.1 else { return found.0 }
        room.wake(id)
        throw ApprovalRefusal.lostApprover(lost.text)
    }

    /// Spends an approval that has not been used, where somebody who gave it may not decide any
    /// more; gives who that is.
    private func spendLost(
        _ id: String,
        _ now: Timestamp,
        _ account: AccountID,
        _ connection: any SQLConnection
    ) throws -> Approver? {
        guard
            let row = try ApprovalTable.find(
                id,
                locked: true,
                withSealed: false,
                account: account,
                on: connection
            ), row.execution == .none
        else { return nil }
        let request = try ApprovalRequest(row)
        guard request.status == .approved,
            let lost = try Self.lostApprover(of: request, account, connection),
            try ApprovalTable.relinquish(id, account: account, on: connection)
        else { return nil }
        let event = ApprovalEventTable.Event(
            "approval_void",
            detail: "\(lost.text), who approved it, may not decide approvals any more",
            at: now
        )
        try record(event, of: row.request, account, connection)
        return lost
    }

    /// Keeps what came of a run; a result that cannot be sealed is kept as done without one.
    func complete(_ id: String, _ result: JSONValue) async throws {
        let now = store.clock.now()
        let sealed = try box().seal(
            bytes: result.serialized(),
            for: .heldResult(id, account: store.account)
        )
        let isError = result["isError"]?.bool == true
        try await store.writeOutsideFeed { connection, account in
            try ApprovalTable.complete(id, sealed, at: now, account: account, on: connection)
            guard let row = try ApprovalTable.find(id, account: account, on: connection) else {
                return
            }
            let event = ApprovalEventTable.Event(
                isError ? "execution_failed" : "executed",
                at: now
            )
            try record(event, of: row.request, account, connection)
        }
        room.wake(id)
    }

    /// Takes the right to see an answer, and keeps what its caller gets, in one step: whoever dies
    /// before it has taken nothing.
    ///
    /// However long ago it was approved: unlike a call it cannot be asked for again.
    ///
    /// - Returns: Whether it was there to be taken.
    func release(_ id: String, _ answer: JSONValue) async throws -> Bool {
        let (now, holder) = (store.clock.now(), holder.text)
        let bytes = answer.serialized()
        let sealed = try box().seal(
            bytes: bytes,
            for: .heldResult(id, account: store.account)
        )
        // One copy is enough.
        let nothing = try sealedNothing(of: id)
        let event = ApprovalEventTable.Event(
            "answer_released",
            detail: "\(bytes.count) bytes, SHA-256 \(hexadecimal(Array(SHA256.hash(data: bytes))))",
            at: now
        )
        let isOurs = try await store.writeOutsideFeed { connection, account in
            guard
                try ApprovalTable.claim(
                    id,
                    by: holder,
                    at: now,
                    approvedSince: Timestamp(milliseconds: 0),
                    account: account,
                    on: connection
                ), let row = try ApprovalTable.find(id, account: account, on: connection)
            else { return false }
            try ApprovalTable.complete(
                id,
                sealed,
                sealing: nothing,
                at: now,
                account: account,
                on: connection
            )
            try record(event, of: row.request, account, connection)
            return true
        }
        room.wake(id)
        return isOurs
    }

    /// What is sealed in place of an answer that is not kept there any longer: whoever has the key
    /// can still tell that it is the right one.
    func sealedNothing(of id: String) throws -> SealedSecret {
        try box().seal(
            bytes: JSONValue.object(JSONObject()).serialized(),
            for: .heldCall(id, account: store.account)
        )
    }

    /// Whether a run has begun and its process is gone: nobody knows what it did.
    func isOutcomeUnknown(_ request: ApprovalRequest) -> Bool {
        guard request.row.execution == .claimed, let claimedAt = request.row.claimedAt
        else { return false }
        if let text = request.row.claimedBy, let holder = LeaseHolder(text: text),
            holder.isKnownDead
        {
            return true
        }
        return claimedAt.advanced(by: limits.run) < store.clock.now()
    }

    /// Removes some of the requests that were decided long ago.
    func prune() async throws {
        let before = store.clock.now().advanced(by: .zero - limits.retention)
        _ = try await store.writeOutsideFeed { connection, account in
            try ApprovalTable.prune(
                before: before,
                limit: Self.pruned,
                account: account,
                on: connection
            )
        }
    }

    /// More than one request makes, so that old ones become fewer.
    private static let pruned = 10
}
