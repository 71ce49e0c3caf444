import Domain

/// Which statements one connection has prepared, the least recently used ones dropped first.
///
/// A statement is prepared when it comes a second time: a program that runs for a moment would pay
/// for names it never uses again. The name is a digest of text and types, so that behind a pooler
/// two processes that share a session mean the same by it.
struct PostgresStatements {
    /// More than the program has texts; each costs the server some ten kilobytes.
    static let limit = 256
    /// Statements with more binds have an IN list or rows of changing length.
    static let maximumBinds = 64

    /// A text with the types of its binds.
    struct Key: Hashable {
        var text: String
        var kinds: [SQLKind]
        /// Of the arrays behind the other binds.
        var columns: [SQLKind] = []

        /// The types of all binds.
        var types: [UInt32] {
            kinds.map(PostgresType.of) + columns.map(PostgresType.array(of:))
        }
    }

    private struct Entry {
        /// Nil after the first time.
        var name: String?
        var lastUse: UInt64
    }

    private var entries: [Key: Entry] = [:]
    private var uses: UInt64 = 0

    /// How a statement is to be run.
    enum Plan: Equatable {
        case unnamed
        case prepare(name: String)
        case prepared(name: String)
    }

    /// Decides how a statement is run; the caller reports with ``didPrepare(_:name:)``.
    mutating func plan(_ key: Key) -> Plan {
        guard key.kinds.count <= Self.maximumBinds else { return .unnamed }
        uses += 1
        if let entry = entries[key] {
            entries[key]?.lastUse = uses
            if let name = entry.name { return .prepared(name: name) }
            return .prepare(name: Self.name(of: key))
        }
        entries[key] = Entry(name: nil, lastUse: uses)
        return .unnamed
    }

    /// The server knows the statement under its name now.
    mutating func didPrepare(_ key: Key, name: String) {
        entries[key]?.name = name
    }

    /// Forgets what is beyond the limit.
    ///
    /// - Returns: The names the server may forget, too.
    mutating func evict() -> [String] {
        guard entries.count > Self.limit else { return [] }
        let oldest = entries.sorted { $0.value.lastUse < $1.value.lastUse }
            .prefix(entries.count - Self.limit * 3 / 4)
        for (key, _) in oldest { entries[key] = nil }
        return oldest.compactMap(\.value.name)
    }

    private static func name(of key: Key) -> String {
        var hash = ContentHash()
        hash.add(key.text)
        hash.add(key.types.map { "\($0)" })
        return "preloop_" + hexadecimal(hash.finalized().prefix(12))
    }
}
