import Domain

/// Pieces of JSON Schema that routes are described with.
enum Shape {
    static let text: JSONValue = ["type": "string"]
    static let optionalText: JSONValue = ["type": ["string", "null"]]
    static let flag: JSONValue = ["type": "boolean"]
    static let number: JSONValue = ["type": "number"]
    static let count: JSONValue = ["type": "integer", "minimum": 0]
    static let identifier: JSONValue = ["type": "integer", "minimum": 1]
    /// An instant; the schema compiler knows no `format`, so what it is stands in words.
    static let instant: JSONValue = ["type": "string", "description": "RFC 3339, UTC"]
    /// The same with what it means.
    static func instant(_ summary: String) -> JSONValue {
        ["type": "string", "description": .string("RFC 3339, UTC; \(summary)")]
    }
    static let optionalInstant: JSONValue = [
        "type": ["string", "null"], "description": "RFC 3339, UTC",
    ]

    /// Messages of JSON-RPC: one, or several in an array.
    static let message: JSONValue = ["type": ["object", "array"]]

    /// A text of bounded length.
    static func text(_ maximum: Int, _ summary: String? = nil, minimum: Int = 0) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "string")
        if minimum > 0 { object.append(key: "minLength", value: .integer(Int64(minimum))) }
        object.append(key: "maxLength", value: .integer(Int64(maximum)))
        if let summary { object.append(key: "description", value: .string(summary)) }
        return .object(object)
    }

    /// A text that is explained.
    static func described(_ summary: String) -> JSONValue {
        ["type": "string", "description": .string(summary)]
    }

    /// One of some words.
    static func choice(_ words: [String], _ summary: String? = nil) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "string")
        object.append(key: "enum", value: JSONValue(words))
        if let summary { object.append(key: "description", value: .string(summary)) }
        return .object(object)
    }

    /// An integer within bounds.
    static func integer(_ range: ClosedRange<Int>, _ summary: String? = nil) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "integer")
        object.append(key: "minimum", value: .integer(Int64(range.lowerBound)))
        object.append(key: "maximum", value: .integer(Int64(range.upperBound)))
        if let summary { object.append(key: "description", value: .string(summary)) }
        return .object(object)
    }

    /// A number within bounds.
    static func number(_ range: ClosedRange<Double>, _ summary: String) -> JSONValue {
        [
            "type": "number", "minimum": .double(range.lowerBound),
            "maximum": .double(range.upperBound), "description": .string(summary),
        ]
    }

    /// What may be null.
    static func optional(_ shape: JSONValue) -> JSONValue {
        ["anyOf": [shape, ["type": "null"]]]
    }

    /// A list.
    static func list(of items: JSONValue, atMost maximum: Int? = nil) -> JSONValue {
        var object = JSONObject()
        object.append(key: "type", value: "array")
        object.append(key: "items", value: items)
        if let maximum { object.append(key: "maxItems", value: .integer(Int64(maximum))) }
        return .object(object)
    }

    /// An object without other members; those whose names end in `?` may be missing.
    static func object(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
        var properties = JSONObject()
        var required: [String] = []
        for (key, schema) in members {
            let isOptional = key.hasSuffix("?")
            let name = isOptional ? String(key.dropLast()) : key
            properties.append(key: name, value: schema)
            if !isOptional { required.append(name) }
        }
        var object = JSONObject()
        object.append(key: "type", value: "object")
        object.append(key: "properties", value: .object(properties))
        if !required.isEmpty { object.append(key: "required", value: JSONValue(required)) }
        object.append(key: "additionalProperties", value: false)
        return .object(object)
    }

    /// The same object with more members, which may be missing.
    static func object(
        _ shape: JSONValue,
        orWith members: KeyValuePairs<String, JSONValue>
    ) -> JSONValue {
        var object = shape.object ?? JSONObject()
        var properties = object["properties"]?.object ?? JSONObject()
        for (key, schema) in members { properties.append(key: key, value: schema) }
        object["properties"] = .object(properties)
        return .object(object)
    }
}
