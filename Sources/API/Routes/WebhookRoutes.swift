import Domain
import HTTPTypes
import Logging
import Sync
import Trackers

/// Where trackers deliver what has happened.
///
/// Nobody signs in here: the delivery itself is signed, and what is not believed is neither kept
/// nor told to anyone.
struct WebhookRoutes: Sendable {
    /// A description has a megabyte at most, which JSON may write as four.
    private static let bodyBytes = 4 << 20

    let receiver: WebhookReceiver?
    let logger: Logger

    /// The routes.
    var routes: [Route] {
        var route = Route.on(
            .post,
            "/api/v1/private/webhooks/{tracker_type}/{organization_id}",
            .open,
            tag: "Webhooks",
            "Take a tracker's delivery in; it is kept before it is acknowledged"
        ) { request in
            guard let receiver, let type = request.parameters["tracker_type"],
                let kind = TrackerKind(rawValue: type),
                let address = request.parameters["organization_id"]
            else { throw Problem.notFound() }
            let verdict = await receiver.receive(
                kind: kind,
                address: address,
                headers: request.headers.map { ($0.name.rawName, $0.value) },
                body: request.body
            )
            return try answer(to: verdict, request)
        }
        route.bodyLimit = Self.bodyBytes
        return [
            route.takesAnyBody.withoutKeeping
                .answers(
                    .accepted,
                    [
                        "type": "object", "required": ["status"],
                        "properties": ["status": ["type": "string"]],
                    ]
                )
                .problems(.badRequest, .unauthorized, .notFound)
        ]
    }

    private func answer(
        to verdict: WebhookReceiver.Verdict,
        _ request: APIRequest
    ) throws(Problem) -> APIResponse {
        switch verdict {
        case .accepted: return .json(["status": "accepted"], status: .accepted)
        case .repeated: return .json(["status": "repeated"], status: .accepted)
        case .unknown: throw .notFound()
        case .refused(.bodyTooLarge): throw .tooLarge(Self.bodyBytes)
        case .refused(.malformed(let detail)):
            throw Problem(.badRequest, "\(WebhookError.malformed(detail: detail))")
        case .refused(let error):
            throw Problem(.unauthorized, "\(error)", code: "delivery_refused")
        case .unavailable(let reason):
            // For the operator alone: it may tell of files and addresses.
            logger.error(
                "a delivery could not be kept",
                metadata: ["request_id": .string(request.id), "reason": .string(reason)]
            )
            throw .overloaded("the delivery could not be kept", after: 5)
        }
    }
}
