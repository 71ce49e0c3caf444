import Domain
import HTTPClient

/// Reads Jira's deliveries.
///
/// Bodies in them are wiki markup on both Jiras. That is what Server's scans read too; Cloud's read
/// documents, so that an item from a delivery would differ from the same item from a scan: there it
/// has to be read.
enum JiraWebhook {
    static func event(
        _ delivery: WebhookDelivery,
        _ fields: FieldReader
    ) throws(FieldError) -> WebhookEvent {
        let name = try fields.text("webhookEvent")
        let kind = try fields.optionalText("issue_event_type_name")
        let project =
            fields.value["issue"]?["fields"]?["project"] ?? fields.value["project"] ?? .null
        let id = project["id"]?.string ?? project["id"]?.integer.map { String($0) }
        var path = project["key"]?.string
        if path == nil, let key = fields.value["issue"]?["key"]?.string {
            path = key.split(separator: "-").dropLast().joined(separator: "-")
        }
        var place: WebhookEvent.Place?
        if id != nil || path != nil {
            place = WebhookEvent.Place(externalID: id.map(sanitized), path: path.map(sanitized))
        }
        let time = fields.value["timestamp"]?.integer
        return WebhookEvent(
            deliveryID: delivery.identifier,
            subject: try subject(name, kind, fields, delivery),
            action: sanitized(kind.map { "\(name) \($0)" } ?? name),
            project: place,
            happenedAt: time.map { Timestamp(milliseconds: $0) }
        )
    }

    private static func subject(
        _ name: String,
        _ kind: String?,
        _ fields: FieldReader,
        _ delivery: WebhookDelivery
    ) throws(FieldError) -> WebhookEvent.Subject {
        switch name {
        case "jira:issue_created", "jira:issue_updated", "jira:issue_deleted":
            let row = try FieldReader(fields.value["issue"] ?? .null)
            let reference = try reference(row)
            if name == "jira:issue_deleted" { return .deleted(reference) }
            if kind == "issue_moved" { return .moved(reference, to: reference.key) }
            return .changed(reference, item: item(row, delivery))
        case "comment_created", "comment_updated", "comment_deleted":
            return try comment(name, fields, delivery)
        case "issuelink_created", "issuelink_deleted":
            // Names both ends by their numbers; each of them is told of by an update as well.
            return .other
        case "project_created": return .project(.created)
        case "project_deleted", "project_soft_deleted": return .project(.deleted)
        case "project_updated": return .project(.renamed(from: nil))
        case "project_archived", "project_restored", "project_restored_deleted",
            "project_restored_archived":
            return .project(.changed)
        default: return .other
        }
    }

    private static func reference(_ row: FieldReader) throws(FieldError) -> IssueReference {
        let id = try row.identifier("id")
        guard Int64(id) != nil else { throw FieldError(field: "id", problem: "is no number") }
        let key = try row.text("key")
        guard let number = JiraIssueReader.number(of: key) else {
            throw FieldError(field: "key", problem: "has no number")
        }
        return IssueReference(externalID: id, kind: .issue, number: number, key: key)
    }

    /// The issue, where the delivery holds all that a scan reads of it.
    private static func item(_ row: FieldReader, _ delivery: WebhookDelivery) -> Issue? {
        guard delivery.readsContents, delivery.deployment == .server,
            row.value["fields"]?["comment"] != nil,
            row.value["fields"]?["updated"] != nil, let address = row.value["self"]?.string,
            let root = address.firstRange(of: "/rest/api/")
        else { return nil }
        let site = String(address[..<root.lowerBound])
        // What cannot be read as a whole is read from the service.
        return try? JiraIssueReader(browseURL: "\(site)/browse").issue(row).issue
    }

    private static func comment(
        _ name: String,
        _ fields: FieldReader,
        _ delivery: WebhookDelivery
    ) throws(FieldError) -> WebhookEvent.Subject {
        let row = try FieldReader(fields.value["comment"] ?? .null)
        let id = try row.identifier("id")
        let issue: IssueReference
        if let value = fields.value["issue"], !value.isNull {
            issue = try reference(FieldReader(value))
        } else {
            issue = try reference(fromAddress: row)
        }
        if name == "comment_deleted" { return .commentDeleted(id, of: issue, item: nil) }
        let isReadable = delivery.readsContents && delivery.deployment == .server
        let comment: Comment? =
            isReadable ? try JiraIssueReader(browseURL: "").comment(row) : nil
        return .comment(id, of: issue, comment: comment, item: nil)
    }

    /// Server names the issue only in the comment's address: `…/issue/10013/comment/10084`.
    private static func reference(
        fromAddress row: FieldReader
    ) throws(FieldError) -> IssueReference {
        let segments = try row.text("self").split(separator: "/").suffix(4).map(String.init)
        guard segments.count == 4, segments[0] == "issue", segments[2] == "comment",
            Int64(segments[1]) != nil
        else { throw FieldError(field: "comment.self", problem: "names no issue") }
        return IssueReference(externalID: segments[1], kind: .issue, number: 0, key: "")
    }
}
