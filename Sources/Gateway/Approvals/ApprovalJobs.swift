import Domain
import Firewall
package import Store

/// The work that a request makes necessary, as jobs of its own transaction.
package enum ApprovalJobs {
    /// Find out whom to tell, and make a job for each of them.
    package static let notify = JobKind("approval.notify")
    /// Tell a channel.
    package static let deliver = JobKind("approval.deliver")
    /// Tell somebody by mail; a kind of its own, so that only who has a mail server takes it.
    package static let mail = JobKind("approval.mail")
    /// See whether a request is over, or wants its escalation.
    package static let deadline = JobKind("approval.deadline")

    /// Every kind.
    package static let kinds = [notify, deliver, mail, deadline]

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
            ending(of: request.id, state, "requested", now: now),
        ]
    }

    /// What it makes necessary that the next workflow is asked: its people are told at once.
    static func advance(
        of request: ApprovalTable.Request,
        _ state: ApprovalState,
        now: Timestamp
    ) -> [Job.Draft] {
        asking(request, state, "requested", now)
    }

    /// People are told that their word is waited for, and that is ended in time.
    private static func asking(
        _ request: ApprovalTable.Request,
        _ state: ApprovalState,
        _ stage: String,
        _ now: Timestamp
    ) -> [Job.Draft] {
        guard state.isPending else { return [] }
        return [
            Job.Draft(
                notify,
                payload: payload(request.id, stage, state.place),
                now: now,
                maximumAttempts: attempts
            ),
            ending(of: request.id, state, stage, now: now),
        ]
    }

    /// What a job is about: a request, what becomes of it, and the place of the workflow that it
    /// becomes it by.
    private static func payload(_ request: String, _ stage: String, _ place: Int) -> JSONValue {
        [
            "request_id": .string(request), "stage": .string(stage),
            placeKey: .integer(Int64(place)),
        ]
    }

    /// The place of the workflow that a job is about; the first one's where it does not say.
    static func place(in payload: JSONValue) -> Int {
        payload[placeKey]?.integer.flatMap { Int(exactly: $0) } ?? 0
    }

    private static let placeKey = "place"

    /// What an escalation makes necessary.
    static func escalation(
        of request: ApprovalTable.Request,
        _ state: ApprovalState,
        now: Timestamp
    ) -> [Job.Draft] {
        asking(request, state, escalatedStage, now)
    }

    /// What the end of a request makes necessary: programs are told of it, people are not; those
    /// of each workflow that was asked.
    static func ended(
        _ request: ApprovalTable.Request,
        _ state: ApprovalState,
        now: Timestamp
    ) -> [Job.Draft] {
        guard !state.isPending else { return [] }
        return (0...state.place).filter { state.workflows[$0].channels["webhook"] != nil }
            .map { place in
                telling(of: request.id, endedStage, place, "webhook", to: "", now: now)
            }
    }

    /// Tells one of those whom a request concerns, once.
    static func telling(
        of request: String,
        _ stage: String,
        _ place: Int,
        _ channel: String,
        to name: String,
        now: Timestamp
    ) -> Job.Draft {
        // One who is asked by two workflows is told by each.
        let told = place == 0 ? stage : "\(stage)-\(place)"
        return Job.Draft(
            channel == mailChannel ? mail : deliver,
            payload: [
                "request_id": .string(request), "stage": .string(stage),
                placeKey: .integer(Int64(place)), "channel": .string(channel), "to": .string(name),
            ],
            uniqueness: .whileKept(key(request, told, channel, to: name)),
            now: now,
            maximumAttempts: attempts
        )
    }

    private static func key(
        _ request: String,
        _ stage: String,
        _ channel: String,
        to name: String
    ) -> String {
        "\(keyBeginning(request))\(stage)/\(channel)/\(name)"
    }

    /// What the keys of a request's deliveries begin with.
    static func keyBeginning(_ request: String) -> String { "\(request)/" }

    /// The channel of mails.
    static let mailChannel = "email"
    /// The stage of jobs that ask more people.
    static let escalatedStage = "escalated"
    /// The stage of jobs that tell of an end.
    static let endedStage = "ended"

    private static func ending(
        of request: String,
        _ state: ApprovalState,
        _ stage: String,
        now: Timestamp
    ) -> Job.Draft {
        Job.Draft(
            deadline,
            payload: payload(request, stage, state.place),
            now: now,
            dueAt: state.expiresAt
        )
    }
}
