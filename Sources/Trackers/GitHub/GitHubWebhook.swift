import Domain
import HTTPClient

/// Reads GitHub's deliveries.
enum GitHubWebhook {
    static func event(
        _ delivery: WebhookDelivery,
        _ fields: FieldReader
    ) throws(FieldError) -> WebhookEvent {
        guard let name = delivery.headers["X-GitHub-Event"] else {
            throw FieldError(field: "X-GitHub-Event", problem: "is missing")
        }
        let action = try fields.optionalText("action") ?? ""
        let place = place(fields.value["repository"])
        let found = try subject(name, action, fields, place, readsContents: delivery.readsContents)
        return WebhookEvent(
            deliveryID: delivery.identifier,
            subject: found.subject,
            action: sanitized(action.isEmpty ? name : "\(name).\(action)"),
            project: place,
            happenedAt: found.time
        )
    }

    private static func place(_ repository: JSONValue?) -> WebhookEvent.Place? {
        guard let repository, let id = repository["id"]?.integer else { return nil }
        return WebhookEvent.Place(
            externalID: String(id),
            path: repository["full_name"]?.string.map(sanitized)
        )
    }

    private typealias Found = (subject: WebhookEvent.Subject, time: Timestamp?)

    private static func subject(
        _ name: String,
        _ action: String,
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?,
        readsContents: Bool
    ) throws(FieldError) -> Found {
        switch name {
        case "issues": return try issue(action, fields, place, readsContents)
        case "issue_comment": return try comment(action, fields, place, readsContents)
        case "pull_request", "pull_request_review", "pull_request_review_comment",
            "pull_request_review_thread":
            return try pullRequest(fields, place)
        case "repository": return try repository(action, fields, place)
        case "label":
            let label = fields.value["label"]?["name"]?.string
            guard action != "created", let label else { return (.other, nil) }
            let previous = fields.value["changes"]?["name"]?["from"]?.string
            return (.label(name: sanitized(label), previousName: previous.map(sanitized)), nil)
        case "installation", "installation_repositories":
            return (.installation(isGone: action == "deleted" || action == "suspend"), nil)
        case "ping": return (.ping, nil)
        default: return (.other, nil)
        }
    }

    /// The issue with its project's name; without the item when the delivery lacks a part of it.
    private static func item(
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?,
        _ readsContents: Bool
    ) throws(FieldError) -> (reference: IssueReference, item: Issue?) {
        guard let path = place?.path else {
            throw FieldError(field: "repository", problem: "is missing")
        }
        let row = try FieldReader(fields.value["issue"] ?? .null)
        let isPull = row.value["pull_request"].map { !$0.isNull } ?? false
        let number = try row.integer("number")
        let reference = IssueReference(
            externalID: try row.identifier("id"),
            kind: isPull ? .pullRequest : .issue,
            number: number,
            key: "\(path)#\(number)"
        )
        guard readsContents else { return (reference, nil) }
        // What cannot be read as a whole is read from the service.
        return (reference, try? GitHubReading.issue(row, projectPath: path))
    }

    private static func issue(
        _ action: String,
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?,
        _ readsContents: Bool
    ) throws(FieldError) -> Found {
        let (reference, item) = try item(fields, place, readsContents)
        switch action {
        case "deleted": return (.deleted(reference), nil)
        case "transferred":
            let changes = fields.value["changes"]
            let path = changes?["new_repository"]?["full_name"]?.string
            let number = changes?["new_issue"]?["number"]?.integer
            let key = path.flatMap { path in number.map { sanitized("\(path)#\($0)") } }
            return (.moved(reference, to: key), item?.updatedAt)
        default: return (.changed(reference, item: item), item?.updatedAt)
        }
    }

    private static func comment(
        _ action: String,
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?,
        _ readsContents: Bool
    ) throws(FieldError) -> Found {
        let (reference, item) = try item(fields, place, readsContents)
        let row = try FieldReader(fields.value["comment"] ?? .null)
        let id = try row.identifier("id")
        guard action != "deleted" else {
            return (.commentDeleted(id, of: reference, item: item), nil)
        }
        guard readsContents else {
            return (.comment(id, of: reference, comment: nil, item: nil), nil)
        }
        let comment = try GitHubReading.comment(row).comment
        let subject = WebhookEvent.Subject.comment(
            id,
            of: reference,
            comment: comment,
            item: item
        )
        return (subject, max(comment.updatedAt, item?.updatedAt ?? comment.updatedAt))
    }

    /// The identifier in these deliveries is another than the issue's, and the issue's fields are
    /// not all there: it has to be read by its number.
    private static func pullRequest(
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?
    ) throws(FieldError) -> Found {
        let pull = try FieldReader(fields.value["pull_request"] ?? .null)
        let number = try pull.integer("number")
        let reference = IssueReference(
            externalID: "",
            kind: .pullRequest,
            number: number,
            key: "\(place?.path ?? "")#\(number)"
        )
        let time = pull.value["updated_at"]?.string.flatMap { Timestamp(parsing: $0) }
        return (.changed(reference, item: nil), time)
    }

    private static func repository(
        _ action: String,
        _ fields: FieldReader,
        _ place: WebhookEvent.Place?
    ) throws(FieldError) -> Found {
        guard place != nil else { throw FieldError(field: "repository", problem: "is missing") }
        let changes = fields.value["changes"]
        let name = fields.value["repository"]?["name"]?.string ?? ""
        let owner = fields.value["repository"]?["owner"]?["login"]?.string ?? ""
        let time = fields.value["repository"]?["updated_at"]?.string
            .flatMap { Timestamp(parsing: $0) }
        switch action {
        case "created": return (.project(.created), time)
        case "deleted": return (.project(.deleted), time)
        case "renamed":
            let old = changes?["repository"]?["name"]?["from"]?.string
            return (.project(.renamed(from: old.map { sanitized("\(owner)/\($0)") })), time)
        case "transferred":
            let from = changes?["owner"]?["from"]
            let old =
                from?["user"]?["login"]?.string ?? from?["organization"]?["login"]?.string
            return (.project(.renamed(from: old.map { sanitized("\($0)/\(name)") })), time)
        default: return (.project(.changed), time)
        }
    }
}
