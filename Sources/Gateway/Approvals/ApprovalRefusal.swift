import Domain
package import Firewall

/// Why nothing came of what somebody wanted of a request.
package enum ApprovalRefusal: Error, Equatable, Sendable {
    /// There is none of that identifier, or it is not theirs.
    case unknownRequest
    /// No approval of that identifier is remembered, or any more.
    case notRemembered
    /// The link is no link of ours, or belongs to another request.
    case unknownLink
    /// The link has decided already, or is over.
    case usedLink
    /// The key that made the call cannot decide about it, whoever owns it.
    case sameCredential
    /// A user who has approved the call may not decide any more; as ``Approver/text``.
    case lostApprover(String)
    /// It does not count.
    case refused(ApprovalError)
    /// Too many requests wait already, of this requester or of all.
    case crowded(limit: Int, isOfRequester: Bool)
    /// The policy names a workflow that there is not.
    case unknownWorkflow(name: String)
    /// The store or the key of the installation refuses.
    case unavailable(reason: String)
}

extension ApprovalRefusal: CustomStringConvertible {
    /// One line for whoever wanted it.
    package var description: String {
        switch self {
        case .unknownRequest: "there is no such approval request"
        case .notRemembered: "no approval of that identifier is remembered"
        case .unknownLink: "the link is not valid"
        case .usedLink: "the link is used up or over"
        case .sameCredential: "the credential that made the call cannot decide about it"
        case .lostApprover(let approver):
            "\(sanitized(approver)), who approved the call, may not decide approvals any more"
        case .refused(let error): "\(error)"
        case .crowded(let limit, let isOfRequester):
            "\(limit) requests\(isOfRequester ? " of yours" : "") wait for approval already"
        case .unknownWorkflow(let name): "there is no approval workflow `\(name)`"
        case .unavailable(let reason): reason
        }
    }

    /// What to do about it; nil when there is nothing.
    package var hint: String? {
        switch self {
        case .unknownLink, .usedLink: "open the request anew from the newest message, or sign in"
        case .sameCredential: "decide with another credential, or from the approval page"
        case .crowded: "decide or wait for some of them"
        case .unknownWorkflow: "add the workflow to the policy, or name another one"
        case .notRemembered: "`preloop approvals remembered` shows those that are"
        case .lostApprover: "call again for a new approval"
        case .refused(.otherWorkflow), .refused(.workflowMissing):
            "look at the request again, and name the workflow that the answer is for (`--workflow`)"
        case .unknownRequest, .refused, .unavailable: nil
        }
    }
}
