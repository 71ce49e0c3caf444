/// A set of code points as ascending ranges with gaps between them.
struct ScalarSet: Equatable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let maximum: UInt32 = 0x10FFFF
    /// Every code point.
    static let all = ScalarSet([0...maximum])

    init(_ ranges: [ClosedRange<UInt32>] = []) {
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
                self.ranges[self.ranges.count - 1] =
                    last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    init(_ scalar: UInt32) {
        ranges = [scalar...scalar]
    }

    func union(_ other: ScalarSet) -> ScalarSet {
        ScalarSet(ranges + other.ranges)
    }

    /// All code points that are not in the set.
    var inverted: ScalarSet {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
            next = range.upperBound + 1
        }
        if next <= Self.maximum { result.append(next...Self.maximum) }
        return ScalarSet(result)
    }

    func contains(_ scalar: UInt32) -> Bool {
        ranges.contains { $0.contains(scalar) }
    }

    /// The set with every code point that differs from one of its own in case alone.
    var caseFolded: ScalarSet {
        var more: [ClosedRange<UInt32>] = []
        for range in ranges {
            for orbit in CaseOrbits.members(in: range) { more.append(orbit...orbit) }
        }
        return more.isEmpty ? self : ScalarSet(ranges + more)
    }
}

/// Code points that are the same but for their case (Unicode simple case folding).
private enum CaseOrbits {
    /// Code points with such partners, ascending, each with its partners.
    private static let table: [(scalar: UInt32, partners: [UInt32])] = build()

    /// The partners of all code points of a range.
    static func members(in range: ClosedRange<UInt32>) -> [UInt32] {
        var low = 0
        var high = table.count
        while low < high {
            let middle = (low + high) / 2
            if table[middle].scalar < range.lowerBound { low = middle + 1 } else { high = middle }
        }
        var result: [UInt32] = []
        while low < table.count, table[low].scalar <= range.upperBound {
            result += table[low].partners
            low += 1
        }
        return result
    }

    private static func build() -> [(UInt32, [UInt32])] {
        // Code points that share an upper case, or are it, are one orbit.
        var orbits: [UInt32: Set<UInt32>] = [:]
        for value in 0...ScalarSet.maximum {
            guard let scalar = Unicode.Scalar(value), scalar.properties.changesWhenCaseMapped
            else { continue }
            // Dotted and dotless i fold in Turkic languages alone.
            if value == 0x130 || value == 0x131 { continue }
            let lower = single(scalar.properties.lowercaseMapping) ?? value
            let upper = single(scalar.properties.uppercaseMapping)
            let root = Unicode.Scalar(lower).flatMap { single($0.properties.uppercaseMapping) }
            let key = upper.flatMap { $0 == value ? nil : $0 } ?? root ?? lower
            orbits[key, default: []].formUnion([value, lower, key])
        }
        var table: [UInt32: Set<UInt32>] = [:]
        for members in orbits.values {
            for member in members { table[member, default: []].formUnion(members) }
        }
        return table.map { ($0.key, $0.value.subtracting([$0.key]).sorted()) }
            .filter { !$0.1.isEmpty }
            .sorted { $0.0 < $1.0 }
    }

    private static func single(_ text: String) -> UInt32? {
        let scalars = text.unicodeScalars
        guard let first = scalars.first, scalars.count == 1 else { return nil }
        return first.value
    }
}
