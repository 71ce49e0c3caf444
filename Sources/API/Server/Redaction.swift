import Gateway

/// Takes secrets out of texts that are kept.
///
/// It is done for each line of the log: in one pass over its bytes, which looks closer only where a
/// byte may begin a secret, and copies nothing as long as none was found.
enum Redaction {
    static let mark = "<redacted>"

    /// Names under which nothing is shown.
    private static let keys = [
        "authorization", "token", "password", "secret", "api_key", "apikey", "cookie",
        "credential", "signature",
    ].map { Array($0.utf8) }
    /// How our own secrets begin, any JSON web token, and the tokens of GitHub, GitLab, Atlassian
    /// and Slack.
    ///
    /// What Jira Server and Data Center make has no mark of its
    /// own: it is known by `Bearer` or the name of its field alone.
    private static let prefixes =
        (OpaqueToken.Kind.allCases.map { "\($0.rawValue)_" }
        + [
            "eyJ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-",
            "glrt-", "gloas-", "glptt-", "ATATT3x", "ATCTT3x", "xoxb-", "xoxp-", "xapp-",
        ]).map { Array($0.utf8) }
    /// What stands before a credential in a header, in lower case.
    private static let schemes = ["bearer ", "basic "].map { Array($0.utf8) }
    /// Shorter ones are words.
    private static let shortestToken = 16
    /// Behind a scheme any text may be a token: one with a digit, or longer than words are.
    private static let shortestCredential = 8
    private static let longestWord = 23

    /// Whether a byte may begin a secret.
    private static let mayBegin: [Bool] = {
        var table = [Bool](repeating: false, count: 256)
        table[Int(UInt8(ascii: ":"))] = true
        for text in prefixes + schemes { table[Int(text[0])] = true }
        for scheme in schemes { table[Int(scheme[0]) - 32] = true }
        return table
    }()

    /// Whether a value under this name is not to be shown.
    static func isSecret(key: String) -> Bool {
        let key = key.utf8.map(lowercased)
        return keys.contains { wanted in
            key.indices.contains { begins(key, at: $0, with: wanted) }
        }
    }

    /// The text without what looks like a secret.
    static func cleaned(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var (copied, place) = (0, 0)
        while place < bytes.count {
            guard mayBegin[Int(bytes[place])], let secret = secret(in: bytes, at: place) else {
                place += 1
                continue
            }
            result += bytes[copied..<secret.lowerBound]
            result += Array(mark.utf8)
            copied = secret.upperBound
            place = copied
        }
        guard copied > 0 else { return text }
        result += bytes[copied...]
        return String(decoding: result, as: UTF8.self)
    }

    /// The secret that begins at, or is announced by, this place.
    private static func secret(in bytes: [UInt8], at place: Int) -> Range<Int>? {
        if bytes[place] == UInt8(ascii: ":") { return userInfo(in: bytes, at: place) }
        for prefix in prefixes where begins(bytes, at: place, with: prefix) {
            let end = tokenEnd(in: bytes, from: place + prefix.count)
            if end - place - prefix.count >= shortestToken { return place..<end }
        }
        for scheme in schemes where begins(bytes, at: place, with: scheme, ignoringCase: true) {
            let start = place + scheme.count
            let end = tokenEnd(in: bytes, from: start)
            let hasDigit = bytes[start..<end].contains { (48...57).contains($0) }
            let isLong = end - start > longestWord
            if isLong || hasDigit && end - start >= shortestCredential { return start..<end }
        }
        return nil
    }

    /// What stands between `://` and `@`, when it has a password.
    private static func userInfo(in bytes: [UInt8], at place: Int) -> Range<Int>? {
        guard begins(bytes, at: place, with: [58, 47, 47]) else { return nil }
        let start = place + 3
        var (end, hasPassword) = (Int?.none, false)
        for index in start..<bytes.count {
            switch bytes[index] {
            // The last one: a password may have one of its own.
            case UInt8(ascii: "@"): end = index
            case UInt8(ascii: ":"): hasPassword = hasPassword || end == nil
            case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "\""),
                UInt8(ascii: "`"), 0...32:
                return end.flatMap { hasPassword ? start..<$0 : nil }
            default: break
            }
        }
        return end.flatMap { hasPassword ? start..<$0 : nil }
    }

    /// Where the characters of tokens end.
    private static func tokenEnd(in bytes: [UInt8], from start: Int) -> Int {
        var end = start
        while end < bytes.count, isOfToken(bytes[end]) { end += 1 }
        return end
    }

    private static func isOfToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "._-=+/~".utf8.contains(byte)
        }
    }

    private static func begins(
        _ bytes: [UInt8],
        at place: Int,
        with wanted: [UInt8],
        ignoringCase: Bool = false
    ) -> Bool {
        guard bytes.count - place >= wanted.count else { return false }
        for (offset, byte) in wanted.enumerated() {
            let found = bytes[place + offset]
            guard (ignoringCase ? lowercased(found) : found) == byte else { return false }
        }
        return true
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (65...90).contains(byte) ? byte | 0x20 : byte
    }
}
