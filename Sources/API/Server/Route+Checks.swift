import Domain
import HTTPTypes
import MCP

extension Route {
    /// The values of the route's parameters, of the types their schemas say.
    func arguments(of request: APIRequest) throws(Problem) -> JSONObject {
        var result = JSONObject()
        var problems: [Problem.Field] = []
        for parameter in parameters {
            guard let value = Self.value(of: parameter, in: request) else { continue }
            let wrong = parameter.compiled.violations(of: value)
            problems += wrong.map { Problem.Field(parameter.name, $0.message) }
            result[parameter.name] = value
        }
        guard problems.isEmpty else { throw .invalid(problems) }
        return result
    }

    private static func value(of parameter: Parameter, in request: APIRequest) -> JSONValue? {
        let type = parameter.schema["type"]?.string
        if type == "array" {
            let items = request.query.values(parameter.name)
            let isInteger = parameter.schema["items"]?["type"]?.string == "integer"
            guard !items.isEmpty else { return nil }
            return .array(items.map { isInteger ? integer($0) : .string($0) })
        }
        let text: String?
        if parameter.isHeader {
            text = HTTPField.Name(parameter.name).flatMap { request.headers[$0] }
        } else {
            text = request.query[parameter.name]
        }
        guard let text else { return nil }
        switch type {
        case "integer": return integer(text)
        case "number": return Double(text).map(JSONValue.double) ?? .string(text)
        case "boolean":
            switch text.lowercased() {
            case "true", "1": return true
            case "false", "0": return false
            default: return .string(text)
            }
        default: return .string(text)
        }
    }

    /// What is no number stays a text, which the schema then refuses.
    private static func integer(_ text: String) -> JSONValue {
        Int64(text).map(JSONValue.integer) ?? .string(text)
    }

    /// The body, read and checked; empty for a route without one.
    func content(of request: APIRequest) throws(Problem) -> JSONObject {
        guard let compiledBody else { return JSONObject() }
        let object: JSONObject
        if takesForm, request.mediaType == "application/x-www-form-urlencoded" {
            let items = QueryItems(String(decoding: request.body, as: UTF8.self))
            object = items.items.reduce(into: JSONObject()) { $0[$1.name] = .string($1.value) }
        } else {
            object = try request.object()
        }
        let wrong = compiledBody.violations(of: .object(object))
        guard wrong.isEmpty else {
            throw .invalid(wrong.map { Problem.Field($0.path, $0.message) })
        }
        return object
    }
}
