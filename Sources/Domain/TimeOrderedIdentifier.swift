/// Identifiers of rows that lie in the order of time.
package enum TimeOrderedIdentifier {
    /// 48 bits of milliseconds and 80 of chance, as 32 hexadecimal digits.
    package static func make(at instant: Timestamp) -> String {
        let time = UInt64(bitPattern: instant.milliseconds) & 0xffff_ffff_ffff
        return hexadecimal(time, digits: 12)
            + hexadecimal(UInt64.random(in: 0...UInt64.max), digits: 16)
            + hexadecimal(UInt16.random(in: 0...UInt16.max), digits: 4)
    }
}
