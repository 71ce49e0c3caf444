import Domain
import Firewall
import MCP

/// The argument by which callers say why they call a tool: added to what is listed, taken out
/// before anything sees the arguments, shown to approvers.
enum Justification {
    /// The argument's name.
    static let key = "justification"
    /// A few sentences.
    static let maximumCharacters = 2_000

    /// Whether a tool can be asked about: one that has such an argument of its own keeps it.
    static func isFree(in definition: ToolDefinition) -> Bool {
        definition.inputSchema["properties"]?[key] == nil
    }

    /// A tool's schema with the argument.
    static func added(to schema: JSONValue, _ mode: JustificationMode) -> JSONValue {
        guard var object = schema.object else { return schema }
        var properties = object["properties"]?.object ?? JSONObject()
        properties[key] = [
            "type": "string", "minLength": 1, "maxLength": .integer(Int64(maximumCharacters)),
            "description": .string(
                "Why you call this: shown to the person who approves the call, and recorded."
            ),
        ]
        object["properties"] = .object(properties)
        if mode == .required {
            let names = object["required"]?.array ?? []
            object["required"] = .array(names + [.string(key)])
        }
        return .object(object)
    }

    /// Takes the argument out; gives it, or what is wrong with it.
    static func taken(
        from arguments: inout JSONObject,
        _ mode: JustificationMode
    ) -> Result<String?, ToolFailure> {
        let value = arguments[key]
        arguments[key] = nil
        let text = value?.string ?? ""
        let isBlank = text.unicodeScalars.allSatisfy(\.properties.isWhitespace)
        if value != nil, value?.string == nil || text.count > maximumCharacters {
            return .failure(
                ToolFailure("`\(key)` must be a text of at most \(maximumCharacters) characters")
            )
        }
        guard !isBlank else {
            guard mode == .optional else {
                return .failure(ToolFailure("`\(key)` is missing: say why you call this tool"))
            }
            return .success(nil)
        }
        return .success(text)
    }
}
