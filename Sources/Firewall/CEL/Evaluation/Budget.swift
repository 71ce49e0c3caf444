/// What an evaluation may still spend, so that no expression and no argument makes it long.
///
/// A unit is about the work of one step of the tree or sixteen bytes of text. Steps are paid for in
/// advance: entering a loop's body costs the body's size, so straight code is never counted while
/// it runs.
package struct Budget: Sendable {
    /// Enough for any rule (a typical one spends 20), some tens of milliseconds at most.
    package static let standard = 1_000_000

    /// Bytes of text that cost as much as one step: comparing and copying are fast.
    private static let bytesPerUnit = 16

    /// Units that are left.
    package private(set) var remaining: Int

    /// A budget of so many units.
    package init(_ units: Int = Budget.standard) {
        remaining = units
    }

    /// Spends units.
    @inline(__always)
    mutating func charge(_ units: Int = 1) throws(EvaluationError) {
        remaining -= units
        if remaining < 0 { throw EvaluationError(.costLimit) }
    }

    /// Spends what reading or writing so many bytes costs.
    @inline(__always)
    mutating func charge(bytes: Int) throws(EvaluationError) {
        try charge(bytes / Self.bytesPerUnit)
    }
}
