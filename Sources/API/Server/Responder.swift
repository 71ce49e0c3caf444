import Domain
import HTTPTypes
import HummingbirdCore
import Logging
import MCP
import NIOCore
import Store

/// Takes a request through every check to its handler, and its answer back.
///
/// The order: who may talk to this server at all (`Host`, `Origin`), which route, who asks, what
/// the route lets them do, then the parameters and the body, then the handler. All that the head
/// says is looked at before a client that asks first (`Expect: 100-continue`) is told to send its
/// body.
struct Responder: Sendable {
    let table: RouteTable
    let guardian: RequestGuard
    let authenticator: any Authenticator
    let metrics: ServerMetrics
    let idempotency: Idempotency
    let connections: ConnectionTable
    let limits: ServerLimits
    let logger: Logger
    /// Whose word counts for where a request comes from.
    var proxies = TrustedProxies()
    /// Collects spans; nil when nobody does.
    var spans: Trace.Recorder?
    /// What is held of bodies.
    let bodies = BodyBudget()

    /// What a request comes to by its head alone.
    private enum Admission {
        case answer(APIResponse)
        case route(Route, APIRequest)
    }

    /// What a request comes to before anything is written.
    private enum Plan {
        case answer(APIResponse)
        case stream(Route.StreamHandler, APIRequest)
    }

    /// Serves one request of a connection.
    ///
    /// Concurrent, as everything that has the connection's writer: its own calls are.
    @concurrent func respond(
        to request: Request,
        _ writer: consuming ResponseWriter,
        _ channel: any Channel
    ) async throws {
        let start = ContinuousClock.now
        let count = metrics.begin()
        let id = Self.requestID(request)
        var path = request.head.path?.prefix { $0 != "?" } ?? ""
        if path.isEmpty { path = "/" }
        let match = table.match(request.method, path)
        let label = if case .route(let route, _) = match { route.path } else { "none" }
        let peer = proxies.client(
            of: channel.remoteAddress?.ipAddress ?? "local",
            forwarded: request.headers[values: .forwardedFor]
        )
        var (status, user) = (HTTPResponse.Status.internalServerError, String?.none)
        defer {
            metrics.end(
                request.method,
                route: label,
                status: status,
                duration: start.duration(to: .now)
            )
            record(id, request, label, peer, status, user, start)
        }
        let isOverloaded = count > limits.requests
        let entered = Trace.entered(
            by: request.headers[.traceParent],
            state: request.headers[.traceState],
            record: spans
        )
        defer {
            if let (trace, parent) = entered {
                trace.end { span(of: request, id, label, status, start, trace, parent) }
            }
        }
        let admission = await Trace.$current.withValue(entered?.trace) {
            await self.admission(of: request, id, path, match, peer, isOverloaded, &user)
        }
        let isAsking = request.headers[.expect]?.lowercased() == "100-continue"
        var hold = BodyBudget.Hold(bodies)
        // A stream's handler reads its body when this has returned; of an answer it is done with.
        defer { hold.release() }
        let plan: Plan
        switch admission {
        case .answer(var response):
            // The client need not send its body any more, and nobody could tell it from what may
            // come in its place (RFC 9110, section 10.1.1).
            if isAsking { response.headers[.connection] = "close" }
            plan = .answer(response)
        case .route(let route, let apiRequest):
            if isAsking { try await writer.writeInformationalHead(.init(status: .continue)) }
            plan = await Trace.$current.withValue(entered?.trace) {
                await self.plan(request, route, apiRequest, channel, &hold)
            }
        }
        switch plan {
        case .answer(let response):
            hold.release()
            status = response.status
            try await write(response, to: request, id, writer)
        case .stream(let handler, let apiRequest):
            status = try await handler(apiRequest, writer, channel)
        }
    }

    // MARK: - Plan

    /// Makes every check that needs no body.
    private func admission(
        of request: Request,
        _ id: String,
        _ path: Substring,
        _ match: RouteTable.Match,
        _ peer: String,
        _ isOverloaded: Bool,
        _ user: inout String?
    ) async -> Admission {
        do {
            guard !isOverloaded else {
                throw Problem.overloaded("\(limits.requests) requests are being served already")
            }
            try guardian.check(request.head)
            if let reply = guardian.preflight(request.head) { return .answer(reply) }
            guard case .route(let route, let parameters) = match else {
                throw Self.problem(of: match, request.method)
            }
            let query = request.head.path?.split(separator: "?", maxSplits: 1).dropFirst().first
            var apiRequest = APIRequest(
                id: id,
                method: request.method,
                path: String(path),
                query: QueryItems(query ?? ""),
                headers: request.headers,
                peer: peer,
                trace: Trace.current,
                parameters: parameters
            )
            apiRequest.principal = try await admitted(apiRequest, to: route)
            user = apiRequest.principal?.name
            try checkHeaders(apiRequest, route)
            apiRequest.arguments = try route.arguments(of: apiRequest)
            let limit = bodyLimit(of: route)
            if let length = Self.length(of: request), length > limit {
                throw Problem.tooLarge(limit)
            }
            return .route(route, apiRequest)
        } catch {
            return .answer(refusal(of: id, because: error))
        }
    }

