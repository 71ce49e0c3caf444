import Glibc

// CEL compares text by code points. Swift compares it by canonical equivalence, which makes "é" and
// "e\u{301}" one; so text is compared, ordered, hashed and searched here by its UTF-8 bytes.
// Everything unsafe about text is in this file: each closure reads the bytes it was lent.

/// Text that is compared and hashed by its UTF-8 bytes.
struct ByteText: Hashable, Sendable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    static func == (left: ByteText, right: ByteText) -> Bool {
        left.text.hasBytes(of: right.text)
    }

    func hash(into hasher: inout Hasher) {
        unsafe text.withBytes { bytes in
            unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
        }
    }
}

extension String {
    /// Lends the UTF-8 bytes to `body`.
    @inline(__always)
    fileprivate func withBytes<Result>(
        _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        if let result = unsafe utf8.withContiguousStorageIfAvailable(body) { return result }
        // Only strings bridged from elsewhere are not contiguous.
        return unsafe Array(utf8).withUnsafeBufferPointer(body)
    }

    /// Whether the other text has the same bytes.
    @inline(__always)
    func hasBytes(of other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        return unsafe withBytes { left in
            unsafe other.withBytes { right in unsafe compare(left, right, left.count) == 0 }
        }
    }

    /// Negative, zero or positive as this text comes before, with or after the other by bytes,
    /// which is also the order of code points.
    func byteOrder(to other: String) -> Int {
        unsafe withBytes { left in
            unsafe other.withBytes { right in
                let order = unsafe compare(left, right, min(left.count, right.count))
                return order != 0 ? Int(order) : left.count - right.count
            }
        }
    }

    /// Whether `part` occurs.
    func containsBytes(of part: String) -> Bool {
        unsafe withBytes { all in
            unsafe part.withBytes { part in unsafe ByteSearch.contains(all, part) }
        }
    }

    /// Whether this text starts with `part`.
    func startsWithBytes(of part: String) -> Bool {
        unsafe withBytes { all in
            unsafe part.withBytes { part in
                guard all.count >= part.count else { return false }
                return unsafe compare(all, part, part.count) == 0
            }
        }
    }

    /// Whether this text ends with `part`.
    func endsWithBytes(of part: String) -> Bool {
        unsafe withBytes { all in
            unsafe part.withBytes { part in
                guard all.count >= part.count else { return false }
                let tail = unsafe UnsafeBufferPointer(rebasing: all.suffix(part.count))
                return unsafe compare(tail, part, part.count) == 0
            }
        }
    }

    /// Lends the bytes to a reader that needs them one by one, such as an automaton.
    @inline(__always)
    func withSpan<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
        body(utf8.span)
    }
}

/// `memcmp` of the first bytes of both, which must have so many.
@inline(__always)
private func compare(
    _ left: UnsafeBufferPointer<UInt8>,
    _ right: UnsafeBufferPointer<UInt8>,
    _ count: Int
) -> Int32 {
    guard let left = left.baseAddress, let right = right.baseAddress else { return 0 }
    return unsafe memcmp(left, right, count)
}

/// Looks for bytes in bytes in linear time.
private enum ByteSearch {
    /// Compared bytes for each byte passed after which a text is taken for one that was made to
    /// nearly match everywhere.
    private static let patience = 4

    static func contains(
        _ text: UnsafeBufferPointer<UInt8>,
        _ part: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard let wanted = part.baseAddress, let start = text.baseAddress else {
            return part.isEmpty
        }
        let first = Int32(unsafe wanted[0])
        var place = 0
        var compared = 0
        while text.count - place >= part.count {
            let room = text.count - place - part.count + 1
            guard let found = unsafe memchr(start + place, first, room) else { return false }
            place = unsafe UnsafeRawPointer(found) - UnsafeRawPointer(start)
            if unsafe memcmp(start + place, wanted, part.count) == 0 { return true }
            compared += part.count
            place += 1
            if compared > patience * (place + 64) { return unsafe containsSlowly(text, part) }
        }
        return false
    }

    /// "Fast Pattern Matching in Strings", Knuth, Morris and Pratt 1977.
    private static func containsSlowly(
        _ text: UnsafeBufferPointer<UInt8>,
        _ part: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        var borders = [0]
        var length = 0
        for index in part.indices.dropFirst() {
            while length > 0, unsafe part[index] != part[length] { length = borders[length - 1] }
            if unsafe part[index] == part[length] { length += 1 }
            borders.append(length)
        }
        length = 0
        for index in text.indices {
            let byte = unsafe text[index]
            while length > 0, unsafe byte != part[length] { length = borders[length - 1] }
            if unsafe byte == part[length] { length += 1 }
            if length == part.count { return true }
        }
        return false
    }
}
