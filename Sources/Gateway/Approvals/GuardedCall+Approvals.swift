import Domain
import Firewall
import MCP
import Store

/// Calls that wait for somebody's approval: held, released, run as exactly what was approved.
extension GuardedCall {
    /// A call that its policy lets run only when somebody approves.
    ///
    /// A reference, like ``ApprovalRequest``.
    final class HeldCall: Sendable {
        let entry: ToolSet.Entry
        let arguments: JSONObject
        /// Who makes it, with what its policy may ask for.
        let source: CallSource
        let demand: ApprovalDemand
        /// What its caller says about why.
        let justification: String?
        /// Whether the client can have its person open a page.
        let opensPages: Bool

        init(
            entry: ToolSet.Entry,
            arguments: JSONObject,
            source: CallSource,
            demand: ApprovalDemand,
            justification: String? = nil,
            opensPages: Bool = false
        ) {
            self.entry = entry
            self.arguments = arguments
            self.source = source
            self.demand = demand
            self.justification = justification
            self.opensPages = opensPages
        }

        /// The same call of the tool as it is now.
        func meeting(_ entry: ToolSet.Entry) -> HeldCall {
            HeldCall(
                entry: entry,
                arguments: arguments,
                source: source,
                demand: demand,
                justification: justification,
                opensPages: opensPages
            )
        }

        /// The members of what is kept that hold what no argument is.
        static let answersKey = "preloop:answers"
        static let metaKey = "preloop:meta"

        /// What is kept of the call, and shown to those who decide.
        var kept: JSONObject { Self.kept(arguments, source.extras) }

        /// Everything that a call tells the tool's server: its arguments, what it answers to
        /// questions, and what it says in `_meta`.
        static func kept(_ arguments: JSONObject, _ extras: Extras) -> JSONObject {
            var kept = arguments
            for (key, value) in [(answersKey, extras.inputs), (metaKey, extras.meta)]
            where !value.members.isEmpty {
                kept.append(key: key, value: .object(value))
            }
            return kept
        }

        /// The arguments of what was kept, and what stood beside them.
        ///
        /// An argument of such a name is taken for what it names; what is decided is the digest,
        /// which tells the two apart.
        static func opened(_ kept: JSONObject) -> (arguments: JSONObject, extras: Extras) {
            var (arguments, extras) = (kept, Extras())
            if let meta = arguments.removeLast(named: metaKey) { extras.meta = meta }
            if let answers = arguments.removeLast(named: answersKey) { extras.inputs = answers }
            return (arguments, extras)
        }
    }

    /// How long a call waits before its caller gets a handle: clients give up after a minute.
    static let holdTime: Duration = .seconds(50)
    /// How often a waiting caller hears that nothing has happened.
    static let progressInterval: Duration = .seconds(5)

    /// Holds a call until it is decided, and runs it; gives a handle where that takes too long.
    ///
    /// The call is on record before it waits. When its task is cancelled, its request is.
    func hold(
        _ held: HeldCall,
        _ call: ToolCallTable.Call,
        report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        var call = call
        call.decision = .requireApproval
        guard let approvals else {
            return await refuse(call, Self.unanswerable(held.demand))
        }
        let request: ApprovalRequest
        let isNew: Bool
        do {
            let (version, identity) = (held.demand.policyVersion, held.entry.identity)
            let workflows = try await approvals.askedWorkflows(of: held.demand)
            let digest = try digest(of: held, policyVersion: version, workflows)
            // The approved run itself comes first: it is used up by its claim.
            let earlier = try await approvals.remembered(
                digest,
                by: workflows,
                session: held.source.session
            )
            if let earlier, earlier.row.execution != .none {
                call.approvalID = earlier.id
                call.add(reason: "remembered approval \(earlier.id)")
                return await run(held.entry, held.arguments, call, held.source, report)
            }
            (request, isNew) = try await approvals.open(
                ApprovalDesk.Draft(
                    tool: held.entry.definition.name,
                    identity: identity.server == nil ? nil : identity,
                    arguments: held.kept,
                    caller: held.source.caller,
                    digest: digest,
                    demand: held.demand,
                    justification: held.justification,
                    session: held.source.session
                )
            )
        } catch {
            // Whatever keeps a request from being made keeps the call from running.
            return await refuse(call, "needs an approval that cannot be asked for: \(error)")
        }
        call.approvalID = request.id
        call.add(reason: request.reference)
        do {
            try await journal.begin(call)
        } catch {
            if isNew { await withdraw(request.id) }
            return .failure("The call did not run, for it could not be recorded: \(error).")
        }
        return await release(held, request, isNew: isNew, call, report)
    }

