package import Domain

/// What a request over HTTP is answered with at once.
package struct HTTPReply: Sendable, Equatable {
    package var status: Int
    package var headers: HeaderFields
    package var body: [UInt8]

    package init(status: Int, headers: HeaderFields = HeaderFields(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A message as JSON.
    package static func json(_ message: JSONValue, status: Int = 200) -> HTTPReply {
        let headers: HeaderFields = .init(["Content-Type": "application/json"])
        return HTTPReply(status: status, headers: headers, body: message.serialized())
    }

    /// An error as JSON, with the status that its code has.
    package static func failure(
        _ error: RPCError,
        id: RequestID? = nil,
        status: Int? = nil
    ) -> HTTPReply {
        json(Message.failure(id, error).json, status: status ?? Self.status(of: error.code))
    }

    /// The head of a stream of events.
    package static let eventStream = HTTPReply(
        status: 200,
        headers: .init([
            "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform",
            // Proxies must hand on events as they come.
            "X-Accel-Buffering": "no",
        ])
    )

    /// Received, and there is nothing to say.
    package static let accepted = HTTPReply(status: 202)

    /// The status of an error of the modern era: what a client or a proxy can tell by the head.
    package static func status(of code: Int) -> Int {
        switch code {
        case RPCError.methodNotFoundCode: 404
        case RPCError.parseErrorCode, RPCError.invalidRequestCode, RPCError.invalidParametersCode,
            RPCError.headerMismatchCode, RPCError.missingCapabilityCode,
            RPCError.unsupportedVersionCode:
            400
        default: 200
        }
    }
}
