/// What is known about open types, and whether one type may stand where another is wanted.
///
/// The rules are those of the Go implementation's checker, which the conformance tests of
/// type deduction describe: assignability with open types, the more general of two types wins.
struct TypeInference {
    private var known: [CELType: CELType] = [:]
    private var freshCount = 0

    /// A type nothing is known about yet.
    mutating func fresh() -> CELType {
        freshCount += 1
        return .variable(freshCount)
    }

    /// The overload with an open type in place of each type parameter.
    mutating func instantiate(_ overload: Overload) -> (arguments: [CELType], result: CELType) {
        let names = (overload.arguments + [overload.result])
            .reduce(into: Set<String>()) { $0.formUnion($1.parameterNames) }
        guard !names.isEmpty else { return (overload.arguments, overload.result) }
        var open: [String: CELType] = [:]
        for name in names.sorted() { open[name] = fresh() }
        func replace(_ type: CELType) -> CELType {
            if case .parameter(let name) = type { return open[name] ?? type }
            return type.mapParameters(replace)
        }
        return (overload.arguments.map(replace), replace(overload.result))
    }

    /// The type with what is known put in; what stays open is `dyn` when `closing`.
    func resolve(_ type: CELType, closing: Bool = false) -> CELType {
        if let better = known[type] { return resolve(better, closing: closing) }
        if type.isOpen { return closing ? .dyn : type }
        return type.mapParameters { resolve($0, closing: closing) }
    }

    /// Whether values of the types may be passed where those types are wanted; what has to hold
    /// for that is remembered if they may, and only then.
    mutating func assign(_ types: [CELType], to wanted: [CELType]) -> Bool {
        guard types.count == wanted.count else { return false }
        var trial = self
        for (type, wanted) in zip(types, wanted) {
            guard trial.isAssignable(type, wanted) else { return false }
        }
        self = trial
        return true
    }

    /// The type of an aggregate that held `previous` and gets `current` too.
    mutating func join(_ previous: CELType?, _ current: CELType) -> CELType {
        guard let previous else { return current }
        guard assign([previous], to: [current]) else { return .dyn }
        return Self.moreGeneral(previous, current)
    }

    // MARK: - Assignability

    private mutating func isAssignable(_ type: CELType, _ wanted: CELType) -> Bool {
        if wanted.isOpen {
            let (isValid, isKnown) = substitute(type, for: wanted)
            if isValid { return true }
            if isKnown { return false }
        }
        if type.isOpen { return substitute(wanted, for: type).isValid }
        switch (type, wanted) {
        case (.dyn, _), (_, .dyn): return true
        case (.null, _): return Self.isNullable(wanted)
        case (_, .null): return Self.isNullable(type)
        case (.wrapper(let inner), .wrapper(let other)): return inner == other
        case (.wrapper(let inner), _): return inner == wanted
        case (_, .wrapper(let inner)): return type == inner
        case (.type, .type): return true
        case (.list, .list), (.map, .map): break
        case (.opaque(let name, _), .opaque(let other, _)) where name == other: break
        default: return type == wanted
        }
        let pairs = zip(type.parameters, wanted.parameters)
        guard type.parameters.count == wanted.parameters.count else { return false }
        for (inner, other) in pairs where !isAssignable(inner, other) { return false }
        return true
    }

    private mutating func substitute(
        _ type: CELType,
        for open: CELType
    ) -> (isValid: Bool, isKnown: Bool) {
        if type == open { return (true, true) }
        if let present = known[open] {
            if type == present { return (true, true) }
            guard isAssignable(type, present) else { return (false, true) }
            let general = Self.moreGeneral(type, present)
            if !mentions(open, in: general) { known[open] = general }
            return (true, true)
        }
        guard !mentions(open, in: type) else { return (false, false) }
        known[open] = type
        return (true, false)
    }

    private func mentions(_ open: CELType, in type: CELType) -> Bool {
        if type == open { return true }
        if let better = known[type] { return mentions(open, in: better) }
        return type.parameters.contains { mentions(open, in: $0) }
    }

    private static func isNullable(_ type: CELType) -> Bool {
        switch type {
        case .null, .timestamp, .duration, .opaque, .wrapper: true
        default: false
        }
    }

    // MARK: - Generality

    private static func moreGeneral(_ left: CELType, _ right: CELType) -> CELType {
        isEqualOrMoreGeneral(left, right) ? left : right
    }

    private static func isEqualOrMoreGeneral(_ left: CELType, _ right: CELType) -> Bool {
        if left == .dyn || left.isOpen { return true }
        if right == .dyn || right.isOpen { return false }
        switch (left, right) {
        case (.wrapper(let inner), _) where inner == right || right == .null: return true
        case (.opaque(let name, _), .opaque(let other, _)) where name != other: return false
        case (.list, .list), (.map, .map), (.opaque, .opaque):
            guard left.parameters.count == right.parameters.count else { return false }
            return zip(left.parameters, right.parameters).allSatisfy(isEqualOrMoreGeneral)
        case (.type, .type): return true
        default: return left == right
        }
    }
}