    private func refuse(_ call: ToolCallTable.Call, _ reason: String) async -> ToolResult {
        var call = call
        call.add(reason: reason)
        call.outcome = .denied
        return await refusal(call, .failure("Access denied: \(reason)", .denied))
    }

    /// Waits for the decision and acts on it; the call is on record as begun.
    private func release(
        _ held: HeldCall,
        _ request: ApprovalRequest,
        isNew: Bool,
        _ call: ToolCallTable.Call,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        guard let approvals else { return await refuse(call, Self.unanswerable(held.demand)) }
        let start = ContinuousClock.now
        func ended(_ outcome: ToolCallTable.Outcome, _ result: ToolResult) async -> ToolResult {
            await complete(call, outcome, result.answered, since: start)
            return result
        }
        // A task is asked for how it stands, and keeps nobody; a model that decides is fast.
        if held.source.takesTasks, request.state.isPending, request.state.terms.judge == nil {
            return await ended(.held, ApprovalAnswer.task(of: request, approvals))
        }
        // Who comes back joins the request, and is held like others.
        if isNew, held.opensPages, let asking = page(of: request, held, approvals) {
            return await ended(.held, asking)
        }
        let decided: ApprovalRequest
        do {
            let isAsynchronous = request.state.terms.isAsynchronous
            decided =
                isAsynchronous && request.state.terms.judge == nil
                ? request
                : try await decision(
                    about: request,
                    held.source,
                    within: isAsynchronous ? .zero : Self.holdTime,
                    isNew: isNew,
                    report
                )
        } catch {
            if Task.isCancelled {
                // A request that somebody else made, or a handle was given for, goes on.
                if isNew { await withdraw(request.id) }
                let text = "The call was cancelled. It did not run."
                return await ended(.cancelled, .failure(text, .cancelled))
            }
            return await ended(.failed, .failure("The call did not run: \(error)."))
        }
        switch decided.status {
        case .pending:
            let answer =
                held.source.takesTasks
                ? ApprovalAnswer.task(of: decided, approvals)
                : ApprovalAnswer.handle(decided, of: held.entry.definition, approvals)
            return await ended(.held, answer)
        case .approved: return await perform(decided, held, call, report)
        case .declined, .expired, .cancelled:
            let outcome: ToolCallTable.Outcome = decided.status == .expired ? .expired : .denied
            return await ended(outcome, .failure(ApprovalAnswer.refusal(decided), .denied))
        }
    }

    /// The page of a request, with a pass for whoever made the call; nil where there is none.
    private func page(
        of request: ApprovalRequest,
        _ held: HeldCall,
        _ approvals: ApprovalDesk
    ) -> ToolResult? {
        // Without a key nothing is held; a call that cannot be digested waits like others.
        guard
            let call = try? ApprovalPass.digest(
                of: held.entry.definition.name,
                held.arguments,
                by: held.source.caller
            ), let pass = try? approvals.pass(for: request, call, by: held.source.caller)
        else { return nil }
        return ApprovalAnswer.page(of: request, approvals, pass: pass)
    }

    /// Why what a client brings back from a page is not honoured; nil when it is, or it brings
    /// nothing.
    func passFault(_ pass: String?, _ tool: String, _ source: CallSource, _ arguments: JSONObject)
        -> String?
    {
        guard let pass else { return nil }
        guard let approvals else { return "`requestState` is not one that was given here" }
        do {
            let call = try ApprovalPass.digest(of: tool, arguments, by: source.caller)
            return try approvals.fault(of: pass, for: call, by: source.caller)
        } catch {
            return "`requestState` cannot be read at the moment"
        }
    }

