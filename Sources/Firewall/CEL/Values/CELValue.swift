package import Domain

/// A value of the Common Expression Language.
///
/// Small values live in the enum itself; lists and maps share their storage, and those that come
/// from JSON are read where they lie, so that binding a document costs one retain.
package enum CELValue: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case bytes([UInt8])
    case list(CELList)
    case map(CELMap)
    case timestamp(CELTimestamp)
    case duration(CELDuration)
    /// The name of a type: `int`, `google.protobuf.Timestamp`.
    case type(String)
    case optional(CELOptional)
    case address(NetworkAddress)
    case network(NetworkRange)
}

/// A value or its absence, which is not null.
package final class CELOptional: Sendable {
    /// The optional that holds nothing.
    package static let none = CELOptional(nil)

    /// What it holds.
    package let value: CELValue?

    /// An optional of a value, or none.
    package init(_ value: CELValue?) {
        self.value = value
    }
}

extension CELValue {
    /// A JSON document as a value: whole numbers are `int`, others `double`; nothing is copied.
    package init(_ json: JSONValue) {
        switch json {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .double(let value): self = .double(value)
        case .string(let value): self = .string(value)
        case .array(let elements): self = .list(.json(elements))
        case .object(let object): self = .map(.json(object))
        }
    }

    /// The name that `type(value)` denotes.
    package var typeName: String {
        switch self {
        case .null: "null_type"
        case .bool: "bool"
        case .int: "int"
        case .uint: "uint"
        case .double: "double"
        case .string: "string"
        case .bytes: "bytes"
        case .list: "list"
        case .map: "map"
        case .timestamp: "google.protobuf.Timestamp"
        case .duration: "google.protobuf.Duration"
        case .type: "type"
        case .optional: "optional_type"
        case .address: "net.IP"
        case .network: "net.CIDR"
        }
    }

    /// Whether this is the zero value of its type, which `optional.ofNonZeroValue` takes for none.
    var isZero: Bool {
        switch self {
        case .null: true
        case .bool(let value): !value
        case .int(let value): value == 0
        case .uint(let value): value == 0
        case .double(let value): value == 0
        case .string(let value): value.utf8.isEmpty
        case .bytes(let value): value.isEmpty
        case .list(let value): value.count == 0
        case .map(let value): value.isEmpty
        case .timestamp(let value): value.seconds == 0 && value.nanoseconds == 0
        case .duration(let value): value.seconds == 0 && value.nanoseconds == 0
        case .optional(let value): value.value == nil
        case .type, .address, .network: false
        }
    }

    /// The value when this is a truth value, else nil.
    package var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }
}
