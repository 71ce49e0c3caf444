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
            guard parts.count <= 2, let address = NetworkAddress.bytes(of: String(parts[0]))
            else { return nil }
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
            guard NetworkAddress.bytes(of: text) != nil else { break }
            client = text
            guard isTrusted(text) else { break }
        }
        return client
    }

    private func isTrusted(_ text: String) -> Bool {
        guard let address = NetworkAddress.bytes(of: text) else { return false }
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
}
