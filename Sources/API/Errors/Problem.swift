import Domain
package import HTTPTypes

/// Why a request was not served, as `application/problem+json` (RFC 9457).
package struct Problem: Error, Sendable, Equatable {
    /// What is wrong with one field.
    package struct Field: Sendable, Equatable {
        /// Where, such as `title`.
        package var path: String
        package var message: String

        package init(_ path: String, _ message: String) {
            self.path = path
            self.message = message
        }
    }

    package var status: HTTPResponse.Status
    /// One sentence: what is wrong, and what to do where there is something.
    package var detail: String
    /// For programs; nil where the status says it all.
    package var code: String?
    package var fields: [Field] = []
    package var headers: HTTPFields = [:]
    /// What is known of what the request did: by the status, where nobody says more.
    package var effect: RequestEffect
    /// Further members of the document.
    var extensions = JSONObject()

    package init(_ status: HTTPResponse.Status, _ detail: String, code: String? = nil) {
        self.status = status
        self.detail = detail
        self.code = code
        effect = RequestEffect(of: status)
    }

    /// The same of a request that did this much.
    package func having(_ effect: RequestEffect) -> Problem {
        var copy = self
        copy.effect = effect
        return copy
    }

    /// The same for what does not exist and for what belongs to somebody else.
    package static func notFound() -> Problem {
        Problem(.notFound, "there is nothing here, or it is not yours")
    }

    /// Something that is there, or goes on, is in the way.
    package static func conflict(_ detail: String, code: String? = nil) -> Problem {
        Problem(.conflict, detail, code: code)
    }

    /// Whether it says that there is nothing.
    package var isNotFound: Bool { status == .notFound }

    /// Nobody is signed in.
    package static func unauthenticated(
        _ detail: String = "send `Authorization: Bearer` with an access token or an API key"
    ) -> Problem {
        var problem = Problem(.unauthorized, detail)
        problem.headers[.wwwAuthenticate] = #"Bearer realm="preloop""#
        return problem
    }

    /// Somebody may not do something: by the scopes of the key, or else by the role.
    static func denied(_ permission: Permission, to principal: Principal) -> Problem {
        guard principal.role.permissions.contains(permission) else {
            return Problem(
                .forbidden,
                "the role `\(principal.role.rawValue)` may not `\(permission.rawValue)`",
                code: "permission_denied"
            )
        }
        var problem = Problem(
            .forbidden,
            "the scopes of this API key do not include `\(permission.rawValue)`",
            code: "api_key_scope_denied"
        )
        // RFC 6750, section 3.1. Some permissions are in no scope: a key without any has them.
        var challenge = #"Bearer realm="preloop", error="insufficient_scope""#
        if let scope = KeyScope.least(with: permission) {
            challenge += ", scope=\"\(scope.rawValue)\""
        }
        problem.headers[.wwwAuthenticate] = challenge
        return problem
    }

    /// Fields that are missing or wrong.
    package static func invalid(_ fields: [Field]) -> Problem {
        let first = fields.first.map { "`\($0.path)` \($0.message)" } ?? "a field is wrong"
        var problem = Problem(.unprocessableContent, first, code: "invalid_fields")
        problem.fields = fields
        return problem
    }

    /// One field that is missing or wrong.
    package static func invalid(_ path: String, _ message: String) -> Problem {
        invalid([Field(path, message)])
    }

    /// Two fields that say of one thing what cannot both be: neither may be dropped without a word.
    static func contradiction(_ first: String, _ second: String) -> Problem {
        invalid(
            [(first, second), (second, first)].map { name, other in
                Field(name, "says something else than `\(other)`; send one of the two")
            }
        )
    }

    /// Come back later; nothing was done.
    package static func overloaded(
        _ detail: String,
        status: HTTPResponse.Status = .serviceUnavailable,
        after seconds: Int = 1
    ) -> Problem {
        var problem = Problem(status, detail).having(.nothing)
        problem.headers[.retryAfter] = String(seconds)
        return problem
    }

    /// The answer.
    func response(requestID: String) -> APIResponse {
        var object = JSONObject()
        object.append(key: "type", value: "about:blank")
        object.append(key: "title", value: .string(status.reasonPhrase))
        object.append(key: "status", value: .integer(Int64(status.code)))
        object.append(key: "detail", value: .string(detail))
        if let code { object.append(key: "code", value: .string(code)) }
        if !fields.isEmpty {
            let list = fields.map { field -> JSONValue in
                ["path": .string(field.path), "message": .string(field.message)]
            }
            object.append(key: "errors", value: .array(list))
        }
        for member in extensions.members {
            object.append(key: member.key, value: member.value)
        }
        object.append(key: "request_id", value: .string(requestID))
        var headers = headers
        headers[.contentType] = "application/problem+json"
        var response = APIResponse(
            status,
            headers: headers,
            body: JSONValue.object(object).serialized()
        )
        response.effect = effect
        return response
    }
}
