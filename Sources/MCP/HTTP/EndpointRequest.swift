import Domain

/// A request to the MCP endpoint, as the HTTP layer received it.
package struct EndpointRequest: Sendable {
    package var method: String
    package var headers: HeaderFields
    package var body: [UInt8]

    package init(method: String, headers: HeaderFields, body: [UInt8] = []) {
        self.method = method
        self.headers = headers
        self.body = body
    }
}

/// Decides what a request to the MCP endpoint is, of either era; pure.
package struct EndpointRouter: Sendable {
    /// What has to be done with a request.
    package enum Route: Sendable, Equatable {
        /// Answer it; there is nothing to do.
        case reply(HTTPReply)
        /// Serve it by itself, with an ``HTTPExchange``.
        case modern(Message.Request)
        /// Begin a session and give it this message.
        case initialize(Message.Request)
        /// Give a session what came.
        case post(session: String, MessageParser.Incoming)
        /// Open a stream of a session, behind an event that the client has seen.
        case stream(session: String, after: EventID?)
        /// End a session.
        case end(session: String)
    }

    /// Origins whose pages may call, such as `https://preloop.example.com`; a request without
    /// `Origin` comes from no page and may always.
    package var allowedOrigins: Set<String>
    package var parser: MessageParser

    package init(allowedOrigins: Set<String> = [], parser: MessageParser = MessageParser()) {
        self.allowedOrigins = allowedOrigins
        self.parser = parser
    }

    private static let versionHeader = "MCP-Protocol-Version"
    private static let methodHeader = "Mcp-Method"
    private static let nameHeader = "Mcp-Name"
    private static let sessionHeader = "Mcp-Session-Id"
    private static let eventHeader = "Last-Event-ID"

    /// Which parameter `Mcp-Name` repeats.
    private static let names = [
        "tools/call": "name", "prompts/get": "name", "resources/read": "uri",
    ]

    /// Sorts a request; nothing has happened yet.
    package func route(_ request: EndpointRequest) -> Route {
        if let origin = request.headers["Origin"], !allowedOrigins.contains(origin.lowercased()) {
            let error = RPCError.invalidRequest("pages of this origin may not call")
            return .reply(.failure(error, status: 403))
        }
        let version = request.headers[Self.versionHeader]
        if let version, ProtocolVersion(rawValue: version) == nil, request.method != "POST" {
            return .reply(.failure(.unsupportedVersion(version), status: 400))
        }
        let isModern = version.flatMap(ProtocolVersion.init(rawValue:))?.era == .modern
        switch request.method {
        case "POST": return post(request, version: version)
        case "GET" where !isModern: return stream(request)
        case "DELETE" where !isModern:
            guard let session = session(of: request) else { return .reply(Self.missingSession) }
            return .end(session: session)
        default:
            let allowed = isModern ? "POST" : "POST, GET, DELETE"
            return .reply(HTTPReply(status: 405, headers: .init(["Allow": allowed])))
        }
    }

    private static let missingSession = HTTPReply.failure(
        .invalidRequest("`Mcp-Session-Id` is missing; begin a session with `initialize`"),
        status: 400
    )

    /// Only visible ASCII, of bounded length; nil for none or what is none.
    private func session(of request: EndpointRequest) -> String? {
        guard let session = request.headers[Self.sessionHeader], !session.isEmpty,
            session.utf8.count <= 128, session.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return session
    }

    private func stream(_ request: EndpointRequest) -> Route {
        guard accepts(request, "text/event-stream") else {
            return .reply(HTTPReply(status: 406))
        }
        guard let session = session(of: request) else { return .reply(Self.missingSession) }
        guard let text = request.headers[Self.eventHeader] else {
            return .stream(session: session, after: nil)
        }
        guard let event = EventID(text) else {
            let error = RPCError.invalidRequest("`Last-Event-ID` names no event of this server")
            return .reply(.failure(error, status: 400))
        }
        return .stream(session: session, after: event)
    }

    // MARK: - POST

    private func post(_ request: EndpointRequest, version: String?) -> Route {
        guard accepts(request, "application/json"), accepts(request, "text/event-stream") else {
            let error = RPCError.invalidRequest(
                "`Accept` must list application/json and text/event-stream"
            )
            return .reply(.failure(error, status: 406))
        }
        let type = request.headers["Content-Type"]?.lowercased() ?? ""
        guard type.utf8.starts(with: "application/json".utf8) else {
            let error = RPCError.invalidRequest("`Content-Type` must be application/json")
            return .reply(.failure(error, status: 415))
        }
        guard request.body.count <= parser.limits.bytes else {
            let reason = "a message has at most \(parser.limits.bytes) bytes"
            let error = RPCError.invalidRequest(reason)
            return .reply(.failure(error, status: 413))
        }
        let incoming: MessageParser.Incoming
        do throws(MessageParser.Failure) {
            incoming = try parser.parse(request.body)
        } catch {
            return .reply(.failure(error.error, id: error.id, status: 400))
        }
        let known = version.flatMap(ProtocolVersion.init(rawValue:))
        if let version, known == nil {
            return .reply(.failure(.unsupportedVersion(version), id: incoming.id, status: 400))
        }
        if known?.era == .modern || incoming.isModern { return modern(incoming, request, version) }
        return legacy(incoming, request)
    }

    private func legacy(_ incoming: MessageParser.Incoming, _ request: EndpointRequest) -> Route {
        if case .message(.request(let message)) = incoming, message.method == "initialize" {
            return .initialize(message)
        }
        guard let session = session(of: request) else { return .reply(Self.missingSession) }
        return .post(session: session, incoming)
    }

    private func modern(
        _ incoming: MessageParser.Incoming,
        _ request: EndpointRequest,
        _ version: String?
    ) -> Route {
        switch incoming {
        case .message(.request(let message)):
            if let error = mismatch(message, request.headers, version) {
                return .reply(.failure(error, id: message.id))
            }
            return .modern(message)
        // Nothing a client could tell without asking: it cancels by closing the stream.
        case .message(.notification): return .reply(.accepted)
        case .message(.response), .batch:
            let error = RPCError.invalidRequest("the body must be one request or notification")
            return .reply(.failure(error, status: 400))
        }
    }

    /// What the headers say against the body.
    private func mismatch(
        _ message: Message.Request,
        _ headers: HeaderFields,
        _ version: String?
    ) -> RPCError? {
        for name in [Self.versionHeader, Self.methodHeader, Self.nameHeader]
        where headers.values(of: name).count > 1 {
            // Whoever reads the first and whoever reads the last would see different things.
            return .headerMismatch("`\(name)` is there more than once")
        }
        do throws(RPCError) {
            _ = try ModernEnvelope(of: message.parameters, isLenient: true)
        } catch {
            // The version is compared with the header first: it says what is really wrong.
            guard error.code == RPCError.unsupportedVersionCode else { return error }
        }
        let meta = message.parameters["_meta"]?[RequestMeta.Key.protocolVersion]?.string
        // Clients exist whose discovery has no headers; their calls have them.
        let isLenient = message.method == "server/discover"
        if !(version == nil && isLenient), version != meta {
            return .headerMismatch("`\(Self.versionHeader)` is not the version in `_meta`")
        }
        let method = headers[Self.methodHeader]
        if !(method == nil && isLenient), method != message.method {
            return .headerMismatch("`\(Self.methodHeader)` is not the method of the body")
        }
        guard let parameter = Self.names[message.method] else { return nil }
        let value = headers[Self.nameHeader].flatMap(HeaderValue.decoded)
        guard let value, let body = message.parameters[parameter]?.string,
            haveEqualBytes(value, body)
        else {
            return .headerMismatch("`\(Self.nameHeader)` is not `\(parameter)` of the body")
        }
        return nil
    }

    /// Whether `Accept` lets a type through; a request without it takes everything.
    private func accepts(_ request: EndpointRequest, _ type: String) -> Bool {
        let values = request.headers.values(of: "Accept")
        guard !values.isEmpty else { return true }
        let family = type.prefix { $0 != "/" }
        return values.flatMap { $0.split(separator: ",") }.contains { item in
            // `;` alone is an item as well: whatever stands before the first one counts.
            let range = item.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
            return range == type || range == "*/*" || range == "\(family)/*"
        }
    }
}

extension MessageParser.Incoming {
    /// The identifier of a single request.
    fileprivate var id: RequestID? {
        if case .message(.request(let request)) = self { request.id } else { nil }
    }

    /// Whether it is a single request with the metadata of the modern era.
    fileprivate var isModern: Bool {
        guard case .message(.request(let request)) = self, request.method != "initialize" else {
            return false
        }
        return ModernEnvelope.isPresent(in: request.parameters)
    }
}
