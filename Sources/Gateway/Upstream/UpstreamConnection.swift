import Domain
import MCP

/// One session with an upstream server: a ``ClientSession`` and the link that carries it.
actor UpstreamConnection {
    /// What a call needs besides method and parameters.
    struct Options: Sendable {
        var capabilities: JSONObject?
        /// Which log messages its client wants.
        var messages = LogWish.nothing
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

    private(set) var session: ClientSession
    private let link: any UpstreamLink
    private let notice: @Sendable (Message.Notification) async -> Void
    private var waiting: [ClientSession.CallID: Waiting] = [:]
    /// Why a call fails whose session knows only that it does.
    private var failures: [ClientSession.CallID: UpstreamError] = [:]
    /// What the server has asked and has no answer to.
    private var questions: [ClientSession.AskID: Question] = [:]
    private var opening: AsyncStream<Result<ServerProfile, UpstreamError>>.Continuation?
    private var farewell: Task<Void, Never>?
    private var logLevel = SharedLogLevel()
    /// The level that the server is being told: calls wait until it knows.
    private var levelSetting: Task<Void, any Error>?
    /// Whose calls were made in this session.
    private var callers = Callers.none
    /// Whose clients hear what the server says outside of calls.
    var guests = GuestList()
    /// Hears of changes, with a server of the newer era.
    private var listening: Task<Void, Never>?
    /// Told of the end, while somebody hears of changes of resources by this session.
    private var ending: (@Sendable () -> Void)?
    /// Why nothing can be asked any more; nil while something can.
    private(set) var failure: UpstreamError?
    /// Whether nothing more is begun: what is under way goes on to its own end, then it ends.
    private var isRetired = false
    /// What the server's latest list of tools in this session said; nil until it was asked.
    private var listed: AdvertisedTools?

    private struct Waiting {
        var outcome: AsyncStream<Result<JSONObject, UpstreamError>>.Continuation
        var listener: UpstreamListener
        /// A stream of notifications, which nobody waits for the end of.
        var isSubscription: Bool
        /// Whether its client wants log messages.
        var hearsMessages: Bool
        /// Nil where nobody waits for an end.
        var deadline: CallDeadline?
    }

    /// A request of the server, on its way to the client of a call.
    private struct Question {
        let method: String
        let parameters: JSONObject
        /// The call whose client is asked; nil for what is asked outside of calls.
        let call: ClientSession.CallID?
        /// Whether the server has said that it is about that call.
        let isNamed: Bool
        let task: Task<Void, Never>
    }

    /// Whose calls were made in a session: from nobody's to one's, and from there to several'.
    private enum Callers: Equatable {
        case none
        case one(String)
        case several
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
            if profile.version.era == .modern { dismissAll() }
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
        dismissAll()
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
        try await setLevel(options.messages, of: listener.client)
        guard !isRetired else { throw UpstreamError.sessionEnded }
        if let client = listener.client { note(client.caller) }
        if let guest = listener.guest, profile?.version.era == .legacy { admit(guest) }
        let (call, actions) = try begin(method, parameters, options)
        let (outcomes, continuation) = AsyncStream.makeStream(
            of: Result<JSONObject, UpstreamError>.self
        )
        waiting[call] = Waiting(
            outcome: continuation,
            listener: listener,
            isSubscription: method == Self.subscription,
            hearsMessages: options.messages != .nothing,
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
        farewell = Task {
            await self.apply(self.session.cancel(call, reason: reason))
            await self.moveQuestions(from: call)
        }
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
                logLevel: options.messages.level
            )
        } catch {
            throw failure ?? .unreachable(reason: error.message)
        }
    }

    /// Of the older era: a level is the session's.
    func setLevel(_ wish: LogWish, of client: UpstreamListener.Client?) async throws {
        guard wish != .nothing, let profile, profile.version.era == .legacy,
            profile.offers("logging")
        else { return }
        guard let level = logLevel.take(wish, of: client?.session) else {
            if let levelSetting { try await wait(for: levelSetting) }
            return
        }
        let parameters = JSONObject([("level", .string(level.rawValue))])
        let setting = Task { _ = try await self.call("logging/setLevel", parameters) }
        levelSetting = setting
        defer { if levelSetting == setting { levelSetting = nil } }
        try await withTaskCancellationHandler {
            try await setting.value
        } onCancel: {
            setting.cancel()
        }
    }

    /// Waits for the end of what another caller has begun, or until this one gives up.
    private func wait(for setting: Task<Void, any Error>) async throws {
        let (ends, over) = AsyncStream.makeStream(of: Void.self)
        let watch = Task {
            // Why it could not be told is for whoever told it.
            _ = await setting.result
            over.finish()
        }
        defer { watch.cancel() }
        for await _ in ends {}
        try Task.checkCancellation()
    }

    /// Of the older era: roots are the session's, and servers may keep what they were told.
    func tellRootsChanged() async {
        guard session.capabilities["roots"]?["listChanged"]?.bool == true else { return }
        await apply(session.notify("notifications/roots/list_changed", JSONObject()))
    }

    private func note(_ caller: String) {
        switch callers {
        case .none: callers = .one(caller)
        case .one(let other) where !haveEqualBytes(other, caller): callers = .several
        case .one, .several: break
        }
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
        if session.profile == nil, !error.saysAnotherEra {
            await end(error)
            return
        }
        if waiting[call] != nil { failures[call] = error }
        // The session takes no more calls. Others that it took may be at work: one of several
        // machines behind an address may not know it, and the stream of another go on.
        if error == .sessionEnded || isOfAnotherEra(call, error) { isRetired = true }
        await apply(session.fail(call, .internalError("\(error)")))
    }

    /// Whether a call failed as it does where a server of the older era has taken the place of one
    /// of the newer era: the next call asks which it is.
    private func isOfAnotherEra(_ call: ClientSession.CallID, _ error: UpstreamError) -> Bool {
        guard case .refused = error, profile?.version.era == .modern else { return false }
        return waiting[call]?.isSubscription == false
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
            case .finish(let call, let outcome):
                finish(call, outcome)
                await moveQuestions(from: call)
            case .progress(let call, let parameters):
                await waiting[call]?.listener.progress(parameters)
            case .notice(let notification, let call): await hear(notification, call)
            case .ask(let ask, let method, let parameters, let call):
                await answer(ask, method, parameters, call)
            case .withdraw(let ask):
                questions[ask]?.task.cancel()
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
        case .failure(let error):
            notePages(error, of: entry.listener.guest)
            entry.outcome.yield(.failure(known ?? .refused(error)))
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
        switch notification.method {
        case "notifications/message": await hearMessage(notification.parameters, call)
        case "notifications/elicitation/complete": await endPage(notification.parameters)
        default: await notice(notification)
        }
    }

    private func hearMessage(_ parameters: JSONObject, _ call: ClientSession.CallID?) async {
        guard let level = parameters["level"]?.string.flatMap(LogLevel.init(rawValue:))
        else { return }
        guard call != nil || !clientCalls.isEmpty else {
            // Where several callers have used the session, it may be of another one's call.
            if callers != .several { await tell(.message(level, parameters)) }
            return
        }
        let call = meant(by: call).last { waiting[$0]?.hearsMessages == true }
        if let call { await waiting[call]?.listener.message(level, parameters) }
    }

    /// The calls that clients wait for.
    private var clientCalls: [ClientSession.CallID: Waiting] {
        waiting.filter { $0.value.listener.client != nil && !$0.value.isSubscription }
    }

    /// The calls that something the server says may belong to, the latest last.
    ///
    /// What names no call may be of any that clients wait for: of a program, and of a stream that
    /// is all calls', nothing else is known. It is for a client that all of them are of. Where
    /// several callers have used the session, it may even be of a call that has ended, and of
    /// another caller's: nobody hears it.
    ///
    /// A call whose client is away asks nothing more as long as other calls are at work: its server
    /// has a question open, and a client that cannot answer never says so.
    private func meant(
        by call: ClientSession.CallID?,
        asks: Bool = false
    ) -> [ClientSession.CallID] {
        if let call { return waiting[call] == nil ? [] : [call] }
        guard callers != .several else { return [] }
        var calls = clientCalls
        let present = asks ? calls.filter { !$0.value.listener.isAway() } : [:]
        if !present.isEmpty { calls = present }
        let clients = Set(calls.values.map(\.listener.client))
        guard calls.count < 2 || (clients.count == 1 && clients.first??.session != nil) else {
            return []
        }
        return calls.keys.sorted()
    }

    // MARK: - Questions

    private func answer(
        _ ask: ClientSession.AskID,
        _ method: String,
        _ parameters: JSONObject,
        _ call: ClientSession.CallID?
    ) async {
        let calls = meant(by: call, asks: true)
        if put(ask, method, parameters, calls, isNamed: call != nil) { return }
        if call == nil, putOutside(ask, method, parameters) { return }
        await apply(session.answer(ask, .failure(.methodNotFound(method))))
    }

    /// Questions outside of calls at a time: about the roots as they were, and as they are.
    private static let maximumOutside = 2

    /// Asks the client whose session it is what its roots are; false where that is not one client.
    ///
    /// Servers ask for roots when a session begins, and when they hear that these have changed.
    /// Nothing else is asked outside of calls: a person would not know what about.
    private func putOutside(
        _ ask: ClientSession.AskID,
        _ method: String,
        _ parameters: JSONObject
    ) -> Bool {
        guard method == "roots/list", session.capabilities["roots"] != nil, callers != .several,
            guests.all.count == 1, let guest = guests.all.first,
            questions.values.count(where: { $0.call == nil }) < Self.maximumOutside
        else { return false }
        let task = Task {
            let outcome = await guest.ask(method, parameters)
            await self.answered(ask, nil, outcome)
        }
        questions[ask] = Question(
            method: method,
            parameters: parameters,
            call: nil,
            isNamed: false,
            task: task
        )
        return true
    }

    /// Asks the client of the latest of some calls that has one to be asked; false where none has.
    private func put(
        _ ask: ClientSession.AskID,
        _ method: String,
        _ parameters: JSONObject,
        _ calls: [ClientSession.CallID],
        isNamed: Bool
    ) -> Bool {
        guard let call = calls.last(where: { waiting[$0]?.listener.ask != nil }),
            let question = waiting[call]?.listener.ask
        else { return false }
        notePage(method, parameters, of: waiting[call]?.listener.guest)
        // Each of them may be the one that waits for the answer.
        for call in calls { waiting[call]?.deadline?.asked(ask, at: .now) }
        let task = Task {
            let outcome = await question(method, parameters)
            await self.answered(ask, call, outcome)
        }
        questions[ask] = Question(
            method: method,
            parameters: parameters,
            call: call,
            isNamed: isNamed,
            task: task
        )
        return true
    }

    private func answered(
        _ ask: ClientSession.AskID,
        _ call: ClientSession.CallID?,
        _ outcome: Result<JSONObject, RPCError>
    ) async {
        // It may be asked by way of another call by now.
        guard questions[ask]?.call == call else { return }
        settle(ask)
        await apply(session.answer(ask, outcome))
    }

    /// A call is over, and with it what its client was asked: what may be another call's question
    /// is asked by way of that one, anything else is not answered any more.
    private func moveQuestions(from call: ClientSession.CallID) async {
        for (ask, question) in questions where question.call == call {
            guard questions[ask]?.call == call else { continue }
            question.task.cancel()
            let others = question.isNamed ? [] : meant(by: nil, asks: true)
            if put(ask, question.method, question.parameters, others, isNamed: false) { continue }
            if !question.isNamed, putOutside(ask, question.method, question.parameters) { continue }
            settle(ask)
            await apply(session.answer(ask, .failure(.internalError("the call is over"))))
        }
    }

    /// The server waits for an answer no longer: its time goes on.
    private func settle(_ ask: ClientSession.AskID) {
        guard questions.removeValue(forKey: ask) != nil else { return }
        for call in waiting.keys { waiting[call]?.deadline?.answered(ask, at: .now) }
    }
}
