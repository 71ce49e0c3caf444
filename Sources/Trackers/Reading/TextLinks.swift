import Domain

/// Finds references such as `fixes #12`, `blocked by owner/repo#3`, `relates to https://…/issues/4`
/// in a text, the way the services themselves do.
///
/// Code, in fences and between backticks, and HTML comments are passed over: pull request templates
/// keep their examples there. Numbers, texts and addresses are bounded; nothing here can fail.
struct TextLinks {
    /// The project whose numbers stand alone: `owner/repo`, `group/sub/project`.
    var projectPath: String
    /// The address below which projects lie, such as `https://github.com`; others are not ours.
    var webRoot: String
    /// Whether `!12` stands for a merge request.
    var hasMergeRequests: Bool

    /// More than people write; a longer list is generated text.
    static let maximumCount = 50
    /// References stand near the top; the rest of a megabyte log is not worth reading.
    static let maximumByteCount = 256 << 10
    /// The longest owner and repository names of either service, twice over.
    private static let maximumPathByteCount = 512

    /// Phrases and what they say, longer ones first where one begins another.
    private static let phrases: [(words: [UInt8], relation: String)] = [
        ("closes", "closes"), ("closed", "closes"), ("close", "closes"),
        ("fixes", "closes"), ("fixed", "closes"), ("fix", "closes"),
        ("resolves", "closes"), ("resolved", "closes"), ("resolve", "closes"),
        ("relates to", "relates to"), ("related to", "relates to"),
        ("blocked by", "is blocked by"), ("depends on", "is blocked by"),
        ("blocks", "blocks"),
        ("duplicate of", "duplicates"), ("duplicates", "duplicates"),
    ].map { (Array($0.0.utf8), $0.1) }

    /// The links `text` states, in its order, without repeats and without `ownKey` itself.
    func links(in text: String, ownKey: String) -> [IssueLink] {
        let bytes = Array(text.utf8.prefix(Self.maximumByteCount))
        let lowered = bytes.map { (65...90).contains($0) ? $0 + 32 : $0 }
        var found: [IssueLink] = []
        var seen: Set<IssueLink> = []
        var position = 0
        var skipper = MarkdownSkipper()
        while position < bytes.count, found.count < Self.maximumCount {
            if let end = skipper.end(of: bytes, at: position) {
                position = end
                continue
            }
            guard let (relation, end) = phrase(lowered, at: position) else {
                position += 1
                continue
            }
            position = end
            for key in references(bytes, at: &position) {
                let link = IssueLink(relation: relation, targetKey: key)
                if key != ownKey, seen.insert(link).inserted { found.append(link) }
            }
        }
        return Array(found.prefix(Self.maximumCount))
    }

    /// The phrase that begins at `start` as a word of its own, and where it ends.
    private func phrase(_ lowered: [UInt8], at start: Int) -> (relation: String, end: Int)? {
        guard "bcdfr".utf8.contains(lowered[start]) else { return nil }
        if start > 0, Self.isWord(lowered[start - 1]) { return nil }
        for (words, relation) in Self.phrases where lowered[start] == words[0] {
            guard let end = Self.match(words, lowered, at: start) else { continue }
            return (relation, end)
        }
        return nil
    }

    /// Where `words` end when they stand at `start`; a space in them matches any run of blanks.
    private static func match(_ words: [UInt8], _ text: [UInt8], at start: Int) -> Int? {
        var position = start
        for byte in words {
            guard position < text.count else { return nil }
            if byte == UInt8(ascii: " ") {
                guard isBlank(text[position]) else { return nil }
                while position < text.count, isBlank(text[position]) { position += 1 }
            } else {
                guard text[position] == byte else { return nil }
                position += 1
            }
        }
        if position < text.count, isWord(text[position]) { return nil }
        return position
    }

    /// The references after a phrase: one, or several joined by commas and "and".
    private func references(_ bytes: [UInt8], at position: inout Int) -> [String] {
        var keys: [String] = []
        var scan = position
        Self.skip(bytes, &scan, ":")
        while keys.count < Self.maximumCount, let key = reference(bytes, at: &scan) {
            keys.append(key)
            position = scan
            Self.skip(bytes, &scan, ",")
            if let end = Self.match(Array("and".utf8), bytes, at: scan) { scan = end }
            Self.skip(bytes, &scan, "")
        }
        return keys
    }

    /// One reference as an issue key; nothing is consumed when there is none.
    private func reference(_ bytes: [UInt8], at position: inout Int) -> String? {
        let start = position
        var end = start
        while end < bytes.count, end - start < Self.maximumPathByteCount,
            Self.isReference(bytes[end])
        {
            end += 1
        }
        let word = bytes[start..<end]
        let prefix = Array("\(webRoot)/".utf8)
        if !webRoot.isEmpty, word.starts(with: prefix) {
            guard let key = key(ofPath: word.dropFirst(prefix.count)) else { return nil }
            position = end
            return key
        }
        guard let mark = word.firstIndex(where: { $0 == 0x23 || $0 == 0x21 }),
            bytes[mark] == 0x23 || hasMergeRequests
        else { return nil }
        let digits = word[(mark + 1)...].prefix { (48...57).contains($0) }
        guard let number = Self.number(digits) else { return nil }
        let next = mark + 1 + digits.count
        if next < bytes.count, Self.isWord(bytes[next]) { return nil }
        let path = word[start..<mark]
        guard path.isEmpty || Self.isProjectPath(path) else { return nil }
        position = next
        let project = path.isEmpty ? projectPath : String(decoding: path, as: UTF8.self)
        return project + (bytes[mark] == 0x23 ? "#" : "!") + String(number)
    }

