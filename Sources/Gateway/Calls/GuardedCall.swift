import Crypto
package import Domain
import Firewall
package import MCP
package import Store

/// Runs tools: decide, record, run, record.
///
/// The only code that can.
///
/// A call is on record before it runs; when that fails, it does not run. What is denied, wrong or
/// unknown is on record too. A call that is cancelled or takes too long is stopped, and its record
/// says so.
package struct GuardedCall: Sendable {
    /// What one call may take.
    package struct Limits: Sendable, Equatable {
        /// Longer calls are stopped: clients give up after one to five minutes.
        package var time: Duration = .seconds(120)
        /// A greater answer is refused: no model reads a megabyte of text.
        ///
        /// Pictures and all else that another server gives count too.
        package var resultBytes = 4 << 20
        /// How often the list of somebody who listens is looked at: another process may have
        /// changed what it depends on.
        package var listInterval: Duration = .seconds(2)

        package init() {}
    }

    /// What a call tells while it runs.
    package enum Event: Sendable {
        case progress(ServerSession.Progress)
        case log(LogLevel, String)
        /// What another server noticed: the parameters of its own message.
        case message(LogLevel, JSONObject)
    }

    /// Everything about a call but its caller.
    package struct Request: Sendable {
        package var tool: String
        package var arguments: JSONObject
        /// What the client says of itself, for the record.
        package var client: ClientDescription?
        package var traceParent: String?
        /// The connection or session that it came by, for the record; nil where there is none.
        package var session: String?
        /// Whether the client can have its person open a page, and come back with the same call.
        package var opensPages = false
        /// Whether the client takes a task in place of a result.
        package var takesTasks = false
        /// What comes with it and is handed on to the server of the tool.
        package var extras = Extras()
        /// What the client brings back from the page of an approval; nil when it does not.
        var pass: String?

        package init(tool: String, arguments: JSONObject) {
            self.tool = tool
            self.arguments = arguments
        }
    }

    let tools: ToolSet
    let policy: any CallPolicy
    /// What the lists of all callers depend on.
    let grounds: ListGrounds
    let journal: any CallJournal
    /// Nil where nothing is looked for.
    let sensitive: SensitiveValues?
    /// Holds calls that somebody has to approve; nil where none are held, which refuses them.
    package let approvals: ApprovalDesk?
    let clock: WallClock
    private let limits: Limits
    private let timer: CallTimer

    /// - Parameters:
    ///   - tools: What can be called.
    ///   - policy: Decides who sees and calls what.
    ///   - journal: Keeps every call.
    ///   - sensitive: Looks through arguments and results.
    ///   - approvals: Holds calls that somebody has to approve.
    ///   - clock: Dates the records.
    ///   - limits: What one call may take.
    ///   - stopwatch: Measures the time limit.
    package init(
        tools: ToolSet,
        policy: any CallPolicy,
        journal: any CallJournal,
        sensitive: SensitiveValues? = nil,
        approvals: ApprovalDesk? = nil,
        clock: WallClock = .system,
        limits: Limits = Limits(),
        stopwatch: any Clock<Duration> = ContinuousClock()
    ) {
        self.tools = tools
        self.policy = policy
        grounds = ListGrounds(tools, policy, interval: limits.listInterval)
        self.journal = journal
        self.sensitive = sensitive
        self.approvals = approvals
        self.clock = clock
        self.limits = limits
        timer = CallTimer(limit: limits.time, stopwatch: stopwatch)
    }

    /// The policy, where it is one that is kept in the store.
    package var policyBook: PolicyBook? { policy as? PolicyBook }

    /// Calls a tool.
    ///
    /// - Parameters:
    ///   - request: Which one, and with what.
    ///   - caller: On whose behalf.
    ///   - report: Told how far it is; in order, one after the other.
    /// - Returns: What the tool gave, or an error that its caller can read and act on; the error of
    ///   the protocol that another server answered with is its ``ToolResult/protocolError``.
    /// - Throws: ``RPCError`` when there is no such tool for the caller.
    package func run(
        _ request: Request,
        by caller: Caller,
        report: @escaping @Sendable (Event) async -> Void = { _ in }
    ) async throws(RPCError) -> ToolResult {
        let found = await tools.usableEntry(named: request.tool)
        return try await run(request, found, by: caller, report: report)
    }

    /// The same for a tool that was looked up; nil for one that there is not.
    func run(
        _ request: Request,
        _ found: ToolSet.Entry?,
        by caller: Caller,
        report: @escaping @Sendable (Event) async -> Void
    ) async throws(RPCError) -> ToolResult {
        var request = request
        request.prepare(for: found?.identity)
        var call = record(of: request, by: caller)
        if let found { call.take(found.identity) }
        guard let entry = found, await isVisible(entry, to: caller) else {
            call.outcome = .unknownTool
            // Nothing ran; a record that fails changes nothing about the answer.
            _ = await refusal(call, .failure(""))
            throw .unknownTool(request.tool)
        }
        var reason: String?
        if let refused = await takeReason(&reason, from: &request, entry, &call) {
            return await refusal(call, refused)
        }
        let violations = entry.schema.violations(of: .object(request.arguments))
        guard violations.isEmpty else {
            call.outcome = .invalid
            let lines = violations.map { "- \($0)" }.joined(separator: "\n")
            let text = "The arguments of `\(entry.definition.name)` are not right:\n\(lines)"
            return await refusal(call, .failure(text))
        }
        let given = CallSource(request, by: caller)
        let screening = await screenArguments(&request, &reason, entry, given, &call)
        if case .refused(let refused) = screening { return await refusal(call, refused) }
        let source = CallSource(request, by: caller)
        let name = entry.definition.name
        if let fault = passFault(request.pass, name, source, request.arguments) {
            let denied = deny(&call, fault)
            return await refusal(call, denied)
        }
        let ruling = await ruling(on: request.arguments, entry, source)
        call.note(ruling)
        switch ruling.decision(after: screening) {
        case .allow: call.decision = .allow
        case .deny(let reason):
            let denied = deny(&call, reason)
            return await refusal(call, denied)
        case .requireApproval(let demand):
            let held = HeldCall(
                entry: entry,
                arguments: request.arguments,
                source: source,
                demand: demand,
                justification: reason,
                opensPages: request.opensPages
            )
            return await hold(held, call, report: report)
        }
        return await run(entry, request.arguments, call, source, report)
    }

    // MARK: - Deciding

    /// Takes what its caller says about why out of the arguments of a call.
    ///
    /// - Returns: What the caller hears when the call must not go on.
    private func takeReason(
        _ reason: inout String?,
        from request: inout Request,
        _ entry: ToolSet.Entry,
        _ call: inout ToolCallTable.Call
    ) async -> ToolResult? {
        let mode: JustificationMode?
        do {
            mode = try await justification(for: entry)
        } catch {
            // What the store says about why is nothing for callers.
            return deny(&call, "the policy cannot be read")
        }
        guard let mode else { return nil }
        switch Justification.taken(from: &request.arguments, mode) {
        case .success(let text):
            reason = text
            return nil
        case .failure(let failure):
            call.outcome = .invalid
            return .failure(failure.text)
        }
    }

    /// Marks a call as denied; gives what its caller hears.
    func deny(_ call: inout ToolCallTable.Call, _ reason: String) -> ToolResult {
        call.decision = .deny
        call.outcome = .denied
        call.add(reason: reason)
        return .failure("Access denied: \(reason)", .denied)
    }

    /// Whether callers of a tool are asked why, and it has no such argument of its own.
    func justification(for entry: ToolSet.Entry) async throws -> JustificationMode? {
        guard !entry.tool.isOfGateway, !entry.isForwarded,
            Justification.isFree(in: entry.definition)
        else { return nil }
        return try await policy.justification(for: entry.identity)
    }

    func isVisible(_ entry: ToolSet.Entry, to caller: Caller) async -> Bool {
        if entry.tool.isOfGateway { return approvals != nil }
        return await policy.isVisible(entry.definition, entry.identity, to: caller)
    }

    /// What the policy says about a call that was held before.
    func decision(on held: HeldCall) async -> CallDecision {
        let ruling = await ruling(on: held.arguments, held.entry, held.source)
        do {
            guard let found = try await screening(of: held) else { return ruling.decision }
            switch found.action {
            case .notify: return ruling.decision
            // What was redacted is not found again: the rule has come since.
            case .redact:
                return .deny(reason: "a rule redacts \(found.words) now; call again")
            case .deny: return .deny(reason: "the arguments contain \(found.words)")
            case .requireApproval:
                return ruling.decision(
                    after: .approval(workflows: found.workflows, words: found.words)
                )
            }
        } catch {
            return .deny(reason: "the policy cannot be read")
        }
    }

    func ruling(
        on arguments: JSONObject,
        _ entry: ToolSet.Entry,
        _ source: CallSource
    ) async -> CallRuling {
        if entry.tool.isOfGateway { return CallRuling(.allow) }
        return await policy.decide(
            ProposedCall(
                tool: entry.definition,
                identity: entry.identity,
                arguments: arguments,
                caller: source.caller,
                client: source.client,
                traceParent: source.traceParent,
                session: source.session
            )
        )
    }

    // MARK: - Running

    /// Records a call, and runs it.
    func run(
        _ entry: ToolSet.Entry,
        _ arguments: JSONObject,
        _ call: ToolCallTable.Call,
        _ source: CallSource,
        _ report: @escaping @Sendable (Event) async -> Void
    ) async -> ToolResult {
        do {
            try await journal.begin(call)
        } catch {
            let text = "The call did not run, for it could not be recorded: \(error)."
            return .failure(text, ToolFailure(cause: error).kind)
        }
        return await perform(entry, arguments, call, source, report)
    }

    /// Runs a call that is on record as begun, and records its end.
    ///
    /// An answer that somebody has to allow is waited for where its caller `waits`; else it gets a
    /// handle at once.
    func perform(
        _ entry: ToolSet.Entry,
        _ arguments: JSONObject,
        _ call: ToolCallTable.Call,
        _ source: CallSource,
        _ report: @escaping @Sendable (Event) async -> Void,
        waits: Bool = true
    ) async -> ToolResult {
        let passage = CallPassage(of: entry.identity, source, sensitive, report)
        let context = CallContext(
            caller: source.caller,
            session: source.session,
            extras: await passage.extras,
            open: OpenPassage(of: source.extras.openSession, entry.identity, source, self),
            report: { event in await passage.report(event) },
            status: { id in try await status(of: id, by: source, report: report) },
            ask: { question, workflow, reasoning in
                try await ask(
                    question,
                    workflow: workflow,
                    reasoning: reasoning,
                    by: source.caller,
                    report: report
                )
            }
        )
        let start = ContinuousClock.now
        var (given, outcome) = await outcome(of: entry, ToolArguments(members: arguments), context)
        var answered = given.answered
        // What was held fits into less than what tells of it.
        if answered.count > limits.resultBytes, !entry.tool.isOfGateway {
            let text = "The answer has more than \(limits.resultBytes) bytes. Ask for less."
            (given, outcome) = (.failure(text), .failed)
            answered = given.answered
        }
        var screened = await screenResult(given, of: entry.identity, source)
        let held = await hold(&screened, given, entry, arguments, call, source)
        let result = screened.result
        // Nearly always the same, which takes no time to see: equal storage is equal.
        if held == nil, result != given { answered = result.answered }
        let whole = passage.noted(with: screened.note)
        if let error = await complete(call, outcome, answered, since: start, note: whole) {
            // It has run, and the record says that it began: the caller gets what it gave.
            await context.log(.error, "the end of the call could not be recorded: \(error)")
        }
        guard let held else { return result }
        let rest = waits ? Self.holdTime - start.duration(to: .now) : nil
        return await release(given, of: entry, held, source, within: rest, report)
    }

    private func outcome(
        of entry: ToolSet.Entry,
        _ arguments: ToolArguments,
        _ context: CallContext
    ) async -> (ToolResult, ToolCallTable.Outcome) {
        do {
            guard let result = try await limited(entry.tool, arguments, context) else {
                let seconds = Int(limits.time / .seconds(1))
                let text = "The call was stopped after \(seconds) seconds. "
                let advice = entry.advice("Ask for less at a time.")
                return (.failure(text + advice, .timedOut), .timedOut)
            }
            return (result, result.isError ? .failed : .succeeded)
        } catch {
            if Task.isCancelled {
                let text = "The call was cancelled. \(entry.advice("Nothing was changed."))"
                return (.failure(text, .cancelled), .cancelled)
            }
            return Self.failed(entry, error)
        }
    }

    /// What the tool gives; nil when its time is over.
    private func limited(
        _ tool: any Tool,
        _ arguments: ToolArguments,
        _ context: CallContext
    ) async throws -> ToolResult? {
        let work = Task { @concurrent in try await tool.perform(arguments, context) }
        let number = timer.begin { work.cancel() }
        let result = await withTaskCancellationHandler {
            await work.result
        } onCancel: {
            work.cancel()
        }
        return timer.end(number) ? try result.get() : nil
    }

    /// Why a demand for an approval is a refusal: nobody could answer it.
    static func unanswerable(_ demand: ApprovalDemand) -> String {
        let names = demand.workflows.compactMap { $0.map { "`\($0)`" } }
        let workflow = names.isEmpty ? "" : " called \(names.joined(separator: " and "))"
        let words = demand.message.map { ": \($0)" } ?? ""
        return "needs an approval, and this installation has no approval workflow"
            + "\(workflow)\(words)"
    }

    // MARK: - Records

    /// Writes the ends of calls that are kept for the next event; for the end of the process.
    ///
    /// - Returns: What could not be written; nil when all was.
    package func flush() async -> LostEnds? {
        let count = await journal.flush()
        return count > 0 ? LostEnds(count: count) : nil
    }

    /// Records a call that does not run; without a record the caller hears of that.
    func refusal(_ call: ToolCallTable.Call, _ result: ToolResult) async -> ToolResult {
        var call = call
        call.end = ToolCallTable.End(
            endedAt: clock.now(),
            duration: .zero,
            resultBytes: result.text.utf8.count
        )
        do {
            try await journal.begin(call)
            return result
        } catch {
            let text = "The call did not run, and could not be recorded: \(error)."
            return .failure(text, ToolFailure(cause: error).kind)
        }
    }

    func record(of request: Request, by caller: Caller) -> ToolCallTable.Call {
        // Answers are told of below.
        var said = Extras()
        said.meta = request.extras.meta
        let given = JSONValue.object(HeldCall.kept(request.arguments, said))
        var call = ToolCallTable.Call(
            id: TimeOrderedIdentifier.make(at: clock.now()),
            tool: Self.cut(request.tool),
            caller: caller.name,
            channel: caller.channel.rawValue,
            argumentsDigest: Array(SHA256.hash(data: given.serialized(sortedKeys: true))),
            startedAt: clock.now()
        )
        call.arguments = given
        call.client = request.client.map { "\($0.name) \($0.version)" }
        call.traceParent = request.traceParent
        call.session = request.session
        if !request.extras.inputs.members.isEmpty {
            call.add(reason: "with answers to what the server asked")
        }
        return call
    }

    /// What is kept of the name of a tool that may not exist.
    fileprivate static func cut(_ name: String) -> String {
        sanitized(String(decoding: name.utf8.prefix(128), as: UTF8.self))
    }
}

