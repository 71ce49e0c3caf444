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
            let values = Self.values(of: parameter, in: request)
            guard let value = values.last else { continue }
            if isStrict, values.dropLast().contains(where: { $0 != value }) {
                problems.append(.init(parameter.name, "is there more than once, and differs"))
            }
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

    /// What was sent of a parameter, in its order; a list, which may be in several pieces, is one
    /// value, and an empty text none.
    private static func values(of parameter: Parameter, in request: APIRequest) -> [JSONValue] {
        let type = parameter.schema["type"]?.string
        if type == "array" {
            let items = request.query.values(parameter.name)
            let isInteger = parameter.schema["items"]?["type"]?.string == "integer"
            guard !items.isEmpty else { return [] }
            return [.array(items.map { isInteger ? integer($0) : .string($0) })]
        }
        let sent = request.query.items.filter { $0.name == parameter.name && !$0.value.isEmpty }
        return sent.map { value($0.value, of: type) }
    }

    private static func value(_ text: String, of type: String?) -> JSONValue {
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
        var problems: [Problem.Field] = []
        if takesForm, request.mediaType == FormFields.mediaType {
            let known = body?["properties"]?.object?.members.map(\.key) ?? []
            let form = try FormFields(request.body, known: known)
            // The schema would tell their names, which may be part of a password.
            problems = form.unknownFields
            object = form.knownMembers
        } else {
            object = try request.object()
        }
        let wrong = compiledBody.violations(of: .object(object))
        problems += wrong.map { Problem.Field($0.path, $0.message) }
        guard problems.isEmpty else {
            throw .invalid(Array(problems.prefix(JSONSchema.maximumViolations)))
        }
        return object
    }
}
