/// A place in an expression's source.
package struct SourcePosition: Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    package let line: Int32
    /// The column in code points, from 1.
    package let column: Int32

    /// The place as `line:column`.
    package var description: String { "\(line):\(column)" }
}

/// Why an expression cannot be compiled: what is wrong and where.
package struct CompilationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Which step refused it.
    package enum Step: Sendable {
        case parsing
        case checking
    }

    package let step: Step
    package let position: SourcePosition
    /// Lower case, without a full stop; names from the source stand in backticks.
    package let message: String

    /// The place and the message.
    package var description: String { "\(position): \(message)" }
}
