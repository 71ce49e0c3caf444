package import Domain

/// The `Mcp-Param-…` headers that 2026-07-28 mirrors arguments in, against the body.
///
/// A tool's schema names them by `x-mcp-header` at properties of the types text, integer and truth
/// value, also nested ones. Header and argument are there together and equal, or neither is:
/// whoever routes by the header must not be told anything else than who reads the body.
package struct ParameterHeaders: Sendable {
    private struct Position: Sendable {
        var path: [String]
        var header: String
    }

    private static let key = "x-mcp-header"
    private static let prefix = "Mcp-Param-"
    /// What `float` to text loses differs from program to program: no `number`.
    private static let types: Set<String> = ["string", "integer", "boolean"]
    /// Deeper ones are refused when the schema is compiled.
    private static let maximumDepth = 32

    private let positions: [Position]

    /// Reads the annotations of a tool's schema; none that can be used say nothing.
    package init(of schema: JSONValue) {
        var found: [Position] = []
        Self.collect(schema, [], into: &found)
        positions = found
    }

    private static func collect(_ schema: JSONValue, _ path: [String], into found: inout [Position])
    {
        guard path.count < maximumDepth, let properties = schema["properties"]?.object else {
            return
        }
        for member in properties.members {
            let place = path + [member.key]
            if let name = member.value[key]?.string, isToken(name),
                let type = member.value["type"]?.string, types.contains(type)
            {
                found.append(Position(path: place, header: prefix + name))
            }
            collect(member.value, place, into: &found)
        }
    }

    /// A name of a header (RFC 9110, section 5.6.2).
    private static func isToken(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }

    /// What a client has to send beside these arguments.
    package func fields(for arguments: JSONObject) -> [(name: String, value: String)] {
        positions.compactMap { position in
            Self.text(at: position.path, of: .object(arguments)).map { text in
                (position.header, HeaderValue.encoded(text))
            }
        }
    }

    /// Whether every annotation of a tool's schema is one that headers can be made of; a client
    /// does not call tools where they are not.
    ///
    /// An annotation stands at a property to which `properties` alone lead: of the elements of a
    /// list, of several forms, of conditions and of what is referred to nobody can say from the
    /// schema which value a header mirrors.
    ///
    /// - Parameter schema: Of a tool's arguments.
    /// - Returns: Whether it is, also where there is no annotation.
    package static func areUsable(in schema: JSONValue) -> Bool {
        guard schema[key] == nil else { return false }
        var names: Set<String> = []
        return areUsable(in: schema, depth: 0, &names)
    }

    private static func areUsable(
        in schema: JSONValue,
        depth: Int,
        _ names: inout Set<String>
    ) -> Bool {
        guard depth < maximumDepth else { return false }
        for member in schema["properties"]?.object?.members ?? [] {
            if let annotation = member.value[key] {
                guard let name = annotation.string, isToken(name),
                    let type = member.value["type"]?.string, types.contains(type),
                    names.insert(name.lowercased()).inserted
                else { return false }
            }
            guard areUsable(in: member.value, depth: depth + 1, &names) else { return false }
        }
        let others = schema.object?.members.filter { $0.key != "properties" } ?? []
        return !others.flatMap(schemas(of:)).contains { isAnnotated($0, depth: depth + 1) }
    }

    /// Keywords whose value is a schema, or a list of schemas.
    private static let schemaKeywords: Set<String> = [
        "additionalItems", "additionalProperties", "allOf", "anyOf", "contains", "contentSchema",
        "else", "if", "items", "not", "oneOf", "prefixItems", "propertyNames", "then",
        "unevaluatedItems", "unevaluatedProperties",
    ]
    /// Keywords whose value is an object of schemas.
    private static let namedKeywords: Set<String> = [
        "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties",
        "properties",
    ]
    /// No message has deeper values: the parser refuses them.
    private static let maximumNesting = 128

    /// The schemas of a keyword; none of one whose value is data, such as `default`.
    private static func schemas(of member: JSONObject.Member) -> [JSONValue] {
        if schemaKeywords.contains(member.key) { return member.value.array ?? [member.value] }
        guard namedKeywords.contains(member.key) else { return [] }
        return member.value.object?.members.map(\.value) ?? []
    }

    /// Whether there is an annotation at a schema, or anywhere in it.
    private static func isAnnotated(_ schema: JSONValue, depth: Int) -> Bool {
        guard depth < maximumNesting else { return true }
        guard let members = schema.object?.members else { return false }
        return schema[key] != nil
            || members.flatMap(schemas(of:)).contains { isAnnotated($0, depth: depth + 1) }
    }

    /// What the headers of a call say against its arguments; nil when they agree.
    package func mismatch(_ arguments: JSONObject, _ headers: HeaderFields) -> RPCError? {
        for position in positions {
            let values = headers.values(of: position.header)
            let name = position.path.joined(separator: ".")
            guard values.count <= 1 else {
                return .headerMismatch("`\(position.header)` is there more than once")
            }
            let argument = Self.text(at: position.path, of: .object(arguments))
            switch (values.first, argument) {
            case (nil, nil): continue
            case (nil, _?):
                return .headerMismatch("`\(position.header)` is missing, and `\(name)` is there")
            case (let value?, let argument):
                guard let decoded = HeaderValue.decoded(value), decoded == argument else {
                    return .headerMismatch("`\(position.header)` is not `\(name)` of the body")
                }
            }
        }
        return nil
    }

    /// What such headers hold together; more is nothing that anybody routes by.
    private static let maximumBytes = 4_096

    /// The `Mcp-Param-…` headers of a request that mirror none of this tool's arguments.
    ///
    /// They mean nothing here and are handed on as they came, for whoever stands before the server
    /// that has the tool.
    ///
    /// - Parameter headers: All of the request.
    /// - Returns: Those that can be sent as they are, in their order; none where they are longer
    ///   together than ``maximumBytes``, for a part of them might say something else.
    package func others(in headers: HeaderFields) -> HeaderFields {
        var others = HeaderFields()
        var byteCount = 0
        for field in headers.fields where HeaderFields.begins(field.name, with: Self.prefix) {
            guard Self.isToken(field.name), field.name.utf8.count > Self.prefix.utf8.count,
                field.value.utf8.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }),
                !positions.contains(where: { HeaderFields.areSame($0.header, field.name) })
            else { continue }
            byteCount += field.name.utf8.count + field.value.utf8.count
            guard byteCount <= Self.maximumBytes else { return HeaderFields() }
            others.append(field.name, field.value)
        }
        return others
    }

    /// An argument as a header shows it; nil for none, null, and what no header can show.
    private static func text(at path: [String], of arguments: JSONValue) -> String? {
        var value = arguments
        for key in path {
            guard let next = value[key] else { return nil }
            value = next
        }
        return switch value {
        case .string(let text): text
        case .integer(let number): String(number)
        case .bool(let flag): flag ? "true" : "false"
        case .double(let number): Int64(exactly: number).map(String.init)
        case .null, .array, .object: nil
        }
    }
}
