/// A list literal.
final class ListNode: Node {
    struct Element: Sendable {
        let value: any Node
        let isOptional: Bool
        let position: SourcePosition
    }

    private let elements: [Element]

    init(_ elements: [Element]) {
        self.elements = elements
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        var values: [CELValue] = []
        values.reserveCapacity(elements.count)
        for element in elements {
            let value = try element.value.evaluate(&frame)
            guard element.isOptional else {
                values.append(value)
                continue
            }
            guard case .optional(let optional) = value else {
                throw EvaluationError(.noSuchOverload).at(element.position)
            }
            if let held = optional.value { values.append(held) }
        }
        return .list(.values(values))
    }
}

/// A map literal.
final class MapNode: Node {
    struct Entry: Sendable {
        let key: any Node
        let value: any Node
        let isOptional: Bool
        let position: SourcePosition
    }

    private let entries: [Entry]

    init(_ entries: [Entry]) {
        self.entries = entries
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        var builder = CELEntries.Builder(capacity: entries.count)
        for entry in entries {
            let key = try entry.key.evaluate(&frame)
            var value = try entry.value.evaluate(&frame)
            if entry.isOptional {
                guard case .optional(let optional) = value else {
                    throw EvaluationError(.noSuchOverload).at(entry.position)
                }
                guard let held = optional.value else { continue }
                value = held
            }
            do throws(EvaluationError) {
                try builder.insert(key, value, &frame.budget)
            } catch {
                throw error.at(entry.position)
            }
        }
        return .map(.entries(builder.finish()))
    }
}

extension CELEntries.Builder {
    /// Adds an entry; its key must be fit for one and new.
    mutating func insert(
        _ key: CELValue,
        _ value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) {
        try budget.charge(key.hashingCost)
        switch key {
        case .bool, .int, .uint, .string: break
        default: throw EvaluationError(.unsupportedKey(typeName: key.typeName))
        }
        guard let place = CELKey(key), insert(key, as: place, value: value) else {
            throw EvaluationError(.repeatedKey)
        }
    }
}