    /// Waits for the decision; a client of an older revision that can open pages is asked to open
    /// the request's meanwhile, one that can only show questions is told whom the call waits for.
    func decision(
        about request: ApprovalRequest,
        _ source: CallSource,
        within limit: Duration,
        isNew: Bool,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async throws -> ApprovalRequest {
        guard let approvals else { return request }
        let wait: @Sendable () async throws -> ApprovalRequest = {
            try await approvals.decision(
                about: request,
                within: limit,
                asksModel: isNew
            ) { elapsed, state in
                await report(.progress(Self.progress(elapsed, state)))
            }
        }
        guard isNew, let (ask, question) = Self.question(of: request, source, approvals) else {
            return try await wait()
        }
        return try await withThrowingTaskGroup(of: ApprovalRequest?.self) { group in
            group.addTask {
                let answer = try? await ask("elicitation/create", question).get()
                // INVARIANT: nothing that the client answers approves: it is the agent's own.
                // Whether a page was opened changes nothing either: who decides does it there. To
                // take its own call back, or to do without its answer, is every caller's right.
                if question["mode"] == "form", answer?["action"] == "decline" {
                    await withdraw(request.id)
                }
                return nil
            }
            group.addTask { try await wait() }
            defer { group.cancelAll() }
            for try await decided in group {
                if let decided { return decided }
            }
            return request
        }
    }

    private typealias Ask = @Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>

    /// How a client of an older revision is asked to open a page, or told what its call waits for;
    /// nil where it can do neither.
    private static func question(
        of request: ApprovalRequest,
        _ source: CallSource,
        _ approvals: ApprovalDesk
    ) -> (Ask, JSONObject)? {
        let extras = source.extras
        guard !extras.isModern, let ask = extras.ask,
            let able = extras.capabilities["elicitation"]?.object
        else { return nil }
        if able["url"] != nil, var question = ApprovalAnswer.question(about: request, approvals) {
            question.append(key: "elicitationId", value: .string(request.id))
            return (ask, question)
        }
        // Clients from before there were pages declare elicitation without saying which. A model
        // that decides is fast, and people are not asked before it.
        guard able["form"] != nil || able["url"] == nil, request.state.terms.judge == nil else {
            return nil
        }
        return (ask, ApprovalAnswer.form(about: request, approvals))
    }

    /// Runs an approved call, which is on record as begun, unless it has run already.
    func perform(
        _ request: ApprovalRequest,
        _ held: HeldCall,
        _ call: ToolCallTable.Call,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        let start = ContinuousClock.now
        func denied(_ reason: String) async -> ToolResult {
            let result = ToolResult.failure("Access denied: \(reason)", .denied)
            await complete(call, .denied, result.answered, since: start)
            return result
        }
        // The tool may have gone or become another one while the call waited.
        let (name, source) = (held.entry.definition.name, held.source)
        guard let entry = await entry(named: name, held.arguments, source) else {
            return await denied("the tool `\(name)` is not there any more")
        }
        let current = held.meeting(entry)
        if let reason = await changed(request, current) { return await denied(reason) }
        guard let approvals else { return await refuse(call, Self.unanswerable(held.demand)) }
        do {
            guard try await approvals.claim(request.id) else {
                let text = """
                    The approval was used by an equal call, or is over. `get_approval_status` with \
                    request_id \(request.id) shows what came of it; call again for a new approval.
                    """
                let result = ToolResult.failure(text)
                await complete(call, .denied, result.answered, since: start)
                return result
            }
        } catch let refusal as ApprovalRefusal {
            return await denied("\(refusal) (request \(request.id)); call again")
        } catch {
            let isCancelled = Task.isCancelled
            let result =
                isCancelled
                ? ToolResult.failure("The call was cancelled. It did not run.", .cancelled)
                : .failure("The call did not run: \(error).")
            let outcome: ToolCallTable.Outcome = isCancelled ? .cancelled : .failed
            await complete(call, outcome, result.answered, since: start)
            return result
        }
        // Who waited for the approval of the call does not wait for that of its answer, too.
        let result = await perform(entry, held.arguments, call, source, report, waits: false)
        do {
            // Not cancelled with the caller: what has happened is kept.
            let kept = Self.kept(result)
            try await Task { try await approvals.complete(request.id, kept) }.value
        } catch {
            await report(.log(.error, "the result of an approved call was not kept: \(error)"))
        }
        return result
    }

    /// The result as it is kept for those who ask later; one that is too great is told of.
    private static func kept(_ result: ToolResult) -> JSONValue {
        // A handle in place of what the tool would have given is kept as what it is.
        let handle = result.original == nil ? result.structured.map { ToolResult($0) } : nil
        let json = JSONValue.object((handle ?? result).json(for: .latest))
        let count = json.serialized().count
        guard count > keptBytes else { return json }
        let text = "The call has run; its answer of \(count) bytes was too great to be kept."
        return .object(ToolResult(.string(text)).json(for: .latest))
    }

    /// What the store keeps of an answer for three months; servers may give pictures and sound.
    private static let keptBytes = 4 << 20

    /// The tool of a held call as it is now; nil when its caller has none of that name.
    func entry(
        named name: String,
        _ arguments: JSONObject,
        _ source: CallSource
    ) async -> ToolSet.Entry? {
        var found = await tools.usableEntry(named: name)
        if found == nil {
            // Requests that are handed on are named by their methods; nobody answers others.
            found = try? await tools.source?.responder(to: name, arguments, for: source.caller)
        }
        guard let found, await isVisible(found, to: source.caller) else { return nil }
        return found
    }

    /// Why what was approved is not what would run now; nil when it is.
    ///
    /// The policy is asked again, about the call as it comes now: one that has changed in between
    /// counts, and so does a client that has to ask other people. What is asked for now may be less
    /// than what was approved, never more.
    func changed(_ request: ApprovalRequest, _ held: HeldCall) async -> String? {
        let stored = request.row.request
        // What cannot be computed is not what was approved.
        let found = try? approvals?.storedDigest(
            of: digest(
                of: held,
                policyVersion: stored.policyVersion,
                request.state.workflows
            )
        )
        guard let found, found == stored.digest else {
            return "the call is not the one that was approved (request \(request.id))"
        }
        switch await decision(on: held) {
        case .allow: return nil
        case .deny(let reason): return reason
        case .requireApproval(let demand):
            guard demand.policyVersion == stored.policyVersion else {
                return """
                    the policy has changed since the call was approved (request \(request.id)); \
                    call again
                    """
            }
            // One that cannot be found is not the one that was asked.
            let wanted = try? await approvals?.askedWorkflows(of: demand)
            guard let wanted, request.isApproved(by: wanted) else {
                return """
                    the call needs an approval by another workflow than the one that approved it \
                    (request \(request.id)); call again
                    """
            }
            return nil
        }
    }

    /// The digest of a call under the policy that asks for its approval.
    private func digest(
        of held: HeldCall,
        policyVersion: Int64,
        _ workflows: [ApprovalWorkflow]
    ) throws -> [UInt8] {
        var binding = CallBinding(
            tool: held.entry.definition.name,
            definition: held.entry.definition.json(),
            arguments: held.arguments,
            principal: held.source.caller.name,
            policyVersion: policyVersion
        )
        binding.destination = held.entry.destination
        binding.answers = held.source.extras.inputs
        binding.meta = held.source.extras.meta
        // Of one alone nothing is said, as before there could be several.
        if workflows.count > 1 { binding.workflows = workflows.map(\.name) }
        return try binding.digest()
    }

    private static func progress(
        _ elapsed: Duration,
        _ request: ApprovalRequest
    ) -> ServerSession.Progress {
        let people = request.state.askedNames
        let asked = people.isEmpty ? "somebody" : people.joined(separator: ", ")
        return ServerSession.Progress(
            done: min(99, elapsed / holdTime * 100),
            total: 100,
            message: "waiting for \(asked) to approve request \(request.id)"
        )
    }

    // MARK: - Questions

    /// Asks people about something in words, and waits like a call does.
    func ask(
        _ question: JSONObject,
        workflow: String?,
        reasoning: String,
        by caller: Caller,
        report: @escaping @Sendable (Event) async -> Void
    ) async throws -> JSONValue {
        guard let approvals else {
            throw ToolFailure("this installation has nobody to ask")
        }
        var demand = ApprovalDemand(policyVersion: 0)
        demand.workflow = workflow
        let binding = CallBinding(
            tool: "request_approval",
            definition: .null,
            arguments: question,
            principal: caller.name,
            policyVersion: 0
        )
        var asked: String?
        do {
            let (request, isNew) = try await approvals.open(
                ApprovalDesk.Draft(
                    kind: .question,
                    tool: "request_approval",
                    arguments: question,
                    caller: caller,
                    digest: try binding.digest(),
                    demand: demand,
                    justification: reasoning
                )
            )
            // A question that was joined waits for whoever asked it first, too.
            if isNew { asked = request.id }
            guard !request.state.terms.isAsynchronous else {
                return try await ApprovalAnswer.status(request, approvals, problem: nil)
            }
            let decided = try await approvals.decision(
                about: request,
                within: Self.holdTime,
                asksModel: isNew
            ) { elapsed, state in
                await report(.progress(Self.progress(elapsed, state)))
            }
            return try await ApprovalAnswer.status(decided, approvals, problem: nil)
        } catch let refusal as ApprovalRefusal {
            throw ToolFailure("\(refusal)", hint: refusal.hint)
        } catch let error as CancellationError {
            if let asked { await withdraw(asked) }
            throw error
        }
    }

    /// Takes a request back whose caller is gone; not cancelled itself, lest it wait for nobody.
    private func withdraw(_ id: String) async {
        // A store that fails leaves it to expire.
        await Task { _ = try? await approvals?.cancel(id) }.value
    }
}

extension JSONObject {
    /// Takes the last member away, where it has that name and holds an object.
    mutating func removeLast(named key: String) -> JSONObject? {
        guard let last = members.last, haveEqualBytes(last.key, key),
            let value = last.value.object
        else { return nil }
        removeLast()
        return value
    }
}
