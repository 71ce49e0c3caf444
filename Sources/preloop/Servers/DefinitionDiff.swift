import Bootstrap
import Domain

/// The change of a tool's definition, line by line, with nothing hidden.
struct DefinitionDiff {
    let tool: UpstreamTool

    /// A heading, and the lines that differ.
    var lines: [String] {
        let flags = tool.flags.isEmpty ? "" : "  [\(tool.flags.joined(separator: ", "))]"
        let what =
            switch tool.state {
            case .gone: "is gone"
            case .held: tool.accepted == nil ? "is new" : "has changed"
            case .accepted: "is accepted"
            }
        let old = tool.accepted.map { Self.lines(of: .object($0), "") } ?? []
        let new =
            tool.state == .gone ? [] : tool.proposed.map { Self.lines(of: .object($0), "") } ?? []
        let removed = old.filter { !new.contains($0) }.map { "- \($0)" }
        let added = new.filter { !old.contains($0) }.map { "+ \($0)" }
        return [visibleLine("\(tool.name) \(what)\(flags)")] + removed + added
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
