import Domain
import HTTPClient

extension GitLabClient: WebhookRegistrar {
    private static let events = [
        "issues_events", "confidential_issues_events", "merge_requests_events", "note_events",
        "confidential_note_events",
    ]

    private static func path(_ place: WebhookPlace) -> String {
        switch place {
        case .organization(let group): "/groups/\(percentEncoded(group.externalID))/hooks"
        case .project(let project): "\(path(project))/hooks"
        }
    }

    /// The webhooks that are registered there; group hooks are a feature of paid editions.
    package func webhooks(
        at place: WebhookPlace
    ) async throws(TrackerError) -> [RegisteredWebhook] {
        let rows = try await session.rows(
            at: Self.path(place),
            paging: { _ in Self.paging },
            read: { (fields) throws(FieldError) in try Self.webhook(fields, place) }
        )
        return rows.items
    }

    /// Registers a webhook.
    package func registerWebhook(
        _ webhook: WebhookRegistration,
        at place: WebhookPlace
    ) async throws(TrackerError) -> RegisteredWebhook {
        try webhook.check()
        return try await session.writeOnce(
            .json("POST", Self.path(place), Self.body(webhook)),
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
        let path = "\(Self.path(place))/\(percentEncoded(id))"
        let request = TrackerRequest.json("PUT", path, Self.body(webhook))
        return try read(try await session.write(request, isIdempotent: true).value, place)
    }

    /// Removes a webhook.
    package func removeWebhook(_ id: String, at place: WebhookPlace) async throws(TrackerError) {
        try await session.remove("\(Self.path(place))/\(percentEncoded(id))")
    }

    private static func body(_ webhook: WebhookRegistration) -> JSONValue {
        var body = JSONObject()
        body["url"] = .string(webhook.url)
        body["token"] = .string(webhook.secret.reveal())
        // Versions without signatures ignore it. With every update, so that an installation puts
        // right what somebody else has set.
        body["signing_token"] = .string(webhook.secret.gitLabSigningToken.reveal())
        body["enable_ssl_verification"] = .bool(webhook.verifiesCertificate)
        // On by default.
        body["push_events"] = false
        for event in events { body[event] = true }
        return .object(body)
    }

    private func read(
        _ value: JSONValue,
        _ place: WebhookPlace
    ) throws(TrackerError) -> RegisteredWebhook {
        try readAnswer(value) { (fields) throws(FieldError) in try Self.webhook(fields, place) }
    }

    private static func webhook(
        _ fields: FieldReader,
        _ place: WebhookPlace
    ) throws(FieldError) -> RegisteredWebhook {
        let status = try fields.optionalText("alert_status")
        let until = try fields.optionalText("disabled_until")
        let isActive = status == nil || status == "executable"
        let told = (fields.value.object?.members ?? []).filter { member in
            member.key.hasSuffix("_events") && member.value.bool == true
        }
        return RegisteredWebhook(
            id: try fields.identifier("id"),
            place: place,
            url: try fields.text("url"),
            isActive: isActive,
            events: told.map(\.key),
            problem: isActive
                ? nil
                : "GitLab has stopped it after failures" + (until.map { " until \($0)" } ?? "")
        )
    }
}
