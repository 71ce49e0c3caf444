extension HTTPHeaders {
    /// The target of the first `Link` with relation `relation` (RFC 8288), as it is written there.
    ///
    /// Broken links are passed over. Targets may be relative: see ``resolvedURL(_:against:)``.
    package func link(relation: String) -> String? {
        let wanted = relation.lowercased()
        for value in values(of: "Link") {
            var reader = LinkReader(value)
            while let link = reader.next() {
                if link.relations.contains(wanted) { return link.target }
            }
        }
        return nil
    }
}

/// Reads `<target>; name=value; name="quoted"` lists.
private struct LinkReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ value: String) {
        bytes = Array(value.utf8)
    }

    mutating func next() -> (target: String, relations: [String])? {
        // To the next `<`: what stands before it cannot be a link.
        while let byte = peek(), byte != UInt8(ascii: "<") { position += 1 }
        guard peek() != nil else { return nil }
        position += 1
        let start = position
        while let byte = peek(), byte != UInt8(ascii: ">") { position += 1 }
        guard peek() != nil else { return nil }
        let target = String(decoding: bytes[start..<position], as: UTF8.self)
        position += 1
        var relations: [String] = []
        skipSpace()
        while take(";") {
            let name = token().lowercased()
            skipSpace()
            let value = take("=") ? parameterValue() : ""
            // Of repeated `rel` parameters the first counts (section 3.3).
            if name == "rel", relations.isEmpty {
                relations = value.lowercased().split(separator: " ").map(String.init)
            }
            skipSpace()
        }
        return (target, relations)
    }

    private mutating func parameterValue() -> String {
        skipSpace()
        guard take("\"") else { return token() }
        var value: [UInt8] = []
        while let byte = peek() {
            position += 1
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\"), let escaped = peek() {
                value.append(escaped)
                position += 1
            } else {
                value.append(byte)
            }
        }
        return String(decoding: value, as: UTF8.self)
    }

    private mutating func token() -> String {
        skipSpace()
        let start = position
        let ends = Array(";,=\" \t".utf8)
        while let byte = peek(), !ends.contains(byte) { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private func peek() -> UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let byte = peek(), UInt32(byte) == character.value else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 0x20 || byte == 0x09 { position += 1 }
    }
}
