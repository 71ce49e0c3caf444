/// How pgvector's `halfvec` crosses in binary: the number of values and two bytes of nothing, then
/// IEEE 754 binary16 values, all in network byte order.
package enum HalfVectorBytes {
    /// The binary form; every value is rounded to the nearest half.
    package static func encode(_ vector: [Float]) -> [UInt8] {
        precondition(vector.count <= PassageVectorTable.maximumDimension, "halfvec takes no more")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(vector.count * 2 + 4)
        append(UInt16(vector.count), to: &bytes)
        append(0, to: &bytes)
        for value in vector { append(Float16(value).bitPattern, to: &bytes) }
        return bytes
    }

    /// The values; nil when the bytes are not `dimension` finite numbers.
    package static func decode(_ bytes: [UInt8], dimension: Int) -> [Float]? {
        func half(_ place: Int) -> UInt16 { UInt16(bytes[place]) << 8 | UInt16(bytes[place + 1]) }
        guard bytes.count == dimension * 2 + 4, Int(half(0)) == dimension else { return nil }
        let values = (0..<dimension).map { Float(Float16(bitPattern: half(4 + $0 * 2))) }
        return values.allSatisfy(\.isFinite) ? values : nil
    }

    /// What a vector is after it was stored.
    package static func rounded(_ vector: [Float]) -> [Float] {
        vector.map { Float(Float16($0)) }
    }

    private static func append(_ bits: UInt16, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
        bytes.append(UInt8(truncatingIfNeeded: bits))
    }
}
