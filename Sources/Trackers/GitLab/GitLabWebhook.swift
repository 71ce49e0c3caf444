import Domain
import HTTPClient

/// Reads GitLab's deliveries.
///
/// Their items name people by numbers and lack counts: they have to be read; only a new note is
/// whole. GitLab sends nothing when an issue is deleted.
enum GitLabWebhook {
    static func event(
        _ delivery: WebhookDelivery,
        _ fields: FieldReader
    ) throws(FieldError) -> WebhookEvent {
        // Group and system hooks have a name instead of a kind.
        let kind = try fields.optionalText("object_kind")
        let name = try fields.optionalText("event_name")
        guard let kind = kind ?? name else {
            throw FieldError(field: "object_kind", problem: "is missing")
        }
        let attributes = fields.value["object_attributes"]
        let action = attributes?["action"]?.string
        let place = place(fields.value)
        let time = attributes?["updated_at"] ?? fields.value["updated_at"]
        return WebhookEvent(
            deliveryID: delivery.identifier,
            subject: try subject(kind, fields, place),
            action: sanitized(action.map { "\(kind).\($0)" } ?? kind),
            project: place,
            happenedAt: time?.string.flatMap { Timestamp(parsing: $0) }
        )
    }

    private static func place(_ value: JSONValue) -> WebhookEvent.Place? {
        let project = value["project"]
        let id = project?["id"]?.integer ?? value["project_id"]?.integer
        let path =
            project?["path_with_namespace"]?.string ?? value["path_with_namespace"]?.string
        guard id != nil || path != nil else { return nil }
        return WebhookEvent.Place(
            externalID: id.map { String($0) },
            path: path.map(sanitized)
        )
    }

    private static func subject(
        _ kind: String,
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?
    ) throws(FieldError) -> WebhookEvent.Subject {
        switch kind {
        case "issue", "work_item", "confidential_issue":
            let row = try FieldReader(fields.value["object_attributes"] ?? .null)
            let issue = try reference(row, .issues, place)
            if row.value["moved_to_id"]?.integer != nil { return .moved(issue, to: nil) }
            return .changed(issue, item: nil)
        case "merge_request":
            let row = try FieldReader(fields.value["object_attributes"] ?? .null)
            return .changed(try reference(row, .mergeRequests, place), item: nil)
        case "note", "confidential_note": return try note(fields, place)
        case "project_create": return .project(.created)
        case "project_destroy": return .project(.deleted)
        case "project_rename", "project_transfer":
            let old = try fields.optionalText("old_path_with_namespace")
            return .project(.renamed(from: old))
        case "project_update": return .project(.changed)
        default: return .other
        }
    }

    private static func reference(
        _ row: FieldReader,
        _ stream: GitLabStream,
        _ place: WebhookEvent.Place?
    ) throws(FieldError) -> IssueReference {
        let number = try row.integer("iid")
        return IssueReference(
            externalID: try row.identifier("id"),
            kind: stream.kind,
            number: number,
            key: "\(place?.path ?? "")\(stream.mark)\(number)"
        )
    }

    private static func note(
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?
    ) throws(FieldError) -> WebhookEvent.Subject {
        let row = try FieldReader(fields.value["object_attributes"] ?? .null)
        let stream: GitLabStream
        switch row.value["noteable_type"]?.string {
        case "Issue", "WorkItem": stream = .issues
        case "MergeRequest": stream = .mergeRequests
        // Commits and snippets.
        default: return .other
        }
        let item = fields.value[stream == .issues ? "issue" : "merge_request"] ?? .null
        let issue = try reference(FieldReader(item), stream, place)
        let id = try row.identifier("id")
        // Remarks on diffs are not kept, the system's lines are no comments.
        let isPlain =
            row.value["system"]?.bool != true && row.value["position"].map(\.isNull) ?? true
        guard isPlain else { return .changed(issue, item: nil) }
        return .comment(id, of: issue, comment: try comment(row, id, fields), item: nil)
    }

    /// A new note is its sender's; of an edited one the author is not told.
    private static func comment(
        _ row: FieldReader,
        _ id: String,
        _ fields: FieldReader
    ) throws(FieldError) -> Comment? {
        guard row.value["action"]?.string == "create" else { return nil }
        return Comment(
            externalID: id,
            author: fields.optionalText("user", "username"),
            body: try row.optionalText("note") ?? "",
            createdAt: try row.instant("created_at"),
            updatedAt: try row.instant("updated_at")
        )
    }
}
