package import Domain

extension JSONSchema {
    /// What is wrong with a value and how to mend it.
    package struct Violation: Sendable, Equatable, CustomStringConvertible {
        /// Where: `labels[2]`, `filter.state`; empty for the whole.
        package var path: String
        /// What must be there, and what is.
        package var message: String

        /// One sentence.
        package var description: String {
            path.isEmpty ? message : "`\(path)` \(message)"
        }
    }

    /// More would not help anybody to mend the first.
    package static let maximumViolations = 10

    /// Compares a value with the schema.
    ///
    /// - Returns: What is wrong, in document order, at most ``maximumViolations``; empty when
    ///   nothing is.
    /// - Complexity: O(n · s) in the size of the value and the schemas that apply to a part of it.
    package func violations(of value: JSONValue) -> [Violation] {
        var validation = Validation()
        validation.check(value, against: root, at: "")
        return Array(validation.violations.prefix(Self.maximumViolations))
    }

    /// Whether a value is as the schema says.
    package func accepts(_ value: JSONValue) -> Bool { violations(of: value).isEmpty }
}

/// One comparison.
private struct Validation {
    var violations: [JSONSchema.Violation] = []

    mutating func check(_ value: JSONValue, against node: JSONSchema.Node, at path: String) {
        guard violations.count < JSONSchema.maximumViolations else { return }
        switch node {
        case .boolean(true): break
        case .boolean(false): report(path, "is not allowed here")
        case .rules(let rules): check(value, against: rules, at: path)
        }
    }

    private mutating func check(
        _ value: JSONValue,
        against rules: JSONSchema.Rules,
        at path: String
    ) {
        if rules.passesNull, value.isNull { return }
        guard rules.types.isEmpty || rules.types.contains(where: { $0.matches(value) }) else {
            let wanted = rules.types.map(\.phrase).joined(separator: " or ")
            return report(path, "must be \(wanted), but is \(excerpt(value))")
        }
        if let values = rules.values, !values.contains(where: { areEqual($0, value) }) {
            let wanted = values.prefix(20).map(excerpt).joined(separator: ", ")
            let choice = values.count > 1 ? "one of " : ""
            report(path, "must be \(choice)\(wanted), not \(excerpt(value))")
        }
        switch value {
        case .object(let object): checkObject(object, rules, path)
        case .array(let elements): checkArray(elements, rules, path)
        case .string(let text): checkLength(text, rules, path)
        case .integer(let number): checkNumber(Double(number), rules, path)
        case .double(let number): checkNumber(number, rules, path)
        case .null, .bool: break
        }
        checkComposition(value, rules, path)
    }

    private mutating func checkObject(
        _ object: JSONObject,
        _ rules: JSONSchema.Rules,
        _ path: String
    ) {
        for name in rules.required where object[name] == nil {
            let schema = rules.properties.first { haveEqualBytes($0.name, name) }?.schema
            var message = "is missing"
            if let schema, case .rules(let rules) = schema, let summary = rules.summary {
                message += ": \(summary)"
            }
            report(join(path, name), message)
        }
        for (name, schema) in rules.properties {
            if let value = object[name] { check(value, against: schema, at: join(path, name)) }
        }
        if let additional = rules.additional {
            for member in object.members
            where !rules.properties.contains(where: { haveEqualBytes($0.name, member.key) }) {
                if case .boolean(false) = additional {
                    report(join(path, member.key), unknown(member.key, rules))
                } else {
                    check(member.value, against: additional, at: join(path, member.key))
                }
            }
        }
        let range = rules.propertyCount
        checkCount(object.members.count, range, path, of: ("member", "members"))
    }

    private func unknown(_ name: String, _ rules: JSONSchema.Rules) -> String {
        let names = rules.properties.map(\.name)
        guard !names.isEmpty else { return "is not known; there are no parameters" }
        let nearest = names.map { (name: $0, distance: editDistance($0, name)) }
            .min { $0.distance < $1.distance }
        if let nearest, nearest.distance <= max(1, nearest.name.utf8.count / 3) {
            return "is not known; did you mean `\(nearest.name)`?"
        }
        return "is not known; there are " + names.map { "`\($0)`" }.joined(separator: ", ")
    }

    private mutating func checkArray(
        _ elements: [JSONValue],
        _ rules: JSONSchema.Rules,
        _ path: String
    ) {
        checkCount(elements.count, rules.itemCount, path, of: ("element", "elements"))
        if let items = rules.items {
            for (index, element) in elements.enumerated() {
                guard violations.count < JSONSchema.maximumViolations else { return }
                check(element, against: items, at: "\(path)[\(index)]")
            }
        }
        if rules.areItemsUnique {
            var seen: Set<[UInt8]> = []
            for (index, element) in elements.enumerated()
            where !seen.insert(element.serialized(sortedKeys: true)).inserted {
                report("\(path)[\(index)]", "is there twice: \(excerpt(element))")
            }
        }
    }

