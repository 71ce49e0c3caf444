import Domain

/// A rich-text field: its Markdown and what the service sent.
struct JiraText: Equatable {
    /// Empty when the field is.
    var markdown: String
    /// Wiki markup, or the Atlassian document as JSON; nil when there was nothing to convert.
    var source: String?

    /// Reads text in either form: Cloud's version 3 sends documents, its webhooks and Server send
    /// markup.
    init(_ value: JSONValue?) {
        switch value {
        case .string(let text):
            let text = sanitized(text)
            markdown = WikiConverter.markdown(from: text)
            source = text.isEmpty ? nil : text
        case .object(let document)?:
            markdown = sanitized(ADFConverter.markdown(from: .object(document)))
            source = JSONValue.object(document).serializedText()
        case .null, .bool, .integer, .double, .array, nil:
            markdown = ""
            source = nil
        }
    }
}
