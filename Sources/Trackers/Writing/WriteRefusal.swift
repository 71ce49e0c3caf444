/// Why a tracker understood a write and did not do it, with the fields that are to blame.
package struct WriteRefusal: Error, Equatable, Sendable {
    /// What kind of refusal it is.
    package enum Reason: String, Sendable, CaseIterable {
        /// A value is missing or not acceptable.
        case invalid
        /// The item is in another state, or somebody changed it meanwhile.
        case conflict
        /// The conversation is locked.
        case locked
        /// The project is archived and can only be read.
        case archived
        /// The item lives elsewhere now.
        case moved
        /// The project has this feature switched off.
        case disabled
        /// This tracker has no such thing.
        case unsupported
    }

    /// One field and what is wrong with it.
    package struct FieldProblem: Equatable, Sendable {
        /// As the tracker calls it.
        package var field: String
        package var problem: String

        package init(field: String, problem: String) {
            self.field = field
            self.problem = problem
        }
    }

    package var reason: Reason
    /// The tracker's words, shortened.
    package var detail: String
    /// The fields it names; empty when it names none.
    package var fields: [FieldProblem]
    /// What the caller can do about it.
    package var cure: String

    package init(
        _ reason: Reason,
        detail: String,
        fields: [FieldProblem] = [],
        cure: String? = nil
    ) {
        self.reason = reason
        self.detail = detail
        self.fields = fields
        self.cure = cure ?? Self.cure(reason, fields)
    }

    private static func cure(_ reason: Reason, _ fields: [FieldProblem]) -> String {
        switch reason {
        case .invalid:
            fields.isEmpty
                ? "correct the values and try again"
                : "correct \(fields.map { "`\($0.field)`" }.joined(separator: ", "))"
        case .conflict: "read the item again and decide anew"
        case .locked: "somebody with the right to do so has to unlock the conversation"
        case .archived: "the project has to be unarchived first"
        case .moved: "use the item's new place"
        case .disabled: "switch the feature on in the project's settings"
        case .unsupported: "leave it out"
        }
    }
}

extension WriteRefusal: CustomStringConvertible {
    /// One line for the caller.
    package var description: String {
        let what =
            switch reason {
            case .invalid: "the tracker does not accept this"
            case .conflict: "this is not possible in the item's present state"
            case .locked: "the conversation is locked"
            case .archived: "the project is archived"
            case .moved: "the item has moved"
            case .disabled: "the project has this switched off"
            case .unsupported: "this tracker cannot do that"
            }
        let named = fields.map { "`\($0.field)` \($0.problem)" }.joined(separator: "; ")
        let parts = [what, named, detail].filter { !$0.isEmpty }
        return parts.joined(separator: ": ")
    }
}

extension TrackerError {
    /// A refusal for one field, found before anything was sent.
    static func invalid(
        _ field: String,
        _ problem: String,
        cure: String? = nil
    ) -> TrackerError {
        .refused(
            WriteRefusal(
                .invalid,
                detail: "",
                fields: [WriteRefusal.FieldProblem(field: field, problem: problem)],
                cure: cure
            )
        )
    }

    /// A refusal because the tracker has no such thing.
    static func unsupported(_ detail: String, cure: String? = nil) -> TrackerError {
        .refused(WriteRefusal(.unsupported, detail: detail, cure: cure))
    }
}
