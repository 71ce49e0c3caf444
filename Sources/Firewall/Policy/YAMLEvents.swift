import CYaml

/// What happens in a YAML text, in its order.
struct YAMLEvent: Sendable {
    enum Kind: Sendable, Equatable {
        /// `isPlain` when it stands without quotes and is no block.
        case scalar(String, isPlain: Bool)
        case alias(String)
        case listStart
        case listEnd
        case mapStart
        case mapEnd
        case documentStart
    }

    let kind: Kind
    /// The name by which later aliases mean this node.
    let anchor: String?
    let position: SourcePosition
}

/// Reads YAML by libyaml, which is in the package Yams.
///
/// Its events are read here and not Yams' tree, because that one copies text into shapes this
/// project does not need, tells only the first repeated key, and compares whole subtrees to find
/// it, which a few aliases make endless.
enum YAMLEvents {
    /// The events of a text.
    ///
    /// - Throws: ``PolicyProblem`` when it is not YAML, or beyond a limit of ``YAMLLimits``.
    static func read(_ text: String) throws(PolicyProblem) -> [YAMLEvent] {
        guard text.utf8.count <= YAMLLimits.bytes else {
            throw PolicyProblem("a policy has at most \(YAMLLimits.bytes) bytes")
        }
        let bytes = Array(text.utf8)
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { unsafe parser.deallocate() }
        guard unsafe yaml_parser_initialize(parser) == 1 else {
            throw PolicyProblem("there is no memory to read it")
        }
        defer { unsafe yaml_parser_delete(parser) }
        return try unsafe bytes.withUnsafeBufferPointer { input throws(PolicyProblem) in
            unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
            unsafe yaml_parser_set_input_string(parser, input.baseAddress, input.count)
            return try unsafe events(parser)
        }
    }

    private static func events(
        _ parser: UnsafeMutablePointer<yaml_parser_t>
    ) throws(PolicyProblem) -> [YAMLEvent] {
        var events: [YAMLEvent] = []
        var (depth, documents) = (0, 0)
        while true {
            var event = unsafe yaml_event_t()
            guard unsafe yaml_parser_parse(parser, &event) == 1 else {
                throw unsafe problem(parser)
            }
            defer { unsafe yaml_event_delete(&event) }
            if unsafe event.type == YAML_STREAM_END_EVENT { return events }
            guard let read = try unsafe self.event(event) else { continue }
            events.append(read)
            switch read.kind {
            case .listStart, .mapStart: depth += 1
            case .listEnd, .mapEnd: depth -= 1
            case .documentStart: documents += 1
            case .scalar, .alias: break
            }
            guard depth <= YAMLLimits.depth else {
                throw PolicyProblem(
                    "nested more than \(YAMLLimits.depth) deep",
                    at: read.position
                )
            }
            guard documents <= 1 else {
                throw PolicyProblem("a second document begins here", at: read.position)
            }
            guard events.count <= 2 * YAMLLimits.nodes else {
                throw PolicyProblem("more than \(YAMLLimits.nodes) nodes", at: read.position)
            }
        }
    }

    /// The event as a value; nil for those that say nothing about the content.
    private static func event(_ event: yaml_event_t) throws(PolicyProblem) -> YAMLEvent? {
        let position = unsafe SourcePosition(event.start_mark)
        let anchor: String?
        let tag: String?
        let kind: YAMLEvent.Kind
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT:
            return YAMLEvent(kind: .documentStart, anchor: nil, position: position)
        case YAML_SEQUENCE_END_EVENT:
            return YAMLEvent(kind: .listEnd, anchor: nil, position: position)
        case YAML_MAPPING_END_EVENT:
            return YAMLEvent(kind: .mapEnd, anchor: nil, position: position)
        case YAML_ALIAS_EVENT:
            let name = unsafe text(event.data.alias.anchor) ?? ""
            return YAMLEvent(kind: .alias(name), anchor: nil, position: position)
        case YAML_SEQUENCE_START_EVENT:
            let start = unsafe event.data.sequence_start
            unsafe (anchor, tag, kind) = (text(start.anchor), text(start.tag), .listStart)
        case YAML_MAPPING_START_EVENT:
            let start = unsafe event.data.mapping_start
            unsafe (anchor, tag, kind) = (text(start.anchor), text(start.tag), .mapStart)
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            unsafe (anchor, tag) = (text(scalar.anchor), text(scalar.tag))
            let content = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            kind = unsafe .scalar(
                String(decoding: content, as: UTF8.self),
                isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE
            )
        default: return nil
        }
        guard tag == nil else {
            throw PolicyProblem("tags such as `\(tag ?? "")` are not used here", at: position)
        }
        return YAMLEvent(kind: kind, anchor: anchor, position: position)
    }

    private static func problem(_ parser: UnsafeMutablePointer<yaml_parser_t>) -> PolicyProblem {
        let message = unsafe parser.pointee.problem.map { unsafe String(cString: $0) }
        let isRead = unsafe parser.pointee.error == YAML_READER_ERROR
        let position = unsafe SourcePosition(parser.pointee.problem_mark)
        return PolicyProblem(
            "not YAML: \(message ?? "it cannot be read")",
            at: isRead ? nil : position
        )
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe String(cString: pointer)
    }
}

extension SourcePosition {
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(
            line: Int32(clamping: mark.line) + 1,
            column: Int32(clamping: mark.column) + 1
        )
    }
}
