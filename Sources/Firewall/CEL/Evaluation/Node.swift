/// A compiled expression.
///
/// Nodes are immutable, so one program runs on any number of threads.
/// A node decides when it is built what can be decided then; see DESIGN.md.
protocol Node: AnyObject, Sendable {
    /// The value for a frame's bindings.
    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue

    /// The value when it must be a truth value.
    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool
}

extension Node {
    func truth(_ frame: inout Frame) throws(EvaluationError) -> Bool {
        guard case .bool(let value) = try evaluate(&frame) else {
            throw EvaluationError(.noSuchOverload)
        }
        return value
    }
}

/// What one evaluation works on.
struct Frame {
    /// A name that a macro binds.
    enum Local {
        /// A value that is computed when it is first asked for.
        case pending
        case value(CELValue)
        case failure(EvaluationError)
    }

    /// Values of the environment's variables by place; nil for those not bound.
    let bindings: [CELValue?]
    /// Values of names that macros bind; each has a place of its own in the program.
    var locals: [Local]
    var budget: Budget
}

/// A value known when the program was compiled.
final class ConstantNode: Node {
    let value: CELValue

    init(_ value: CELValue) {
        self.value = value
    }

    func evaluate(_ frame: inout Frame) -> CELValue { value }
}

/// Something that can only fail: an unknown name in an expression that was not checked.
final class FailureNode: Node {
    private let error: EvaluationError

    init(_ error: EvaluationError) {
        self.error = error
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue { throw error }
}

/// A name that a comprehension or `optMap` binds.
final class LocalNode: Node {
    private let place: Int

    init(place: Int) {
        self.place = place
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        guard case .value(let value) = frame.locals[place] else {
            preconditionFailure("a macro's variable is read outside of its macro")
        }
        return value
    }
}

/// A name of `cel.bind` or `cel.block`: computed once, when it is first asked for.
final class LazyLocalNode: Node {
    private let place: Int
    private let value: any Node

    init(place: Int, value: any Node) {
        self.place = place
        self.value = value
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        switch frame.locals[place] {
        case .value(let value): return value
        case .failure(let error): throw error
        case .pending: break
        }
        do throws(EvaluationError) {
            let result = try value.evaluate(&frame)
            frame.locals[place] = .value(result)
            return result
        } catch {
            frame.locals[place] = .failure(error)
            throw error
        }
    }
}

/// The body of `cel.bind` or `cel.block`, before which its names are not computed yet.
final class BindNode: Node {
    private let places: [Int]
    private let body: any Node

    init(places: [Int], body: any Node) {
        self.places = places
        self.body = body
    }

    func evaluate(_ frame: inout Frame) throws(EvaluationError) -> CELValue {
        for place in places { frame.locals[place] = .pending }
        return try body.evaluate(&frame)
    }
}
