package import Domain

/// The `error` of a JSON-RPC response.
package struct RPCError: Error, Sendable, Equatable {
    package var code: Int
    /// One sentence for whoever reads the client's log.
    package var message: String
    /// What a program can act on; nil for none.
    package var data: JSONValue?

    package init(_ code: Int, _ message: String, data: JSONValue? = nil) {
        self.code = code
        self.message = message
        self.data = data
    }

    /// As it stands in a message.
    package var json: JSONValue {
        var object = JSONObject()
        object.append(key: "code", value: .integer(Int64(code)))
        object.append(key: "message", value: .string(message))
        if let data { object.append(key: "data", value: data) }
        return .object(object)
    }
}

extension RPCError {
    /// Codes of JSON-RPC 2.0, section 5.1.
    package static let parseErrorCode = -32700
    /// The message is not a request.
    package static let invalidRequestCode = -32600
    /// There is no such method.
    package static let methodNotFoundCode = -32601
    /// The parameters are missing or wrong.
    package static let invalidParametersCode = -32602
    /// The server failed.
    package static let internalErrorCode = -32603
    /// There is no such resource; 2026-07-28 has `invalidParametersCode` for it.
    package static let resourceNotFoundCode = -32002
    /// Headers and body contradict each other (2026-07-28).
    package static let headerMismatchCode = -32020
    /// The person at the client has to open pages first (2025-11-25).
    package static let urlElicitationRequiredCode = -32042
    /// The client lacks a capability the request needs (2026-07-28); no tool of ours needs one.
    package static let missingCapabilityCode = -32021
    /// The revision is not spoken (2026-07-28).
    package static let unsupportedVersionCode = -32022

    /// Bytes that are no JSON.
    package static func parse(_ reason: String) -> RPCError {
        RPCError(parseErrorCode, "the message is not JSON: \(reason)")
    }

    /// JSON that is no message.
    package static func invalidRequest(_ reason: String) -> RPCError {
        RPCError(invalidRequestCode, reason)
    }

    /// A method this server does not have.
    package static func methodNotFound(_ method: String) -> RPCError {
        RPCError(methodNotFoundCode, "method not found", data: .string(excerpt(method)))
    }

    /// Wrong parameters.
    package static func invalidParameters(_ reason: String) -> RPCError {
        RPCError(invalidParametersCode, reason)
    }

    /// A resource that nobody has; each era gets its own code for it by ``said(in:)``.
    package static func resourceNotFound(_ reason: String) -> RPCError {
        RPCError(resourceNotFoundCode, reason)
    }

    /// The same error as a revision has it, also where it comes from a server of the other era.
    func said(in version: ProtocolVersion) -> RPCError {
        guard version.era == .modern, code == Self.resourceNotFoundCode else { return self }
        return RPCError(Self.invalidParametersCode, message, data: data)
    }

    /// The server's own failure; the reason holds nothing secret.
    package static func internalError(_ reason: String) -> RPCError {
        RPCError(internalErrorCode, reason)
    }

    /// A tool that does not exist or is not visible to the caller: the same answer for both.
    package static func unknownTool(_ name: String) -> RPCError {
        RPCError(
            invalidParametersCode,
            "there is no tool `\(excerpt(name))`; tools/list names those there are"
        )
    }

    /// Headers and body contradict each other.
    package static func headerMismatch(_ reason: String) -> RPCError {
        RPCError(headerMismatchCode, "header mismatch: \(reason)")
    }

    /// The client has to declare these capabilities for this request.
    package static func missingCapability(_ required: JSONObject) -> RPCError {
        RPCError(
            missingCapabilityCode,
            "the request needs a client capability that it does not declare",
            data: ["requiredCapabilities": .object(required)]
        )
    }

    /// The revision is not spoken.
    package static func unsupportedVersion(_ requested: String) -> RPCError {
        RPCError(
            unsupportedVersionCode,
            "unsupported protocol version",
            data: [
                "supported": JSONValue(ProtocolVersion.advertised),
                "requested": .string(excerpt(requested)),
            ]
        )
    }

    /// What a message repeats of a client's text.
    static func excerpt(_ text: String) -> String {
        let limit = 128
        guard text.utf8.count > limit else { return text }
        return String(decoding: text.utf8.prefix(limit), as: UTF8.self) + "…"
    }
}
