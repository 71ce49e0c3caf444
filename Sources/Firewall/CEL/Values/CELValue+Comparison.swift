extension CELValue {
    /// Whether two values are equal as `==` says: of different types never, numbers by what they
    /// are worth, lists and maps by what they hold.
    ///
    /// The budget pays for each pair of elements that is looked at.
    func equals(_ other: CELValue, _ budget: inout Budget) throws(EvaluationError) -> Bool {
        switch (self, other) {
        case (.int(let left), .int(let right)): return left == right
        case (.string(let left), .string(let right)):
            try budget.charge(bytes: left.utf8.count)
            return left.hasBytes(of: right)
        case (.bool(let left), .bool(let right)): return left == right
        case (.null, .null): return true
        case (.bytes(let left), .bytes(let right)):
            try budget.charge(bytes: left.count)
            return left == right
        case (.list(let left), .list(let right)): return try left.equals(right, &budget)
        case (.map(let left), .map(let right)): return try left.equals(right, &budget)
        case (.timestamp(let left), .timestamp(let right)): return left == right
        case (.duration(let left), .duration(let right)): return left == right
        case (.type(let left), .type(let right)): return left.hasBytes(of: right)
        case (.address(let left), .address(let right)): return left == right
        case (.network(let left), .network(let right)): return left == right
        case (.optional(let left), .optional(let right)):
            guard let left = left.value, let right = right.value else {
                return left.value == nil && right.value == nil
            }
            return try left.equals(right, &budget)
        default: return numericOrder(to: other) == .equal
        }
    }

    /// How two numbers of any types lie; nil when one is no number.
    func numericOrder(to other: CELValue) -> Order? {
        switch (self, other) {
        case (.int(let left), .int(let right)): Order(left, right)
        case (.int(let left), .uint(let right)): left < 0 ? .less : Order(UInt64(left), right)
        case (.int(let left), .double(let right)): Order(left, right)
        case (.uint(let left), .int(let right)):
            right < 0 ? .greater : Order(left, UInt64(right))
        case (.uint(let left), .uint(let right)): Order(left, right)
        case (.uint(let left), .double(let right)): Order(left, right)
        case (.double(let left), .int(let right)): Order(right, left).reversed
        case (.double(let left), .uint(let right)): Order(right, left).reversed
        case (.double(let left), .double(let right)): Order(left, right)
        default: nil
        }
    }

    /// How two values lie; nil when such values have no order.
    func order(to other: CELValue, _ budget: inout Budget) throws(EvaluationError) -> Order? {
        switch (self, other) {
        case (.string(let left), .string(let right)):
            try budget.charge(bytes: min(left.utf8.count, right.utf8.count))
            return Order(left.byteOrder(to: right), 0)
        case (.bytes(let left), .bytes(let right)):
            try budget.charge(bytes: min(left.count, right.count))
            if left == right { return .equal }
            return left.lexicographicallyPrecedes(right) ? .less : .greater
        case (.bool(let left), .bool(let right)): return Order(left ? 1 : 0, right ? 1 : 0)
        case (.timestamp(let left), .timestamp(let right)):
            return Order((left.seconds, left.nanoseconds), (right.seconds, right.nanoseconds))
        case (.duration(let left), .duration(let right)):
            return Order((left.seconds, left.nanoseconds), (right.seconds, right.nanoseconds))
        default: return numericOrder(to: other)
        }
    }
}

/// How two values lie; NaN is neither less nor greater than nor equal to anything.
enum Order {
    case less, equal, greater, unordered

    init<Value: Comparable>(_ left: Value, _ right: Value) {
        self = left < right ? .less : left == right ? .equal : left > right ? .greater : .unordered
    }

    fileprivate init(_ left: (Int64, Int32), _ right: (Int64, Int32)) {
        self = left.0 == right.0 ? Order(left.1, right.1) : Order(left.0, right.0)
    }

    /// Compares a whole number with a double as doubles, as the conformance tests want it: beyond
    /// 2^53 a number may equal a double that is near it.
    fileprivate init<Whole: FixedWidthInteger>(_ left: Whole, _ right: Double) {
        self.init(Double(left), right)
    }

    var reversed: Order {
        switch self {
        case .less: .greater
        case .greater: .less
        case .equal, .unordered: self
        }
    }
}

extension CELList {
    fileprivate func equals(
        _ other: CELList,
        _ budget: inout Budget
    ) throws(EvaluationError) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count {
            try budget.charge()
            guard try self[index].equals(other[index], &budget) else { return false }
        }
        return true
    }

    /// Whether an element equals `value`.
    func contains(_ value: CELValue, _ budget: inout Budget) throws(EvaluationError) -> Bool {
        for index in 0..<count {
            try budget.charge()
            if try self[index].equals(value, &budget) { return true }
        }
        return false
    }
}

extension CELMap {
    fileprivate func equals(
        _ other: CELMap,
        _ budget: inout Budget
    ) throws(EvaluationError) -> Bool {
        try budget.charge(readingCost + other.readingCost)
        let left = entries
        let right = other.entries
        guard left.keys.count == right.keys.count else { return false }
        for index in left.keys.indices {
            guard let key = CELKey(left.keys[index]), let value = right.value(of: key),
                try left.values[index].equals(value, &budget)
            else { return false }
        }
        return true
    }
}
