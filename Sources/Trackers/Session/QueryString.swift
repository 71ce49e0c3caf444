/// The query of a URL as decoded names and values, in order.
package struct QueryString: Sendable, Hashable {
    /// One parameter.
    package struct Item: Sendable, Hashable {
        package var name: String
        package var value: String
    }

    /// Parameters in the order they are sent; names may repeat.
    package private(set) var items: [Item] = []

    package init() {}

    /// Takes names and values that are not yet percent-encoded.
    package init(_ pairs: KeyValuePairs<String, String>) {
        items = pairs.map { Item(name: $0.key, value: $0.value) }
    }

    /// Reads an encoded query without its question mark; a plus sign is a space.
    ///
    /// Never fails: a broken escape stays as it is.
    package init(parsing encoded: some StringProtocol) {
        for part in encoded.utf8.split(separator: UInt8(ascii: "&")) {
            let mark = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
            items.append(
                Item(
                    name: Self.decoded(part[..<mark]),
                    value: Self.decoded(part[mark...].dropFirst())
                )
            )
        }
    }

    /// The first value of `name`; setting replaces it in place or appends it, nil removes all.
    package subscript(name: String) -> String? {
        get { items.first { $0.name == name }?.value }
        set {
            guard let newValue else {
                items.removeAll { $0.name == name }
                return
            }
            if let place = items.firstIndex(where: { $0.name == name }) {
                items[place].value = newValue
            } else {
                items.append(Item(name: name, value: newValue))
            }
        }
    }

    /// Percent-encoded, without `?`; only unreserved characters of RFC 3986 stay as they are.
    package var encoded: String {
        items.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }
            .joined(separator: "&")
    }

    private static func decoded(_ bytes: some Collection<UInt8>) -> String {
        var result: [UInt8] = []
        var rest = Array(bytes)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "+") {
                result.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"), rest.count >= 2,
                let high = nibble(rest[rest.startIndex]),
                let low = nibble(rest[rest.startIndex + 1])
            {
                result.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}

extension QueryString: ExpressibleByDictionaryLiteral {
    /// Keeps the literal's order.
    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { items.append(Item(name: name, value: value)) }
    }
}

/// Encodes everything but the unreserved characters of RFC 3986, so that the result is one path
/// segment or one query value whatever the text holds.
package func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
        switch byte {
        case 48...57, 65...90, 97...122, 45, 46, 95, 126: result.append(byte)
        default:
            result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: result, as: UTF8.self)
}
