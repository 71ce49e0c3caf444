package import Domain

extension JSONSchema {
    /// Reads of a schema that another program has written what tells types of values apart.
    ///
    /// Read are `type`, `enum`, `const`, `properties`, `required`, `items`, `allOf`, `anyOf`,
    /// `oneOf` (as `anyOf`, for what would tell its forms apart may not be read) and `$ref` within
    /// the document. Everything else is passed over, and so is what cannot be read or is beyond the
    /// limits: to enforce it is the other program's business. A property that need not be there
    /// may be null, which is what models write for what they leave out.
    package init(foreign document: JSONValue, limits: Limits = Limits()) {
        var reader = ForeignSchemaReader(document: document, limits: limits)
        self.init(root: reader.node(document, depth: 0))
    }
}

/// Reads a schema as ``JSONSchema/init(foreign:limits:)`` says.
private struct ForeignSchemaReader {
    typealias Node = JSONSchema.Node

    /// How often a reference is followed within itself: trees are read two levels deep, and what
    /// stands beside them is reached before the limit of parts.
    private static let maximumRecursion = 2
    /// Characters of a description that are told with what is missing.
    private static let summaryLength = 200

    private let document: JSONValue
    private let limits: JSONSchema.Limits
    private var count = 0
    /// References that are being followed.
    private var followed: [String] = []

    init(document: JSONValue, limits: JSONSchema.Limits) {
        self.document = document
        self.limits = limits
    }

    mutating func node(_ value: JSONValue, depth: Int) -> Node {
        count += 1
        guard count <= limits.nodes, depth <= limits.depth else { return .boolean(true) }
        switch value {
        case .bool(let passes): return .boolean(passes)
        case .object(let object): return .rules(rules(of: object, depth))
        case .null, .integer, .double, .string, .array: return .boolean(true)
        }
    }

    private mutating func rules(of object: JSONObject, _ depth: Int) -> JSONSchema.Rules {
        var rules = JSONSchema.Rules()
        rules.types = Self.types(object["type"])
        if let value = object["const"] {
            rules.values = [value]
        } else if let values = object["enum"]?.array, !values.isEmpty {
            rules.values = values
        }
        rules.required = (object["required"]?.array ?? []).compactMap(\.string)
        rules.summary = object["description"]?.string.map { String($0.prefix(Self.summaryLength)) }
        for property in object["properties"]?.object?.members ?? [] {
            let schema = node(property.value, depth: depth + 1)
            let isRequired = rules.required.contains { haveEqualBytes($0, property.key) }
            rules.properties.append((property.key, isRequired ? schema : schema.orNull))
        }
        // Behind `prefixItems`, which are not read, `items` is for the rest alone.
        if object["prefixItems"] == nil, let items = object["items"] {
            rules.items = node(items, depth: depth + 1)
        }
        for part in object["allOf"]?.array ?? [] {
            rules.all.append(node(part, depth: depth + 1))
        }
        for keyword in ["anyOf", "oneOf"] {
            guard let forms = object[keyword]?.array, !forms.isEmpty else { continue }
            rules.all.append(union(of: forms, depth))
        }
        if let reference = object["$ref"]?.string, let target = follow(reference, depth) {
            rules.all.append(target)
        }
        return rules
    }

    /// What has one of several forms; one that may be null besides is told of by its form.
    private mutating func union(of forms: [JSONValue], _ depth: Int) -> Node {
        let nodes = forms.map { form in node(form, depth: depth + 1) }
        let others = nodes.filter { !$0.isNull }
        if others.count == 1, nodes.count > 1 { return others[0].orNull }
        let types = nodes.compactMap(\.typesAlone)
        var rules = JSONSchema.Rules()
        if types.count == nodes.count {
            rules.types = types.flatMap { $0 }
        } else {
            rules.any = nodes
        }
        return .rules(rules)
    }

    /// None where one is not known: the keyword is passed over.
    private static func types(_ value: JSONValue?) -> [JSONType] {
        guard let value else { return [] }
        let names = value.array ?? [value]
        let types = names.compactMap { $0.string.flatMap(JSONType.init(rawValue:)) }
        return types.count == names.count ? types : []
    }

    private mutating func follow(_ reference: String, _ depth: Int) -> Node? {
        let depthOfIt = followed.count { haveEqualBytes($0, reference) }
        guard depthOfIt < Self.maximumRecursion, let target = resolved(reference) else {
            return nil
        }
        followed.append(reference)
        defer { followed.removeLast() }
        return node(target, depth: depth + 1)
    }

    /// What a pointer into the document leads to (RFC 6901); nil for other references.
    private func resolved(_ reference: String) -> JSONValue? {
        guard reference == "#" || reference.hasPrefix("#/") else { return nil }
        var target = document
        for step in reference.dropFirst().split(separator: "/") {
            let name = String(step).replacing("~1", with: "/").replacing("~0", with: "~")
            let next = target.array == nil ? target[name] : Int(name).flatMap { target[$0] }
            guard let next else { return nil }
            target = next
        }
        return target
    }
}

extension JSONSchema.Node {
    /// The same, and null.
    fileprivate var orNull: JSONSchema.Node {
        guard case .rules(var rules) = self else { return self }
        rules.passesNull = true
        return .rules(rules)
    }

    /// Whether it says nothing but which types there may be, which; nil where it says more.
    fileprivate var typesAlone: [JSONType]? {
        guard case .rules(let rules) = self, !rules.types.isEmpty, rules.values == nil,
            rules.properties.isEmpty, rules.required.isEmpty, rules.items == nil,
            rules.all.isEmpty, !rules.passesNull
        else { return nil }
        return rules.types
    }

    fileprivate var isNull: Bool { typesAlone == [JSONType.null] }
}
