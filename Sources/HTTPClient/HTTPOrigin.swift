/// Scheme, host and port of a URL: what credentials may be shown to (RFC 6454).
package struct HTTPOrigin: Sendable, Hashable {
    /// `http` or `https`.
    package let scheme: String
    /// In lower case; an IPv6 address keeps its brackets.
    package let host: String
    /// The scheme's default where the URL names none.
    package let port: Int

    /// Reads an absolute http or https URL.
    ///
    /// - Returns: nil for anything else, and for URLs with user information, which would be a
    ///   credential in a place that gets logged.
    package init?(of url: String) {
        let bytes = Array(url.utf8)
        // A space or control character in a URL is a header injection or a mistake; anything beyond
        // ASCII would be read differently by different programs.
        guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let colon = bytes.firstIndex(of: UInt8(ascii: ":")), bytes.count > colon + 3,
            bytes[colon + 1] == UInt8(ascii: "/"), bytes[colon + 2] == UInt8(ascii: "/")
        else { return nil }
        scheme = lowercased(bytes[..<colon])
        guard scheme == "http" || scheme == "https" else { return nil }
        let authority = bytes[(colon + 3)...].prefix {
            $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
                && $0 != UInt8(ascii: "\\")
        }
        guard !authority.contains(UInt8(ascii: "@")) else { return nil }
        let hostEnd: Int
        if authority.first == UInt8(ascii: "[") {
            guard let bracket = authority.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            hostEnd = bracket + 1
        } else {
            hostEnd = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
        }
        host = lowercased(authority[..<hostEnd])
        guard !host.isEmpty else { return nil }
        let rest = authority[hostEnd...]
        guard !rest.isEmpty else {
            port = scheme == "https" ? 443 : 80
            return
        }
        let digits = rest.dropFirst()
        guard rest.first == UInt8(ascii: ":"), (1...5).contains(digits.count),
            digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(String(decoding: digits, as: UTF8.self)), (1...65_535).contains(number)
        else { return nil }
        port = number
    }
}

/// Resolves a `Location` or `Link` target against the URL of the answer that brought it
/// (RFC 3986, section 5.2, without fragments).
///
/// - Returns: An absolute URL; nil when either is not usable.
package func resolvedURL(_ reference: String, against base: String) -> String? {
    guard let origin = HTTPOrigin(of: base) else { return nil }
    let target = String(decoding: reference.utf8.prefix { $0 != UInt8(ascii: "#") }, as: UTF8.self)
    if HTTPOrigin(of: target) != nil { return target }
    // Any other scheme, or user information, is refused rather than read as a relative path.
    let firstSegment = target.utf8.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }),
        !firstSegment.contains(UInt8(ascii: ":"))
    else { return nil }
    if target.utf8.starts(with: "//".utf8) {
        let absolute = "\(origin.scheme):\(target)"
        return HTTPOrigin(of: absolute) == nil ? nil : absolute
    }
    let root = base.utf8.prefix(base.utf8.count - pathAndQuery(of: base).count)
    let rootText = String(decoding: root, as: UTF8.self)
    if target.utf8.first == UInt8(ascii: "/") { return rootText + withoutDots(target) }
    let path = pathAndQuery(of: base).prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
    let pathText = String(decoding: path, as: UTF8.self)
    if target.isEmpty || target.utf8.first == UInt8(ascii: "?") {
        return rootText + (pathText.isEmpty ? "/" : pathText) + target
    }
    let folder = path.lastIndex(of: UInt8(ascii: "/")).map { path[...$0] }
    let folderText = folder.map { String(decoding: $0, as: UTF8.self) } ?? "/"
    return rootText + withoutDots(folderText + target)
}

/// What follows the authority of an absolute URL.
private func pathAndQuery(of url: String) -> Array<UInt8>.SubSequence {
    let bytes = Array(url.utf8)
    var index = bytes.firstIndex(of: UInt8(ascii: ":")).map { $0 + 3 } ?? bytes.endIndex
    while index < bytes.endIndex, bytes[index] != UInt8(ascii: "/"),
        bytes[index] != UInt8(ascii: "?"), bytes[index] != UInt8(ascii: "#")
    {
        index += 1
    }
    return bytes[index...]
}

/// Removes `.` and `..` segments from the path of a path with query (RFC 3986, section 5.2.4).
private func withoutDots(_ target: String) -> String {
    let bytes = Array(target.utf8)
    let end = bytes.firstIndex(of: UInt8(ascii: "?")) ?? bytes.endIndex
    var output: [ArraySlice<UInt8>] = []
    let segments = bytes[..<end].dropFirst()
        .split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    for (index, segment) in segments.enumerated() {
        let isLast = index == segments.count - 1
        switch String(decoding: segment, as: UTF8.self) {
        case ".": if isLast { output.append([]) }
        case "..":
            _ = output.popLast()
            if isLast { output.append([]) }
        default: output.append(segment)
        }
    }
    let path = "/" + output.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    return path + String(decoding: bytes[end...], as: UTF8.self)
}

private func lowercased(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.map { (65...90).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
}
