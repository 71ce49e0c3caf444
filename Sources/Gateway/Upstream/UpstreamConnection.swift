import Domain
import MCP

/// Who hears what a server says during a call.
struct UpstreamListener: Sendable {
    /// Asks the client, and gives what it answers.
    typealias Ask = @Sendable (String, JSONObject) async -> Result<JSONObject, RPCError>

    /// The parameters of `notifications/progress`.
    var progress: @Sendable (JSONObject) async -> Void = { _ in }
    /// The parameters of `notifications/message`.
    var message: @Sendable (LogLevel, JSONObject) async -> Void = { _, _ in }
    /// The parameters of `notifications/subscriptions/acknowledged`.
    var acknowledged: @Sendable (JSONObject) async -> Void = { _ in }
    /// Answers what the server asks of the client; nil where nobody can.
    var ask: Ask?
}

/// One session with an upstream server: a ``ClientSession`` and the link that carries it.
actor UpstreamConnection {
    /// What a call needs besides method and parameters.
    struct Options: Sendable {
        var capabilities: JSONObject?
        var logLevel: LogLevel?
        var headers: [(name: String, value: String)] = []
        var wantsProgress = false
        /// What the server may take for its answer.
        var timeLimit = UpstreamConnection.standardTime
    }

    /// For what is asked besides calls, such as lists: together with an opening it stays below the
    /// time of a call, so that a server that hangs is told from a caller who gives up.
    static let standardTime: Duration = .seconds(30)

    /// An older server may pass over a question it does not know.
    private static let probeTime: Duration = .seconds(10)
    /// Programs that are downloaded first take long to start.
    private static let openingTime: Duration = .seconds(60)
    /// Pages of a list, and what they may hold in all: more is a server that never ends.
    private static let maximumPages = 100
    private static let maximumItems = 2_000

    private var session: ClientSession
    private let link: any UpstreamLink
    private let notice: @Sendable (Message.Notification) async -> Void
    private var waiting: [ClientSession.CallID: Waiting] = [:]
    /// Why a call fails whose session knows only that it does.
    private var failures: [ClientSession.CallID: UpstreamError] = [:]
    private var asks: [ClientSession.AskID: Task<Void, Never>] = [:]
    private var opening: AsyncStream<Result<ServerProfile, UpstreamError>>.Continuation?
    private var farewell: Task<Void, Never>?
    private var setLogLevel: LogLevel?
    /// Hears of changes, with a server of the newer era.
    private var listening: Task<Void, Never>?
    /// Told of the end, while somebody hears of changes of resources by this session.
    private var ending: (@Sendable () -> Void)?
    /// Why nothing can be asked any more; nil while something can.
    private(set) var failure: UpstreamError?
    /// Whether nothing more is begun: what is under way goes on to its own end, then it ends.
    private var isRetired = false
    /// Which call the server's questions belong to.
    private var askers: [ClientSession.AskID: ClientSession.CallID] = [:]
    /// What the server's latest list of tools in this session said; nil until it was asked.
    private var listed: AdvertisedTools?

    private struct Waiting {
        var outcome: AsyncStream<Result<JSONObject, UpstreamError>>.Continuation
        var listener: UpstreamListener
        /// A stream of notifications, which nobody waits for the end of.
        var isSubscription: Bool
        /// Nil where nobody waits for an end.
        var deadline: CallDeadline?
    }

    /// - Parameters:
    ///   - session: A new one.
    ///   - link: Carries it; not started.
    ///   - notice: Told what the server says about no call, such as that its tools have changed.
    init(
        session: ClientSession,
        link: any UpstreamLink,
        notice: @escaping @Sendable (Message.Notification) async -> Void
    ) {
        self.session = session
        self.link = link
        self.notice = notice
    }

    /// What the server said of itself; nil before the session has begun.
    var profile: ServerProfile? { session.profile }
    /// Whether nobody waits for anything.
    private var isQuiet: Bool { waiting.values.allSatisfy(\.isSubscription) }
    /// Whether nobody waits, and nobody hears of changes of resources either.
    var isIdle: Bool { ending == nil && isQuiet }
    /// Whether calls can be begun.
    var isUsable: Bool { failure == nil && !isRetired }

    // MARK: - Life

    /// Begins the session; throws why there is none, and is of no use then.
    func open(_ way: ClientSession.Opening) async throws -> ServerProfile {
        let (outcomes, continuation) = AsyncStream.makeStream(
            of: Result<ServerProfile, UpstreamError>.self
        )
        opening = continuation
        let timer = Task {
            do {
                if way == .probe {
                    try await Task.sleep(for: Self.probeTime)
                    await self.giveUpProbing()
                }
                try await Task.sleep(for: Self.openingTime)
                // Nothing that anybody asked for was sent.
                let seconds = Int(Self.openingTime / .seconds(1))
                await self.end(
                    .unreachable(reason: "it has begun no session within \(seconds) seconds")
                )
            } catch {}
        }
        defer { timer.cancel() }
        do throws(UpstreamError) {
            try await link.start { await self.take($0) }
            await apply(session.begin(way))
        } catch {
            await end(error)
            throw error
        }
        for await outcome in outcomes {
            let profile = try outcome.get()
            listen(profile)
            return profile
        }
        let ending = Task { await self.end(.sessionEnded) }
        await ending.value
        throw CancellationError()
    }

    /// A server of the newer era tells of changes only to those who ask for them.
    private func listen(_ profile: ServerProfile) {
        let kinds = [
            ("tools", "toolsListChanged"), ("prompts", "promptsListChanged"),
            ("resources", "resourcesListChanged"),
        ].filter { profile.offers("listChanged", of: $0.0) }
        guard profile.version.era == .modern, !kinds.isEmpty else { return }
        let wanted = JSONObject(kinds.map { ($0.1, .bool(true)) })
        let parameters = JSONObject([("notifications", .object(wanted))])
        listening = Task {
            // Who does not tell of changes is asked again with the next session.
            _ = try? await self.call("subscriptions/listen", parameters)
        }
    }

    /// Keeps the session for changes of resources, and tells of its end.
    func watch(_ ending: @escaping @Sendable () -> Void) {
        self.ending = ending
        if failure != nil { ending() }
    }

    /// Nobody hears of changes of resources by it any more.
    func endWatch() { ending = nil }

    private func giveUpProbing() async {
        guard case .probing(let call) = session.state else { return }
        await apply(session.fail(call, .internalError("there was no answer in time")))
        await link.stop(call)
    }

    /// Ends the session; what is under way fails.
    func end(_ error: UpstreamError) async {
        guard failure == nil else { return }
        failure = error
        if error == .sessionEnded {
            // INVARIANT: this error is only of what was not sent, for that is done again.
            for call in waiting.keys where failures[call] == nil {
                failures[call] = .lost(reason: "the session ended while it was at work")
            }
        }
        await apply(session.end(.internalError("the session has ended")))
        opening?.yield(.failure(error))
        opening?.finish()
        opening = nil
        listening?.cancel()
        ending?()
        await link.close()
    }

    /// Ends the session where nothing is under way; false where something is.
    func retireIfIdle() async -> Bool {
        guard isIdle else { return false }
        // Whoever has it in hand begins nothing any more.
        isRetired = true
        await end(.sessionEnded)
        return true
    }

    // MARK: - Calls

    /// Asks something of the server.
    ///
    /// - Throws: ``UpstreamError``, or that the caller was cancelled; the server is told then.
    func call(
        _ method: String,
        _ parameters: JSONObject,
        _ options: Options = Options(),
        listener: UpstreamListener = UpstreamListener()
    ) async throws -> JSONObject {
        if let failure { throw failure }
        if let level = options.logLevel { try await setLevel(level) }
        guard !isRetired else { throw UpstreamError.sessionEnded }
        let (call, actions) = try begin(method, parameters, options)
        let (outcomes, continuation) = AsyncStream.makeStream(
            of: Result<JSONObject, UpstreamError>.self
        )
        waiting[call] = Waiting(
            outcome: continuation,
            listener: listener,
            isSubscription: method == Self.subscription,
            deadline: method == Self.subscription
                ? nil : CallDeadline(limit: options.timeLimit, at: .now)
        )
        let timer = Task { await self.watch(call) }
        defer { timer.cancel() }
        await apply(actions, headers: options.headers)
        for await outcome in outcomes { return try outcome.get() }
        waiting[call] = nil
        giveUp(call, "cancelled")
        throw CancellationError()
    }

    /// Nobody waits for the end of it.
    private static let subscription = "subscriptions/listen"
    private static let shortestLook: Duration = .milliseconds(200)

    /// Ends a call whose time is over.
    private func watch(_ call: ClientSession.CallID) async {
        while let deadline = waiting[call]?.deadline {
            let rest = deadline.rest(at: .now)
            guard rest > .zero else {
                let seconds = Int((deadline.limit / .seconds(1)).rounded())
                waiting[call]?.outcome.yield(.failure(.timedOut(seconds: seconds)))
                waiting.removeValue(forKey: call)?.outcome.finish()
                giveUp(call, "timed out")
                return
            }
            // While a question is open the rest stays what it is: a small one is no reason to look
            // all the time. Cancelled when the call has ended.
            let pause = max(rest, Self.shortestLook)
            guard (try? await Task.sleep(for: pause)) != nil else { return }
        }
    }

    /// Tells the server that nobody wants a call any more; that does not die with the caller.
    private func giveUp(_ call: ClientSession.CallID, _ reason: String) {
        farewell = Task { await self.apply(self.session.cancel(call, reason: reason)) }
    }

    private func begin(
        _ method: String,
        _ parameters: JSONObject,
        _ options: Options
    ) throws(UpstreamError) -> (ClientSession.CallID, [ClientSession.Action]) {
        do throws(RPCError) {
            return try session.call(
                method,
                parameters,
                wantsProgress: options.wantsProgress,
                capabilities: options.capabilities,
                logLevel: options.logLevel
            )
        } catch {
            throw failure ?? .unreachable(reason: error.message)
        }
    }

    /// Of the older era: a level is the session's.
    private func setLevel(_ level: LogLevel) async throws {
        guard let profile, profile.version.era == .legacy, profile.offers("logging"),
            setLogLevel != level
        else { return }
        setLogLevel = level
        _ = try await call("logging/setLevel", JSONObject([("level", .string(level.rawValue))]))
    }

    /// Everything of a list, page by page.
    ///
    /// - Parameters:
    ///   - method: Such as `tools/list`.
    ///   - key: The member of the result that holds the items.
    /// - Returns: The items that are objects.
    /// - Throws: ``UpstreamError``, also for a list that does not end.
    func list(_ method: String, _ key: String) async throws -> [JSONObject] {
        var items: [JSONObject] = []
        var cursor: JSONValue?
        for _ in 0..<Self.maximumPages {
            let parameters = JSONObject(cursor.map { [("cursor", $0)] } ?? [])
            let result = try await call(method, parameters)
            guard let page = result[key]?.array else {
                throw UpstreamError.invalid(reason: "`\(method)` gives no `\(key)`")
            }
            items += page.compactMap(\.object)
            guard items.count <= Self.maximumItems else {
                throw UpstreamError.invalid(
                    reason: "`\(method)` gives more than \(Self.maximumItems) items"
                )
            }
            guard let next = result["nextCursor"], next.string?.isEmpty == false, next != cursor
            else { return items }
            cursor = next
        }
        throw UpstreamError.invalid(
            reason: "`\(method)` has more than \(Self.maximumPages) pages"
        )
    }

    /// Remembers which tools the server lists in this session.
    func setAdvertised(_ tools: AdvertisedTools) { listed = tools }

    /// What it lists, when that is not older than the latest change, or too old; nil else.
    func advertised(since generation: Int) -> AdvertisedTools? {
        guard let listed, listed.isCurrent(generation, at: .now) else { return nil }
        return listed
    }

    // MARK: - Events

    private func take(_ event: LinkEvent) async {
        switch event {
        case .incoming(let incoming, let call):
            await apply(session.receive(incoming, during: call))
        case .malformed(let failure, let call):
            await apply(session.receive(failure, during: call))
        case .failed(let call, let error): await fail(call, error)
        case .closed(let error): await end(error)
        }
    }

    private func fail(_ call: ClientSession.CallID, _ error: UpstreamError) async {
        if session.profile == nil, !Self.saysAnotherEra(error) {
            await end(error)
            return
        }
        if waiting[call] != nil { failures[call] = error }
        // The session takes no more calls. Others that it took may be at work: one of several
        // machines behind an address may not know it, and the stream of another go on.
        if error == .sessionEnded { isRetired = true }
        await apply(session.fail(call, .internalError("\(error)")))
    }

    /// Whether a question that failed so may have been one that the server does not know.
    private static func saysAnotherEra(_ error: UpstreamError) -> Bool {
        switch error {
        case .refused, .invalid, .lost, .sessionEnded: true
        case .forbiddenAddress, .unreachable, .unauthorized, .tooLarge, .timedOut, .ended,
            .suspended, .crowded, .held, .misconfigured:
            false
        }
    }

    private func apply(
        _ actions: [ClientSession.Action],
        headers: [(name: String, value: String)] = []
    ) async {
        // The end of the session is why its calls end.
        for case .failed(let error) in actions {
            for call in waiting.keys { failures[call] = .invalid(reason: error.message) }
        }
        for action in actions {
            switch action {
            case .send(let message, let call):
                await send(message, LinkContext(call: call, headers: headers))
            case .finish(let call, let outcome): finish(call, outcome)
            case .progress(let call, let parameters):
                await waiting[call]?.listener.progress(parameters)
            case .notice(let notification, let call): await hear(notification, call)
            case .ask(let ask, let method, let parameters, let call):
                await answer(ask, method, parameters, call)
            case .withdraw(let ask):
                asks.removeValue(forKey: ask)?.cancel()
                settle(ask)
            case .stop(let call): await link.stop(call)
            case .begun(let profile):
                await link.begun(profile)
                opening?.yield(.success(profile))
                opening?.finish()
                opening = nil
            case .failed(let error): await end(.invalid(reason: error.message))
            }
        }
        if isRetired, isQuiet { await end(.sessionEnded) }
    }

    private func send(_ message: Message, _ context: LinkContext) async {
        do throws(UpstreamError) {
            try await link.send(message, context)
        } catch {
            // What has no answer is not missed; a call without one is.
            if case .request = message, let call = context.call { await fail(call, error) }
        }
    }

    private func finish(_ call: ClientSession.CallID, _ outcome: Result<JSONObject, RPCError>) {
        let known = failures.removeValue(forKey: call) ?? failure
        guard let entry = waiting.removeValue(forKey: call) else { return }
        switch outcome {
        case .success(let result): entry.outcome.yield(.success(result))
        case .failure(let error): entry.outcome.yield(.failure(known ?? .refused(error)))
        }
        entry.outcome.finish()
    }

    private func hear(
        _ notification: Message.Notification,
        _ call: ClientSession.CallID?
    ) async {
        if notification.method == "notifications/subscriptions/acknowledged" {
            // What came by its own stream need not name it.
            let id = notification.parameters["_meta"]?[RequestMeta.Key.subscriptionID]?.integer
            guard let listening = id ?? call else { return }
            await waiting[listening]?.listener.acknowledged(notification.parameters)
            return
        }
        guard notification.method == "notifications/message" else {
            await notice(notification)
            return
        }
        guard let level = notification.parameters["level"]?.string.flatMap(LogLevel.init(rawValue:))
        else { return }
        await listener(of: call)?.message(level, notification.parameters)
    }

    /// Who hears of a call; where the server does not say which one, the only one there is.
    private func listener(of call: ClientSession.CallID?) -> UpstreamListener? {
        known(call).flatMap { waiting[$0]?.listener }
    }

    private func known(_ call: ClientSession.CallID?) -> ClientSession.CallID? {
        if let call { return call }
        let calls = waiting.filter { !$0.value.isSubscription }.keys
        return calls.count == 1 ? calls.first : nil
    }

    private func answer(
        _ ask: ClientSession.AskID,
        _ method: String,
        _ parameters: JSONObject,
        _ call: ClientSession.CallID?
    ) async {
        guard let ask = listener(of: call)?.ask.map({ (ask, $0) }) else {
            await apply(session.answer(ask, .failure(.methodNotFound(method))))
            return
        }
        let (id, question) = ask
        if let call = known(call) {
            askers[id] = call
            waiting[call]?.deadline?.asked(id, at: .now)
        }
        asks[id] = Task {
            let outcome = await question(method, parameters)
            await self.answered(id, outcome)
        }
    }

    private func answered(
        _ ask: ClientSession.AskID,
        _ outcome: Result<JSONObject, RPCError>
    ) async {
        asks[ask] = nil
        settle(ask)
        await apply(session.answer(ask, outcome))
    }

    /// The server waits for an answer no longer: its time goes on.
    private func settle(_ ask: ClientSession.AskID) {
        guard let call = askers.removeValue(forKey: ask) else { return }
        waiting[call]?.deadline?.answered(ask, at: .now)
    }
}
