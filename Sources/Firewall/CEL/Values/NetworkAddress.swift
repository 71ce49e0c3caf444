/// An IP address.
package struct NetworkAddress: Hashable, Sendable {
    /// The address in its last bits: 32 of version 4, 128 of version 6.
    let bits: UInt128
    /// 4 or 6.
    package let version: Int

    /// How many bits an address of the version has.
    var width: Int { version == 4 ? 32 : 128 }

    init(bits: UInt128, version: Int) {
        self.bits = bits
        self.version = version
    }

    /// Whether this is a version 4 address written as one of version 6.
    var isMapped: Bool { version == 6 && bits >> 32 == 0xFFFF }

    /// Whether the first bits are those of `prefix`.
    func hasPrefix(_ prefix: UInt128, _ length: Int) -> Bool {
        bits >> UInt128(width - length) == prefix >> UInt128(width - length)
    }

    var isUnspecified: Bool { bits == 0 }

    var isLoopback: Bool { version == 4 ? bits >> 24 == 127 : bits == 1 }

    var isMulticast: Bool { version == 4 ? bits >> 28 == 0xE : bits >> 120 == 0xFF }

    /// 224.0.0.0/24 and ff02::/16 with all flags.
    var isLinkLocalMulticast: Bool {
        version == 4 ? bits >> 8 == 0xE00000 : bits >> 120 == 0xFF && (bits >> 112) & 0xF == 2
    }

    /// 169.254.0.0/16 and fe80::/10.
    var isLinkLocalUnicast: Bool {
        version == 4 ? bits >> 16 == 0xA9FE : bits >> 118 == 0x3FA
    }

    /// What may be the address of one host somewhere, private ones included.
    var isGlobalUnicast: Bool {
        !isUnspecified && !isLoopback && !isMulticast && !isLinkLocalUnicast
            && !(version == 4 && bits == 0xFFFF_FFFF)
    }
}

extension NetworkAddress {
    /// Reads `192.168.0.1` or an address of version 6 (RFC 4291, 2.2); no zones.
    package init?(_ text: String) {
        guard text.utf8.count <= 45 else { return nil }
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let bits = Self.version6(text) else { return nil }
            self.init(bits: bits, version: 6)
        } else {
            guard let bits = Self.version4(text[...]) else { return nil }
            self.init(bits: bits, version: 4)
        }
    }

    private static func version4(_ text: Substring) -> UInt128? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt128 = 0
        for part in parts {
            let isPlain = part.utf8.allSatisfy { (48...57).contains($0) }
            // A leading zero might mean octal to somebody.
            guard isPlain, part.utf8.count <= 3, part == "0" || part.utf8.first != 48,
                let byte = UInt8(part)
            else { return nil }
            bits = bits << 8 | UInt128(byte)
        }
        return bits
    }

    private static func version6(_ text: String) -> UInt128? {
        guard let gap = gap(in: text) else { return groups(text[...], count: 8) }
        let head = text[..<gap.lowerBound]
        let tail = text[gap.upperBound...]
        guard !tail.hasPrefix(":"), let left = groups(head), let right = groups(tail),
            left.count + right.count <= 7
        else { return nil }
        var bits: UInt128 = 0
        for group in left { bits = bits << 16 | group }
        bits = left.isEmpty ? 0 : bits << UInt128(16 * (8 - left.count))
        var low: UInt128 = 0
        for group in right { low = low << 16 | group }
        return bits | low
    }

    private static func gap(in text: String) -> Range<String.Index>? {
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if text[index] == ":", next < text.endIndex, text[next] == ":" {
                return index..<text.index(after: next)
            }
            index = next
        }
        return nil
    }

    private static func groups(_ text: Substring, count: Int) -> UInt128? {
        guard let groups = groups(text), groups.count == count else { return nil }
        return groups.reduce(0) { $0 << 16 | $1 }
    }

    /// The groups of 16 bits; the last two may be written as an address of version 4.
    private static func groups(_ text: Substring) -> [UInt128]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt128] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (place, part) in parts.enumerated() {
            if place == parts.count - 1, part.contains(".") {
                guard let bits = version4(part) else { return nil }
                groups += [bits >> 16, bits & 0xFFFF]
                continue
            }
            let isPlain = part.utf8.allSatisfy {
                (48...57).contains($0) || (97...102).contains($0 | 0x20)
            }
            guard isPlain, (1...4).contains(part.utf8.count), let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(UInt128(group))
        }
        return groups
    }
}

extension NetworkAddress: CustomStringConvertible {
    /// The canonical text (RFC 5952).
    package var description: String {
        guard version == 6 else {
            return (0..<4).map { String(UInt8(truncatingIfNeeded: bits >> UInt128(24 - 8 * $0))) }
                .joined(separator: ".")
        }
        if isMapped {
            let last = NetworkAddress(bits: bits & 0xFFFF_FFFF, version: 4)
            return "::ffff:\(last)"
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> UInt128(112 - 16 * $0)) }
        let gap = Self.longestZeros(groups)
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard let gap else { return text(0..<8) }
        return "\(text(0..<gap.lowerBound))::\(text(gap.upperBound..<8))"
    }

    /// The first longest run of at least two zeros.
    private static func longestZeros(_ groups: [UInt16]) -> Range<Int>? {
        var best = 0..<0
        var start = 0
        for index in 0...groups.count where index == groups.count || groups[index] != 0 {
            if index - start > best.count { best = start..<index }
            start = index + 1
        }
        return best.count > 1 ? best : nil
    }
}

/// A range of IP addresses: those with the first bits of one.
package struct NetworkRange: Hashable, Sendable {
    let address: NetworkAddress
    /// How many bits are shared.
    package let length: Int

    init(address: NetworkAddress, length: Int) {
        self.address = address
        self.length = length
    }

    /// Reads `192.168.0.0/24`.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = NetworkAddress(String(parts[0])),
            (1...3).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
            parts[1] == "0" || parts[1].utf8.first != 48,
            let length = Int(parts[1]), length <= address.width
        else { return nil }
        self.init(address: address, length: length)
    }

    /// Whether the address is in the range.
    func contains(_ other: NetworkAddress) -> Bool {
        other.version == address.version && other.hasPrefix(address.bits, length)
    }

    /// Whether all of the other range is in this one.
    func contains(_ other: NetworkRange) -> Bool {
        other.length >= length && contains(other.address)
    }

    /// The range with its first address.
    var masked: NetworkRange {
        let free = UInt128(address.width - length)
        let bits = free >= 128 ? 0 : (address.bits >> free) << free
        return NetworkRange(
            address: NetworkAddress(bits: bits, version: address.version),
            length: length
        )
    }
}

extension NetworkRange: CustomStringConvertible {
    package var description: String { "\(address)/\(length)" }
}
