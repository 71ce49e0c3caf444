import Domain

/// Which statements one connection has prepared.
///
/// A statement is prepared when it comes a second time: a program that runs for a moment would pay
/// for names it never uses again. The name is a digest of text and types, so that behind a pooler
/// two processes that share a session mean the same by it.
///
/// No name is given up while the connection lasts; see ``areMany``.
struct PostgresStatements {
    /// More than the program has texts; each costs the server some ten kilobytes.
    ///
    /// As many texts are remembered that have come once.
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
    private var nameCount = 0
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
        if entries[key]?.name == nil { nameCount += 1 }
        entries[key]?.name = name
    }

    /// Whether the server knows so many names that a new connection is better.
    ///
    /// One by one they cannot be given up everywhere: a pooler that keeps statements (PgBouncer
    /// from 1.21 on) has given the server names of its own, of which `DEALLOCATE` knows nothing,
    /// and libpq has the protocol's message for it from 17 on.
    var areMany: Bool { nameCount > Self.limit }

    /// Forgets texts that have come once, the oldest first, where they are beyond the limit.
    mutating func forget() {
        guard entries.count - nameCount > Self.limit else { return }
        let oldest = entries.filter { $0.value.name == nil }
            .sorted { $0.value.lastUse < $1.value.lastUse }
            .prefix(entries.count - nameCount - Self.limit * 3 / 4)
        for (key, _) in oldest { entries[key] = nil }
    }

    /// How many texts are remembered.
    var count: Int { entries.count }

    private static func name(of key: Key) -> String {
        var hash = ContentHash()
        hash.add(key.text)
        hash.add(key.types.map { "\($0)" })
        return "preloop_" + hexadecimal(hash.finalized().prefix(12))
    }
}
