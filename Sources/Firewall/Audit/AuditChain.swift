import Crypto
package import Domain

/// The chain of an account's events: each is hashed with the hash of the one before it.
///
/// `hash(n) = SHA-256(hash(n - 1) ‖ entry(n))`, and `hash(0)` is made of the account's number.
/// Whoever changes, removes, adds or moves an event breaks the chain at that place, or has to make
/// all hashes behind it anew; that is what signed checkpoints are for.
package struct AuditChain: Sendable, Equatable {
    /// A place in the chain.
    package struct Point: Sendable, Equatable {
        /// How many events there have been.
        package var sequence: Int64
        /// The hash of the last of them.
        package var hash: [UInt8]

        package init(sequence: Int64, hash: [UInt8]) {
            self.sequence = sequence
            self.hash = hash
        }
    }

    /// Bytes of a hash.
    package static let hashBytes = 32

    package let account: AccountID
    /// Where the next event goes.
    package private(set) var end: Point

    /// The chain of an account that nothing has happened in, or one that is gone on with.
    package init(account: AccountID, from end: Point? = nil) {
        self.account = account
        self.end = end ?? Self.beginning(of: account)
    }

    /// Where the chain of an account begins.
    package static func beginning(of account: AccountID) -> Point {
        var bytes = Array("preloop audit chain 1\n".utf8)
        bytes.appendNumber(account.rawValue)
        return Point(sequence: 0, hash: Array(SHA256.hash(data: bytes)))
    }

    /// Adds the next event.
    ///
    /// - Returns: Its hash.
    package mutating func append(_ entry: AuditEntry) -> [UInt8] {
        precondition(entry.sequence == end.sequence + 1, "events come one after the other")
        let hash = Self.hash(of: entry.bytes, after: end.hash)
        end = Point(sequence: entry.sequence, hash: hash)
        return hash
    }

    /// The hash of an event.
    static func hash(of entry: [UInt8], after previous: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: previous)
        hash.update(data: entry)
        return Array(hash.finalize())
    }
}

extension AuditChain.Point {
    /// Reads a place as people note it: `NUMBER:HASH`, the hash in hexadecimal digits.
    package init?(parsing text: String) {
        let parts = text.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let sequence = Int64(parts[0]), sequence > 0,
            parts[1].utf8.count == 2 * AuditChain.hashBytes
        else { return nil }
        var hash: [UInt8] = []
        var rest = parts[1].utf8[...]
        while !rest.isEmpty {
            guard let byte = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            else { return nil }
            hash.append(byte)
            rest = rest.dropFirst(2)
        }
        self.init(sequence: sequence, hash: hash)
    }

    /// The place as people note it.
    package var text: String { "\(sequence):\(hexadecimal(hash))" }
}
