/// How far a place's clocks were from UTC and when, from a file of the IANA database (RFC 8536).
struct TimeZoneRules: Sendable {
    /// Moments in seconds since 1970 from which the offset of the same index holds; ascending.
    private let transitions: [Int64]
    private let offsets: [Int64]
    /// The offset before the first moment.
    private let firstOffset: Int64
    /// What holds after the last moment.
    private let tail: TimeZoneTail?

    /// Files are about 2 KB; the largest has 3.5 KB.
    static let maximumBytes = 64 << 10

    /// Seconds to add to UTC at a moment.
    func offset(at seconds: Int64) -> Int64 {
        guard let last = transitions.last else { return tail?.offset(at: seconds) ?? firstOffset }
        if seconds >= last, let tail { return tail.offset(at: seconds) }
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= seconds { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? firstOffset : offsets[low - 1]
    }

    /// Reads a file; nil when it is not what RFC 8536 describes.
    init?(_ bytes: [UInt8]) {
        guard let first = Header(bytes, at: 0) else { return nil }
        let place = Header.length + first.bodyLength(timeLength: 4)
        // The first body has 32-bit moments and is there for old readers.
        guard first.version >= 2, let header = Header(bytes, at: place) else { return nil }
        let start = place + Header.length
        let end = start + header.bodyLength(timeLength: 8)
        guard end < bytes.count, header.typeCount > 0 else { return nil }

        var transitions: [Int64] = []
        for index in 0..<header.transitionCount {
            let moment = Self.integer(bytes, at: start + index * 8, length: 8)
            if let last = transitions.last, moment <= last { return nil }
            transitions.append(moment)
        }
        let indexes = start + header.transitionCount * 8
        let types = indexes + header.transitionCount
        var typeOffsets: [Int64] = []
        for index in 0..<header.typeCount {
            let offset = Self.integer(bytes, at: types + index * 6, length: 4)
            guard abs(offset) < 26 * 3_600 else { return nil }
            typeOffsets.append(offset)
        }
        var offsets: [Int64] = []
        for index in 0..<header.transitionCount {
            let type = Int(bytes[indexes + index])
            guard type < typeOffsets.count else { return nil }
            offsets.append(typeOffsets[type])
        }
        guard bytes[end] == 10, bytes.last == 10 else { return nil }
        let footer = bytes[(end + 1)...].dropLast()
        self.transitions = transitions
        self.offsets = offsets
        firstOffset = typeOffsets[0]
        tail = footer.isEmpty ? nil : TimeZoneTail(String(decoding: footer, as: UTF8.self))
    }

    private static func integer(_ bytes: [UInt8], at place: Int, length: Int) -> Int64 {
        var value: UInt64 = 0
        for byte in bytes[place..<place + length] { value = value << 8 | UInt64(byte) }
        return length == 4
            ? Int64(Int32(truncatingIfNeeded: value)) : Int64(bitPattern: value)
    }

    /// The counts at the start of a body.
    private struct Header {
        static let length = 44
        /// No file has more than some hundreds of each.
        static let maximumCount = 4_096

        let version: UInt8
        let utcCount, standardCount, leapCount, transitionCount, typeCount, nameCount: Int

        init?(_ bytes: [UInt8], at place: Int) {
            guard bytes.count >= place + Self.length,
                bytes[place..<place + 4].elementsEqual("TZif".utf8)
            else { return nil }
            version = bytes[place + 4] >= UInt8(ascii: "2") ? bytes[place + 4] - 48 : 1
            var counts: [Int] = []
            for index in 0..<6 {
                let count = TimeZoneRules.integer(bytes, at: place + 20 + index * 4, length: 4)
                guard (0...Int64(Self.maximumCount)).contains(count) else { return nil }
                counts.append(Int(count))
            }
            utcCount = counts[0]
            standardCount = counts[1]
            leapCount = counts[2]
            transitionCount = counts[3]
            typeCount = counts[4]
            nameCount = counts[5]
        }

        func bodyLength(timeLength: Int) -> Int {
            transitionCount * (timeLength + 1) + typeCount * 6 + nameCount
                + leapCount * (timeLength + 4) + standardCount + utcCount
        }
    }
}
