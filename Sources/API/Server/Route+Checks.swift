import Domain
import HTTPTypes
import MCP

extension Route {
    /// The values of the route's parameters, of the types their schemas say.
    func arguments(of request: APIRequest) throws(Problem) -> JSONObject {
        // A filter that cannot be read must not answer with everything either.
        guard !isStrict || request.query.isComplete else {
            throw Problem(
                .badRequest,
                "the query must have \(QueryItems.maximumCount) parameters at most, and UTF-8 "
                    + "behind its percent signs",
                code: "malformed_query"
            )
        }
        var result = JSONObject()
        var problems = isStrict ? unknownParameters(of: request) : []
        for parameter in parameters {
            guard let value = Self.value(of: parameter, in: request) else { continue }
            let wrong = parameter.compiled.violations(of: value)
            problems += wrong.map { Problem.Field(parameter.name, $0.message) }
            result[parameter.name] = value
        }
        guard problems.isEmpty else { throw .invalid(problems) }
        return result
    }

    /// Parameters that the route does not have: a filter that is misspelt must not answer with
    /// everything.
    private func unknownParameters(of request: APIRequest) -> [Problem.Field] {
        let known = parameters.map { parameter -> [String] in
            let isList = parameter.schema["type"]?.string == "array"
            return isList ? [parameter.name, "\(parameter.name)[]"] : [parameter.name]
        }.joined()
        var told: Set<String> = []
        return request.query.items.compactMap { item in
            guard !known.contains(item.name), told.insert(item.name).inserted else { return nil }
            return Problem.Field(String(item.name.prefix(Self.shownLength)), hint(for: item.name))
        }
    }

    /// Of a name that is sent back; ours are shorter.
    private static let shownLength = 64

    private func hint(for name: String) -> String {
        let names = parameters.map(\.name)
        guard !names.isEmpty else { return "is not known; there are no parameters" }
        let nearest = names.map { (name: $0, distance: editDistance($0, name)) }
            .min { $0.distance < $1.distance }
        if let nearest, nearest.distance <= max(1, nearest.name.utf8.count / 3) {
            return "is not known; did you mean `\(nearest.name)`?"
        }
        return "is not known; there are " + names.map { "`\($0)`" }.joined(separator: ", ")
    }

    private static func value(of parameter: Parameter, in request: APIRequest) -> JSONValue? {
        let type = parameter.schema["type"]?.string
        if type == "array" {
            let items = request.query.values(parameter.name)
            let isInteger = parameter.schema["items"]?["type"]?.string == "integer"
            guard !items.isEmpty else { return nil }
            return .array(items.map { isInteger ? integer($0) : .string($0) })
        }
        guard let text = request.query[parameter.name] else { return nil }
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
