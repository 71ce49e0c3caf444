import Domain

/// What one YAML text may take, so that none takes long: read in some milliseconds at worst.
enum YAMLLimits {
    /// A thousand tools with rules take a third of it.
    static let bytes = 1 << 20
    /// Policies nest eight deep; conditions in conditions some more.
    static let depth = 32
    /// Scalars, lists and maps, those that aliases repeat counted each time.
    static let nodes = 200_000
}

/// A node of a YAML text with the place where it begins.
struct YAMLNode: Sendable {
    enum Content: Sendable {
        case scalar(String, isPlain: Bool)
        case list([YAMLNode])
        case map([Entry])
    }

    struct Entry: Sendable {
        let key: String
        let position: SourcePosition
        let value: YAMLNode
    }

    let content: Content
    let position: SourcePosition
    /// How many nodes it has, itself included.
    let size: Int
    /// How many nodes stand in one another at most, itself included.
    let height: Int

    /// The text of a scalar.
    var text: String? {
        guard case .scalar(let text, _) = content else { return nil }
        return text
    }

    /// Whether it says nothing: nothing at all, `~` or `null`.
    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    /// What it is, in words.
    var kindName: String {
        switch content {
        case .scalar: isNull ? "nothing" : "a text"
        case .list: "a list"
        case .map: "a map"
        }
    }

    /// The same as JSON, plain scalars by the core schema of YAML 1.2.
    var json: JSONValue {
        switch content {
        case .list(let elements): return .array(elements.map(\.json))
        case .map(let entries):
            var object = JSONObject()
            for entry in entries { object[entry.key] = entry.value.json }
            return .object(object)
        case .scalar(let text, let isPlain):
            guard isPlain else { return .string(text) }
            if isNull { return .null }
            if text == "true" || text == "false" { return .bool(text == "true") }
            if let number = Self.number(text) { return number }
            return .string(text)
        }
    }

    /// A plain scalar that is a decimal number.
    static func number(_ text: String) -> JSONValue? {
        guard let first = text.utf8.first, first == UInt8(ascii: "-") || isDigit(first),
            text.utf8.allSatisfy({ isDigit($0) || "+-.eE".utf8.contains($0) })
        else { return nil }
        if let integer = Int64(text) { return .integer(integer) }
        guard let double = Double(text), double.isFinite else { return nil }
        return .double(double)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}

extension YAMLNode {
    /// The tree of a text.
    ///
    /// Aliases share what they mean, so that memory is bounded by the text; what they add up to is
    /// bounded by the count of nodes.
    ///
    /// - Parameters:
    ///   - text: YAML with one document.
    ///   - problems: Gets one for each key that stands twice in a map; the first counts.
    /// - Returns: The root; nil when there is no document.
    /// - Throws: ``PolicyProblem`` for what makes reading on pointless.
    static func parse(
        _ text: String,
        problems: inout [PolicyProblem]
    ) throws(PolicyProblem) -> YAMLNode? {
        var builder = YAMLTreeBuilder(events: try YAMLEvents.read(text))
        let root = try builder.root()
        problems += builder.problems
        return root
    }
}

/// Puts events together.
private struct YAMLTreeBuilder {
    private let events: [YAMLEvent]
    private var next = 0
    private var anchors: [String: YAMLNode] = [:]
    /// Nodes made, those that aliases repeat included.
    private var count = 0
    private(set) var problems: [PolicyProblem] = []

    init(events: [YAMLEvent]) {
        self.events = events
    }

    mutating func root() throws(PolicyProblem) -> YAMLNode? {
        guard next < events.count else { return nil }
        if events[next].kind == .documentStart { next += 1 }
        return next < events.count ? try node(depth: 1) : nil
    }

    /// The node that begins with the next event.
    private mutating func node(depth: Int) throws(PolicyProblem) -> YAMLNode {
        let event = events[next]
        next += 1
        let node: YAMLNode
        switch event.kind {
        case .scalar(let text, let isPlain):
            node = try make(.scalar(text, isPlain: isPlain), event, size: 1, height: 1)
        case .listStart: node = try list(event, depth)
        case .mapStart: node = try map(event, depth)
        case .alias(let name):
            guard let meant = anchors[name] else {
                throw PolicyProblem("there is no anchor `\(name)` before", at: event.position)
            }
            count += meant.size
            guard count <= YAMLLimits.nodes, depth + meant.height - 1 <= YAMLLimits.depth else {
                throw PolicyProblem(
                    "the aliases repeat too much: more than \(YAMLLimits.nodes) nodes, or "
                        + "\(YAMLLimits.depth) in one another",
                    at: event.position
                )
            }
            return YAMLNode(
                content: meant.content,
                position: event.position,
                size: meant.size,
                height: meant.height
            )
        case .listEnd, .mapEnd, .documentStart:
            throw PolicyProblem("a value is missing", at: event.position)
        }
        if let anchor = event.anchor { anchors[anchor] = node }
        return node
    }

    private mutating func list(
        _ start: YAMLEvent,
        _ depth: Int
    ) throws(PolicyProblem) -> YAMLNode {
        var elements: [YAMLNode] = []
        while events[next].kind != .listEnd { elements.append(try node(depth: depth + 1)) }
        next += 1
        return try make(
            .list(elements),
            start,
            size: 1 + elements.reduce(0) { $0 + $1.size },
            height: 1 + (elements.map(\.height).max() ?? 0)
        )
    }

    private mutating func map(
        _ start: YAMLEvent,
        _ depth: Int
    ) throws(PolicyProblem) -> YAMLNode {
        var entries: [YAMLNode.Entry] = []
        var places: [ByteText: SourcePosition] = [:]
        while events[next].kind != .mapEnd {
            let key = try node(depth: depth + 1)
            let value = try node(depth: depth + 1)
            guard let text = key.text else {
                problems.append(PolicyProblem("a key must be a text", at: key.position))
                continue
            }
            if let first = places.updateValue(key.position, forKey: ByteText(text)) {
                problems.append(
                    PolicyProblem(
                        "the key `\(text)` stands here a second time, first at \(first)",
                        at: key.position
                    )
                )
                continue
            }
            entries.append(.init(key: text, position: key.position, value: value))
        }
        next += 1
        return try make(
            .map(entries),
            start,
            size: 1 + entries.reduce(0) { $0 + 1 + $1.value.size },
            height: 1 + (entries.map(\.value.height).max() ?? 0)
        )
    }

    private mutating func make(
        _ content: YAMLNode.Content,
        _ event: YAMLEvent,
        size: Int,
        height: Int
    ) throws(PolicyProblem) -> YAMLNode {
        count += 1
        guard count <= YAMLLimits.nodes else {
            throw PolicyProblem("more than \(YAMLLimits.nodes) nodes", at: event.position)
        }
        return YAMLNode(content: content, position: event.position, size: size, height: height)
    }
}
