/// Why bytes are not an acceptable JSON document.
package enum JSONError: Error, Equatable, Sendable {
    /// Something other than what the grammar allows stands at `offset`.
    case unexpected(offset: Int)
    /// The document ends inside a value.
    case truncated(offset: Int)
    /// Arrays and objects are nested deeper than the limit.
    case tooDeep(offset: Int, limit: Int)
    /// The path does not lead to an array.
    case noArray(path: [String])
}

extension JSONError: CustomStringConvertible {
    /// One line that says what is wrong and where, in bytes from the start.
    package var description: String {
        switch self {
        case .unexpected(let offset): "invalid JSON at byte \(offset)"
        case .truncated(let offset): "JSON ends too early, at byte \(offset)"
        case .tooDeep(let offset, let limit): "JSON nested deeper than \(limit) at byte \(offset)"
        case .noArray(let path): "JSON has no array at `\(path.joined(separator: "."))`"
        }
    }
}
