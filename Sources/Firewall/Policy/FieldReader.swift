import Domain

/// Reads maps of a document, strictly: what is unknown, missing or of another kind is a problem,
/// and reading goes on behind it.
struct FieldReader {
    /// The members of a map by their names.
    struct Fields {
        let path: String
        let position: SourcePosition
        fileprivate var values: [(key: String, value: YAMLNode)] = []

        /// The node of a name, unless it says nothing.
        subscript(name: String) -> YAMLNode? {
            node(name).flatMap { $0.isNull ? nil : $0 }
        }

        /// Whether a name stands there, also when nothing is behind it.
        func has(_ name: String) -> Bool { node(name) != nil }

        /// Whether a name stands there with nothing behind it: empty, `~` or `null`.
        func isNull(_ name: String) -> Bool { node(name)?.isNull ?? false }

        /// The node of a name, whatever it says.
        fileprivate func node(_ name: String) -> YAMLNode? {
            values.first { haveEqualBytes($0.key, name) }?.value
        }
    }

    /// The first of each severity.
    private(set) var problems: [PolicyProblem] = []
    private var errorCount = 0
    private var warningCount = 0

    /// Whether there was an error, be it kept among the problems or not.
    var hasErrors: Bool { errorCount > 0 }

    /// Of one severity; a policy with more problems than this is some other file.
    static let maximumProblems = 200

    mutating func report(_ message: String, at position: SourcePosition?, _ path: String) {
        add(PolicyProblem(message, at: position, path: path))
    }

    mutating func warn(_ message: String, at position: SourcePosition?, _ path: String) {
        add(PolicyProblem(message, at: position, path: path, severity: .warning))
    }

    mutating func add(_ problem: PolicyProblem) {
        let count: Int
        switch problem.severity {
        case .error:
            errorCount += 1
            count = errorCount
        case .warning:
            warningCount += 1
            count = warningCount
        }
        if count <= Self.maximumProblems { problems.append(problem) }
    }

    /// Refuses names that stand there with nothing behind them, where leaving them out would mean
    /// something that nobody has written.
    ///
    /// - Parameters:
    ///   - names: The names.
    ///   - fields: Where they may stand.
    ///   - meaning: What leaving them out means.
    mutating func refuseNull(_ names: [String], in fields: Fields, _ meaning: String) {
        for name in names where fields.isNull(name) {
            report(
                "`\(name)` says nothing; leave it out when \(meaning)",
                at: fields.node(name)?.position,
                "\(fields.path).\(name)"
            )
        }
    }

    /// What is told behind a problem about a word: the known one that may have been meant.
    ///
    /// - Parameters:
    ///   - word: What is written.
    ///   - known: What could be.
    ///   - severity: That of the problem; nothing is looked for when it would not be kept.
    /// - Returns: `; did you mean …?`; empty when no word is near.
    func hint(
        for word: String,
        among known: @autoclosure () -> [String],
        _ severity: PolicyProblem.Severity = .error
    ) -> String {
        let count = severity == .error ? errorCount : warningCount
        guard count < Self.maximumProblems,
            let nearest = Spelling.nearest(to: word, among: known())
        else { return "" }
        return "; did you mean `\(nearest)`?"
    }

    /// The members of a map; nil when it is none.
    ///
    /// - Parameters:
    ///   - node: The map.
    ///   - path: Where it is.
    ///   - known: Names it may have.
    ///   - synonyms: Other names for some of them.
    /// - Returns: The known ones.
    mutating func fields(
        _ node: YAMLNode,
        _ path: String,
        known: [String],
        synonyms: [String: String] = [:]
    ) -> Fields? {
        guard case .map(let entries) = node.content else {
            report("`\(last(path))` must be a map, not \(node.kindName)", at: node.position, path)
            return nil
        }
        var fields = Fields(path: path, position: node.position)
        for entry in entries {
            let name = synonyms.first { haveEqualBytes($0.key, entry.key) }?.value ?? entry.key
            guard known.contains(where: { haveEqualBytes($0, name) }) else {
                let hint = hint(for: entry.key, among: known + synonyms.keys.sorted())
                report(
                    "unknown key `\(sanitized(entry.key))`\(hint)",
                    at: entry.position,
                    path
                )
                continue
            }
            if fields.values.contains(where: { haveEqualBytes($0.key, name) }) {
                report("`\(entry.key)` says `\(name)` again", at: entry.position, path)
                continue
            }
            fields.values.append((name, entry.value))
        }
        return fields
    }

    private func last(_ path: String) -> String {
        guard let dot = path.lastIndex(of: ".") else { return "policy" }
        return String(path[path.index(after: dot)...])
    }

    // MARK: - Values

    /// A text, trimmed where it has to say something.
    mutating func text(
        _ fields: Fields,
        _ name: String,
        limit: Int = PolicyLimits.textBytes,
        isRequired: Bool = false
    ) -> String? {
        guard let node = fields[name] else {
            if isRequired { report("`\(name)` is missing", at: fields.position, fields.path) }
            return nil
        }
        let path = "\(fields.path).\(name)"
        guard let text = node.text else {
            report("`\(name)` must be a text, not \(node.kindName)", at: node.position, path)
            return nil
        }
        guard text.utf8.count <= limit else {
            report("`\(name)` has more than \(limit) bytes", at: node.position, path)
            return nil
        }
        guard !isRequired || text.contains(where: { !$0.isWhitespace }) else {
            report("`\(name)` is empty", at: node.position, path)
            return nil
        }
        return text
    }

