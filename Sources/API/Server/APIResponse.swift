import Domain
import HTTPTypes

/// What a handler answers with.
struct APIResponse: Sendable {
    var status: HTTPResponse.Status
    var headers: HTTPFields
    var body: [UInt8]
    /// What is known of what the request did.
    var effect: RequestEffect

    init(_ status: HTTPResponse.Status, headers: HTTPFields = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
        effect = RequestEffect(of: status)
    }

    /// A document as JSON.
    static func json(
        _ value: JSONValue,
        status: HTTPResponse.Status = .ok,
        headers: HTTPFields = [:]
    ) -> APIResponse {
        var headers = headers
        headers[.contentType] = "application/json"
        return APIResponse(status, headers: headers, body: value.serialized())
    }

    /// A page; it may load nothing from elsewhere.
    static func html(_ text: String, status: HTTPResponse.Status = .ok) -> APIResponse {
        let headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8",
            .contentSecurityPolicy:
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
                + "base-uri 'none'; frame-ancestors 'none'",
        ]
        return APIResponse(status, headers: headers, body: Array(text.utf8))
    }

    /// Done, and there is nothing to say.
    static let noContent = APIResponse(.noContent)
}
