/// What is known about open types, and whether one type may stand where another is wanted.
///
/// The rules are those of the Go implementation's checker, which the conformance tests of
/// type deduction describe: assignability with open types, the more general of two types wins.
struct TypeInference {
    /// Types that people need have a handful of parts.
    ///
    /// Names that refer to one another can make types as deep as the source is long, or twice as
    /// large with each name; what is beyond this is not known, `dyn`. A literal of as many lists in
    /// one another as the parser takes fits.
    private static let maximumSize = 256
    /// Pairs of types that one question of assignability may look at, and types that may be looked
    /// through for an open one: both sides of the largest pair.
    private static let maximumSteps = 2 * maximumSize

    private var known: [CELType: CELType] = [:]
    private var freshCount = 0
    /// What is left of the steps of the question that is being answered.
    private var steps = 0

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

    /// The type with what is known put in; what stays open is `dyn` when `closing`, and so are
    /// the parts of a type that is too large.
    func resolve(_ type: CELType, closing: Bool = false) -> CELType {
        var room = Self.maximumSize
        return resolve(type, closing: closing, &room)
    }

    private func resolve(_ type: CELType, closing: Bool, _ room: inout Int) -> CELType {
        room -= 1
        guard room >= 0 else { return .dyn }
        if type.isOpen {
            if let better = known[type] { return resolve(better, closing: closing, &room) }
            return closing ? .dyn : type
        }
        return type.mapParameters { resolve($0, closing: closing, &room) }
    }

    /// The type as a name may stand for it: `dyn` in place of one that is too large.
    static func bounded(_ type: CELType) -> CELType {
        var room = maximumSize
        func fits(_ type: CELType) -> Bool {
            room -= 1
            return room >= 0 && type.parameters.allSatisfy(fits)
        }
        return fits(type) ? type : .dyn
    }

    /// Whether values of the types may be passed where those types are wanted; what has to hold
    /// for that is remembered if they may, and only then.
    ///
    /// Types that are too large to tell may not.
    mutating func assign(_ types: [CELType], to wanted: [CELType]) -> Bool {
        guard types.count == wanted.count else { return false }
        var trial = self
        trial.steps = Self.maximumSteps
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
        steps -= 1
        guard steps >= 0 else { return false }
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

    /// Whether an open type is in another; a type too large to tell counts as one that has it.
    private func mentions(_ open: CELType, in type: CELType) -> Bool {
        var room = Self.maximumSteps
        return mentions(open, in: type, &room)
    }

    private func mentions(_ open: CELType, in type: CELType, _ room: inout Int) -> Bool {
        room -= 1
        guard room >= 0 else { return true }
        if type.isOpen {
            if type == open { return true }
            return known[type].map { mentions(open, in: $0, &room) } ?? false
        }
        return type.parameters.contains { mentions(open, in: $0, &room) }
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
