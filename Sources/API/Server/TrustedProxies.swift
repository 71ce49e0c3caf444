/// The proxies whose word is taken for where a request comes from.
///
/// Anybody can send `X-Forwarded-For`. So it counts only on a connection of a trusted proxy, and
/// of its entries only the last one that is no trusted proxy itself: what stands before it is
/// what that client said of itself.
package struct TrustedProxies: Sendable, Equatable {
    /// A range of addresses.
    private struct Range: Sendable, Equatable {
        var address: [UInt8]
        var bits: Int

        func contains(_ other: [UInt8]) -> Bool {
            guard other.count == address.count else { return false }
            let (whole, rest) = (bits / 8, bits % 8)
            guard address.prefix(whole) == other.prefix(whole) else { return false }
            guard rest > 0 else { return true }
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> rest)
            return address[whole] & mask == other[whole] & mask
        }
    }

    /// Longer chains are nobody's.
    private static let maximumEntries = 32

    private var ranges: [Range] = []

    /// Trusts nobody.
    package init() {}

    /// Reads addresses and ranges such as `10.0.0.0/8`.
    ///
    /// - Returns: Nil when one of them is neither.
    package init?(_ texts: [String]) {
        for text in texts {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let address = Self.address(String(parts[0])) else { return nil }
            var bits = address.count * 8
            if parts.count == 2 {
                guard let number = Int(parts[1]), (0...bits).contains(number) else { return nil }
                bits = number
            }
            ranges.append(Range(address: address, bits: bits))
        }
    }

    /// Where a request comes from.
    ///
    /// - Parameters:
    ///   - peer: The address of the connection.
    ///   - forwarded: The values of `X-Forwarded-For`, in order.
    /// - Returns: An address; that of the connection where nobody else's word counts.
    func client(of peer: String, forwarded: [String]) -> String {
        guard !ranges.isEmpty, isTrusted(peer) else { return peer }
        var client = peer
        let entries = forwarded.flatMap { $0.split(separator: ",") }
        for entry in entries.reversed().prefix(Self.maximumEntries) {
            let text = Self.bare(entry)
            // What is no address ends the chain: it cannot be checked.
            guard Self.address(text) != nil else { break }
            client = text
            guard isTrusted(text) else { break }
        }
        return client
    }

    private func isTrusted(_ text: String) -> Bool {
        guard let address = Self.address(text) else { return false }
        return ranges.contains { $0.contains(address) }
    }

    /// Without spaces, brackets and port.
    private static func bare(_ entry: Substring) -> String {
        let text = entry.drop { $0 == " " }.prefix { $0 != " " }
        if text.hasPrefix("[") { return String(text.dropFirst().prefix { $0 != "]" }) }
        // One colon is before a port, several are an address of version 6.
        let isShort = text.utf8.count { $0 == UInt8(ascii: ":") } == 1
        return String(isShort ? text.prefix { $0 != ":" } : text)
    }

    /// The bytes of an address, four of those that are written in version 6 but are of version 4.
    private static func address(_ text: String) -> [UInt8]? {
        guard text.utf8.count <= 45 else { return nil }
        guard text.contains(":") else { return version4(text) }
        guard let bytes = version6(text) else { return nil }
        let mapped: [UInt8] = Array(repeating: 0, count: 10) + [0xFF, 0xFF]
        return bytes.starts(with: mapped) ? Array(bytes.suffix(4)) : bytes
    }

    private static func version4(_ text: some StringProtocol) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? UInt8(part) : nil
        }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    private static func version6(_ text: String) -> [UInt8]? {
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        guard halves.count <= 2, let head = groups(halves[0]) else { return nil }
        guard halves.count == 2 else { return head.count == 16 ? head : nil }
        guard let tail = groups(halves[1]), head.count + tail.count <= 14 else { return nil }
        return head + Array(repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    private static func groups(_ text: Substring) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (place, part) in parts.enumerated() {
            if place == parts.count - 1, part.contains(".") {
                guard let last = version4(part) else { return nil }
                bytes += last
            } else {
                guard (1...4).contains(part.utf8.count), let group = UInt16(part, radix: 16),
                    part.first != "+", part.first != "-"
                else { return nil }
                bytes += [UInt8(group >> 8), UInt8(group & 0xFF)]
            }
        }
        return bytes
    }
}
