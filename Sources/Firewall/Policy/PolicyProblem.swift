/// Something about a policy that is wrong, or likely to be.
package struct PolicyProblem: Error, Sendable, Equatable {
    /// How bad it is.
    package enum Severity: String, Sendable {
        /// The policy cannot be used.
        case error
        /// It can, but may not do what was meant.
        case warning
    }

    package var severity: Severity
    /// Where in the document: `$.tools.0.conditions.1.action`; empty for the text as a whole.
    package var path: String
    /// Where in the text; nil when there is no text.
    package var position: SourcePosition?
    /// Lower case, without a full stop; what comes from the policy stands in backticks.
    package var message: String

    init(
        _ message: String,
        at position: SourcePosition? = nil,
        path: String = "",
        severity: Severity = .error
    ) {
        self.severity = severity
        self.path = path
        self.position = position
        self.message = message
    }
}

extension PolicyProblem: CustomStringConvertible {
    /// `12:5: unknown key …`, without the severity.
    package var description: String {
        let place = position.map { "\($0): " } ?? ""
        return place + (path.isEmpty || position != nil ? message : "\(path): \(message)")
    }
}