    /// A name: short, on one line, without spaces around it.
    mutating func name(_ fields: Fields, _ name: String, isRequired: Bool = false) -> String? {
        guard
            let text = text(
                fields,
                name,
                limit: PolicyLimits.nameBytes,
                isRequired: isRequired
            )
        else { return nil }
        let isClean =
            text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
            && text.first?.isWhitespace != true && text.last?.isWhitespace != true && !text.isEmpty
        guard isClean else {
            report(
                "`\(name)` must be one line without spaces around it",
                at: fields[name]?.position,
                "\(fields.path).\(name)"
            )
            return nil
        }
        return text
    }

    mutating func flag(_ fields: Fields, _ name: String) -> Bool? {
        guard let node = fields[name] else { return nil }
        if case .bool(let value) = node.json { return value }
        report(
            "`\(name)` must be `true` or `false`",
            at: node.position,
            "\(fields.path).\(name)"
        )
        return nil
    }

    mutating func integer(
        _ fields: Fields,
        _ name: String,
        _ range: ClosedRange<Int>
    ) -> Int? {
        guard let node = fields[name] else { return nil }
        if case .integer(let value) = node.json, let value = Int(exactly: value),
            range.contains(value)
        {
            return value
        }
        report(
            "`\(name)` must be a whole number from \(range.lowerBound) to \(range.upperBound)",
            at: node.position,
            "\(fields.path).\(name)"
        )
        return nil
    }

    mutating func fraction(_ fields: Fields, _ name: String) -> Double? {
        guard let node = fields[name] else { return nil }
        let value: Double? =
            switch node.json {
            case .integer(let value): Double(value)
            case .double(let value): value
            default: nil
            }
        if let value, (0...1).contains(value) { return value }
        report(
            "`\(name)` must be a number from 0 to 1",
            at: node.position,
            "\(fields.path).\(name)"
        )
        return nil
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ fields: Fields,
        _ name: String,
        _ type: Choice.Type
    ) -> Choice? where Choice.RawValue == String {
        guard let node = fields[name] else { return nil }
        let text = node.text ?? ""
        // Exact bytes, as everywhere.
        if let choice = type.allCases.first(where: { haveEqualBytes($0.rawValue, text) }) {
            return choice
        }
        let names = type.allCases.map(\.rawValue)
        let hint = hint(for: text, among: names)
        report(
            "`\(name)` must be one of \(names.map { "`\($0)`" }.joined(separator: ", "))\(hint)",
            at: node.position,
            "\(fields.path).\(name)"
        )
        return nil
    }

    /// A list of names.
    mutating func names(_ fields: Fields, _ name: String) -> [String]? {
        guard fields[name] != nil else { return nil }
        var found: [String] = []
        for (node, path) in list(fields, name, limit: PolicyLimits.listLength) {
            guard let text = node.text, !text.isEmpty, text.utf8.count <= PolicyLimits.nameBytes
            else {
                report("it must be a short text", at: node.position, path)
                continue
            }
            found.append(text)
        }
        return found
    }

    /// A map of settings, as JSON.
    mutating func settings(_ fields: Fields, _ name: String) -> JSONValue? {
        guard let node = fields[name] else { return nil }
        guard case .map = node.content else {
            report("`\(name)` must be a map", at: node.position, "\(fields.path).\(name)")
            return nil
        }
        return node.json
    }

    /// The elements of a list with their paths; none when it is missing.
    mutating func list(
        _ fields: Fields,
        _ name: String,
        limit: Int
    ) -> [(node: YAMLNode, path: String)] {
        guard let node = fields[name] else { return [] }
        let path = "\(fields.path).\(name)"
        guard case .list(let elements) = node.content else {
            report("`\(name)` must be a list, not \(node.kindName)", at: node.position, path)
            return []
        }
        guard elements.count <= limit else {
            report("`\(name)` has more than \(limit) entries", at: node.position, path)
            return []
        }
        return elements.enumerated().map { ($0.element, "\(path).\($0.offset)") }
    }
}

/// Which known word was meant.
enum Spelling {
    /// The nearest word; nil when none is near.
    static func nearest(to word: String, among known: [String]) -> String? {
        let count = word.utf8.count
        guard count <= 64 else { return nil }
        let limit = max(1, count / 3)
        // A difference in length is a distance already.
        let ranked = known.filter { abs($0.utf8.count - count) <= limit }
            .map { (word: $0, distance: distance(word, $0)) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }), best.distance <= limit
        else { return nil }
        return best.word
    }

    /// How many letters have to be put in, taken out or changed (Levenshtein 1966), without case.
    private static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.lowercased().utf8), Array(right.lowercased().utf8))
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for (place, other) in right.enumerated() {
                let changed = diagonal + (letter == other ? 0 : 1)
                diagonal = row[place + 1]
                row[place + 1] = min(changed, diagonal + 1, row[place] + 1)
            }
        }
        return row[right.count]
    }
}