    /// Reads `owner/repo/issues/4`, `owner/repo/pull/4`, `group/project/-/merge_requests/4`.
    private func key(ofPath path: ArraySlice<UInt8>) -> String? {
        let plain = path.prefix { $0 != 0x23 && $0 != 0x3F }
        var segments = plain.split(separator: 0x2F).map { String(decoding: $0, as: UTF8.self) }
        // A full stop or bracket that ends the sentence is not part of the address.
        guard let last = segments.popLast(), let kind = segments.popLast(),
            let number = Self.number(ArraySlice(last.utf8.prefix { (48...57).contains($0) })),
            last.utf8.drop(while: { (48...57).contains($0) }).allSatisfy({ !Self.isWord($0) })
        else { return nil }
        if segments.last == "-" { segments.removeLast() }
        guard segments.count >= 2 else { return nil }
        let project = segments.joined(separator: "/")
        switch kind {
        case "issues", "work_items": return "\(project)#\(number)"
        case "pull", "pulls": return hasMergeRequests ? nil : "\(project)#\(number)"
        case "merge_requests": return hasMergeRequests ? "\(project)!\(number)" : nil
        default: return nil
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard (1...10).contains(digits.count),
            let number = Int(String(decoding: digits, as: UTF8.self)), number > 0
        else { return nil }
        return number
    }

    /// Names of letters, digits, `.`, `_`, `-` with at least one slash between them.
    private static func isProjectPath(_ path: ArraySlice<UInt8>) -> Bool {
        let segments = path.split(separator: 0x2F, omittingEmptySubsequences: false)
        return segments.count >= 2
            && segments.allSatisfy { segment in
                !segment.isEmpty
                    && segment.allSatisfy { isWord($0) || $0 == 0x2E || $0 == 0x2D }
            }
    }

    private static func skip(_ bytes: [UInt8], _ position: inout Int, _ mark: String) {
        while position < bytes.count, isBlank(bytes[position]) { position += 1 }
        if let byte = mark.utf8.first, position < bytes.count, bytes[position] == byte {
            position += 1
            while position < bytes.count, isBlank(bytes[position]) { position += 1 }
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == 0x5F || byte >= 0x80
    }

    private static func isReference(_ byte: UInt8) -> Bool {
        isWord(byte) || "/.-#!:?=&%".utf8.contains(byte)
    }
}

/// Finds the parts of Markdown that hold no statements: code and HTML comments.
private struct MarkdownSkipper {
    /// Positions before this one have been looked at for an end that does not exist.
    private var unclosedComment = false
    private var unclosedBackticks: Set<Int> = []

    /// Where the code or comment that begins at `start` ends; nil when none begins there.
    mutating func end(of bytes: [UInt8], at start: Int) -> Int? {
        switch bytes[start] {
        case 0x60, 0x7E: code(bytes, at: start)
        case 0x3C: comment(bytes, at: start)
        default: nil
        }
    }

    /// A fence of three or more at the start of a line reaches to its like or to the end; a run of
    /// backticks elsewhere reaches to a run of the same length, or means nothing.
    private mutating func code(_ bytes: [UInt8], at start: Int) -> Int? {
        let mark = bytes[start]
        let length = run(bytes, at: start)
        if length >= 3, startsLine(bytes, at: start) {
            var line = lineEnd(bytes, from: start)
            while line < bytes.count {
                var begin = line + 1
                while begin < bytes.count, bytes[begin] == 0x20 { begin += 1 }
                if begin < bytes.count, bytes[begin] == mark, run(bytes, at: begin) >= length {
                    return lineEnd(bytes, from: begin)
                }
                line = lineEnd(bytes, from: min(line + 1, bytes.count))
            }
            return bytes.count
        }
        guard mark == 0x60 else { return start + length }
        // A run that was sought in vain once is not sought again: the text is read in linear time.
        guard length <= 32, !unclosedBackticks.contains(length) else { return start + length }
        var position = start + length
        while position < bytes.count {
            guard bytes[position] == 0x60 else {
                position += 1
                continue
            }
            let other = run(bytes, at: position)
            if other == length { return position + length }
            position += other
        }
        unclosedBackticks.insert(length)
        return start + length
    }

    private mutating func comment(_ bytes: [UInt8], at start: Int) -> Int? {
        guard !unclosedComment, bytes[start...].starts(with: "<!--".utf8) else { return nil }
        var position = start + 4
        while position + 2 < bytes.count {
            if bytes[position] == 0x2D, bytes[position + 1] == 0x2D, bytes[position + 2] == 0x3E {
                return position + 3
            }
            position += 1
        }
        unclosedComment = true
        return nil
    }

    private func run(_ bytes: [UInt8], at start: Int) -> Int {
        bytes[start...].prefix { $0 == bytes[start] }.count
    }

    private func startsLine(_ bytes: [UInt8], at start: Int) -> Bool {
        var position = start
        while position > 0, bytes[position - 1] == 0x20, start - position < 4 { position -= 1 }
        return position == 0 || bytes[position - 1] == 0x0A
    }

    private func lineEnd(_ bytes: [UInt8], from start: Int) -> Int {
        bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
    }
}
