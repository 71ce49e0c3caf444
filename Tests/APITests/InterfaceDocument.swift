import Domain
import HTTPClient
import HTTPTypes

@testable import API

/// The OpenAPI document of a server, to hold its answers against.
struct InterfaceDocument {
    /// The headers that mean something to clients.
    private static let headers = [
        "ETag", "X-Next-Cursor", "Link", "Idempotent-Replayed", "Mcp-Session-Id", "Retry-After",
        "WWW-Authenticate", "Allow", "X-Request-ID",
    ]

    let json: JSONValue

    init(of server: RunningServer) async throws {
        json = try await server.send("GET", "/openapi.json").json
    }

    /// What it says of a route.
    func operation(_ route: Route) -> JSONValue? {
        json["paths"]?[route.path]?[route.method.rawValue.lowercased()]
    }

    /// Whether a header counts in requests to a route.
    func takes(_ header: String, _ route: Route) -> Bool {
        (operation(route)?["parameters"]?.array ?? []).contains { parameter in
            parameter["in"] == "header" && parameter["name"]?.string == header
        }
    }

    /// What it says of an answer; nil when it does not know it.
    func response(_ route: Route, _ status: Int) -> JSONValue? {
        operation(route)?["responses"]?[String(status)].flatMap(resolved)
    }

    /// What a pointer means, or the value itself; nil for a pointer to nothing.
    func resolved(_ value: JSONValue) -> JSONValue? {
        guard let pointer = value["$ref"]?.string else { return value }
        return pointer.split(separator: "/").dropFirst()
            .reduce(Optional(json)) { place, name in place?[String(name)] }
    }

    /// What of an answer it does not tell.
    func gaps(_ answer: RunningServer.Answer, to route: Route) -> [String] {
        guard let response = response(route, answer.status) else {
            return ["the status \(answer.status)"]
        }
        var gaps = Self.headers.filter { name in
            answer.headers[name] != nil && response["headers"]?[name] == nil
        }
        guard !answer.body.isEmpty else { return gaps }
        let type = answer.headers["Content-Type"]?.split(separator: ";").first.map(String.init)
        if response["content"]?[type ?? ""] == nil { gaps.append("the type \(type ?? "nil")") }
        return gaps
    }

    /// The pointers that lead nowhere.
    var danglingPointers: [String] { danglingPointers(in: json) }

    private func danglingPointers(in value: JSONValue) -> [String] {
        if let pointer = value["$ref"]?.string { return resolved(value) == nil ? [pointer] : [] }
        let parts = value.array ?? value.object?.members.map(\.value) ?? []
        return parts.flatMap(danglingPointers)
    }
}
