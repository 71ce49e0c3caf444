package import Domain

/// What one event of the audit says, as bytes that are the same wherever they are made.
///
/// Every field is written with its name, its type and its length, so that no two events have equal
/// bytes; fields without a value are left out, so that a field that is added later changes nothing
/// about events that were written before.
package struct AuditEntry: Sendable, Equatable {
    /// The event's number in its account; the first is 1.
    package let sequence: Int64
    /// What is hashed.
    package private(set) var bytes: [UInt8]

    /// Whether the event says that what came before it was not proven; see ``AuditFault/unproven``.
    package var tellsOfDoubt = false

    private enum Kind: UInt8 {
        case text = 1
        case integer = 2
        case bytes = 3
    }

    /// An event without fields yet.
    package init(account: AccountID, sequence: Int64) {
        self.sequence = sequence
        bytes = Array("preloop audit entry 1\n".utf8)
        bytes.reserveCapacity(1_024)
        bytes.appendNumber(account.rawValue)
        bytes.appendNumber(sequence)
    }

    /// Adds a text, unless it is nil.
    package mutating func add(_ name: String, _ text: String?) {
        guard let text else { return }
        begin(name, .text, text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    /// Adds a number, unless it is nil.
    package mutating func add(_ name: String, _ number: Int64?) {
        guard let number else { return }
        begin(name, .integer, 8)
        bytes.appendNumber(number)
    }

    /// Adds bytes, unless they are nil.
    package mutating func add(_ name: String, _ content: [UInt8]?) {
        guard let content else { return }
        begin(name, .bytes, content.count)
        bytes.append(contentsOf: content)
    }

    private mutating func begin(_ name: String, _ kind: Kind, _ length: Int) {
        let count = name.utf8.count
        precondition(count < 256, "a field has a short name")
        bytes.append(UInt8(count))
        bytes.append(contentsOf: name.utf8)
        bytes.append(kind.rawValue)
        bytes.appendNumber(Int64(length))
    }
}

extension [UInt8] {
    /// Adds the eight bytes of a number, the greatest first.
    mutating func appendNumber(_ number: Int64) {
        for shift in stride(from: 56, through: 0, by: -8) {
            append(UInt8(truncatingIfNeeded: number >> Int64(shift)))
        }
    }
}