extension CallRuling {
    /// What is decided when arguments were looked through, too.
    ///
    /// What a rule for tools and one about arguments both hold needs the approval of both: the
    /// workflow of the first is asked first. All are told of everything.
    fileprivate func decision(after screening: GuardedCall.Screening) -> CallDecision {
        guard case .approval(let workflows, let words) = screening else { return decision }
        let message = "the arguments contain \(words)"
        switch decision {
        case .deny: return decision
        case .allow:
            return .requireApproval(
                ApprovalDemand(
                    workflows: workflows,
                    policyVersion: policyVersion ?? 0,
                    message: message
                )
            )
        case .requireApproval(var demand):
            demand.add(workflows, message)
            return .requireApproval(demand)
        }
    }
}

extension GuardedCall.Request {
    /// Makes it what is decided about and, when it runs, reaches the tool.
    fileprivate mutating func prepare(for tool: ToolIdentity?) {
        if tool?.server == nil {
            // Models write null for what they leave out.
            for member in arguments.members where member.value.isNull {
                arguments[member.key] = nil
            }
            // Our own tools hear nothing but arguments.
            extras.meta = JSONObject()
        } else {
            // What null means elsewhere is not ours to say. Of repeated keys other programs may
            // read another one than rules do.
            arguments = arguments.withoutRepeatedKeys
            extras.inputs = extras.inputs.withoutRepeatedKeys
            extras.meta = extras.meta.withoutRepeatedKeys
        }
        // What comes back from the page of an approval is nothing for the tool.
        pass = ApprovalPass.text(in: extras.inputs)
        if pass != nil { extras.inputs = JSONObject() }
        // A client that goes to a page loses what it brought for the tool's server.
        if !extras.inputs.members.isEmpty { opensPages = false }
    }
}

