/// Optional values; `?.` and `[?…]` are nodes.
enum OptionalFunctions {
    static func register(in library: inout FunctionLibrary) {
        library.declare(
            """
            optional::of(A): optional(A)
            optional::ofNonZeroValue(A): optional(A)
            optional::none(): optional(A)
            optional(A).hasValue(): bool
            optional(A).value(): A
            optional(A).or(optional(A)): optional(A)
            optional(A).orValue(A): A
            list(A).first(): optional(A)
            list(A).last(): optional(A)
            optional::unwrap(list(optional(A))): list(A)
            list(optional(A)).unwrapOpt(): list(A)
            """
        )
        library.function("optional.of", .unary { value, _ in .optional(CELOptional(value)) })
        library.function(
            "optional.ofNonZeroValue",
            .unary { value, _ in .optional(value.isZero ? .none : CELOptional(value)) }
        )
        library.function("optional.none", .variadic(count: 0) { _, _ in .optional(.none) })
        library.method(
            "hasValue",
            .unary { value, _ throws(EvaluationError) in
                .bool(try optional(value).value != nil)
            }
        )
        library.method(
            "value",
            .unary { value, _ throws(EvaluationError) in
                guard let held = try optional(value).value else { throw EvaluationError(.noValue) }
                return held
            }
        )
        // `or` and `orValue` are called here only when the first has no value; see their node.
        library.method(
            "or",
            .binary { value, other, _ throws(EvaluationError) in
                if try optional(value).value != nil { return value }
                _ = try optional(other)
                return other
            }
        )
        library.method(
            "orValue",
            .binary { value, other, _ throws(EvaluationError) in
                try optional(value).value ?? other
            }
        )
        library.method(
            "first",
            .unary { value, _ throws(EvaluationError) in try element(of: value) { _ in 0 } }
        )
        library.method(
            "last",
            .unary { value, _ throws(EvaluationError) in try element(of: value) { $0 - 1 } }
        )
        let unwrapping = Implementation.unary { value, budget throws(EvaluationError) in
            try held(in: value, &budget)
        }
        library.function("optional.unwrap", unwrapping)
        library.method("unwrapOpt", unwrapping)
    }

    /// What the optionals of a list hold, in order; those that hold nothing are left out.
    private static func held(
        in value: CELValue,
        _ budget: inout Budget
    ) throws(EvaluationError) -> CELValue {
        guard case .list(let list) = value else { throw EvaluationError(.noSuchOverload) }
        try budget.charge(list.count)
        var values: [CELValue] = []
        for index in 0..<list.count {
            if let held = try optional(list[index]).value { values.append(held) }
        }
        return .list(.values(values))
    }

    /// The element of a list whose place is told from their count; no value when there is none.
    private static func element(
        of value: CELValue,
        at place: (Int) -> Int
    ) throws(EvaluationError) -> CELValue {
        guard case .list(let list) = value else { throw EvaluationError(.noSuchOverload) }
        guard list.count > 0 else { return .optional(.none) }
        return .optional(CELOptional(list[place(list.count)]))
    }

    /// The optional in a value.
    static func optional(_ value: CELValue) throws(EvaluationError) -> CELOptional {
        guard case .optional(let optional) = value else { throw EvaluationError(.noSuchOverload) }
        return optional
    }
}