    private mutating func checkLength(
        _ text: String,
        _ rules: JSONSchema.Rules,
        _ path: String
    ) {
        guard rules.length.minimum != nil || rules.length.maximum != nil else { return }
        // Length counts code points, section 6.3.1 of the validation specification.
        let count = text.unicodeScalars.count
        if let minimum = rules.length.minimum, count < minimum {
            report(path, minimum == 1 ? "must not be empty" : "must have \(minimum) characters")
        }
        if let maximum = rules.length.maximum, count > maximum {
            report(path, "has \(count) characters; \(maximum) is the most")
        }
    }

    private mutating func checkNumber(
        _ number: Double,
        _ rules: JSONSchema.Rules,
        _ path: String
    ) {
        func shown(_ value: Double) -> String { excerpt(plain(value)) }
        let (low, high) = (rules.minimum, rules.maximum)
        if low.map({ number < $0 }) == true || high.map({ number > $0 }) == true {
            switch (low, high) {
            case (let low?, let high?):
                report(path, "must be from \(shown(low)) to \(shown(high)), not \(shown(number))")
            case (let low?, nil):
                report(path, "must be \(shown(low)) or more, not \(shown(number))")
            case (nil, let high?):
                report(path, "must be \(shown(high)) or less, not \(shown(number))")
            case (nil, nil): break
            }
        }
        if let low = rules.exclusiveMinimum, number <= low {
            report(path, "must be greater than \(shown(low)), not \(shown(number))")
        }
        if let high = rules.exclusiveMaximum, number >= high {
            report(path, "must be less than \(shown(high)), not \(shown(number))")
        }
        if let step = rules.multipleOf {
            let steps = number / step
            if steps.rounded() != steps { report(path, "must be a multiple of \(shown(step))") }
        }
    }

    private mutating func checkCount(
        _ count: Int,
        _ range: JSONSchema.CountRange,
        _ path: String,
        of noun: (one: String, many: String)
    ) {
        if let minimum = range.minimum, count < minimum {
            let what = minimum == 1 ? noun.one : noun.many
            report(path, "must have \(minimum) \(what) or more, but has \(count)")
        }
        if let maximum = range.maximum, count > maximum {
            let what = maximum == 1 ? noun.one : noun.many
            report(path, "must have at most \(maximum) \(what), but has \(count)")
        }
    }

    private mutating func checkComposition(
        _ value: JSONValue,
        _ rules: JSONSchema.Rules,
        _ path: String
    ) {
        for schema in rules.all { check(value, against: schema, at: path) }
        if !rules.any.isEmpty, !rules.any.contains(where: { accepts(value, $0) }) {
            report(path, "fits none of the \(rules.any.count) forms it may have")
        }
        if !rules.one.isEmpty {
            let count = rules.one.count { accepts(value, $0) }
            if count != 1 {
                report(path, "must fit one of \(rules.one.count) forms, but fits \(count)")
            }
        }
        if let schema = rules.not, accepts(value, schema) {
            report(path, "must not be \(excerpt(value))")
        }
    }

    private func accepts(_ value: JSONValue, _ schema: JSONSchema.Node) -> Bool {
        var inner = Validation()
        inner.check(value, against: schema, at: "")
        return inner.violations.isEmpty
    }

    private mutating func report(_ path: String, _ message: String) {
        violations.append(JSONSchema.Violation(path: path, message: message))
    }

    private func join(_ path: String, _ name: String) -> String {
        let name = String(decoding: name.utf8.prefix(128), as: UTF8.self)
        return path.isEmpty ? name : "\(path).\(name)"
    }
}

/// A value as a message repeats it: short, whatever it is.
private func excerpt(_ value: JSONValue) -> String {
    let limit = 60
    switch value {
    case .array(let elements): return "a list of \(elements.count)"
    case .object: return "an object"
    case .string(let text) where text.utf8.count > limit:
        return "\"\(String(decoding: text.utf8.prefix(limit), as: UTF8.self))…\""
    case .null, .bool, .integer, .double, .string: return value.serializedText()
    }
}

/// A number without `.0`.
private func plain(_ number: Double) -> JSONValue {
    if let integer = Int64(exactly: number) { .integer(integer) } else { .double(number) }
}

/// Equality of JSON Schema: 1 and 1.0 are the same.
private func areEqual(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.integer, .double), (.double, .integer): left.double == right.double
    case (.string(let left), .string(let right)): haveEqualBytes(left, right)
    default: left == right
    }
}

/// Levenshtein's distance in bytes, of texts that are cut at 64.
package func editDistance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left.utf8.prefix(64)), Array(right.utf8.prefix(64)))
    var row = Array(0...right.count)
    for (index, byte) in left.enumerated() {
        var diagonal = row[0]
        row[0] = index + 1
        for (place, other) in right.enumerated() {
            let replaced = diagonal + (byte == other ? 0 : 1)
            diagonal = row[place + 1]
            row[place + 1] = min(replaced, row[place] + 1, row[place + 1] + 1)
        }
    }
    return row[right.count]
}
