import Glibc
import Synchronization

/// Time zones by name, from the system's IANA database.
enum TimeZoneDatabase {
    private static let directory = "/usr/share/zoneinfo"
    /// There are about 600 names; remembering them all costs 2 MB.
    private static let maximumCached = 64
    /// The longest name has 30 bytes.
    private static let maximumNameBytes = 64

    private static let cache = Mutex<[String: TimeZoneRules]>([:])

    /// Seconds to add to UTC at a moment: in `UTC`, at a fixed offset such as `-09:30`, or in the
    /// place a name stands for; nil when the name stands for none.
    static func offset(of name: String, at seconds: Int64) -> Int64? {
        if name.isEmpty || name == "UTC" { return 0 }
        if let fixed = fixedOffset(name) { return fixed }
        if let known = cache.withLock({ $0[name] }) { return known.offset(at: seconds) }
        guard let rules = load(name) else { return nil }
        cache.withLock { cache in
            if cache.count >= maximumCached { cache.removeAll(keepingCapacity: true) }
            cache[name] = rules
        }
        return rules.offset(at: seconds)
    }

    /// `+01:00`, `-09:30`; the sign may be missing.
    private static func fixedOffset(_ name: String) -> Int64? {
        var reader = DigitReader(name)
        let isWest = reader.take("-")
        if !isWest { _ = reader.take("+") }
        guard let seconds = reader.clock(), reader.isAtEnd else { return nil }
        return isWest ? -seconds : seconds
    }

    /// A name is a path below the directory, so it is checked before it is opened: letters, digits,
    /// `_`, `-`, `+` and single slashes between them, nothing that climbs.
    private static func isName(_ name: String) -> Bool {
        guard name.utf8.count <= maximumNameBytes else { return false }
        return name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, (97...122).contains(first | 0x20) else {
                return false
            }
            return part.utf8.allSatisfy { byte in
                (97...122).contains(byte | 0x20) || (48...57).contains(byte)
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "+")
            }
        }
    }

    private static func load(_ name: String) -> TimeZoneRules? {
        guard isName(name) else { return nil }
        let descriptor = unsafe open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 8 << 10)
        while bytes.count <= TimeZoneRules.maximumBytes {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            // A directory opens but does not read; it is no time zone.
            guard count >= 0 else { return nil }
            if count == 0 { return TimeZoneRules(bytes) }
            bytes.append(contentsOf: chunk.prefix(count))
        }
        return nil
    }
}
