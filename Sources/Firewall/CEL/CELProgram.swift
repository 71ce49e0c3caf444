/// A compiled expression, which any number of threads may evaluate.
package final class CELProgram: Sendable {
    /// The type of its value as far as it is known.
    package let type: CELType
    private let root: any Node
    private let localCount: Int
    private let size: Int

    /// A program of an expression that has been parsed and checked.
    init(_ expression: Expression, _ environment: CELEnvironment, type: CELType) {
        var planner = Planner(environment)
        root = planner.node(expression)
        localCount = planner.localCount
        size = expression.size
        self.type = type
    }

    /// Compiles an expression.
    ///
    /// - Parameters:
    ///   - source: The expression.
    ///   - environment: What it may refer to.
    ///   - checksTypes: Whether what cannot work is refused now; else it fails when it is reached.
    ///   - expandsMacros: Whether `has`, `all` and their like are macros and not functions.
    /// - Returns: The program.
    /// - Throws: ``CompilationError`` with the place of what is wrong.
    package static func compile(
        _ source: String,
        in environment: CELEnvironment,
        checksTypes: Bool = true,
        expandsMacros: Bool = true
    ) throws(CompilationError) -> CELProgram {
        let expression = try Parser.parse(source, expandsMacros: expandsMacros)
        let type = checksTypes ? try Checker.check(expression, in: environment) : .dyn
        return CELProgram(expression, environment, type: type)
    }

    /// The value for bindings.
    ///
    /// - Parameters:
    ///   - bindings: Values of the environment's variables.
    ///   - budget: What the evaluation may cost; what is left of it afterwards.
    /// - Returns: The value.
    /// - Throws: ``EvaluationError``, also when the cost is reached.
    package func evaluate(
        _ bindings: CELBindings,
        budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        var frame = frame(bindings, budget)
        defer { budget = frame.budget }
        try frame.budget.charge(size)
        return try root.evaluate(&frame)
    }

    /// The value for bindings, within the standard budget.
    package func evaluate(_ bindings: CELBindings) throws(EvaluationError) -> CELValue {
        var frame = frame(bindings, Budget())
        try frame.budget.charge(size)
        return try root.evaluate(&frame)
    }

    /// The value when it must be a truth value, within the standard budget.
    package func truth(_ bindings: CELBindings) throws(EvaluationError) -> Bool {
        var frame = frame(bindings, Budget())
        try frame.budget.charge(size)
        return try root.truth(&frame)
    }

    private func frame(_ bindings: CELBindings, _ budget: Budget) -> Frame {
        Frame(
            bindings: bindings.values,
            locals: localCount == 0
                ? [] : [Frame.Local](repeating: .pending, count: localCount),
            budget: budget
        )
    }
}

/// Values for an environment's variables.
package struct CELBindings: Sendable {
    fileprivate(set) var values: [CELValue?]

    /// No values yet; variables without one are errors where they are reached.
    package init(for environment: CELEnvironment) {
        values = Array(repeating: nil, count: environment.variables.count)
    }

    /// The value of the variable at a place of the environment's list.
    package subscript(place: Int) -> CELValue? {
        get { values[place] }
        set { values[place] = newValue }
    }
}
