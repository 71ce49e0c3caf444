import Domain
import Store
import Trackers

/// What a delivery makes necessary: to look at the tracker, never to believe the delivery.
///
/// Deliveries come late, twice and out of order; one that says that a comment was made may come
/// after the one that says that it is gone. So all that is kept of one is where to look. Equal work
/// is done once, however many deliveries ask for it.
struct WebhookWork: Sendable, Equatable {
    /// Where to look.
    enum Task: Sendable, Equatable {
        /// One issue, and all its comments.
        case issue(IssueReference, withComments: Bool)
        /// The project, or without one the tracker; a full scan where changes have left no trace.
        case scan(isFull: Bool)
    }

    var tracker: TrackerID
    var project: WebhookEvent.Place?
    var task: Task

    /// What kind of job it is.
    static let kind = JobKind("webhook")

    /// Nil when a delivery makes nothing necessary.
    init?(_ event: WebhookEvent, tracker: TrackerID) {
        self.tracker = tracker
        project = event.project
        switch event.subject {
        case .changed(let issue, _), .deleted(let issue), .moved(let issue, _):
            task = .issue(issue, withComments: false)
        case .comment(_, let issue, _, _), .commentDeleted(_, let issue, _):
            task = .issue(issue, withComments: true)
        case .project(.renamed), .project(.created), .project(.deleted), .project(.changed):
            // Which projects there are is found out by every scan of the tracker.
            project = nil
            task = .scan(isFull: false)
        case .installation:
            project = nil
            task = .scan(isFull: false)
        case .label: task = .scan(isFull: true)
        case .ping, .other: return nil
        }
    }

    /// The same for equal work.
    var key: String {
        let place = "\(tracker)/\(project?.externalID ?? project?.path ?? "")"
        switch task {
        case .issue(let issue, let withComments):
            let name = issue.externalID.isEmpty ? "#\(issue.number)" : issue.externalID
            return "\(place)/\(issue.kind.rawValue)/\(name)\(withComments ? "/comments" : "")"
        case .scan(let isFull): return "\(place)/\(isFull ? "full" : "scan")"
        }
    }

    /// A job that does it.
    func job(at now: Timestamp) -> Job.Draft {
        Job.Draft(Self.kind, payload: json, uniqueness: .whileWaiting(key), now: now)
    }
}

// MARK: As it is stored

extension WebhookWork {
    private var json: JSONValue {
        var object = JSONObject()
        object["tracker"] = .integer(tracker.rawValue)
        object["project_id"] = JSONValue(project?.externalID)
        object["project_path"] = JSONValue(project?.path)
        switch task {
        case .issue(let issue, let withComments):
            object["task"] = "issue"
            object["issue_id"] = .string(issue.externalID)
            object["issue_kind"] = .string(issue.kind.rawValue)
            object["issue_number"] = .integer(Int64(issue.number))
            object["issue_key"] = .string(issue.key)
            object["comments"] = .bool(withComments)
        case .scan(let isFull):
            object["task"] = "scan"
            object["full"] = .bool(isFull)
        }
        return .object(object)
    }

    /// Nil for what an older or newer version wrote.
    init?(_ json: JSONValue) {
        guard let tracker = json["tracker"]?.integer else { return nil }
        self.tracker = TrackerID(tracker)
        let (id, path) = (json["project_id"]?.string, json["project_path"]?.string)
        if id != nil || path != nil { project = WebhookEvent.Place(externalID: id, path: path) }
        switch json["task"]?.string {
        case "issue":
            guard let id = json["issue_id"]?.string,
                let kind = json["issue_kind"]?.string.flatMap(IssueKind.init),
                let number = json["issue_number"]?.integer.flatMap(Int.init(exactly:))
            else { return nil }
            let issue = IssueReference(
                externalID: id,
                kind: kind,
                number: number,
                key: json["issue_key"]?.string ?? ""
            )
            task = .issue(issue, withComments: json["comments"]?.bool ?? true)
        case "scan": task = .scan(isFull: json["full"]?.bool ?? false)
        default: return nil
        }
    }
}
