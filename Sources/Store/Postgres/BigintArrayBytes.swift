/// `bigint[]` as PostgreSQL takes it in binary: `array_recv` and `int8recv` of its source, in
/// network byte order.
enum BigintArrayBytes {
    /// One dimension, from 1, without NULL; none at all of nothing.
    static func encode(_ numbers: some Collection<Int64>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(20 + numbers.count * 12)
        append(Int32(numbers.isEmpty ? 0 : 1), to: &bytes)
        append(Int32(0), to: &bytes)
        append(Int32(bitPattern: PostgresType.int8), to: &bytes)
        guard !numbers.isEmpty else { return bytes }
        append(Int32(numbers.count), to: &bytes)
        append(Int32(1), to: &bytes)
        for number in numbers {
            append(Int32(8), to: &bytes)
            append(number, to: &bytes)
        }
        return bytes
    }

    private static func append<Number: FixedWidthInteger>(
        _ number: Number,
        to bytes: inout [UInt8]
    ) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }
}
