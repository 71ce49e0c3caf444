import Glibc

/// An address of the Internet Protocol, version 4 or 6.
package struct IPAddress: Sendable, Hashable {
    /// Four or sixteen, in network order.
    package let bytes: [UInt8]

    /// Takes four or sixteen bytes; nil for other counts.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// Reads the one usual form: four decimal numbers without leading zeros, or RFC 4291 without a
    /// zone.
    ///
    /// Nil for everything else, also for forms that `inet_aton` takes.
    package init?(_ text: String) {
        if let bytes = Self.version4(text) {
            self.bytes = bytes
            return
        }
        guard text.utf8.contains(UInt8(ascii: ":")), text.utf8.count <= 45,
            text.utf8.allSatisfy({ $0 != UInt8(ascii: "%") && $0 < 0x80 })
        else { return nil }
        var found = [UInt8](repeating: 0, count: 16)
        guard unsafe inet_pton(AF_INET6, text, &found) == 1 else { return nil }
        bytes = found
    }

    private static func version4(_ text: String) -> [UInt8]? {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
                part.count == 1 || part.first != UInt8(ascii: "0"),
                let byte = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// Whether it is of version 4.
    package var isVersion4: Bool { bytes.count == 4 }
}

extension IPAddress: CustomStringConvertible {
    /// The usual form; version 6 in eight groups with the zeros of one run left out.
    package var description: String {
        guard !isVersion4 else { return bytes.map(String.init).joined(separator: ".") }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let size = socklen_t(text.count)
        guard unsafe inet_ntop(AF_INET6, bytes, &text, size) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// A range of addresses in the form `10.0.0.0/8`; a single address is a range of its own.
package struct AddressRange: Sendable, Hashable {
    /// Its first address.
    package let base: IPAddress
    /// How many leading bits all its addresses share.
    package let prefix: Int

    /// Reads the form; nil when it is none, or when bits are set behind the prefix.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let base = IPAddress(String(parts[0])) else {
            return nil
        }
        let bits = base.bytes.count * 8
        var prefix = bits
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count),
                parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(parts[1]), number <= bits
            else { return nil }
            prefix = number
        }
        self.base = base
        self.prefix = prefix
        let isClean = (prefix..<bits).allSatisfy { bit in
            base.bytes[bit / 8] & (0x80 >> UInt8(bit % 8)) == 0
        }
        guard isClean else { return nil }
    }

    /// Whether an address of the same version lies in it.
    package func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == base.bytes.count else { return false }
        let whole = prefix / 8
        guard address.bytes[..<whole] == base.bytes[..<whole] else { return false }
        guard prefix % 8 > 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xFF00 >> (prefix % 8))
        return address.bytes[whole] & mask == base.bytes[whole] & mask
    }
}