extension ToolCallTable.Call {
    /// Names the tool as policies do, whatever its caller calls it.
    mutating func take(_ identity: ToolIdentity) {
        tool = GuardedCall.cut(identity.name)
        server = identity.server
    }

    /// Keeps what a decision is grounded on.
    fileprivate mutating func note(_ ruling: CallRuling) {
        policyVersion = ruling.policyVersion
        if let decided = ruling.rule { rule = decided.name }
        for note in ruling.noted { add(reason: "\(note.rule.name) would have said \(note.action)") }
    }
}

extension ToolCallTable.Call {
    /// Adds to what the record says about why; what was found before stays in front.
    mutating func add(reason text: String) {
        reason = reason.map { "\($0); \(text)" } ?? text
    }
}

/// What a running call can do besides its work.
///
/// Only ``GuardedCall`` makes one.
struct CallContext: Sendable {
    let caller: Caller
    /// The connection or session that the call came by; nil where there is none.
    let session: String?
    /// What came with the call.
    let extras: GuardedCall.Extras
    /// What passes outside of calls between the client's session and the server of the tool; nil
    /// where there is no session, or no server.
    let open: OpenPassage?
    private let report: @Sendable (GuardedCall.Event) async -> Void
    private let status: @Sendable (String) async throws -> JSONValue
    private let question: @Sendable (JSONObject, String?, String) async throws -> JSONValue