    /// Takes the body, and runs the handler where that gives an answer.
    private func plan(
        _ request: Request,
        _ route: Route,
        _ admitted: APIRequest,
        _ channel: any Channel,
        _ hold: inout BodyBudget.Hold
    ) async -> Plan {
        do {
            var apiRequest = admitted
            apiRequest.body = try await body(
                of: request,
                for: route,
                from: apiRequest.principal,
                &hold
            )
            apiRequest.content = try route.content(of: apiRequest)
            switch route.action {
            case .answer(let handler):
                let whole = apiRequest
                if route.endsWithClient {
                    return .answer(
                        try await connections.run(for: channel) { try await handler(whole) }
                    )
                }
                guard route.isWrite, route.keepsAnswers else {
                    return .answer(try await handler(whole))
                }
                return .answer(try await idempotency.answer(whole, by: handler))
            case .stream(let handler): return .stream(handler, apiRequest)
            }
        } catch {
            return .answer(refusal(of: admitted.id, because: error))
        }
    }

    /// The answer to a request that failed, of which the log has the reason.
    private func refusal(of id: String, because error: any Error) -> APIResponse {
        let problem = Problem(cause: error)
        logger.noteFailure(problem, of: id, because: error)
        return problem.response(requestID: id)
    }

    /// How long a body of the route may be.
    private func bodyLimit(of route: Route) -> Int { route.bodyLimit ?? limits.bodyBytes }

    /// How long the body is, as its head says.
    private static func length(of request: Request) -> Int? {
        request.headers[.contentLength].flatMap { Int($0) }
    }

    /// Refuses an `Idempotency-Key` or an `If-Match` that would be worth nothing.
    private func checkHeaders(_ request: APIRequest, _ route: Route) throws(Problem) {
        guard route.isStrict, route.isWrite else { return }
        guard route.keepsAnswers || request.headers[.idempotencyKey] == nil else {
            throw Problem(
                .badRequest,
                "an `Idempotency-Key` cannot be honoured here: answers with secrets are not kept",
                code: "idempotency_not_kept"
            )
        }
        guard route.versioning.contains(.guarded) || request.headers[.ifMatch] == nil else {
            throw Problem(
                .badRequest,
                "an `If-Match` cannot be honoured here: nothing is compared with it",
                code: "if_match_not_compared"
            )
        }
    }

    private static func problem(
        of match: RouteTable.Match,
        _ method: HTTPRequest.Method
    ) -> Problem {
        guard case .otherMethods(let methods) = match else { return .notFound() }
        let names = methods.map(\.rawValue).joined(separator: ", ")
        var problem = Problem(.methodNotAllowed, "this address takes \(names)")
        problem.headers[.allow] = names
        return problem
    }

    /// Who asks, when they may.
    private func admitted(
        _ request: APIRequest,
        to route: Route
    ) async throws -> Principal? {
        guard case .permission(let permission) = route.access else { return nil }
        guard let principal = try await authenticator.principal(of: request) else {
            throw Problem.unauthenticated()
        }
        guard principal.may(permission) else {
            throw Problem.denied(permission, to: principal)
        }
        return principal
    }

    /// The whole body.
    ///
    /// - Parameters:
    ///   - request: What brings it.
    ///   - route: What bounds it.
    ///   - principal: Who sends it; nil for a stranger.
    ///   - hold: What it took of ``bodies``, also when this throws.
    /// - Returns: Its bytes.
    /// - Throws: ``Problem`` for one that is too large, too short or finds no room, and whatever
    ///   ends the connection.
    private func body(
        of request: Request,
        for route: Route,
        from principal: Principal?,
        _ hold: inout BodyBudget.Hold
    ) async throws -> [UInt8] {
        let limit = bodyLimit(of: route)
        var bytes: [UInt8] = []
        for try await buffer in request.body {
            guard bytes.count + buffer.readableBytes <= limit else {
                throw Problem.tooLarge(limit)
            }
            guard take(buffer.readableBytes, for: principal, &hold) else {
                throw Problem.tooManyBodies
            }
            bytes.append(contentsOf: buffer.readableBytesView)
        }
        // A connection that ends in the middle of a body ends the body, too.
        let length = Self.length(of: request)
        guard length == nil || length == bytes.count else {
            throw Problem(.badRequest, "the body is shorter than `Content-Length` says")
        }
        return bytes
    }

    /// Takes room for a piece of a body.
    private func take(
        _ bytes: Int,
        for principal: Principal?,
        _ hold: inout BodyBudget.Hold
    ) -> Bool {
        guard let principal else {
            let limit = limits.openBodyBytes
            return hold.take(bytes, for: .strangers, share: limit, limit: limit)
        }
        return hold.take(
            bytes,
            for: .user("\(principal.account)/\(principal.user)"),
            share: limits.bodyBytesOfUser,
            limit: limits.bodyBytesInAll
        )
    }

