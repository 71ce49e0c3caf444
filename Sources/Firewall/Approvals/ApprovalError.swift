package import Domain

/// Why a decision does not count.
package enum ApprovalError: Error, Equatable, Sendable {
    /// Somebody, or time, was faster.
    case alreadyDecided(status: ApprovalState.Status, by: String?, at: Timestamp?)
    /// The same person has voted already.
    case alreadyVoted(approver: String)
    /// The workflow names others.
    case notAnApprover(approver: String)
    /// The answer is for another workflow than the one that is asked now.
    case otherWorkflow(asked: String)
    /// Several workflows have to approve, and the answer does not say which it is for.
    case workflowMissing(asked: String)
    /// The call is the approver's own, and the workflow asks for somebody else.
    case ownCall
    case reasonRequired
    /// Longer than ``ApprovalState/maximumReasonCharacters``.
    case reasonTooLong
    /// A field of a workflow is missing or out of range.
    case invalidWorkflow(field: String, rule: String)
}

extension ApprovalError: CustomStringConvertible {
    /// One line for whoever decides.
    package var description: String {
        switch self {
        case .alreadyDecided(let status, let by, let at):
            "the request is \(status.rawValue) already"
                + (by.map { ", by \(sanitized($0))" } ?? "") + (at.map { " at \($0)" } ?? "")
        case .alreadyVoted(let approver): "\(sanitized(approver)) has decided already"
        case .notAnApprover(let approver):
            "\(sanitized(approver)) is not among the approvers of the workflow"
        case .otherWorkflow(let asked):
            "the answer is for another workflow: `\(sanitized(asked))` is asked now"
        case .workflowMissing(let asked):
            "several workflows have to approve, and the answer does not say which it is for: "
                + "`\(sanitized(asked))` is asked now"
        case .ownCall: "the workflow asks for somebody else than who made the call"
        case .reasonRequired: "the workflow asks for a reason"
        case .reasonTooLong:
            "a reason has at most \(ApprovalState.maximumReasonCharacters) characters"
        case .invalidWorkflow(let field, let rule): "`\(field)` of a workflow \(rule)"
        }
    }
}
