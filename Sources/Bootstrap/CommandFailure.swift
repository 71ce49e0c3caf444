/// Why a command failed, for the person who typed it: what, why, what to do.
package struct CommandFailure: Error, Sendable, Equatable {
    /// How the program ends.
    package var status: ExitStatus
    /// What did not happen.
    package var what: String
    /// Why not; nil when `what` says it.
    package var reason: String?
    /// What to do; nil when there is nothing to do.
    package var hint: String?

    /// A failure in the operator's terms.
    package init(
        _ status: ExitStatus,
        _ what: String,
        reason: String? = nil,
        hint: String? = nil
    ) {
        self.status = status
        self.what = what
        self.reason = reason
        self.hint = hint
    }

    /// The lines for standard error.
    package var text: String {
        var text = "error: \(what)\n"
        if let reason { text += "  why: \(reason)\n" }
        if let hint { text += "  to do: \(hint)\n" }
        return text
    }
}
