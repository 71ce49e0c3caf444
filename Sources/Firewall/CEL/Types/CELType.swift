/// A static type, as the checker deduces it.
package indirect enum CELType: Hashable, Sendable {
    /// Any type; what is unknown before the expression runs.
    case dyn
    case null
    case bool
    case int
    case uint
    case double
    case string
    case bytes
    case timestamp
    case duration
    case list(CELType)
    case map(CELType, CELType)
    /// The type of types.
    case type(CELType)
    /// A type of a library with its parameters: `optional_type`, `net.IP`.
    case opaque(String, [CELType])
    /// A nullable number, truth value or text.
    case wrapper(CELType)
    /// A type parameter of a declaration.
    case parameter(String)
    /// A type that one use of a declaration leaves open.
    case variable(Int)

    /// The type of an optional value.
    package static func optional(_ value: CELType) -> CELType { .opaque("optional_type", [value]) }
    /// The type of an IP address.
    package static let address = CELType.opaque("net.IP", [])
    /// The type of a range of IP addresses.
    package static let network = CELType.opaque("net.CIDR", [])

    /// What an optional type holds; nil for other types.
    var optionalValue: CELType? {
        guard case .opaque("optional_type", let parameters) = self else { return nil }
        return parameters.first
    }

    /// Types this one is made of.
    var parameters: [CELType] {
        switch self {
        case .list(let element): [element]
        case .map(let key, let value): [key, value]
        case .type(let type), .wrapper(let type): [type]
        case .opaque(_, let parameters): parameters
        default: []
        }
    }

    /// The same type made of other types.
    func mapParameters(_ transform: (CELType) -> CELType) -> CELType {
        switch self {
        case .list(let element): .list(transform(element))
        case .map(let key, let value): .map(transform(key), transform(value))
        case .type(let type): .type(transform(type))
        case .wrapper(let type): .wrapper(transform(type))
        case .opaque(let name, let parameters): .opaque(name, parameters.map(transform))
        default: self
        }
    }

    /// Whether it stands for a type that is not known yet.
    var isOpen: Bool {
        switch self {
        case .parameter, .variable: true
        default: false
        }
    }

    /// Names of the type parameters in it.
    var parameterNames: Set<String> {
        if case .parameter(let name) = self { return [name] }
        return parameters.reduce(into: []) { $0.formUnion($1.parameterNames) }
    }
}

extension CELType: CustomStringConvertible {
    /// The type as signatures write it: `map(string, list(int))`.
    package var description: String {
        switch self {
        case .dyn: "dyn"
        case .null: "null"
        case .bool: "bool"
        case .int: "int"
        case .uint: "uint"
        case .double: "double"
        case .string: "string"
        case .bytes: "bytes"
        case .timestamp: "timestamp"
        case .duration: "duration"
        case .list(let element): "list(\(element))"
        case .map(let key, let value): "map(\(key), \(value))"
        case .type(let type): "type(\(type))"
        case .wrapper(let type): "wrapper(\(type))"
        case .opaque(let name, let parameters):
            parameters.isEmpty
                ? name : "\(name)(\(parameters.map(\.description).joined(separator: ", ")))"
        case .parameter(let name): name
        case .variable: "_"
        }
    }
}
