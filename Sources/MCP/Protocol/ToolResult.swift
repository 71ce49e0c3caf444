package import Domain

/// What a tool call gave.
package struct ToolResult: Sendable, Equatable {
    /// For the model to read.
    package var text: String
    /// For programs; nil for errors and for tools without an output schema.
    package var structured: JSONValue?
    /// Whether the text says what went wrong and how to mend it.
    package var isError: Bool

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

    /// An error that the model can read and act on.
    package static func failure(_ text: String) -> ToolResult { ToolResult(error: text) }

    /// As a revision has it.
    package func json(for version: ProtocolVersion) -> JSONObject {
        var object = JSONObject()
        object.append(key: "content", value: [["type": "text", "text": .string(text)]])
        if version.hasStructuredContent, let structured {
            object.append(key: "structuredContent", value: structured)
        }
        object.append(key: "isError", value: .bool(isError))
        return object
    }
}
