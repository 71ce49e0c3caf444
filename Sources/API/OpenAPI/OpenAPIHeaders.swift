import Domain
import HTTPTypes

/// The headers of answers as the document tells them.
enum OpenAPIHeaders {
    /// Each once, for operations to point at.
    static let components: JSONObject = {
        var headers = JSONObject()
        for (name, summary) in summaries {
            headers.append(
                key: name,
                value: ["description": .string(summary), "schema": ["type": "string"]]
            )
        }
        return headers
    }()

    private static let summaries: KeyValuePairs<String, String> = [
        "ETag": "Which version this is, for `If-Match` and `If-None-Match`.",
        "X-Next-Cursor": "The `cursor` of the next page; not on the last one.",
        "Link": "The address of the next page, `rel=\"next\"`; not on the last one.",
        "Idempotent-Replayed": "`true`: this was answered before, under the same key.",
        "Mcp-Session-Id": "The session that `initialize` has begun.",
        "Retry-After": "After how many seconds to try again, where that is worth trying.",
        "WWW-Authenticate": "Which credential is wanted (RFC 6750).",
        "Allow": "The methods that the address has.",
        "X-Request-ID": "Stands on every line of the log about this request.",
    ]

    /// What a refusal may have besides what every answer has.
    static func names(of status: HTTPResponse.Status) -> [String] {
        switch status {
        case .unauthorized, .forbidden: ["WWW-Authenticate"]
        case .methodNotAllowed: ["Allow"]
        case .tooManyRequests, .serviceUnavailable: ["Retry-After"]
        default: []
        }
    }
}
