import Domain
import Firewall
package import Store

/// The work that a request makes necessary, as jobs of its own transaction.
package enum ApprovalJobs {
    /// Find out whom to tell, and make a job for each of them.
    package static let notify = JobKind("approval.notify")
    /// Tell one of them.
    package static let deliver = JobKind("approval.deliver")
    /// See whether a request is over, or wants its escalation.
    package static let deadline = JobKind("approval.deadline")

    /// Every kind.
    package static let kinds = [notify, deliver, deadline]

    /// A channel that is down is tried for about half an hour; longer helps no request.
    static let attempts = 6

    /// People are told later where a model is asked first: by then it has answered or given up.
    private static let modelPatience: Duration = .seconds(95)

    /// What a new request makes necessary.
    static func drafts(
        for request: ApprovalTable.Request,
        _ state: ApprovalState
    ) -> [Job.Draft] {
        let now = request.requestedAt
        let due = state.terms.judge == nil ? now : now.advanced(by: modelPatience)
        return [
            Job.Draft(
                notify,
                payload: ["request_id": .string(request.id), "stage": "requested"],
                now: now,
                dueAt: due,
                maximumAttempts: attempts
            ),
            ending(of: request.id, state, now: now),
        ]
    }

    /// What an escalation makes necessary.
    static func escalation(
        of request: ApprovalTable.Request,
        _ state: ApprovalState,
        now: Timestamp
    ) -> [Job.Draft] {
        guard state.isPending else { return [] }
        return [
            Job.Draft(
                notify,
                payload: ["request_id": .string(request.id), "stage": "escalated"],
                now: now,
                maximumAttempts: attempts
            ),
            ending(of: request.id, state, now: now),
        ]
    }

    /// What the end of a request makes necessary: programs are told of it, people are not.
    static func ended(
        _ request: ApprovalTable.Request,
        _ state: ApprovalState,
        now: Timestamp
    ) -> [Job.Draft] {
        guard !state.isPending, state.terms.channels["webhook"] != nil else { return [] }
        return [
            Job.Draft(
                deliver,
                payload: [
                    "request_id": .string(request.id), "stage": .string(endedStage),
                    "channel": "webhook", "to": "",
                ],
                uniqueness: .whileKept("\(request.id)/\(endedStage)/webhook/"),
                now: now,
                maximumAttempts: attempts
            )
        ]
    }

    /// The stage of jobs that tell of an end.
    static let endedStage = "ended"

    private static func ending(
        of request: String,
        _ state: ApprovalState,
        now: Timestamp
    ) -> Job.Draft {
        Job.Draft(
            deadline,
            payload: ["request_id": .string(request)],
            now: now,
            dueAt: state.expiresAt
        )
    }
}