    // MARK: - Answer

    @concurrent private func write(
        _ response: APIResponse,
        to request: Request,
        _ id: String,
        _ writer: consuming ResponseWriter
    ) async throws {
        var head = HTTPResponse(status: response.status, headerFields: response.headers)
        decorate(&head, for: request.head, id)
        // A 304's would have to be that of the document that is not sent.
        if response.status != .noContent, response.status != .notModified {
            head.headerFields[.contentLength] = String(response.body.count)
        }
        guard request.method != .head, !response.body.isEmpty else {
            try await writer.writeResponse(head)
            return
        }
        let body = ResponseBody(byteBuffer: ByteBuffer(bytes: response.body))
        try await writer.write(response: head, body: body)
    }

    /// Adds what every answer has.
    func decorate(_ head: inout HTTPResponse, for request: HTTPRequest, _ id: String) {
        head.headerFields[.requestID] = id
        head.headerFields[.xContentTypeOptions] = "nosniff"
        if head.headerFields[.cacheControl] == nil { head.headerFields[.cacheControl] = "no-store" }
        if let origin = request.headerFields[.origin] { guardian.allow(origin, in: &head) }
    }

    private func record(
        _ id: String,
        _ request: Request,
        _ route: String,
        _ peer: String,
        _ status: HTTPResponse.Status,
        _ user: String?,
        _ start: ContinuousClock.Instant
    ) {
        let milliseconds = start.duration(to: .now) / .milliseconds(1)
        var metadata: Logger.Metadata = [
            "request_id": .string(id), "method": .string(request.method.rawValue),
            "route": .string(route), "peer": .string(peer),
            "status": .stringConvertible(status.code),
            "ms": .stringConvertible((milliseconds * 100).rounded() / 100),
        ]
        if let user { metadata["user"] = .string(user) }
        if let trace = request.headers[.traceParent], trace.utf8.count <= 64 {
            metadata["traceparent"] = .string(trace)
        }
        // What is asked every second by a supervisor says nothing.
        let level: Logger.Level = route == "/healthz" || route == "/readyz" ? .debug : .info
        logger.log(level: level, "request", metadata: metadata)
    }

    private func span(
        of request: Request,
        _ id: String,
        _ route: String,
        _ status: HTTPResponse.Status,
        _ start: ContinuousClock.Instant,
        _ trace: Trace,
        _ parent: UInt64?
    ) -> Span {
        var span = Span(
            "\(ServerMetrics.name(of: request.method)) \(route)",
            .server,
            trace,
            parent: parent,
            end: WallClock.system.now(),
            duration: start.duration(to: .now)
        )
        let method = ServerMetrics.name(of: request.method)
        span.attributes["http.request.method"] = .string(method)
        span.attributes["http.route"] = .string(route)
        span.attributes["http.response.status_code"] = .integer(Int64(status.code))
        span.attributes["preloop.request_id"] = .string(id)
        span.isFailure = status.kind == .serverError
        return span
    }

    /// The client's identifier where it is a plain word, else a new one.
    private static func requestID(_ request: Request) -> String {
        if let given = request.headers[.requestID], (1...64).contains(given.utf8.count),
            given.utf8.allSatisfy({ byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            })
        {
            return given
        }
        return hexadecimal(UInt64.random(in: 0...UInt64.max), digits: 16)
    }
}

extension Problem {
    /// A body that is longer than its route takes; the rest of it is not read.
    static func tooLarge(_ limit: Int) -> Problem {
        var problem = Problem(.contentTooLarge, "the body may have \(limit) bytes at most")
        problem.headers[.connection] = "close"
        return problem
    }

    /// Too much is held already; the rest of the body is not read.
    static var tooManyBodies: Problem {
        var problem = Problem.overloaded("other bodies are being received", after: 2)
        problem.headers[.connection] = "close"
        return problem
    }
}

extension Logger {
    /// Tells the operator why a request failed, where its answer may only say that it did.
    func noteFailure(_ problem: Problem, of request: String, because error: any Error) {
        guard problem.status.kind == .serverError else { return }
        self.error(
            "request failed",
            metadata: ["request_id": .string(request), "reason": .string("\(error)")]
        )
    }
}

extension HTTPField.Name {
    static let requestID = known("X-Request-ID")
    static let traceParent = known("traceparent")
    static let traceState = known("tracestate")
    static let idempotencyKey = known("Idempotency-Key")
    static let forwardedFor = known("X-Forwarded-For")
    static let forwarded = known("Forwarded")

    /// A name that is one.
    static func known(_ name: String) -> HTTPField.Name {
        guard let field = HTTPField.Name(name) else {
            preconditionFailure("`\(name)` is no name of a header")
        }
        return field
    }
}
