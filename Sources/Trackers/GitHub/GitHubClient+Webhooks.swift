import Domain
import HTTPClient

extension GitHubClient: WebhookRegistrar {
    /// Everything that changes what a scan reads, and what no scan can see.
    private static let events = [
        "issues", "issue_comment", "pull_request", "pull_request_review",
        "pull_request_review_comment", "label", "repository",
    ]

    private static func path(_ place: WebhookPlace) -> String {
        switch place {
        case .organization(let owner): "/orgs/\(percentEncoded(owner.path))/hooks"
        case .project(let project): "\(path(project))/hooks"
        }
    }

    /// The webhooks that are registered there.
    package func webhooks(
        at place: WebhookPlace
    ) async throws(TrackerError) -> [RegisteredWebhook] {
        let rows = try await session.rows(at: Self.path(place), paging: Self.paging) {
            (fields) throws(FieldError) in try Self.webhook(fields, place)
        }
        return rows.items
    }

    /// Registers a webhook; GitHub refuses a second one with the same address.
    package func registerWebhook(
        _ webhook: WebhookRegistration,
        at place: WebhookPlace
    ) async throws(TrackerError) -> RegisteredWebhook {
        try webhook.check()
        var body = Self.body(webhook)
        body["name"] = "web"
        return try await session.writeOnce(
            .json("POST", Self.path(place), .object(body)),
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
        let request = TrackerRequest.json("PATCH", path, .object(Self.body(webhook)))
        return try read(try await session.write(request, isIdempotent: true).value, place)
    }

    /// Removes a webhook.
    package func removeWebhook(_ id: String, at place: WebhookPlace) async throws(TrackerError) {
        try await session.remove("\(Self.path(place))/\(percentEncoded(id))")
    }

    private static func body(_ webhook: WebhookRegistration) -> JSONObject {
        var body = JSONObject()
        body["active"] = true
        body["events"] = JSONValue(events)
        body["config"] = [
            "url": .string(webhook.url), "content_type": "json",
            "secret": .string(webhook.secret.reveal()),
            "insecure_ssl": webhook.verifiesCertificate ? "0" : "1",
        ]
        return body
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
        let last = fields.value["last_response"]
        let code = last?["code"]?.integer
        let isWell = code.map { (200..<300).contains($0) } ?? true
        return RegisteredWebhook(
            id: try fields.identifier("id"),
            place: place,
            url: fields.optionalText("config", "url") ?? "",
            isActive: fields.value["active"]?.bool ?? true,
            events: (fields.value["events"]?.array ?? []).compactMap(\.string).map(sanitized),
            problem: isWell
                ? nil : "the last delivery was answered with status \(code.map { "\($0)" } ?? "?")"
        )
    }
}

extension TrackerSession {
    /// Deletes something; what is not there is deleted.
    func remove(_ path: String) async throws(TrackerError) {
        let request = TrackerRequest(
            method: "DELETE",
            path: path,
            acceptedStatuses: [404, 410],
            followsRedirects: false
        )
        _ = try await write(request, isIdempotent: true)
    }
}
