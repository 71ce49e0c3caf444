/// What a function does with values; functions that read or make much pay for it.
enum Implementation: Sendable {
    typealias Unary =
        @Sendable (
            CELValue, inout Budget
        ) throws(EvaluationError) -> CELValue
    typealias Binary =
        @Sendable (
            CELValue, CELValue, inout Budget
        ) throws(EvaluationError) -> CELValue
    typealias Variadic =
        @Sendable (
            [CELValue], inout Budget
        ) throws(EvaluationError) -> CELValue

    case unary(Unary)
    case binary(Binary)
    /// Takes as many arguments as its declarations say.
    case variadic(count: Int, Variadic)

    /// How many arguments it takes, a receiver included.
    var count: Int {
        switch self {
        case .unary: 1
        case .binary: 2
        case .variadic(let count, _): count
        }
    }
}

/// Functions with their declarations.
struct FunctionLibrary: Sendable {
    /// How a call looks; calls that look alike have one implementation, which sorts out the types.
    struct Shape: Hashable {
        let name: String
        let isMember: Bool
        let count: Int
    }

    /// Declarations by name.
    private(set) var overloads: [String: [Overload]] = [:]
    private(set) var implementations: [Shape: Implementation] = [:]

    /// Everything an expression may call.
    static let standard: FunctionLibrary = {
        var library = FunctionLibrary()
        Operators.register(in: &library)
        StandardFunctions.register(in: &library)
        Conversions.register(in: &library)
        TimeFunctions.register(in: &library)
        StringFunctions.register(in: &library)
        MathFunctions.register(in: &library)
        OptionalFunctions.register(in: &library)
        NetworkFunctions.register(in: &library)
        EncoderFunctions.register(in: &library)
        return library
    }()

    /// Adds declarations, one a line; see ``SignatureReader``.
    mutating func declare(_ signatures: String) {
        for (name, overload) in SignatureReader.overloads(signatures) {
            overloads[name, default: []].append(overload)
        }
    }

    /// Adds what a function does when it is called as `name(…)`.
    mutating func function(_ name: String, _ implementation: Implementation) {
        add(name, isMember: false, implementation)
    }

    /// Adds what a method does when it is called as `receiver.name(…)`.
    mutating func method(_ name: String, _ implementation: Implementation) {
        add(name, isMember: true, implementation)
    }

    private mutating func add(_ name: String, isMember: Bool, _ implementation: Implementation) {
        let shape = Shape(name: name, isMember: isMember, count: implementation.count)
        precondition(implementations[shape] == nil, "`\(name)` is there already")
        implementations[shape] = implementation
    }
}
