/// A position in an account's change feed.
///
/// INVARIANT: a reader that has seen revision r never later finds a row with a smaller one. The
/// store draws revisions inside the writing transaction while it holds the account's feed lock.
package struct Revision: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The number stored with the row; the first change of an account has revision 1.
    package let rawValue: Int64

    /// Wraps a number that was read from the store.
    package init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// The position before the first change.
    package static let zero = Revision(0)

    /// Orders positions, oldest first.
    package static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The decimal number.
    package var description: String { String(rawValue) }
}
