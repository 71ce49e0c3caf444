import Domain
import HTTPClient
import MCP

/// Streamable HTTP, of both eras: each request is a POST that is answered by JSON or by a stream.
actor StreamableHTTPLink: UpstreamLink {
    /// How often a stream that broke off is taken up again behind its last event.
    private static let maximumResumptions = 5
    /// A server's wish for when to come back is followed between these.
    private static let retryMilliseconds = 100...30_000
    /// A stream whose answer has come is left to its server for so long: ended by it, the
    /// connection can be used again.
    private static let lingering: Duration = .seconds(5)

    private let endpoint: HTTPEndpoint
    private let parser: MessageParser
    private var deliver: @Sendable (LinkEvent) async -> Void = { _ in }
    private var sessionID: String?
    private var version: ProtocolVersion?
    private var exchanges: [ClientSession.CallID: Task<Void, Never>] = [:]
    private var listening: Task<Void, Never>?
    private var isClosed = false

    init(endpoint: HTTPEndpoint, parser: MessageParser) {
        self.endpoint = endpoint
        self.parser = parser
    }

    /// There is nothing to connect: each request finds its own way.
    func start(deliver: @escaping @Sendable (LinkEvent) async -> Void) async throws(UpstreamError) {
        self.deliver = deliver
    }

    /// A session of the older era gets a stream for what answers nothing.
    func begun(_ profile: ServerProfile) async {
        version = profile.version
        guard profile.version.era == .legacy, sessionID != nil, !isClosed else { return }
        listening = Task { await self.listen() }
    }

    func send(_ message: Message, _ context: LinkContext) async throws(UpstreamError) {
        guard !isClosed else { throw .sessionEnded }
        switch message {
        case .request(let request):
            guard let call = context.call else { return }
            let post = post(message, request, context)
            exchanges[call] = Task {
                await self.carry(post, call, isHandshake: request.method == "initialize")
                self.forget(call)
            }
        case .notification, .response:
            // The newer era has nothing of this: closing the stream is how it cancels.
            guard version?.era != .modern else { return }
            try await tell(post(message, nil, context))
        }
    }

    func stop(_ call: ClientSession.CallID) async {
        exchanges.removeValue(forKey: call)?.cancel()
    }

    func close() async {
        guard !isClosed else { return }
        isClosed = true
        for exchange in exchanges.values { exchange.cancel() }
        exchanges = [:]
        listening?.cancel()
        // What it is given to holds this link.
        deliver = { _ in }
        guard let sessionID, version?.era == .legacy else { return }
        var request = HTTPRequest(method: "DELETE", url: endpoint.url)
        request.headers = [HTTPField("Mcp-Session-Id", sessionID)]
        request.limits.totalTimeout = .seconds(5)
        // The session is over for us whatever the server makes of that.
        _ = try? await endpoint.exchange(request) { _, _ in true }
    }

    private func forget(_ call: ClientSession.CallID) { exchanges[call] = nil }

    // MARK: - Requests

    private func post(
        _ message: Message,
        _ request: Message.Request?,
        _ context: LinkContext
    ) -> HTTPRequest {
        var post = HTTPRequest(method: "POST", url: endpoint.url)
        post.body = message.json.serialized()
        // What may have been done is never done twice.
        post.isSentOnce = request.map { !Self.repeatable.contains($0.method) } ?? true
        post.limits.maximumResponseByteCount = 1 << 30
        post.limits.idleTimeout = HTTPEndpoint.longestCall
        post.limits.totalTimeout = HTTPEndpoint.longestCall
        post.headers = [
            HTTPField("Content-Type", "application/json"),
            HTTPField("Accept", "application/json, text/event-stream"),
        ]
        let isModern =
            request?.parameters["_meta"]?[RequestMeta.Key.protocolVersion] != nil
        if isModern, let request {
            post.headers.append(
                HTTPField("MCP-Protocol-Version", ProtocolVersion.latest.rawValue)
            )
            post.headers.append(HTTPField("Mcp-Method", HeaderValue.encoded(request.method)))
            let name = Self.names[request.method].flatMap { request.parameters[$0]?.string }
            if let name { post.headers.append(HTTPField("Mcp-Name", HeaderValue.encoded(name))) }
            post.headers += context.headers.map { HTTPField($0.name, $0.value) }
        } else {
            appendSession(to: &post)
        }
        post.headers += message.traceHeaders
        return post
    }

    private func appendSession(to request: inout HTTPRequest) {
        if let sessionID { request.headers.append(HTTPField("Mcp-Session-Id", sessionID)) }
        if let version {
            request.headers.append(HTTPField("MCP-Protocol-Version", version.rawValue))
        }
    }

    private static let names = [
        "tools/call": "name", "prompts/get": "name", "resources/read": "uri",
    ]
    /// Requests that change nothing, which libcurl may send again on a connection that had died.
    private static let repeatable: Set<String> = [
        "server/discover", "initialize", "tools/list", "resources/list",
        "resources/templates/list", "resources/read", "prompts/list", "prompts/get",
        "completion/complete",
    ]

    /// Sends what has no answer.
    private func tell(_ post: HTTPRequest) async throws(UpstreamError) {
        var post = post
        post.limits.totalTimeout = .seconds(30)
        let head = try await endpoint.exchange(post) { _, _ in true }
        guard (200..<300).contains(head.status) else { throw Self.failure(head, hadSession: true) }
    }

    /// Carries a request out, and takes its stream up again where it breaks off.
    private func carry(
        _ first: HTTPRequest,
        _ call: ClientSession.CallID,
        isHandshake: Bool
    ) async {
        var request = first
        var position = StreamPosition()
        for attempt in 0...Self.maximumResumptions {
            do throws(UpstreamError) {
                let isAnswered = try await exchange(request, call, isHandshake, &position)
                if isAnswered || isClosed || Task.isCancelled { return }
            } catch {
                // What was begun can be taken up again; anything else is over. After the answer
                // nobody waits for anything any more.
                guard case .lost = error, position.event != nil, !Task.isCancelled else {
                    let isFirst = attempt == 0 && position.event == nil
                    await deliver(.failed(call, isFirst ? error : Self.broken(by: error)))
                    return
                }
            }
            guard let event = position.event, version?.era == .legacy,
                attempt < Self.maximumResumptions
            else { break }
            let range = Self.retryMilliseconds
            let pause = min(max(position.retry ?? 1_000, range.lowerBound), range.upperBound)
            // Cancelled when nobody wants the answer any more.
            guard (try? await Task.sleep(for: .milliseconds(pause))) != nil else { return }
            request = stream(after: event)
        }
        await deliver(.failed(call, .lost(reason: "the stream ended without an answer")))
    }

    /// What an error means for a call whose stream had begun: what says that nothing was done says
    /// so of the attempt to take the stream up again, and not of the call.
    private static func broken(by error: UpstreamError) -> UpstreamError {
        switch error {
        case .lost, .invalid, .tooLarge: error
        case .refused, .forbiddenAddress, .unreachable, .unknownHost, .notStarted, .unauthorized,
            .sessionEnded, .timedOut, .ended, .suspended, .crowded, .held, .notAsShown,
            .misconfigured:
            .lost(reason: "its stream broke off and cannot be taken up again: \(error)")
        }
    }

    /// How far a stream has been read.
    private struct StreamPosition {
        var event: String?
        var retry: Int?
    }

    /// Makes one exchange of a call.
    ///
    /// - Returns: Whether there was an answer.
    private func exchange(
        _ request: HTTPRequest,
        _ call: ClientSession.CallID,
        _ isHandshake: Bool,
        _ position: inout StreamPosition
    ) async throws(UpstreamError) -> Bool {
        var events = EventStreamParser(limit: parser.limits.bytes)
        var body: [UInt8] = []
        var isAnswered = false
        var linger: Task<Void, Never>?
        defer { linger?.cancel() }
        let hadSession = request.headers.contains { $0.name == "Mcp-Session-Id" }
        let head = try await endpoint.exchange(request) { head, piece throws(UpstreamError) in
            if isHandshake { takeSession(head) }
            guard head.status == 200, head.isEventStream else {
                let limit = head.status == 200 ? parser.limits.bytes : HTTPEndpoint.errorBytes
                guard body.count + piece.count <= limit else { throw .tooLarge(limit: limit) }
                body += piece
                return true
            }
            let found: [EventStreamParser.Event]
            do throws(EventStreamParser.TooLong) {
                found = try events.add(piece)
            } catch {
                throw .tooLarge(limit: parser.limits.bytes)
            }
            position.retry = events.retry ?? position.retry
            for event in found {
                position.event = event.id ?? position.event
                if await give(event, call) { isAnswered = true }
            }
            if isAnswered, linger == nil {
                linger = Task {
                    do {
                        try await Task.sleep(for: Self.lingering)
                        await self.stop(call)
                    } catch {}
                }
            }
            return true
        }
        if isAnswered { return true }
        if isHandshake { takeSession(head) }
        if head.status == 200, head.isEventStream { return false }
        guard !body.isEmpty, await give(body, head, call) else {
            throw Self.failure(head, hadSession: hadSession)
        }
        return true
    }

    private func takeSession(_ head: HTTPEndpoint.Head) {
        guard head.status == 200, let id = head.headers["Mcp-Session-Id"], !id.isEmpty,
            id.utf8.count <= 1_024, id.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return }
        sessionID = id
    }

    /// Delivers an event; true when it is the answer to the call.
    private func give(
        _ event: EventStreamParser.Event,
        _ call: ClientSession.CallID?
    ) async -> Bool {
        // An empty event is a place to come back to; other names are of other protocols.
        guard event.name == "message", !event.data.isEmpty else { return false }
        do throws(MessageParser.Failure) {
            let incoming = try parser.parse(event.data)
            await deliver(.incoming(incoming, during: call))
            return incoming.answers(call)
        } catch {
            await deliver(.malformed(error, during: call))
            return false
        }
    }

    /// Delivers a whole body; false when it is nothing that answers.
    private func give(
        _ body: [UInt8],
        _ head: HTTPEndpoint.Head,
        _ call: ClientSession.CallID
    ) async -> Bool {
        // What stands in the way of the server, such as a proxy, answers in its own words.
        guard head.status != 401, head.status != 403, head.status < 500 else { return false }
        do throws(MessageParser.Failure) {
            let incoming = try parser.parse(body)
            let isAnswer = incoming.answers(call)
            // A session that is gone is told by its status, whatever is written beside it.
            if head.status == 404, sessionID != nil { return false }
            if version?.era == .modern, head.status == 400 || head.status == 404,
                let error = incoming.refusalOfEra
            {
                await deliver(.failed(call, .refused(error)))
                return true
            }
            guard isAnswer || head.status == 200 else { return false }
            await deliver(.incoming(incoming, during: call))
            if !isAnswer {
                await deliver(.failed(call, .invalid(reason: "an answer to something else")))
            }
            return true
        } catch {
            guard head.status == 200 else { return false }
            await deliver(.malformed(error, during: call))
            return true
        }
    }

    private static func failure(_ head: HTTPEndpoint.Head, hadSession: Bool) -> UpstreamError {
        switch head.status {
        case 404 where hadSession: .sessionEnded
        case 401, 403: .unauthorized(status: head.status)
        case 300..<400:
            .misconfigured(reason: "its address answers with a redirect; give the final address")
        case 429, 503: .unreachable(reason: "it answers with HTTP status \(head.status)")
        case 500...: .lost(reason: "it answers with HTTP status \(head.status)")
        default:
            .refused(
                RPCError.invalidRequest("the server answers with HTTP status \(head.status)")
            )
        }
    }

    // MARK: - Streams

    private func stream(after event: String?) -> HTTPRequest {
        var request = HTTPRequest(method: "GET", url: endpoint.url)
        request.headers = [HTTPField("Accept", "text/event-stream")]
        appendSession(to: &request)
        if let event { request.headers.append(HTTPField("Last-Event-ID", event)) }
        request.limits.maximumResponseByteCount = 1 << 30
        request.limits.idleTimeout = HTTPEndpoint.longestStream
        request.limits.totalTimeout = HTTPEndpoint.longestStream
        request.limits.maximumRedirects = 0
        return request
    }

    /// Reads the session's stream of what answers nothing, as long as the server has one.
    private func listen() async {
        var position = StreamPosition()
        var failures = 0
        // A server without such a stream answers 404 or 405 the first time already.
        var wasOpen = false
        while !isClosed, !Task.isCancelled, wasOpen || failures < Self.maximumResumptions {
            var events = EventStreamParser(limit: parser.limits.bytes)
            do throws(UpstreamError) {
                let request = stream(after: position.event)
                let head = try await endpoint.exchange(request) {
                    head,
                    piece throws(UpstreamError) in
                    guard head.status == 200, head.isEventStream else { return false }
                    failures = 0
                    wasOpen = true
                    guard let found = try? events.add(piece) else {
                        throw .tooLarge(limit: parser.limits.bytes)
                    }
                    position.retry = events.retry ?? position.retry
                    for event in found {
                        position.event = event.id ?? position.event
                        _ = await give(event, nil)
                    }
                    return true
                }
                // 405: there is no such stream; 404: the session is gone.
                guard head.status == 200, head.isEventStream else {
                    if wasOpen, head.status == 404 { break }
                    return
                }
                wasOpen = true
            } catch {
                failures += 1
                // What broke off had been begun.
                if case .lost = error { wasOpen = true }
            }
            let range = Self.retryMilliseconds
            // A server that stays away is asked seldom: once it is back, it says whether it still
            // knows the session.
            let isAway = failures >= Self.maximumResumptions
            let wish = isAway ? range.upperBound : position.retry ?? 1_000
            let pause = min(max(wish, range.lowerBound), range.upperBound)
            guard (try? await Task.sleep(for: .milliseconds(pause))) != nil else { return }
        }
        guard wasOpen, !isClosed, !Task.isCancelled else { return }
        // Whoever hears of changes by it must begin another session; calls under way may be done.
        await deliver(.closed(.lost(reason: "the server has forgotten the session")))
    }
}

extension MessageParser.Incoming {
    /// What a server of the older era says to a request of the newer one: it names no request, or
    /// the revision.
    fileprivate var refusalOfEra: RPCError? {
        guard case .message(.response(let response)) = self,
            case .failure(let error) = response.outcome
        else { return nil }
        return response.id == nil || error.code == RPCError.unsupportedVersionCode ? error : nil
    }

    /// Whether it holds the answer to a call.
    fileprivate func answers(_ call: ClientSession.CallID?) -> Bool {
        guard let call else { return false }
        func isAnswer(_ message: Message) -> Bool {
            guard case .response(let response) = message else { return false }
            return response.id == nil || response.id == .integer(call)
                || response.id == .string(String(call))
        }
        switch self {
        case .message(let message): return isAnswer(message)
        case .batch(let elements):
            return elements.contains { element in
                if case .message(let message) = element { isAnswer(message) } else { false }
            }
        }
    }
}
