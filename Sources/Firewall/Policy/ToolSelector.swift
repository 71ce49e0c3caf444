/// Which tools an entry of a policy is for.
///
/// Names are compared by their bytes: what looks like another name is another name. In a pattern
/// `*` stands for any text and `?` for one character.
struct ToolSelector: Sendable {
    /// Whose tools.
    enum Source: Sendable {
        case any
        case builtIn
        /// Of any server that is not built in.
        case upstream
        /// Of servers whose name fits.
        case server(NamePattern)
        /// Of a kind that there is not: `http`, `agent`.
        case nothing
    }

    let source: Source
    let name: NamePattern

    /// The selector of an entry.
    ///
    /// Without a `source`, what stands before the first slash of a name is the server.
    init(name: String, source: String?) {
        guard let source else {
            guard let slash = name.utf8.firstIndex(of: UInt8(ascii: "/")) else {
                self.source = .any
                self.name = NamePattern(name)
                return
            }
            self.source = Self.source(String(name[..<slash]))
            self.name = NamePattern(String(name[name.utf8.index(after: slash)...]))
            return
        }
        self.source = Self.source(source)
        self.name = NamePattern(name)
    }

    private static func source(_ text: String) -> Source {
        switch text.lowercased() {
        case "builtin", "preloop_builtin": .builtIn
        case "mcp": .upstream
        case "http", "agent": .nothing
        case "*": .any
        default: .server(NamePattern(text))
        }
    }

    /// Whether it is for a tool.
    func matches(_ tool: ToolIdentity) -> Bool {
        let isSource =
            switch source {
            case .any: true
            case .builtIn: tool.server == nil
            case .upstream: tool.server != nil
            case .server(let pattern): tool.server.map(pattern.matches) ?? false
            case .nothing: false
            }
        return isSource && name.matches(tool.name)
    }

    /// Whether it is for all tools there are, so that it makes none of them known.
    var isForAll: Bool {
        guard case .any = source else { return false }
        return isForAnyName
    }

    /// Whether it is for whatever the source has, such as `*/*` and `github/*`.
    var isForAnyName: Bool { name.isForAny }

    /// How closely it names a tool: the greater comes first among rules of one priority.
    var closeness: Int {
        let source =
            switch source {
            case .server(let pattern): pattern.isExact ? 3 : 2
            case .builtIn, .upstream: 1
            case .any, .nothing: 0
            }
        // A name's length is bounded far below these steps.
        return (name.isExact ? 1 << 20 : 0) + source << 16 + name.literalCount
    }
}

/// A name, or a pattern of names with `*` and `?`.
struct NamePattern: Sendable {
    private let pattern: [Unicode.Scalar]
    let isExact: Bool

    init(_ text: String) {
        pattern = Array(text.unicodeScalars)
        isExact = !pattern.contains { $0 == "*" || $0 == "?" }
    }

    /// Whether it tells no name from another: nothing but `*` and `?`.
    var isForAny: Bool { !isExact && literalCount == 0 }

    /// How many characters stand for themselves.
    var literalCount: Int { pattern.count { $0 != "*" && $0 != "?" } }

    /// Whether a name fits, in O(pattern · name) at worst: one place to go back to is enough.
    func matches(_ name: String) -> Bool {
        let name = Array(name.unicodeScalars)
        guard !isExact else { return name == pattern }
        var (place, index) = (0, 0)
        var star: (place: Int, index: Int)?
        while index < name.count {
            if place < pattern.count, pattern[place] == "*" {
                star = (place, index)
                place += 1
            } else if place < pattern.count,
                pattern[place] == "?" || pattern[place] == name[index]
            {
                place += 1
                index += 1
            } else if let last = star {
                star = (last.place, last.index + 1)
                place = last.place + 1
                index = last.index + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == "*" }
    }
}
