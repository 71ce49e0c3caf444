import Domain
import HTTPClient

extension JiraClient: WebhookRegistrar {
    private static let events = [
        "jira:issue_created", "jira:issue_updated", "jira:issue_deleted", "comment_created",
        "comment_updated", "comment_deleted", "project_updated", "project_deleted",
    ]
    /// The same on both Jiras, and open to administrators only.
    private static let path = "/rest/webhooks/1.0/webhook"

    /// The site's webhooks; those for a project are told by their filter.
    package func webhooks(
        at place: WebhookPlace
    ) async throws(TrackerError) -> [RegisteredWebhook] {
        let list = try await session.list(TrackerRequest(path: Self.path))
        let rows = list.read { (fields) throws(FieldError) in
            (webhook: try Self.webhook(fields, place), filter: Self.filter(of: fields.value))
        }
        return rows.compactMap { try? $0.get() }.filter { row in
            switch place {
            case .organization: true
            case .project: row.filter == Self.filter(place)
            }
        }.map(\.webhook)
    }

    /// Registers a webhook; there is one for each address and filter.
    package func registerWebhook(
        _ webhook: WebhookRegistration,
        at place: WebhookPlace
    ) async throws(TrackerError) -> RegisteredWebhook {
        try webhook.check()
        return try await session.writeOnce(
            .json("POST", Self.path, Self.body(webhook, place)),
            read: { (value) throws(TrackerError) in try read(value, place) },
            find: { () async throws(TrackerError) in
                try await webhooks(at: place).first { $0.url == webhook.url }
            }
        )
    }

    /// Brings a webhook up to date.
    package func updateWebhook(
        _ id: String,
        at place: WebhookPlace,
        to webhook: WebhookRegistration
    ) async throws(TrackerError) -> RegisteredWebhook {
        try webhook.check()
        let request = TrackerRequest.json(
            "PUT",
            "\(Self.path)/\(percentEncoded(id))",
            Self.body(webhook, place)
        )
        return try read(try await session.write(request, isIdempotent: true).value, place)
    }

    /// Removes a webhook.
    package func removeWebhook(_ id: String, at place: WebhookPlace) async throws(TrackerError) {
        try await session.remove("\(Self.path)/\(percentEncoded(id))")
    }

    /// All issues, or those of one project.
    private static func filter(_ place: WebhookPlace) -> String {
        switch place {
        case .organization: ""
        case .project(let project): "project = \(doubleQuoted(project.path))"
        }
    }

    private static func filter(of webhook: JSONValue) -> String {
        webhook["filters"]?["issue-related-events-section"]?.string ?? ""
    }

    private static func body(
        _ webhook: WebhookRegistration,
        _ place: WebhookPlace
    ) -> JSONValue {
        [
            "name": "Preloop", "url": .string(webhook.url), "events": JSONValue(events),
            "filters": ["issue-related-events-section": .string(filter(place))],
            "excludeBody": false, "enabled": true, "secret": .string(webhook.secret.reveal()),
        ]
    }

    private func read(
        _ value: JSONValue,
        _ place: WebhookPlace
    ) throws(TrackerError) -> RegisteredWebhook {
        try readAnswer(value) { (fields) throws(FieldError) in try Self.webhook(fields, place) }
    }

    /// Its number is the end of its own address.
    private static func webhook(
        _ fields: FieldReader,
        _ place: WebhookPlace
    ) throws(FieldError) -> RegisteredWebhook {
        let address = try fields.text("self")
        guard let id = address.split(separator: "/").last, Int64(id) != nil else {
            throw FieldError(field: "self", problem: "does not end in a number")
        }
        let isSigned = fields.value["isSigned"]?.bool
        return RegisteredWebhook(
            id: String(id),
            place: place,
            url: try fields.text("url"),
            isActive: fields.value["enabled"]?.bool ?? true,
            events: (fields.value["events"]?.array ?? []).compactMap(\.string).map(sanitized),
            problem: isSigned == false ? "its deliveries are not signed" : nil
        )
    }
}
