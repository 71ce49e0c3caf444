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

    /// A result for programs, with its JSON as the text.
    package init(_ structured: JSONValue) {
        text = structured.serializedText()
        self.structured = structured
        isError = false
    }

    private init(error: String) {
        text = error
        structured = nil
        isError = true
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
    package static func failure(_ text: String) -> ToolResult { ToolResult(error: text) }

    /// As a revision has it.
    package func json(for version: ProtocolVersion) -> JSONObject {
        if let original { return original }
        var object = JSONObject()
        object.append(key: "content", value: [["type": "text", "text": .string(text)]])
        if version.hasStructuredContent, let structured {
            object.append(key: "structuredContent", value: structured)
        }
        object.append(key: "isError", value: .bool(isError))
        return object
    }
}
