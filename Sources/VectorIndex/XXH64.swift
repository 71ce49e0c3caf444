/// XXH64, the 64-bit hash of Yann Collet's xxHash specification (version 0.1.1), used as the
/// checksum of snapshot sections.
///
/// Four independent lanes of multiply and rotate keep it at memory speed without special
/// instructions, so that every start can verify the whole file.
enum XXH64 {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    /// The hash of `bytes` with the given seed.
    static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
        var offset = 0
        var value: UInt64
        if bytes.count >= 32 {
            value = unsafe mergedLanes(bytes, seed: seed, offset: &offset)
        } else {
            value = seed &+ prime5
        }
        value &+= UInt64(bytes.count)
        while offset + 8 <= bytes.count {
            value ^= round(0, unsafe word(bytes, offset))
            value = rotate(value, 27) &* prime1 &+ prime4
            offset += 8
        }
        if offset + 4 <= bytes.count {
            let half = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            value ^= UInt64(UInt32(littleEndian: half)) &* prime1
            value = rotate(value, 23) &* prime2 &+ prime3
            offset += 4
        }
        while offset < bytes.count {
            value ^= unsafe UInt64(bytes[offset]) &* prime5
            value = rotate(value, 11) &* prime1
            offset += 1
        }
        return avalanche(value)
    }

    private static func mergedLanes(
        _ bytes: UnsafeRawBufferPointer,
        seed: UInt64,
        offset: inout Int
    ) -> UInt64 {
        var first = seed &+ prime1 &+ prime2
        var second = seed &+ prime2
        var third = seed
        var fourth = seed &- prime1
        var position = 0
        while position + 32 <= bytes.count {
            first = round(first, unsafe word(bytes, position))
            second = round(second, unsafe word(bytes, position + 8))
            third = round(third, unsafe word(bytes, position + 16))
            fourth = round(fourth, unsafe word(bytes, position + 24))
            position += 32
        }
        offset = position
        var value =
            rotate(first, 1) &+ rotate(second, 7) &+ rotate(third, 12) &+ rotate(fourth, 18)
        for lane in [first, second, third, fourth] {
            value = (value ^ round(0, lane)) &* prime1 &+ prime4
        }
        return value
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    @inline(__always)
    private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
        (value &<< bits) | (value &>> (64 &- bits))
    }

    private static func avalanche(_ value: UInt64) -> UInt64 {
        var value = value
        value = (value ^ (value >> 33)) &* prime2
        value = (value ^ (value >> 29)) &* prime3
        return value ^ (value >> 32)
    }
}
