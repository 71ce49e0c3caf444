import LinearAlgebra

/// An immutable set of keys, kept as a bitmap where keys are dense and as a sorted array where
/// they are not.
///
/// Row identifiers of one account are usually dense, so a filter of 10 % of the rows costs about
/// 10 bits per key and one load per membership test; sparse sets cost 8 bytes per key and a binary
/// search.
package struct KeySet: Equatable, Sendable {
    private enum Storage: Equatable, Sendable {
        case bitmap(first: Int64, words: [UInt64])
        case sorted([Int64])
    }

    private let storage: Storage

    /// Where an index found the keys last.
    let found = FoundSlots()

    /// Number of distinct keys.
    package let count: Int

    /// Makes a set of the distinct values of `keys`, in any order.
    ///
    /// O(n log n).
    package init(_ keys: some Sequence<Int64>) {
        var sorted = Array(keys)
        sorted.sort()
        var unique: [Int64] = []
        unique.reserveCapacity(sorted.count)
        for key in sorted where unique.last != key { unique.append(key) }
        count = unique.count
        storage = Self.bitmap(of: unique) ?? .sorted(unique)
    }

    /// Whether two sets have the same keys.
    package static func == (left: KeySet, right: KeySet) -> Bool { left.storage == right.storage }

    /// Whether the set has no keys.
    package var isEmpty: Bool { count == 0 }

    /// Whether `key` is in the set.
    ///
    /// O(1) for dense sets, O(log n) otherwise.
    package func contains(_ key: Int64) -> Bool {
        switch storage {
        case .bitmap(let first, let words):
            guard key >= first else { return false }
            let offset = UInt64(bitPattern: key &- first)
            guard offset / 64 < UInt64(words.count) else { return false }
            return words[Int(offset / 64)] & (1 << (offset % 64)) != 0
        case .sorted(let keys):
            var low = 0
            var high = keys.count
            while low < high {
                let middle = (low + high) / 2
                if keys[middle] < key { low = middle + 1 } else { high = middle }
            }
            return low < keys.count && keys[low] == key
        }
    }

    /// Calls `body` with each key, in ascending order.
    package func forEach(_ body: (Int64) -> Void) {
        switch storage {
        case .sorted(let keys):
            for key in keys { body(key) }
        case .bitmap(let first, let words):
            for (index, word) in words.enumerated() {
                var rest = word
                while rest != 0 {
                    body(first + Int64(index * 64 + rest.trailingZeroBitCount))
                    rest &= rest - 1
                }
            }
        }
    }

    /// Calls `body` with the set as kernels see it, together with the keys of slots.
    func withFilter<Result>(
        keys: UnsafePointer<Int64>,
        _ body: (CodeFilter) -> Result
    ) -> Result {
        switch storage {
        case .bitmap(let first, let words):
            unsafe words.withUnsafeBufferPointer {
                unsafe body(CodeFilter(keys: keys, first: first, words: $0))
            }
        case .sorted(let sorted):
            unsafe sorted.withUnsafeBufferPointer {
                unsafe body(CodeFilter(keys: keys, sorted: $0))
            }
        }
    }

    /// The bitmap of sorted keys, unless it would take more than four words (256 bits) per key.
    private static func bitmap(of keys: [Int64]) -> Storage? {
        guard let first = keys.first, let last = keys.last else { return nil }
        let (span, overflow) = last.subtractingReportingOverflow(first)
        guard !overflow, span / 64 < Int64(keys.count) * 4 else { return nil }
        var words = [UInt64](repeating: 0, count: Int(span / 64) + 1)
        for key in keys {
            let offset = Int(key - first)
            words[offset / 64] |= 1 << UInt64(offset % 64)
        }
        return .bitmap(first: first, words: words)
    }
}

extension KeySet: ExpressibleByArrayLiteral {
    /// Makes a set of the listed keys.
    package init(arrayLiteral elements: Int64...) {
        self.init(elements)
    }
}
