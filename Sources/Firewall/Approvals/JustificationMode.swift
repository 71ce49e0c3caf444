/// Whether callers of a tool are asked why they call it.
package enum JustificationMode: String, Sendable, CaseIterable {
    /// They may say.
    case optional
    /// A call without a reason does not run.
    case required
}
