import Domain

/// Expressions and values as text.
enum CELText {
    /// A finite number as a literal that is a double.
    static func literal(_ number: Double) -> String {
        let text = "\(number)"
        return text.contains(where: { ".e".contains($0) }) ? text : text + ".0"
    }

    /// A value as people read it; long ones are cut.
    static func text(_ value: CELValue, limit: Int = 200) -> String {
        var budget = limit
        let text = text(value, budget: &budget, depth: 0)
        return text.count > limit ? String(text.prefix(limit)) + "…" : text
    }

    /// Lists in one another that are written.
    private static let maximumDepth = 8

    private static func text(_ value: CELValue, budget: inout Int, depth: Int) -> String {
        guard budget > 0, depth < maximumDepth else { return "…" }
        let text: String
        switch value {
        case .null: text = "null"
        case .bool(let value): text = value ? "true" : "false"
        case .int(let value): text = "\(value)"
        case .uint(let value): text = "\(value)u"
        case .double(let value): text = "\(value)"
        case .string(let value): text = doubleQuoted(String(value.prefix(budget)))
        case .bytes(let value): text = "\(value.count) bytes"
        case .timestamp, .duration, .address, .network: text = converted(value)
        case .type(let name): text = name
        case .optional(let held):
            guard let held = held.value else { return "none" }
            return self.text(held, budget: &budget, depth: depth + 1)
        case .list(let list):
            var parts: [String] = []
            for index in 0..<list.count where budget > 0 {
                parts.append(self.text(list[index], budget: &budget, depth: depth + 1))
            }
            return "[" + parts.joined(separator: ", ") + "]"
        case .map(let map):
            var parts: [String] = []
            let entries = map.entries
            for (key, value) in zip(entries.keys, entries.values) where budget > 0 {
                let name = self.text(key, budget: &budget, depth: depth + 1)
                parts.append("\(name): \(self.text(value, budget: &budget, depth: depth + 1))")
            }
            return "{" + parts.joined(separator: ", ") + "}"
        }
        budget -= text.utf8.count
        return text
    }

    private static let conversion = try? CELProgram.compile(
        "string(value)",
        in: CELEnvironment(variables: [.init("value")])
    )

    private static func converted(_ value: CELValue) -> String {
        var bindings = CELBindings(for: CELEnvironment(variables: [.init("value")]))
        bindings[0] = value
        // What has no text is named by its type.
        guard let conversion, case .string(let text)? = try? conversion.evaluate(bindings)
        else { return value.typeName }
        return text
    }
}

extension CELText {
    /// An expression as it could have been written; what binds weaker stands in brackets.
    static func text(_ expression: Expression) -> String {
        switch expression.kind {
        case .literal(let value): return constant(value)
        case .identifier(let name, let isAbsolute): return isAbsolute ? ".\(name)" : name
        case .select(let operand, let field, let isOptional):
            return "\(tight(operand)).\(isOptional ? "?" : "")\(field)"
        case .presence(let operand, let field): return "has(\(tight(operand)).\(field))"
        case .and(let parts): return parts.map(tight).joined(separator: " && ")
        case .or(let parts): return parts.map(tight).joined(separator: " || ")
        case .conditional(let condition, let left, let right):
            return "\(tight(condition)) ? \(tight(left)) : \(tight(right))"
        case .list(let elements):
            return "["
                + elements.map { ($0.isOptional ? "?" : "") + text($0.value) }
                .joined(separator: ", ") + "]"
        case .map(let entries):
            let parts = entries.map { entry in
                (entry.isOptional ? "?" : "") + "\(text(entry.key)): \(text(entry.value))"
            }
            return "{" + parts.joined(separator: ", ") + "}"
        case .message(let name): return "\(name){…}"
        case .call(let name, let target, let arguments): return call(name, target, arguments)
        case .comprehension(let each): return comprehension(each)
        case .bind(let name, let value, let body):
            return "cel.bind(\(name), \(text(value)), \(text(body)))"
        case .block(let values, let body):
            return "cel.block([\(values.map(text).joined(separator: ", "))], \(text(body)))"
        case .optionalMap(let target, let variable, let body, let isFlat):
            return "\(tight(target)).\(isFlat ? "optFlatMap" : "optMap")"
                + "(\(variable), \(text(body)))"
        }
    }

    private static func constant(_ value: CELValue) -> String {
        if case .double(let number) = value, number.isFinite { return literal(number) }
        return text(value, limit: 10_000)
    }

    /// In brackets unless nothing around it could tear it apart.
    private static func tight(_ expression: Expression) -> String {
        switch expression.kind {
        case .and, .or, .conditional: return "(\(text(expression)))"
        case .call(let name, nil, let arguments):
            let symbol = symbol(name, arguments.count)
            let isOpen = symbol != nil && symbol != "[]" && symbol != "[?]"
            return isOpen ? "(\(text(expression)))" : text(expression)
        default: return text(expression)
        }
    }

    private static func call(
        _ name: String,
        _ target: Expression?,
        _ arguments: [Expression]
    ) -> String {
        if let target {
            return "\(tight(target)).\(name)(\(arguments.map(text).joined(separator: ", ")))"
        }
        guard let symbol = symbol(name, arguments.count) else {
            return "\(name)(\(arguments.map(text).joined(separator: ", ")))"
        }
        switch symbol {
        case "[]": return "\(tight(arguments[0]))[\(text(arguments[1]))]"
        case "[?]": return "\(tight(arguments[0]))[?\(text(arguments[1]))]"
        default:
            guard arguments.count == 2 else { return symbol + tight(arguments[0]) }
            return "\(tight(arguments[0])) \(symbol) \(tight(arguments[1]))"
        }
    }

    /// The sign that stands for a function with so many arguments; nil for a function by name.
    private static func symbol(_ name: String, _ count: Int) -> String? {
        switch (name, count) {
        case ("_[_]", 2): return "[]"
        case ("_[?_]", 2): return "[?]"
        case ("!_", 1): return "!"
        case ("-_", 1): return "-"
        case ("@in", 2), ("in", 2), ("_in_", 2): return "in"
        default:
            guard count == 2, name.hasPrefix("_"), name.hasSuffix("_"), name.utf8.count > 2
            else { return nil }
            return String(name.dropFirst().dropLast())
        }
    }

    private static func comprehension(_ each: Expression.Comprehension) -> String {
        let name =
            switch each.kind {
            case .all: "all"
            case .exists: "exists"
            case .existsOne: "exists_one"
            case .map: "map"
            case .filter: "filter"
            case .transformList: "transformList"
            case .transformMap: "transformMap"
            case .transformMapEntry: "transformMapEntry"
            }
        let parts =
            [each.first] + (each.second.map { [$0] } ?? [])
            + (each.filter.map { [text($0)] } ?? []) + [text(each.body)]
        return "\(tight(each.range)).\(name)(\(parts.joined(separator: ", ")))"
    }
}