    fileprivate init(
        caller: Caller,
        session: String?,
        extras: GuardedCall.Extras,
        open: OpenPassage?,
        report: @escaping @Sendable (GuardedCall.Event) async -> Void,
        status: @escaping @Sendable (String) async throws -> JSONValue,
        ask: @escaping @Sendable (JSONObject, String?, String) async throws -> JSONValue
    ) {
        self.caller = caller
        self.session = session
        self.extras = extras
        self.open = open
        self.report = report
        self.status = status
        question = ask
    }

    /// How a request for an approval stands; runs the call that it is about, once.
    func approvalStatus(_ request: String) async throws -> JSONValue {
        try await status(request)
    }

    /// Asks people by a workflow, nil for the usual one, and waits for a while.
    func ask(
        _ text: JSONObject,
        _ workflow: String?,
        _ reasoning: String
    ) async throws -> JSONValue {
        try await question(text, workflow, reasoning)
    }

    /// Tells how far another server says the call is.
    func progress(_ progress: ServerSession.Progress) async { await report(.progress(progress)) }

    /// Tells what another server noticed, as it said it.
    func message(_ level: LogLevel, _ parameters: JSONObject) async {
        await report(.message(level, parameters))
    }

    /// Tells how far the call is; `done` grows.
    func progress(_ done: Int, of total: Int, _ message: String) async {
        let progress = ServerSession.Progress(
            done: Double(done),
            total: Double(total),
            message: message
        )
        await report(.progress(progress))
    }

    /// Tells what the caller's person might want to know.
    func log(_ level: LogLevel, _ text: String) async {
        await report(.log(level, text))
    }
}
