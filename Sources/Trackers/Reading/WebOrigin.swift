/// Scheme and authority of an address, `https://github.com` of an issue's page; empty when the text
/// is no address.
func webOrigin(of address: String) -> String {
    let parts = address.utf8.split(
        separator: UInt8(ascii: "/"),
        maxSplits: 3,
        omittingEmptySubsequences: false
    )
    guard parts.count >= 3, parts[1].isEmpty, parts[0].last == UInt8(ascii: ":") else { return "" }
    return String(decoding: Array(parts[0]), as: UTF8.self) + "//"
        + String(decoding: Array(parts[2]), as: UTF8.self)
}

/// An address as operators type it, without blanks and final slashes.
func trimmedAddress(_ address: String) -> String {
    var bytes = Array(address.utf8.drop { $0 <= 0x20 })
    while let last = bytes.last, last <= 0x20 || last == UInt8(ascii: "/") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
}

/// Whether an address consists of scheme and authority alone.
func hasNoPath(_ address: String) -> Bool {
    webOrigin(of: address).utf8.count == address.utf8.count
}
