import Bootstrap
import Domain
import Gateway

/// The change of a tool's definition, line by line, with nothing hidden.
struct DefinitionDiff {
    let tool: UpstreamTool

    /// A heading, the lines that differ, and by which digest what waits is accepted.
    var lines: [String] {
        let flags = tool.flags.isEmpty ? "" : "  [\(tool.flags.joined(separator: ", "))]"
        let what =
            switch tool.state {
            case .gone: "is gone"
            case .held where tool.proposed == nil: "cannot be accepted as it is"
            case .held: tool.accepted == nil ? "is new" : "has changed"
            case .accepted: "is accepted"
            }
        // Without a digest there is nothing to accept, and nothing to compare.
        guard let digest = tool.pendingDigest else {
            return [visibleLine("\(tool.name) \(what)\(flags)")]
        }
        let old = tool.accepted.map { Self.lines(of: .object($0), "") } ?? []
        let new =
            tool.state == .gone ? [] : tool.proposed.map { Self.lines(of: .object($0), "") } ?? []
        let removed = Self.lines(of: old, missingIn: new).map { "- \($0)" }
        let added = Self.lines(of: new, missingIn: old).map { "+ \($0)" }
        return [visibleLine("\(tool.name) \(what)\(flags)")] + removed + added
            + ["digest \(digest)"]
    }

    /// Compared by their bytes: `==` calls a kelvin sign a K, and would hide that change.
    private static func lines(of lines: [String], missingIn others: [String]) -> [String] {
        let known = Set(others.map { Array($0.utf8) })
        return lines.filter { !known.contains(Array($0.utf8)) }
    }

    /// One line for each value, by its path, in the order of the paths.
    private static func lines(of value: JSONValue, _ path: String) -> [String] {
        switch value {
        case .object(let object) where !object.members.isEmpty:
            let members = object.members.sorted {
                $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
            }
            return members.flatMap { lines(of: $0.value, "\(path)/\($0.key)") }
        case .array(let elements) where !elements.isEmpty:
            return elements.enumerated().flatMap { lines(of: $0.element, "\(path)/\($0.offset)") }
        case .object, .array, .null, .bool, .integer, .double, .string:
            return ["\(visibleLine(path)): \(visibleLine(value.serializedText()))"]
        }
    }
}
