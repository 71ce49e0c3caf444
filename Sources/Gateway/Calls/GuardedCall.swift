import Crypto
package import Domain
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
        package var resultBytes = 4 << 20

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
        /// What comes with it and is handed on to the server of the tool.
        package var extras = Extras()

        package init(tool: String, arguments: JSONObject) {
            self.tool = tool
            self.arguments = arguments
        }
    }

    /// What a request carries besides name and arguments.
    package struct Extras: Sendable {
        /// Members of `_meta` that the protocol does not reserve.
        package var meta = JSONObject()
        /// What the client comes back with: `inputResponses`, `requestState`.
        package var inputs = JSONObject()
        /// What the client can do.
        package var capabilities = JSONObject()
        /// Messages from here on are wanted; nil when the client has not said.
        package var logLevel: LogLevel?
        /// Whether it wants to hear how far the call is.
        package var wantsProgress = false
        /// Whether results of the stateless era can be told.
        package var isModern = false
        /// Asks the client something while the call runs; nil where it cannot be asked.
        package var ask: (@Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>)?

        package init() {}

        /// Those of a job of a session.
        package init(_ context: ServerSession.Context) {
            meta = context.meta.other
            inputs = context.inputs
            capabilities = context.capabilities
            logLevel = context.meta.logLevel
            wantsProgress = context.meta.progressToken != nil
            isModern = context.version.era == .modern
        }
    }

    let tools: ToolSet
    private let policy: any CallPolicy
    private let journal: any CallJournal
    private let clock: WallClock
    private let limits: Limits
    private let stopwatch: any Clock<Duration>

    /// - Parameters:
    ///   - tools: What can be called.
    ///   - policy: Decides who sees and calls what.
    ///   - journal: Keeps every call.
    ///   - clock: Dates the records.
    ///   - limits: What one call may take.
    ///   - stopwatch: Measures the time limit.
    package init(
        tools: ToolSet,
        policy: any CallPolicy,
        journal: any CallJournal,
        clock: WallClock = .system,
        limits: Limits = Limits(),
        stopwatch: any Clock<Duration> = ContinuousClock()
    ) {
        self.tools = tools
        self.policy = policy
        self.journal = journal
        self.clock = clock
        self.limits = limits
        self.stopwatch = stopwatch
    }

    /// The tools that a caller can see, always in the same order.
    package func visibleTools(to caller: Caller) async -> [ToolDefinition] {
        var visible: [ToolDefinition] = []
        for entry in await tools.usable()
        where await policy.isVisible(entry.definition, to: caller) {
            visible.append(entry.definition)
        }
        return visible
    }

    /// A tool's definition, whoever can see it; for transports, not for callers.
    package func definition(named name: String) async -> ToolDefinition? {
        await tools.definition(named: name)
    }

    /// Calls a tool.
    ///
    /// - Parameters:
    ///   - request: Which one, and with what.
    ///   - caller: On whose behalf.
    ///   - report: Told how far it is; in order, one after the other.
    /// - Returns: What the tool gave, or an error that its caller can read and act on.
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
        // Models write null for what they leave out; what that means elsewhere is not ours to say.
        if found?.tool.origin == nil {
            for member in request.arguments.members where member.value.isNull {
                request.arguments[member.key] = nil
            }
        }
        var call = record(of: request, by: caller)
        guard let entry = found, await policy.isVisible(entry.definition, to: caller) else {
            call.outcome = .unknownTool
            // Nothing ran; a record that fails changes nothing about the answer.
            _ = await refusal(call, .failure(""))
            throw .unknownTool(request.tool)
        }
        let violations = entry.schema.violations(of: .object(request.arguments))
        guard violations.isEmpty else {
            call.outcome = .invalid
            let lines = violations.map { "- \($0)" }.joined(separator: "\n")
            let text = "The arguments of `\(entry.definition.name)` are not right:\n\(lines)"
            return await refusal(call, .failure(text))
        }
        let proposed = ProposedCall(
            tool: entry.definition,
            server: entry.tool.origin?.server,
            upstreamTool: entry.tool.origin?.tool,
            arguments: request.arguments,
            caller: caller
        )
        switch await policy.decide(proposed) {
        case .allow: call.decision = .allow
        case .deny(let reason):
            call.decision = .deny
            call.reason = reason
            call.outcome = .denied
            return await refusal(call, .failure("Access denied: \(reason)"))
        }
        let context = CallContext(caller: caller, extras: request.extras, report: report)
        return try await run(entry, request.arguments, call, context).get()
    }

    private func run(
        _ entry: ToolSet.Entry,
        _ arguments: JSONObject,
        _ call: ToolCallTable.Call,
        _ context: CallContext
    ) async -> Result<ToolResult, RPCError> {
        do {
            try await journal.begin(call)
        } catch {
            return .success(
                .failure("The call did not run, for it could not be recorded: \(error).")
            )
        }
        let start = ContinuousClock.now
        let (result, outcome) = await outcome(of: entry, ToolArguments(members: arguments), context)
        let text = (try? result.get())?.text ?? ""
        let end = ToolCallTable.End(
            endedAt: clock.now(),
            duration: start.duration(to: .now),
            resultBytes: text.utf8.count
        )
        do {
            try await journal.complete(call.id, outcome, end)
        } catch {
            // It has run, and the record says that it began: the caller gets what it gave.
            await context.log(.error, "the end of the call could not be recorded: \(error)")
        }
        return result
    }

    private func outcome(
        of entry: ToolSet.Entry,
        _ arguments: ToolArguments,
        _ context: CallContext
    ) async -> (Result<ToolResult, RPCError>, ToolCallTable.Outcome) {
        func failure(_ text: String) -> Result<ToolResult, RPCError> { .success(.failure(text)) }
        do {
            guard let result = try await limited(entry.tool, arguments, context) else {
                let seconds = Int(limits.time / .seconds(1))
                let text = "The call was stopped after \(seconds) seconds. "
                return (failure(text + entry.advice("Ask for less at a time.")), .timedOut)
            }
            guard result.text.utf8.count <= limits.resultBytes else {
                let text = "The answer has more than \(limits.resultBytes) bytes. Ask for less."
                return (failure(text), .failed)
            }
            return (.success(result), result.isError ? .failed : .succeeded)
        } catch {
            if Task.isCancelled {
                let text = "The call was cancelled. \(entry.advice("Nothing was changed."))"
                return (failure(text), .cancelled)
            }
            // The server of a tool answers in the protocol's own terms: so does its call.
            if case UpstreamError.refused(let error) = error { return (.failure(error), .failed) }
            return (failure(ToolFailure(cause: error).text), .failed)
        }
    }

    /// What the tool gives; nil when its time is over.
    private func limited(
        _ tool: any Tool,
        _ arguments: ToolArguments,
        _ context: CallContext
    ) async throws -> ToolResult? {
        let (stopwatch, time) = (stopwatch, limits.time)
        return try await withThrowingTaskGroup(of: ToolResult?.self) { group in
            group.addTask { try await tool.perform(arguments, context) }
            group.addTask {
                try await stopwatch.sleep(for: time)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    // MARK: - Records

    /// Records a call that does not run; without a record the caller hears of that.
    private func refusal(_ call: ToolCallTable.Call, _ result: ToolResult) async -> ToolResult {
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
            return .failure("The call did not run, and could not be recorded: \(error).")
        }
    }

    private func record(of request: Request, by caller: Caller) -> ToolCallTable.Call {
        let arguments = JSONValue.object(request.arguments).serialized(sortedKeys: true)
        var call = ToolCallTable.Call(
            id: Self.newIdentifier(at: clock.now()),
            tool: cut(request.tool),
            caller: caller.name,
            channel: caller.channel.rawValue,
            argumentsDigest: Array(SHA256.hash(data: arguments)),
            startedAt: clock.now()
        )
        call.client = request.client.map { "\($0.name) \($0.version)" }
        call.traceParent = request.traceParent
        return call
    }

    /// What is kept of the name of a tool that may not exist.
    private func cut(_ name: String) -> String {
        sanitized(String(decoding: name.utf8.prefix(128), as: UTF8.self))
    }

    /// The instant and 80 random bits, so that rows lie in the order of time.
    private static func newIdentifier(at instant: Timestamp) -> String {
        func hexadecimal(_ number: UInt64, _ digits: Int) -> String {
            let text = String(number, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
        }
        let time = UInt64(clamping: instant.milliseconds)
        return hexadecimal(time, 12) + hexadecimal(UInt64.random(in: 0...UInt64.max), 16)
            + hexadecimal(UInt64(UInt16.random(in: 0...UInt16.max)), 4)
    }
}

extension ToolSet.Entry {
    /// What to tell of a call that was stopped; `harmless` where it could change nothing.
    fileprivate func advice(_ harmless: String) -> String {
        definition.annotations.isReadOnly
            ? harmless
            : "What it was to change may be changed all the same: look before you call it again."
    }
}

/// What a running call can do besides its work.
///
/// Only ``GuardedCall`` makes one.
struct CallContext: Sendable {
    let caller: Caller
    /// What came with the call.
    let extras: GuardedCall.Extras
    private let report: @Sendable (GuardedCall.Event) async -> Void

    fileprivate init(
        caller: Caller,
        extras: GuardedCall.Extras,
        report: @escaping @Sendable (GuardedCall.Event) async -> Void
    ) {
        self.caller = caller
        self.extras = extras
        self.report = report
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
