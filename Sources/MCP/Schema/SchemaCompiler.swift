import Domain

/// Compiles a schema document; see ``JSONSchema``.
struct SchemaCompiler {
    typealias Failure = JSONSchema.CompilationError
    typealias Node = JSONSchema.Node

    private static let dialects: Set<String> = [
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2020-12/schema#",
    ]
    /// Say something about a value and forbid nothing; `x-mcp-header` is the transport's.
    private static let annotations: Set<String> = [
        "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default",
        "deprecated", "readOnly", "writeOnly", "examples", "format", "contentEncoding",
        "contentMediaType", "x-mcp-header",
    ]

    private let document: JSONValue
    private let limits: JSONSchema.Limits
    private var count = 0

    init(document: JSONValue, limits: JSONSchema.Limits) {
        self.document = document
        self.limits = limits
    }

    mutating func node(
        _ value: JSONValue,
        path: String,
        depth: Int
    ) throws(Failure) -> Node {
        count += 1
        guard count <= limits.nodes else { throw .tooLarge(limit: limits.nodes) }
        guard depth <= limits.depth else { throw .tooDeep(limit: limits.depth) }
        switch value {
        case .bool(let passes): return .boolean(passes)
        case .object(let object): return try node(object, path, depth)
        case .null, .integer, .double, .string, .array: throw .notASchema(path: path)
        }
    }

    private mutating func node(
        _ object: JSONObject,
        _ path: String,
        _ depth: Int
    ) throws(Failure) -> Node {
        var rules = JSONSchema.Rules()
        for member in object.members {
            let place = path + "/" + member.key
            if try readValueRule(member, path, &rules) { continue }
            if try readNumberRule(member, path, &rules) { continue }
            if try readCompositionRule(member, place, depth, &rules) { continue }
            guard Self.annotations.contains(member.key) else {
                throw .unsupported(keyword: member.key, path: path)
            }
            if member.key == "$schema" {
                guard let name = member.value.string, Self.dialects.contains(name) else {
                    throw .unsupportedDialect(member.value.string ?? "?")
                }
            }
            if member.key == "description" { rules.summary = member.value.string }
        }
        return .rules(rules)
    }

    /// Rules about which values there may be.
    private func readValueRule(
        _ member: JSONObject.Member,
        _ path: String,
        _ rules: inout JSONSchema.Rules
    ) throws(Failure) -> Bool {
        let invalid = Failure.invalid(keyword: member.key, path: path)
        switch member.key {
        case "type":
            let names = member.value.array ?? [member.value]
            for name in names {
                guard let type = name.string.flatMap(JSONType.init(rawValue:)) else {
                    throw invalid
                }
                rules.types.append(type)
            }
        case "enum":
            guard let values = member.value.array, !values.isEmpty else { throw invalid }
            rules.values = values
        case "const": rules.values = [member.value]
        case "required":
            guard let names = member.value.array else { throw invalid }
            for name in names {
                guard let name = name.string else { throw invalid }
                rules.required.append(name)
            }
        case "uniqueItems":
            guard let isUnique = member.value.bool else { throw invalid }
            rules.areItemsUnique = isUnique
        default: return false
        }
        return true
    }

    /// Rules about how much there may be.
    private func readNumberRule(
        _ member: JSONObject.Member,
        _ path: String,
        _ rules: inout JSONSchema.Rules
    ) throws(Failure) -> Bool {
        func number() throws(Failure) -> Double {
            guard let number = member.value.double, number.isFinite else {
                throw .invalid(keyword: member.key, path: path)
            }
            return number
        }
        func count() throws(Failure) -> Int {
            guard let count = member.value.integer.flatMap(Int.init(exactly:)), count >= 0 else {
                throw .invalid(keyword: member.key, path: path)
            }
            return count
        }
        switch member.key {
        case "minimum": rules.minimum = try number()
        case "maximum": rules.maximum = try number()
        case "exclusiveMinimum": rules.exclusiveMinimum = try number()
        case "exclusiveMaximum": rules.exclusiveMaximum = try number()
        case "multipleOf":
            let step = try number()
            guard step > 0 else { throw .invalid(keyword: member.key, path: path) }
            rules.multipleOf = step
        case "minLength": rules.length.minimum = try count()
        case "maxLength": rules.length.maximum = try count()
        case "minItems": rules.itemCount.minimum = try count()
        case "maxItems": rules.itemCount.maximum = try count()
        case "minProperties": rules.propertyCount.minimum = try count()
        case "maxProperties": rules.propertyCount.maximum = try count()
        default: return false
        }
        return true
    }

    /// Rules that are schemas themselves.
    private mutating func readCompositionRule(
        _ member: JSONObject.Member,
        _ place: String,
        _ depth: Int,
        _ rules: inout JSONSchema.Rules
    ) throws(Failure) -> Bool {
        switch member.key {
        case "properties":
            guard case .object(let properties) = member.value else {
                throw .invalid(keyword: member.key, path: place)
            }
            for property in properties.members {
                let path = place + "/" + property.key
                let schema = try node(property.value, path: path, depth: depth + 1)
                rules.properties.append((property.key, schema))
            }
        case "additionalProperties":
            rules.additional = try node(member.value, path: place, depth: depth + 1)
        case "items": rules.items = try node(member.value, path: place, depth: depth + 1)
        case "not": rules.not = try node(member.value, path: place, depth: depth + 1)
        case "allOf": rules.all += try nodes(member.value, place, depth)
        case "anyOf": rules.any = try nodes(member.value, place, depth)
        case "oneOf": rules.one = try nodes(member.value, place, depth)
        case "$ref":
            // A schema that refers to itself ends at the limit of depth.
            let target = try target(of: member.value)
            rules.all.append(try node(target, path: place, depth: depth + 1))
        default: return false
        }
        return true
    }

    private mutating func nodes(
        _ value: JSONValue,
        _ place: String,
        _ depth: Int
    ) throws(Failure) -> [Node] {
        guard let elements = value.array, !elements.isEmpty else {
            throw .invalid(keyword: "list of schemas", path: place)
        }
        var nodes: [Node] = []
        for (index, element) in elements.enumerated() {
            nodes.append(try node(element, path: "\(place)/\(index)", depth: depth + 1))
        }
        return nodes
    }

    /// Only what stands in the same document.
    private func target(of reference: JSONValue) throws(Failure) -> JSONValue {
        guard let text = reference.string else {
            throw .invalid(keyword: "$ref", path: "#")
        }
        for place in ["$defs", "definitions"] {
            let prefix = "#/\(place)/"
            guard text.utf8.starts(with: prefix.utf8) else { continue }
            let name = String(decoding: text.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
            if let target = document[place]?[name] { return target }
        }
        throw .unresolved(reference: text)
    }
}
