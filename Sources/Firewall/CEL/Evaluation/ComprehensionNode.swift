/// A macro over the elements of a list or the entries of a map.
final class ComprehensionNode: Node {
    private let kind: Expression.Comprehension.Kind
    private let range: any Node
    private let first: Int
    private let second: Int?
    private let filter: (any Node)?
    private let body: any Node
    /// What each round costs: the size of filter and body.
    private let roundCost: Int
    private let position: SourcePosition

    init(
        _ each: Expression.Comprehension,
        range: any Node,
        places: (first: Int, second: Int?),
        filter: (any Node)?,
        body: any Node,
        _ position: SourcePosition
    ) {
        kind = each.kind
        self.range = range
        first = places.first
        second = places.second
        self.filter = filter
        self.body = body
        roundCost = 1 + each.body.size + (each.filter?.size ?? 0)
        self.position = position
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        let range = try self.range.evaluate(&frame)
        do throws(EvaluationError) {
            let elements = try Elements(range, &frame.budget)
            switch kind {
            case .all: return .bool(try decides(elements, decisive: false, &frame))
            case .exists: return .bool(try decides(elements, decisive: true, &frame))
            case .existsOne: return .bool(try holdsOnce(elements, &frame))
            case .filter: return .list(.values(try filtered(elements, &frame)))
            case .map, .transformList: return .list(.values(try mapped(elements, &frame)))
            case .transformMap, .transformMapEntry:
                return .map(.entries(try transformed(elements, &frame)))
            }
        } catch {
            throw error.at(position)
        }
    }

    // MARK: - Kinds

    /// `all` and `exists`: an error is no error when another element decides.
    private func decides(
        _ elements: Elements,
        decisive: Bool,
        _ frame: inout Frame
    ) throws(EvaluationError) -> Bool {
        var failure: EvaluationError?
        for index in 0..<elements.count {
            try bind(elements, index, &frame)
            do throws(EvaluationError) {
                if try body.truth(&frame) == decisive { return decisive }
            } catch {
                guard error.isAbsorbable else { throw error }
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return !decisive
    }

    private func holdsOnce(
        _ elements: Elements,
        _ frame: inout Frame
    ) throws(EvaluationError) -> Bool {
        var count = 0
        for index in 0..<elements.count {
            try bind(elements, index, &frame)
            if try body.truth(&frame) { count += 1 }
        }
        return count == 1
    }

    private func filtered(
        _ elements: Elements,
        _ frame: inout Frame
    ) throws(EvaluationError) -> [CELValue] {
        var result: [CELValue] = []
        for index in 0..<elements.count {
            try bind(elements, index, &frame)
            if try body.truth(&frame) { result.append(elements.first(index, isAlone: true)) }
        }
        return result
    }

    private func mapped(
        _ elements: Elements,
        _ frame: inout Frame
    ) throws(EvaluationError) -> [CELValue] {
        var result: [CELValue] = []
        for index in 0..<elements.count {
            try bind(elements, index, &frame)
            if let filter, try !filter.truth(&frame) { continue }
            result.append(try body.evaluate(&frame))
        }
        return result
    }

    private func transformed(
        _ elements: Elements,
        _ frame: inout Frame
    ) throws(EvaluationError) -> CELEntries {
        var builder = CELEntries.Builder(capacity: elements.count)
        for index in 0..<elements.count {
            try bind(elements, index, &frame)
            if let filter, try !filter.truth(&frame) { continue }
            let value = try body.evaluate(&frame)
            guard kind == .transformMapEntry else {
                let key = elements.first(index, isAlone: second == nil)
                try builder.insert(key, value, &frame.budget)
                continue
            }
            guard case .map(let map) = value else { throw EvaluationError(.noSuchOverload) }
            try frame.budget.charge(map.readingCost)
            let entries = map.entries
            for place in entries.keys.indices {
                try builder.insert(entries.keys[place], entries.values[place], &frame.budget)
            }
        }
        return builder.finish()
    }

    private func bind(
        _ elements: Elements,
        _ index: Int,
        _ frame: inout Frame
    ) throws(EvaluationError) {
        try frame.budget.charge(roundCost)
        frame.locals[first] = .value(elements.first(index, isAlone: second == nil))
        if let second { frame.locals[second] = .value(elements.second(index)) }
    }

    /// What a comprehension goes over.
    private enum Elements {
        case list(CELList)
        case map(CELEntries)

        init(_ range: CELValue, _ budget: inout Budget) throws(EvaluationError) {
            switch range {
            case .list(let list): self = .list(list)
            case .map(let map):
                try budget.charge(map.readingCost)
                self = .map(map.entries)
            default: throw EvaluationError(.noSuchOverload)
            }
        }

        var count: Int {
            switch self {
            case .list(let list): list.count
            case .map(let entries): entries.keys.count
            }
        }

        /// The first variable: an element or, beside a second variable, an index; a key of a map.
        func first(_ index: Int, isAlone: Bool) -> CELValue {
            switch self {
            case .list(let list): isAlone ? list[index] : .int(Int64(index))
            case .map(let entries): entries.keys[index]
            }
        }

        func second(_ index: Int) -> CELValue {
            switch self {
            case .list(let list): list[index]
            case .map(let entries): entries.values[index]
            }
        }
    }
}
