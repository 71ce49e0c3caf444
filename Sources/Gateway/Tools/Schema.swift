import Domain

/// Short forms for the schemas of tools.
enum Schema {
    /// An object with these members and no others.
    static func object(
        _ properties: KeyValuePairs<String, JSONValue>,
        required: [String] = [],
        isClosed: Bool = true
    ) -> JSONValue {
        var members = JSONObject()
        for (name, schema) in properties { members.append(key: name, value: schema) }
        var object = JSONObject()
        object.append(key: "type", value: "object")
        object.append(key: "properties", value: .object(members))
        if !required.isEmpty { object.append(key: "required", value: JSONValue(required)) }
        if isClosed { object.append(key: "additionalProperties", value: false) }
        return .object(object)
    }

    /// What a tool answers: every member is always there, and later versions may add some.
    static func answer(_ properties: KeyValuePairs<String, JSONValue>) -> JSONValue {
        object(properties, required: properties.map(\.key), isClosed: false)
    }

    /// A text that is not empty.
    static func text(_ summary: String, maximumLength: Int = 1_000) -> JSONValue {
        [
            "type": "string", "description": .string(summary), "minLength": 1,
            "maxLength": .integer(Int64(maximumLength)),
        ]
    }

    /// An integer of a range.
    static func integer(
        _ summary: String,
        _ range: ClosedRange<Int64>,
        default fallback: Int64
    ) -> JSONValue {
        [
            "type": "integer", "description": .string(summary),
            "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound),
            "default": .integer(fallback),
        ]
    }

    /// A number from 0 to 1.
    static func fraction(_ summary: String, default fallback: Double) -> JSONValue {
        [
            "type": "number", "description": .string(summary), "minimum": 0, "maximum": 1,
            "default": .double(fallback),
        ]
    }

    /// One of a few words.
    static func choice(
        _ summary: String,
        _ words: [String],
        default fallback: String? = nil
    ) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "string")
        object.append(key: "description", value: .string(summary))
        object.append(key: "enum", value: JSONValue(words))
        if let fallback { object.append(key: "default", value: .string(fallback)) }
        return .object(object)
    }

    /// A list of texts.
    static func texts(
        _ summary: String,
        _ count: ClosedRange<Int64> = 0...50
    ) -> JSONValue {
        [
            "type": "array", "description": .string(summary),
            "items": ["type": "string", "minLength": 1, "maxLength": 1_000],
            "minItems": .integer(count.lowerBound), "maxItems": .integer(count.upperBound),
        ]
    }

    /// Yes or no.
    static func flag(_ summary: String, default fallback: Bool) -> JSONValue {
        ["type": "boolean", "description": .string(summary), "default": .bool(fallback)]
    }

    // MARK: - Answers

    /// A text in an answer.
    static let string: JSONValue = ["type": "string"]
    /// A text in an answer that may be missing.
    static let optionalString: JSONValue = ["type": ["string", "null"]]
    /// A count in an answer.
    static let count: JSONValue = ["type": "integer", "minimum": 0]
    /// A number in an answer.
    static let number: JSONValue = ["type": "number"]
    /// A number in an answer that may be missing.
    static let optionalNumber: JSONValue = ["type": ["number", "null"]]
    /// A truth value in an answer.
    static let boolean: JSONValue = ["type": "boolean"]

    /// A list in an answer.
    static func list(of items: JSONValue) -> JSONValue { ["type": "array", "items": items] }

    /// An issue in a list.
    static let issue: JSONValue = answer([
        "id": string, "key": string, "kind": string, "title": string, "state": string,
        "project": string, "tracker": string, "url": string, "created_at": string,
        "updated_at": string,
    ])

    /// Parameters that several tools have.
    static let issueReference = text(
        "The issue: its URL, its key such as PROJ-1 or owner/repo#1, group/project!1 for a merge "
            + "request, its number where only one has it, or an identifier."
    )
    static let projectPath = text("Only this project, by its path as list_projects shows it.")
    static let state = choice(
        "Only issues in this state.",
        ["open", "closed", "all"],
        default: "all"
    )
}
