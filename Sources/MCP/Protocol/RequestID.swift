package import Domain

/// What tells a request from the others of its sender: a string or an integer, never null.
package enum RequestID: Sendable, Hashable {
    case integer(Int64)
    case string(String)

    /// Longer identifiers are refused: one is kept for every call that runs.
    package static let maximumBytes = 256

    /// Reads an identifier; nil for anything that is none.
    package init?(_ value: JSONValue?) {
        switch value {
        case .integer(let number): self = .integer(number)
        case .string(let text) where text.utf8.count <= Self.maximumBytes: self = .string(text)
        case .null, .bool, .double, .string, .array, .object, nil: return nil
        }
    }

    /// As it stands in a message.
    package var json: JSONValue {
        switch self {
        case .integer(let number): .integer(number)
        case .string(let text): .string(text)
        }
    }
}
