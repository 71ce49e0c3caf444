import Domain
import HTTPTypes

/// The OpenAPI 3.1 document of a route table.
struct OpenAPIDocument: Sendable {
    private let routes: [Route]
    private let version: String

    init(_ routes: [Route], version: String) {
        self.routes = routes.filter(\.isDocumented)
        self.version = version
    }

    /// The document.
    var json: JSONValue {
        var paths = JSONObject()
        for route in routes {
            var item = paths[route.path]?.object ?? JSONObject()
            item[route.method.rawValue.lowercased()] = operation(route)
            paths[route.path] = .object(item)
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Preloop", "version": .string(version),
                "description": """
                Issues of GitHub, GitLab and Jira, synchronised and indexed. Sign in at \
                /api/v1/auth/token, or use an API key; either is sent as a bearer token.
                """,
            ],
            "paths": .object(paths),
            "components": [
                "securitySchemes": [
                    "bearer": [
                        "type": "http", "scheme": "bearer",
                        "description": "An access token, or an API key.",
                    ]
                ],
                "schemas": ["Problem": Self.problemShape],
            ],
        ]
    }

    private static let problemShape: JSONValue = [
        "type": "object",
        "description": "Why a request was not served (RFC 9457).",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": [
            "type": ["type": "string"], "title": ["type": "string"],
            "status": ["type": "integer"], "detail": ["type": "string"],
            "code": ["type": "string"], "request_id": ["type": "string"],
            "errors": [
                "type": "array",
                "items": [
                    "type": "object", "required": ["path", "message"],
                    "properties": [
                        "path": ["type": "string"], "message": ["type": "string"],
                    ],
                ],
            ],
        ],
    ]

    private func operation(_ route: Route) -> JSONValue {
        var object = JSONObject()
        object.append(key: "operationId", value: .string(Self.identifier(of: route)))
        object.append(key: "tags", value: [.string(route.tag)])
        object.append(key: "summary", value: .string(route.summary))
        switch route.access {
        case .open: object.append(key: "security", value: [])
        case .permission(let permission):
            object.append(key: "security", value: [["bearer": []]])
            object.append(key: "x-permission", value: .string(permission.rawValue))
        }
        let parameters = parameters(of: route)
        if !parameters.isEmpty { object.append(key: "parameters", value: .array(parameters)) }
        if let body = route.body {
            var content = JSONObject()
            content.append(key: "application/json", value: ["schema": body])
            if route.takesForm {
                content.append(key: "application/x-www-form-urlencoded", value: ["schema": body])
            }
            let isRequired = !(body["required"]?.array ?? []).isEmpty
            object.append(
                key: "requestBody",
                value: ["required": .bool(isRequired), "content": .object(content)]
            )
        }
        object.append(key: "responses", value: .object(responses(of: route)))
        return .object(object)
    }

    /// Such as `get_api_v1_trackers_id`.
    static func identifier(of route: Route) -> String {
        let words = route.segments.map { $0.filter { $0 != "{" && $0 != "}" } }
        return ([route.method.rawValue.lowercased()] + words).joined(separator: "_")
            .replacing("-", with: "_").replacing(".", with: "_")
    }

    private func parameters(of route: Route) -> [JSONValue] {
        var result: [JSONValue] = route.segments.filter { $0.hasPrefix("{") }.map { segment in
            let name = String(segment.dropFirst().dropLast())
            let schema = name == "id" ? Shape.identifier : Shape.text
            return ["name": .string(name), "in": "path", "required": true, "schema": schema]
        }
        for parameter in route.parameters {
            var object = JSONObject()
            object.append(key: "name", value: .string(parameter.name))
            object.append(key: "in", value: parameter.isHeader ? "header" : "query")
            if parameter.schema["type"]?.string == "array" {
                // Separated by commas, or repeated.
                object.append(key: "style", value: "form")
                object.append(key: "explode", value: false)
            }
            object.append(key: "schema", value: parameter.schema)
            result.append(.object(object))
        }
        if route.isWrite, route.keepsAnswers, route.access != .open {
            result.append([
                "name": "Idempotency-Key", "in": "header",
                "schema": [
                    "type": "string", "minLength": 1, "maxLength": 128,
                    "pattern": "^[!-~]+$",
                    "description": "A repeated request with the same key gets the first answer.",
                ],
            ])
        }
        return result
    }

    private func responses(of route: Route) -> JSONObject {
        var responses = JSONObject()
        var success: JSONObject = JSONObject()
        success.append(key: "description", value: .string(route.status.reasonPhrase))
        if let result = route.result {
            let type = route.resultType ?? "application/json"
            var content = JSONObject()
            content.append(key: type, value: ["schema": result])
            success.append(key: "content", value: .object(content))
        }
        responses.append(key: String(route.status.code), value: .object(success))
        for status in problems(of: route) {
            responses.append(
                key: String(status.code),
                value: [
                    "description": .string(status.reasonPhrase),
                    "content": [
                        "application/problem+json": [
                            "schema": ["$ref": "#/components/schemas/Problem"]
                        ]
                    ],
                ]
            )
        }
        return responses
    }

    /// What a route answers with besides success, by code.
    private func problems(of route: Route) -> [HTTPResponse.Status] {
        var statuses: Set<HTTPResponse.Status> = Set(route.problems)
        // A name that is not ours, a page that may not call, too many requests.
        statuses.formUnion([.badRequest, .forbidden, .serviceUnavailable])
        if route.access != .open { statuses.insert(.unauthorized) }
        if route.path.contains("{") { statuses.insert(.notFound) }
        if route.isStrict || !route.parameters.isEmpty || route.body != nil {
            statuses.insert(.unprocessableContent)
        }
        if route.body != nil {
            statuses.formUnion([.unsupportedMediaType, .contentTooLarge])
        }
        if route.isWrite, route.keepsAnswers, route.access != .open {
            statuses.formUnion([.conflict, .unprocessableContent, .tooManyRequests])
        }
        statuses.remove(route.status)
        return statuses.sorted { $0.code < $1.code }
    }
}
