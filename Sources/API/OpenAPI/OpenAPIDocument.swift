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
            "components": components,
        ]
    }

    private var components: JSONValue {
        [
            "securitySchemes": [
                "bearer": [
                    "type": "http", "scheme": "bearer",
                    "description": "An access token, or an API key.",
                ]
            ],
            "schemas": ["Problem": Self.problemShape],
            "headers": .object(OpenAPIHeaders.components),
            "responses": .object(Self.problems(of: routes)),
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
        case .open:
            let either: JSONValue = [[:], ["bearer": []]]
            object.append(key: "security", value: route.takesCredential ? either : [])
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
            let schema = name == "id" ? route.identifier : Shape.text
            return ["name": .string(name), "in": "path", "required": true, "schema": schema]
        }
        for parameter in route.parameters {
            var object = JSONObject()
            object.append(key: "name", value: .string(parameter.name))
            object.append(key: "in", value: "query")
            if parameter.schema["type"]?.string == "array" {
                // Separated by commas, or repeated.
                object.append(key: "style", value: "form")
                object.append(key: "explode", value: false)
            }
            object.append(key: "schema", value: parameter.schema)
            result.append(.object(object))
        }
        result += route.requestHeaders.map { header in
            ["name": .string(header.name), "in": "header", "schema": header.schema]
        }
        return result
    }

    // MARK: - Answers

    private func responses(of route: Route) -> JSONObject {
        var responses = JSONObject()
        for answer in route.goodAnswers {
            responses.append(
                key: String(answer.status.code),
                value: Self.response(
                    answer.status,
                    headers: answer.status == .notModified ? ["ETag"] : route.answerHeaders,
                    answer.content
                )
            )
        }
        for status in route.refusals {
            responses.append(
                key: String(status.code),
                value: ["$ref": .string("#/components/responses/\(Self.name(status, of: route))")]
            )
        }
        return responses
    }

    /// The refusals of all routes, once each: what they are like depends on the status alone, and
    /// on whether they are told in the words of JSON-RPC.
    private static func problems(of routes: [Route]) -> JSONObject {
        var responses = JSONObject()
        let problem: JSONValue = ["$ref": "#/components/schemas/Problem"]
        for route in routes {
            var content = [(type: "application/problem+json", schema: problem)]
            if route.speaksRPC { content.append((type: "application/json", schema: Shape.message)) }
            for status in route.refusals {
                responses[name(status, of: route)] = response(
                    status,
                    headers: OpenAPIHeaders.names(of: status),
                    content
                )
            }
        }
        return responses
    }

    private static func name(_ status: HTTPResponse.Status, of route: Route) -> String {
        "\(route.speaksRPC ? "RPCProblem" : "Problem")\(status.code)"
    }

    private static func response(
        _ status: HTTPResponse.Status,
        headers names: [String],
        _ content: [(type: String, schema: JSONValue)]
    ) -> JSONValue {
        var object = JSONObject()
        object.append(key: "description", value: .string(status.reasonPhrase))
        var headers = JSONObject()
        for name in names + ["X-Request-ID"] {
            headers.append(key: name, value: ["$ref": .string("#/components/headers/\(name)")])
        }
        object.append(key: "headers", value: .object(headers))
        if !content.isEmpty {
            var types = JSONObject()
            for (type, schema) in content { types.append(key: type, value: ["schema": schema]) }
            object.append(key: "content", value: .object(types))
        }
        return .object(object)
    }
}
