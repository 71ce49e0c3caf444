package import Domain

/// Static types as JSON: `"int"`, `{"list": "string"}`, `{"map": ["string", "dyn"]}`,
/// `{"abstract": "optional_type", "params": ["int"]}`, `{"type_param": "T"}`.
package enum TypedType {
    private static let simple: [String: CELType] = [
        "dyn": .dyn, "null": .null, "bool": .bool, "int": .int, "uint": .uint,
        "double": .double, "string": .string, "bytes": .bytes, "timestamp": .timestamp,
        "duration": .duration, "any": .dyn,
        "google.protobuf.Timestamp": .timestamp, "google.protobuf.Duration": .duration,
    ]

    /// The type a document describes; nil when it describes none.
    package static func type(_ json: JSONValue) -> CELType? {
        if let name = json.string { return simple[name] }
        if let name = json["type_param"]?.string { return .parameter(name) }
        if let element = json["list"] { return type(element).map(CELType.list) }
        if let inner = json["type"] { return type(inner).map(CELType.type) }
        if let inner = json["wrapper"] { return type(inner).map(CELType.wrapper) }
        if let pair = json["map"] {
            guard let key = pair[0].flatMap(type), let value = pair[1].flatMap(type) else {
                return nil
            }
            return .map(key, value)
        }
        guard let name = json["abstract"]?.string else { return nil }
        let parameters = json["params"]?.array ?? []
        let types = parameters.compactMap(type)
        return types.count == parameters.count ? .opaque(name, types) : nil
    }

    /// A type as a document.
    package static func json(_ type: CELType) -> JSONValue {
        switch type {
        case .list(let element): return ["list": json(element)]
        case .map(let key, let value): return ["map": [json(key), json(value)]]
        case .type(let inner): return ["type": json(inner)]
        case .wrapper(let inner): return ["wrapper": json(inner)]
        case .opaque(let name, let parameters):
            return ["abstract": .string(name), "params": .array(parameters.map(json))]
        case .parameter(let name): return ["type_param": .string(name)]
        case .variable: return "dyn"
        default: return .string(type.description)
        }
    }
}
