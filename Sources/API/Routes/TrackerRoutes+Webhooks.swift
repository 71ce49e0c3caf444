package import Domain
import HTTPTypes
import Store
package import Sync
import Trackers

/// Our webhooks at a tracker, by which it tells of changes at once.
extension TrackerRoutes {
    private static let webhookShape = Shape.object([
        "id": Shape.text, "place": Shape.text, "url": Shape.text, "active": Shape.flag,
        "events": Shape.list(of: Shape.text), "problem": Shape.optionalText,
    ])
    private static let refusalShape = Shape.object([
        "place": Shape.text, "reason": Shape.text,
        // As problems have it; null where they have none, as for a rate limit.
        "code": Shape.optionalText,
    ])
    private static let deliveryShape = Shape.object([
        "id": Shape.text, "action": Shape.text, "received_at": Shape.instant,
    ])
    private static let webhooksShape = Shape.object([
        "organizations": Shape.list(
            of: Shape.object([
                "organization": Shape.text, "has_secret": Shape.flag,
                // Null where the tracker was not asked.
                "webhooks": Shape.optional(Shape.list(of: webhookShape)),
                "refused": Shape.list(of: refusalShape),
                "last_delivery": Shape.optional(deliveryShape),
            ])
        )
    ])

    var webhookRoutes: [Route] {
        let access = Route.Access.permission(.manageTrackers)
        let path = "\(Self.path)/{id}/webhooks"
        let routes: [Route] = [
            .on(
                .get,
                path,
                access,
                tag: Self.tag,
                "Our webhooks at a tracker, and what came by them last"
            ) { request in
                try await webhooks(.look, request)
            },
            .on(
                .post,
                path,
                access,
                tag: Self.tag,
                "Register our webhooks at a tracker, or bring them up to date"
            ) { request in
                let renews = request.arguments["new_secrets"]?.bool ?? false
                return try await webhooks(.install(renewsSecrets: renews), request)
            }.query("new_secrets", Shape.flag),
            .on(
                .delete,
                path,
                access,
                tag: Self.tag,
                "Take our webhooks away from a tracker"
            ) { request in
                try await webhooks(.remove, request)
            },
        ]
        return routes.map { route in
            route.answers(.ok, Self.webhooksShape)
                .problems(.conflict, .badGateway, .serviceUnavailable)
        }
    }

    private func webhooks(
        _ task: TrackerOperations.WebhookTask,
        _ request: APIRequest
    ) async throws -> APIResponse {
        let author = try Self.author(of: request)
        let tracker = try await entry(request).tracker
        let outcomes = try await operations.webhooks(tracker, task, author)
        return .json(["organizations": .array(outcomes.map(\.json))])
    }
}

extension WebhookInstaller.Outcome {
    /// For programs, over REST and by `preloop trackers webhooks`.
    package var json: JSONValue {
        let webhooks: [JSONValue] = webhooks.map { webhook in
            [
                "id": .string(webhook.id), "place": .string(webhook.place.path),
                "url": .string(webhook.url), "active": .bool(webhook.isActive),
                "events": JSONValue(webhook.events), "problem": JSONValue(webhook.problem),
            ]
        }
        let refused: [JSONValue] = refused.map { refusal in
            [
                "place": .string(refusal.place), "reason": .string("\(refusal.error)"),
                "code": JSONValue(Problem(cause: refusal.error).code),
            ]
        }
        let last: JSONValue? = lastDelivery.map { delivery in
            [
                "id": .string(delivery.id), "action": .string(delivery.action),
                "received_at": .string(delivery.receivedAt.iso8601),
            ]
        }
        return [
            "organization": .string(organization), "has_secret": .bool(hasSecret),
            "webhooks": isAsked ? .array(webhooks) : .null, "refused": .array(refused),
            "last_delivery": last ?? .null,
        ]
    }
}
