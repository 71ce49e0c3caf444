package import Domain

/// What a tool call gave.
package struct ToolResult: Sendable, Equatable {
    /// For the model to read.
    package var text: String
    /// For programs; nil for errors and for tools without an output schema.
    package var structured: JSONValue?
    /// Whether the text says what went wrong and how to mend it.
    package var isError: Bool
    /// As another server gave it, to be handed on as it is; nil for our own.
    package private(set) var original: JSONObject?
    /// What kind of error it is, for transports that tell kinds apart; the protocol does not.
    package private(set) var kind: FailureKind?
    /// The error of the protocol that another server answered with; whoever speaks the protocol
    /// gets the same, others the text.
    package private(set) var protocolError: RPCError?

    /// Whether it says something else than what the tool promises to.
    private var isOutsideSchema = false

    /// A result for programs, with its JSON as the text.
    package init(_ structured: JSONValue) {
        text = structured.serializedText()
        self.structured = structured
        isError = false
    }

    /// The same in place of what the tool would have given.
    ///
    /// A tool with an output schema may give nothing else, and clients refuse results that break
    /// it before any model sees them, but no errors: there it goes as the text of one.
    package init(_ structured: JSONValue, inPlaceOf tool: ToolDefinition) {
        self.init(structured)
        isOutsideSchema = tool.outputSchema != nil
    }

    private init(error: String, _ kind: FailureKind) {
        text = error
        structured = nil
        isError = true
        self.kind = kind
    }

    /// What another server gave; nothing of it is lost.
    package init(original: JSONObject) {
        let texts = original["content"]?.array?.compactMap { block in
            block["type"] == "text" ? block["text"]?.string : nil
        }
        text = (texts ?? []).joined(separator: "\n")
        structured = original["structuredContent"]
        isError = original["isError"]?.bool ?? false
        self.original = original
    }

    /// An error that the model can read and act on.
    package static func failure(_ text: String, _ kind: FailureKind = .invalid) -> ToolResult {
        ToolResult(error: text, kind)
    }

    /// Another server's refusal in the protocol's own terms.
    package static func failure(_ error: RPCError) -> ToolResult {
        var result = ToolResult(error: error.message, .refused)
        result.protocolError = error
        return result
    }

    /// As a revision has it.
    package func json(for version: ProtocolVersion) -> JSONObject {
        if let original { return original }
        var object = JSONObject()
        object.append(key: "content", value: [["type": "text", "text": .string(text)]])
        if version.hasStructuredContent, !isOutsideSchema, let structured {
            object.append(key: "structuredContent", value: structured)
        }
        let breaksSchema = version.hasStructuredContent && isOutsideSchema
        object.append(key: "isError", value: .bool(isError || breaksSchema))
        return object
    }

    /// Why a call gave nothing.
    package enum FailureKind: Sendable, Equatable {
        /// What was asked for makes no sense, as it is or here.
        case invalid
        /// The caller may not.
        case denied
        /// What it is about is not there.
        case notFound
        /// Something that is there, or goes on, is in the way.
        case conflict
        /// The service behind understood and refused.
        case refused
        /// The service behind does not take our credential.
        case credentialRefused
        /// The service behind gives no answer, or none that makes sense.
        case serviceFailed
        /// Nobody knows whether the service behind has done it.
        case outcomeUnknown
        /// Not now.
        case busy
        /// It took too long.
        case timedOut
        /// It was given up.
        case cancelled
        /// Something of ours is broken.
        case broken
    }
}
